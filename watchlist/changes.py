"""How the list is changed: a small change in one script, a large one in pages, shown at once.

``watchlist.rows`` tells how a large change stays unseen until it is committed. Whoever is killed
on the way has changed nothing: the next who makes a large change, or the keeper of a running
Checkpoint, takes what was left away. Killed after the commit, the same finishes the rest.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import redis
import structlog

from pipeline.clock import Clock
from pipeline.errors import StoreUnavailable, WatchlistError
from watchlist import scripts
from watchlist.connection import address, redis_errors
from watchlist.entry import ID_LENGTH, iso
from watchlist.history import History
from watchlist.records import Change, Note
from watchlist.refusals import Refused as Refused
from watchlist.refusals import busy, moved
from watchlist.rows import SCHEMA, Keys

log = structlog.get_logger(__name__)

Operation = tuple[str, str, str | bytes]
"""Three words; see ``watchlist.scripts``."""

Progress = Callable[[int], None]

SMALL = 500
"""Operations that one script still does in some milliseconds."""
_SMALL_BYTES = 256 << 10
_PAGE, _PAGE_BYTES = 400, 256 << 10
_UNDER_WAY = 4  # pages sent or being sent, while the next is made
_LEASE_MS = 30_000
_SLOW_PATIENCE_S = 5.0


class Changes:
    """Makes the changes of one list. Methods may be called from any thread."""

    def __init__(self, client: redis.Redis, keys: Keys, clock: Clock, history: History) -> None:
        self._client, self._keys, self._clock, self._history = client, keys, clock, history
        self._change = client.register_script(scripts.CHANGE)
        self._begin = client.register_script(scripts.BEGIN)
        self._stage = client.register_script(scripts.STAGE)
        self._commit = client.register_script(scripts.COMMIT)
        self._resolve = client.register_script(scripts.RESOLVE)
        self._finish = client.register_script(scripts.FINISH)

    def make(
        self,
        operations: Iterable[Operation],
        note: Note,
        *,
        floor: int = 0,
        planned_on: int | None = None,
        exactly: bool = False,
        progress: Progress | None = None,
    ) -> Change:
        """Do some operations as one version.

        Args:
            operations: read once, in order.
            note: who makes the change, and why.
            floor: the lowest version to go on from.
            planned_on: the version that the operations were planned on. Refused if what they
                touch was changed since; with ``exactly`` if anything was.
            exactly: see ``planned_on``.
            progress: told how many operations have been sent.

        Raises:
            WatchlistError: an operation is refused, or the list was changed since
                ``planned_on``, or another large change is on its way; nothing was changed.
            StoreUnavailable: Redis is away or refuses.
        """
        rest = iter(operations)
        first = list(islice(rest, SMALL + 1))
        if not first:
            return Change(self._version(), 0)
        if len(first) <= SMALL and sum(map(_size, first)) <= _SMALL_BYTES:
            change = self._small(first, note, floor, planned_on, exactly)
            if progress:
                progress(len(first))
        else:
            pages = _pages(first, rest)
            change = self._large(pages, note, floor, planned_on, exactly, progress)
        if change.changed:
            try:
                self._history.trim()
            except StoreUnavailable as error:  # the next change will do it
                log.warning("watchlist.untrimmed", message=str(error))
        return change

    def recover(self) -> bool:
        """Take away or finish what a killed change has left; False if there was nothing.

        Does nothing while somebody still works on it.
        """
        token, who = secrets.token_hex(8), ""
        with redis_errors(self._client):
            pending: Any = self._client.hget(self._keys.plates, "@pending")
            if not pending or self._client.exists(self._keys.lock):
                return False
        who = self._who(token, Note("recovery", "recover"))
        state, left = self._ask_to_begin(token, who)
        if state == "left":
            self._settle(left, who)
        elif state == "begun":
            self._settle(token, who)
        return state == "left"

    def _small(
        self,
        operations: Sequence[Operation],
        note: Note,
        floor: int,
        planned_on: int | None,
        exactly: bool,
    ) -> Change:
        words = [word for operation in operations for word in operation]
        token, expected = secrets.token_hex(8), planned_on
        touched = {("p", name) for _, name, _ in operations}
        touched |= {("i", str(words)[:ID_LENGTH]) for kind, _, words in operations if kind == "put"}
        while True:
            header = self._header(token, floor, "" if expected is None else expected, note)
            said = self._finally(
                self._change,
                [
                    *(self._keys.plates, self._keys.ids, self._keys.cancelled),
                    *(self._keys.patterns, self._keys.changes),
                ],
                [*header, *words],
            )
            version, changed, refusal = int(said[0]), int(said[1]), bytes(said[2]).decode()
            if refusal in {"", "again"}:
                return Change(version, changed if not refusal else len(operations))
            if refusal != "moved" or planned_on is None:
                raise Refused(*refusal.split(" ", 1))
            if made := self._history.made_by(token, planned_on):
                return Change(made.number, made.changed)  # the answer to it was lost
            self._check_since(planned_on, version, exactly, lambda found: touched & found)
            expected = version

    def _large(
        self,
        pages: Iterator[list[Operation]],
        note: Note,
        floor: int,
        planned_on: int | None,
        exactly: bool,
        progress: Progress | None,
    ) -> Change:
        token = secrets.token_hex(8)
        who = self._who(token, note)
        state, said = self._ask_to_begin(token, who)
        if state == "left":
            self._settle(said, who)
            state, said = self._ask_to_begin(token, who)
        if state != "begun":
            raise WatchlistError(busy(said))
        committed: Change | None = None
        try:
            began_on = self._version()
            count = self._send(pages, token, who, progress)
            committed = self._show(token, who, count, note, floor, planned_on, began_on, exactly)
        finally:
            try:
                self._settle(token, who)
            except StoreUnavailable as error:
                log.warning("watchlist.unsettled", message=str(error), committed=bool(committed))
        return committed

    def _send(
        self,
        pages: Iterator[list[Operation]],
        token: str,
        who: str,
        progress: Progress | None,
    ) -> int:
        """Stage all pages; a thread sends while the next page is made. Says how many."""
        keys = [
            *(self._keys.plates, self._keys.ids, self._keys.cancelled, self._keys.patterns),
            *(self._keys.lock, self._keys.undo(token)),
        ]
        count = sent = 0
        waiting: list[tuple[int, Future[Any]]] = []

        def stage(page: int, operations: list[Operation]) -> None:
            words = [word for operation in operations for word in operation]
            reply = self._patiently(self._stage, keys, [token, page, who, _LEASE_MS, *words])
            refusal = bytes(reply[1]).decode()
            if refusal == "lost":
                raise StoreUnavailable(self._lost())
            if refusal:
                raise Refused(*refusal.split(" ", 1))

        def settle_oldest() -> None:
            nonlocal sent
            size, future = waiting.pop(0)
            future.result()
            sent += size
            if progress:
                progress(sent)

        with ThreadPoolExecutor(1, thread_name_prefix="watchlist-stage") as sender:
            try:
                for count, page in enumerate(pages, start=1):
                    waiting.append((len(page), sender.submit(stage, count - 1, page)))
                    if len(waiting) > _UNDER_WAY:
                        settle_oldest()
                while waiting:
                    settle_oldest()
            except BaseException:
                for _, future in waiting:
                    future.cancel()
                raise
        return count

    def _show(
        self,
        token: str,
        who: str,
        pages: int,
        note: Note,
        floor: int,
        planned_on: int | None,
        began_on: int,
        exactly: bool,
    ) -> Change:
        def touched_too(found: set[tuple[str, str]]) -> set[tuple[str, str]]:
            both: set[tuple[str, str]] = set()
            for own in self._history.pages(token, pages):
                both |= found & own.keys()
            return both

        expected = began_on if planned_on is None else planned_on
        while True:
            said = self._finally(
                self._commit,
                [self._keys.plates, self._keys.changes, self._keys.lock, self._keys.undo(token)],
                [*self._header(token, floor, expected, note), pages, who, _LEASE_MS],
            )
            version, changed, refusal = int(said[0]), int(said[1]), bytes(said[2]).decode()
            match refusal:
                case "" | "again":
                    return Change(version, changed)
                case "moved":
                    if planned_on is not None:
                        self._check_since(planned_on, version, exactly, touched_too)
                    expected = version
                case "spoilt":
                    raise WatchlistError(moved(planned_on or began_on, version, None))
                case _:
                    raise StoreUnavailable(self._lost())

    def _check_since(
        self,
        planned_on: int,
        version: int,
        exactly: bool,
        touched_too: Callable[[set[tuple[str, str]]], set[tuple[str, str]]],
    ) -> None:
        """Raise unless what changed since ``planned_on`` is none of our business."""
        if exactly or version < planned_on:
            raise WatchlistError(moved(planned_on, version, None))
        theirs: set[tuple[str, str]] = set()
        try:
            for change in self._history.undone_by(planned_on):
                for page in self._history.images(change.number):
                    theirs |= page.keys()
        except WatchlistError:
            raise WatchlistError(moved(planned_on, version, None)) from None
        if both := touched_too(theirs):
            plates = sorted(name for kind, name in both if kind == "p")
            raise WatchlistError(moved(planned_on, version, plates[0] if plates else None))

    def _settle(self, token: str, who: str) -> None:
        """Make plain what a large change has touched, and let the next one begin."""
        undo = self._keys.undo(token)
        hashes = [self._keys.plates, self._keys.ids, self._keys.cancelled, self._keys.patterns]
        with redis_errors(self._client):
            pages: Any = self._client.hget(undo, "#pages")
        for page in range(int(pages or 0)):
            args = [token, page, who, _LEASE_MS]
            self._patiently(self._resolve, [*hashes, self._keys.lock, undo], args)
        with redis_errors(self._client):
            self._finish(keys=[self._keys.plates, self._keys.lock, undo], args=[token, who])

    def _ask_to_begin(self, token: str, who: str) -> tuple[str, str]:
        with redis_errors(self._client):
            reply: Any = self._begin(
                keys=[self._keys.plates, self._keys.ids, self._keys.lock],
                args=[token, who, _LEASE_MS],
            )
        return bytes(reply[0]).decode(), bytes(reply[1]).decode()

    def _version(self) -> int:
        with redis_errors(self._client):
            found: Any = self._client.hget(self._keys.plates, "@version")
        return int(found or 0)

    def _header(self, token: str, floor: int, expected: object, note: Note) -> list[Any]:
        now = iso(self._clock.now())
        said = [note.by, note.action, note.reason, note.case]
        return [token, now, token, floor, expected, SCHEMA, *said]

    def _who(self, token: str, note: Note) -> str:
        said = {"by": note.by, "action": note.action, "at": iso(self._clock.now()), "token": token}
        return json.dumps(said, ensure_ascii=False)

    def _patiently(self, script: Any, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run a script, again while Redis is (perhaps) still at work on it."""
        deadline = time.monotonic() + _SLOW_PATIENCE_S
        while True:
            try:
                with redis_errors(self._client):
                    return script(keys=keys, args=args)
            except StoreUnavailable as error:
                if not _is_slow(error.__cause__) or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _finally(self, script: Any, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run the script that makes the change; where no answer comes it may have been made."""
        try:
            return self._patiently(script, keys, args)
        except StoreUnavailable as error:
            if isinstance(error.__cause__, redis.ResponseError):
                raise  # it was refused
            raise StoreUnavailable(
                f"{error}; see checkpoint watchlist history whether the change was made"
            ) from error.__cause__

    def _lost(self) -> str:
        return (
            f"Redis at {address(self._client)}: lost the change on its way in; nothing was "
            "changed, make it again"
        )


def _pages(first: list[Operation], rest: Iterator[Operation]) -> Iterator[list[Operation]]:
    page: list[Operation] = []
    size = 0
    for source in (first, rest):
        for operation in source:
            page.append(operation)
            size += _size(operation)
            if len(page) >= _PAGE or size >= _PAGE_BYTES:
                yield page
                page, size = [], 0
    if page:
        yield page


def _size(operation: Operation) -> int:
    return len(operation[2])


def _is_slow(error: BaseException | None) -> bool:
    return isinstance(error, redis.TimeoutError) or str(error).startswith("BUSY")
