"""The watchlist in Redis.

Keys, all under one prefix and one hash tag (``{checkpoint}:watchlist:…``), so that scripts
and transactions run on a cluster as well:

    plates     hash   plate → its entries, one line each: ``ID JSON``; and of the list itself
                      @version @updated_at @lineage @schema @token
    ids        hash   entry id → plate
    cancelled  hash   entry id → the entry's JSON, a newline, the cancellation's JSON
    staging:…  list   entries on their way in; expires by itself

All that a lookup needs is in one hash, so that one HMGET answers it: one step, one version,
and allowed where a transaction is not (Redis refuses MULTI when it is out of memory).
``@version`` counts every change by one and never goes back. ``@lineage`` is drawn when a list
begins: another one, or a lower version, means that Redis came back without its data.
An entry stays in ``plates`` when it expires; it just no longer matches.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import redis
import structlog

from pipeline.clock import Clock, SystemClock
from pipeline.config import WatchlistSettings
from pipeline.errors import StoreUnavailable, WatchlistError
from pipeline.types import WatchlistEntry
from watchlist import scripts
from watchlist.connection import address, redis_errors
from watchlist.embedded import open_redis
from watchlist.entry import EntryStatus, from_json, is_id, iso, status_of, to_json
from watchlist.grammar import is_legal
from watchlist.records import Cancellation, Change, ListLoss, ListState, LookupResult

log = structlog.get_logger(__name__)

SCHEMA = 1
_ABOUT = ("@version", "@updated_at", "@lineage", "@schema")
_STAGE_ENTRIES = 1000
_STAGING_EXPIRES_S = 3600
_SCAN_COUNT = 500
_COMMIT_ENTRIES_PER_S = 20_000  # a tenth of what was measured


@dataclass(frozen=True, slots=True)
class _Meta:
    version: int
    updated_at: datetime | None
    lineage: str


class Watchlist:
    """The list of one deployment. Methods may be called from any thread.

    Every method raises StoreUnavailable when Redis is away or refuses.
    """

    def __init__(self, client: redis.Redis, prefix: str, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        base = f"{{{prefix}}}:watchlist"
        self._plates, self._ids = f"{base}:plates", f"{base}:ids"
        self._cancelled, self._staging = f"{base}:cancelled", f"{base}:staging"
        self._commit_script = client.register_script(scripts.COMMIT)
        self._cancel_script = client.register_script(scripts.CANCEL)
        self._seen = _Meta(0, None, "")
        self._loss: ListLoss | None = None

    @property
    def loss(self) -> ListLoss | None:
        """Set once Redis came back with less than was seen before; None while all is well.

        It goes away when the data come back, or by ``acknowledge_loss``. Health is degraded
        as long as it is set: an empty list must never look like a quiet road.
        """
        return self._loss

    def acknowledge_loss(self) -> None:
        """A person says that what Redis holds now is the list."""
        self._loss, self._seen = None, _Meta(0, None, "")

    def lookup(self, plates: Sequence[str]) -> LookupResult:
        """The active entries of some normalised plates, in one round trip at one version.

        Expired, not yet valid and cancelled entries are left out, by the clock of now.
        """
        meta, rows = self._read(plates)
        now = self._clock.now()
        entries = {}
        for plate, row in zip(plates, rows, strict=True):
            if row is None:
                continue
            active = tuple(e for e in _parse(row) if status_of(e, now) is EntryStatus.ACTIVE)
            if active:
                entries[plate] = active
        return LookupResult(entries, meta.version, self._age_s(meta))

    def stored(self, plates: Sequence[str]) -> dict[str, tuple[WatchlistEntry, ...]]:
        """All entries of some plates, whether active, pending or expired."""
        _, rows = self._read(plates)
        return {
            plate: tuple(_parse(row))
            for plate, row in zip(plates, rows, strict=True)
            if row is not None
        }

    def state(self) -> ListState:
        """Version, age and size of the list."""
        with redis_errors(self._client), self._client.pipeline(transaction=False) as pipe:
            pipe.hmget(self._plates, list(_ABOUT))
            pipe.hlen(self._ids)
            values, count = pipe.execute()
        meta = self._checked(values)
        return ListState(meta.version, meta.updated_at, self._age_s(meta), int(count))

    def get(self, entry_id: str) -> WatchlistEntry | None:
        """One entry by its id, unless it was cancelled or never was."""
        with redis_errors(self._client):
            plate = self._client.hget(self._ids, entry_id)
            row = None if plate is None else self._client.hget(self._plates, _text(plate))
        found = [] if row is None else list(_parse(_bytes(row)))
        return next((entry for entry in found if entry.id == entry_id), None)

    def cancellation(self, entry_id: str) -> Cancellation | None:
        """How an entry was taken off the list, or None if it was not."""
        return self.cancellations_of([entry_id]).get(entry_id)

    def cancellations_of(self, entry_ids: Sequence[str]) -> dict[str, Cancellation]:
        """How some entries were taken off the list; those that were not are left out."""
        if not entry_ids:
            return {}
        with redis_errors(self._client):
            rows: Any = self._client.hmget(self._cancelled, list(entry_ids))
        return {
            entry_id: _cancellation(row)
            for entry_id, row in zip(entry_ids, rows, strict=True)
            if row is not None
        }

    def entries(self) -> Iterator[WatchlistEntry]:
        """All entries that were not cancelled, in no order, read in pages.

        Each that is on the list throughout comes once; one that is added or cancelled
        meanwhile may come or not.
        """
        seen: set[str] = set()
        for plate, row in self._scan(self._plates):
            if plate.startswith("@"):
                continue
            for entry in _parse(row):
                if entry.id not in seen:
                    seen.add(entry.id)
                    yield entry

    def cancellations(self) -> Iterator[Cancellation]:
        """All entries that were cancelled, in no order, read in pages."""
        seen: set[str] = set()
        for entry_id, row in self._scan(self._cancelled):
            if entry_id not in seen:
                seen.add(entry_id)
                yield _cancellation(row)

    def add(
        self,
        entries: Iterable[WatchlistEntry],
        *,
        planned_on: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Change:
        """Put entries on the list as one version; an entry of a known id replaces it.

        Nothing is seen by readers before all of it is. Redis serves nobody else while it
        takes the change in, about 5 ms for each thousand entries. ``planned_on``: refuse if
        the list is no longer at that version. ``progress`` is told how many entries have
        been sent.

        Raises:
            WatchlistError: an entry is malformed or was cancelled, or the list has changed
                since ``planned_on``; nothing was changed.
        """
        token = secrets.token_hex(8)
        staging = f"{self._staging}:{token}"
        sent, words = 0, []
        with redis_errors(self._client):
            for entry in entries:
                if not is_id(entry.id) or not is_legal(entry.plate):
                    raise WatchlistError(f"entry {entry.id!r}: malformed id or plate")
                words += [entry.id, entry.plate, to_json(entry)]
                if len(words) >= 3 * _STAGE_ENTRIES:
                    sent += self._stage(staging, sent, words)
                    words = []
                    if progress:
                        progress(sent)
            if words:
                sent += self._stage(staging, sent, words)
        if not sent:
            return Change(self.state().version, 0)
        change = self._commit(staging, token, planned_on, sent)
        if progress:
            progress(sent)
        return change

    def cancel(self, entry_id: str, *, reason: str, by: str) -> Cancellation:
        """Take an entry off the list; it no longer matches once this returns.

        Raises:
            WatchlistError: no reason or name is given, there is no such entry, or it was
                cancelled before.
        """
        reason, by = reason.strip(), by.strip()
        if not reason or not by:
            raise WatchlistError(f"{'reason' if not reason else 'by'}: must not be empty")
        now = iso(self._clock.now())
        record = json.dumps({"reason": reason, "by": by, "at": now}, ensure_ascii=False)
        with redis_errors(self._client):
            reply: Any = self._cancel_script(
                keys=[self._plates, self._ids, self._cancelled],
                args=[entry_id, now, record],
            )
        found = bytes(reply[1])
        if not found:
            raise WatchlistError(f"entry {entry_id}: is not on the list; see watchlist list")
        cancellation = _cancellation(found)
        if found.rpartition(b"\n")[2] != record.encode():
            raise WatchlistError(
                f"entry {entry_id}: was cancelled on {iso(cancellation.at)} by {cancellation.by}"
            )
        return cancellation

    def _stage(self, staging: str, sent: int, words: list[str]) -> int:
        with self._client.pipeline(transaction=True) as pipe:
            # Sent again after a dropped connection, a page starts where it did before.
            pipe.ltrim(staging, 0, 3 * sent - 1) if sent else pipe.delete(staging)
            pipe.rpush(staging, *words)
            pipe.expire(staging, _STAGING_EXPIRES_S)
            pipe.execute()
        return len(words) // 3

    def _commit(self, staging: str, token: str, planned_on: int | None, sent: int) -> Change:
        seen = self._loss.seen_version if self._loss else self._seen.version
        planned = "" if planned_on is None else planned_on
        deadline = time.monotonic() + sent / _COMMIT_ENTRIES_PER_S
        while True:
            try:
                with redis_errors(self._client):
                    reply: Any = self._commit_script(
                        keys=[self._plates, self._ids, self._cancelled, staging],
                        args=[token, iso(self._clock.now()), token, seen, planned, SCHEMA],
                    )
                break
            except StoreUnavailable as error:
                if not _is_slow(error.__cause__) or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        version, changed, refusal = int(reply[0]), int(reply[1]), bytes(reply[2]).decode()
        match refusal:
            case "" | "again":
                return Change(version, changed if refusal == "" else sent)
            case "moved":
                raise WatchlistError(
                    f"the list went from version {planned_on} to {version} while this change "
                    "was planned; nothing was changed, look at it again"
                )
            case "unstaged":
                raise StoreUnavailable(
                    f"Redis at {address(self._client)}: lost the entries on their way in; "
                    "see whether the list shows them, and add them again if not"
                )
        raise WatchlistError(
            f"entry {refusal}: was cancelled and does not come back under the same id; "
            "nothing was changed, add it as a new entry"
        )

    def _read(self, plates: Sequence[str]) -> tuple[_Meta, list[bytes | None]]:
        with redis_errors(self._client):
            values: Any = self._client.hmget(self._plates, [*_ABOUT, *plates])
        return self._checked(values[: len(_ABOUT)]), values[len(_ABOUT) :]

    def _checked(self, values: list[bytes | None]) -> _Meta:
        """Understand what the list says of itself, and notice when that is less than before."""
        version, updated_at, lineage, schema = (v.decode() if v else "" for v in values)
        if int(schema or 0) > SCHEMA:
            raise StoreUnavailable(
                f"Redis at {address(self._client)}: the watchlist was written by a later "
                "version of Checkpoint; upgrade this one"
            )
        moment = datetime.fromisoformat(updated_at) if updated_at else None
        meta, seen = _Meta(int(version or 0), moment, lineage), self._seen
        if meta.version < seen.version or (seen.lineage and meta.lineage != seen.lineage):
            if self._loss is None:
                self._loss = ListLoss(seen.version, meta.version, self._clock.now())
                log.error(
                    "watchlist.lost",
                    message=self._loss.message,
                    redis=address(self._client),
                )
        else:
            self._seen = meta
            if self._loss is not None:
                self._loss = None
                log.warning("watchlist.restored", version=meta.version)
        return meta

    def _age_s(self, meta: _Meta) -> float:
        if meta.updated_at is None:
            return 0.0
        return max(0.0, (self._clock.now() - meta.updated_at).total_seconds())

    def _scan(self, key: str) -> Iterator[tuple[str, bytes]]:
        cursor = 0
        while True:
            with redis_errors(self._client):
                reply: Any = self._client.hscan(key, cursor, count=_SCAN_COUNT)
            cursor, page = int(reply[0]), reply[1]
            for name, row in page.items():
                yield _text(name), _bytes(row)
            if not cursor:
                return


def _parse(row: bytes) -> Iterator[WatchlistEntry]:
    """The entries in the lines of one plate. A damaged one is said loudly and left out, so
    that it does not keep the others from matching."""
    for line in row.split(b"\n"):
        try:
            yield from_json(line.partition(b" ")[2])
        except WatchlistError as error:
            log.error("watchlist.damaged", message=str(error))


def _cancellation(row: bytes) -> Cancellation:
    record, _, said = row.rpartition(b"\n")
    try:
        words = json.loads(said)
        at = datetime.fromisoformat(words["at"])
        return Cancellation(from_json(record), words["reason"], words["by"], at)
    except (ValueError, KeyError, TypeError) as error:
        raise WatchlistError(f"damaged cancellation {said[:60]!r}: {error}") from error


def _is_slow(error: BaseException | None) -> bool:
    """True if Redis is (perhaps) still at work on what it was sent."""
    return isinstance(error, redis.TimeoutError) or str(error).startswith("BUSY")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@contextmanager
def open_watchlist(
    settings: WatchlistSettings, data_dir: Path, clock: Clock | None = None
) -> Iterator[Watchlist]:
    """The list of the configured Redis, or of the embedded one: see ``open_redis``."""
    with open_redis(settings, data_dir) as client:
        yield Watchlist(client, settings.key_prefix, clock or SystemClock())
