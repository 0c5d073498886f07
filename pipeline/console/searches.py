"""The searches of each session: what was shown may be looked at more closely, for the same reason.

A picture shows more than a row of a table. So it is given out only to a session that has found
its passage by a search, and the audit log says by which, with that search's reason and case.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

_MOST_OF_ONE: Final = 30
_MOST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Search:
    """One search: why it was made, what it showed, and whether plates were shown as they are."""

    id: str
    reason: str
    case: str
    passages: frozenset[str]
    unmasked: bool


class Searches:
    """The latest searches, by session. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: OrderedDict[tuple[str, str], Search] = OrderedDict()

    def add(self, session_id: str, search: Search) -> None:
        """Remember one; the oldest of this session are forgotten."""
        with self._lock:
            self._by_key[session_id, search.id] = search
            own = [key for key in self._by_key if key[0] == session_id]
            for key in own[:-_MOST_OF_ONE]:
                del self._by_key[key]
            while len(self._by_key) > _MOST:
                self._by_key.popitem(last=False)

    def find(self, session_id: str, search_id: str, passage_id: str) -> Search | None:
        """The search of this session that showed that passage."""
        with self._lock:
            found = self._by_key.get((session_id, search_id))
        return found if found is not None and passage_id in found.passages else None


def new_search_id() -> str:
    """A name for a search, for the audit log and the page."""
    return secrets.token_hex(6)


_making = threading.Lock()


def searches_of(request: Request) -> Searches:
    """The searches of the application that answers this request."""
    state = request.app.state
    with _making:
        if not hasattr(state, "searches"):
            state.searches = Searches()
        found: Searches = state.searches
    return found
