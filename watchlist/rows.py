"""The keys of one list, and how their fields are written: plain, or with two sides.

All keys are under one prefix and one hash tag (``{checkpoint}:watchlist:…``), so that scripts run
on a cluster as well:

    plates     hash    plate → its entries, one line each: ``ID JSON``; and of the list itself
                       @version @updated_at @heartbeat @lineage @schema @entries @history,
                       @token and @bulk (of the last change, of the last large one), @pending
                       and @spoilt (of a large one on its way), and @patterns: the version that
                       last changed a pattern
    ids        hash    entry id → plate
    cancelled  hash    entry id → the entry's JSON, a newline, the cancellation's JSON
    patterns   set     the plates above that are patterns (``辽A?23??``)
    drafts     hash    entry id → a draft; no part of the list, see ``watchlist.drafts``
    changes    stream  one item for each version, with that number; see ``watchlist.history``
    undo:…     hash    the before-images of a large change
    lock       string  who has a large change on its way; expires

All that a lookup needs is in one hash, so that one HMGET answers it: one step, one version,
and allowed where a transaction is not (Redis refuses MULTI when it is out of memory).

While a large change is on its way in, each field that it touches has two sides: what it says
now, and what it will say. Committing is one write of ``@bulk``: from then on every reader takes
the other side, so all of it is seen at once, however much it is. Afterwards the fields are made
plain again. Only one large change is on its way at a time.

    plain       VALUE
    two sides   BEFORE ␝ TOKEN ␝ AFTER      AFTER counts if TOKEN is ``@bulk``; empty: absent

A before-image, of which a change's undo log is made, is one field of one hash as it was:
``p``, ``i`` or ``c`` (plates, ids, cancelled), the field's name, ``␟`` and its value, empty if
there was none; ``␞`` stands between two of them. JSON holds none of these separators.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import structlog

from pipeline.errors import WatchlistError
from pipeline.types import WatchlistEntry
from watchlist.entry import from_json
from watchlist.records import Cancellation

log = structlog.get_logger(__name__)

SCHEMA = 2
"""Of the data in Redis; a list of a later one is refused."""

MARK, BETWEEN, WITHIN = b"\x1d", b"\x1e", b"\x1f"

Images = dict[tuple[str, str], bytes]
"""Fields as they were, by hash (``p``, ``i``, ``c``) and name; empty: there was none."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The Redis keys of the list with one prefix."""

    prefix: str

    @property
    def plates(self) -> str:
        """Hash: plate → its entries, and what the list says of itself."""
        return self._key("plates")

    @property
    def ids(self) -> str:
        """Hash: entry id → plate."""
        return self._key("ids")

    @property
    def cancelled(self) -> str:
        """Hash: entry id → the entry and its cancellation."""
        return self._key("cancelled")

    @property
    def patterns(self) -> str:
        """Set: the plates above that are patterns."""
        return self._key("patterns")

    @property
    def changes(self) -> str:
        """Stream: one item for each version."""
        return self._key("changes")

    @property
    def drafts(self) -> str:
        """Hash: entry id → a draft, and who made it."""
        return self._key("drafts")

    @property
    def lock(self) -> str:
        """String: who has a large change on its way; expires."""
        return self._key("lock")

    def undo(self, token: str) -> str:
        """Hash: the before-images of one large change, in pages."""
        return self._key(f"undo:{token}")

    def _key(self, name: str) -> str:
        return f"{{{self.prefix}}}:watchlist:{name}"


def visible(value: bytes | None, bulk: bytes | None) -> bytes | None:
    """What a field says now; None if nothing. ``bulk`` is ``@bulk``, read in the same step."""
    if value is None or MARK not in value:
        return value
    before, token, after = value.split(MARK, 2)
    return (after if token == bulk else before) or None


def parse_row(row: bytes) -> Iterator[WatchlistEntry]:
    """The entries in the lines of one plate. A damaged one is said loudly and left out, so
    that it does not keep the others from matching."""
    for line in row.split(b"\n"):
        try:
            yield from_json(line.partition(b" ")[2])
        except WatchlistError as error:
            log.error("watchlist.damaged", message=str(error))


def parse_cancellation(row: bytes) -> Cancellation:
    """The entry in the first line, and in the second who cancelled it, when and why.

    Raises:
        WatchlistError: it is damaged.
    """
    record, _, said = row.rpartition(b"\n")
    try:
        words = json.loads(said)
        at = datetime.fromisoformat(words["at"])
        return Cancellation(from_json(record), words["reason"], words["by"], at)
    except (ValueError, KeyError, TypeError) as error:
        raise WatchlistError(f"damaged cancellation {said[:60]!r}: {error}") from error


def images(blob: bytes) -> Images:
    """Read an undo log's text. Of a field that comes twice the first counts: the older."""
    found: Images = {}
    for item in blob.split(BETWEEN):
        if item:
            name, _, value = item.partition(WITHIN)
            found.setdefault((name[:1].decode(), name[1:].decode()), value)
    return found
