"""Delivery: from a passage to a hit in the outbox, losing nothing on the way.

A passage is written to the spool on disk first, then matched, and forgotten only when its hits
lie in the outbox. While Redis is away the spool grows; at the next start it is taken up again.
After its hits, never before them, a passage goes into the archive. While no passage waits, new
entries are matched against the archive.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from pipeline.archive import PassageArchive
from pipeline.convert import parse_passage, publish_request, serialise_passage
from pipeline.errors import ArchiveError, CheckpointError, StoreUnavailable
from pipeline.health import Health
from pipeline.late import LateMatching
from pipeline.matching import Matcher
from pipeline.outbox import HitKey, Outbox, OutboxError
from pipeline.types import Hit, Passage

BATCH = 64
_UNKEPT = 10_000  # passages held in memory while the archive refuses them
_LOOK_EVERY_S = 1.0  # for new entries, while no passage waits
_COMPONENTS: dict[type | None, str] = {StoreUnavailable: "watchlist", OutboxError: "outbox"}
_log = structlog.get_logger(__name__)


class Delivery:
    """Matches passages in a thread of its own.

    Args:
        spool: passages that have not been matched yet.
        outbox: hits that have not been published yet.
        matcher: owned by this thread from now on.
        health: told when Redis or the disk is away, and when it is back.
        on_hit: called for every hit, after it lies in the outbox.
        archive: keeps passages once their hits are safe; what goes wrong there stops no alert.
        late: matches new entries against the archive.
    """

    def __init__(
        self,
        spool: Outbox,
        outbox: Outbox,
        matcher: Matcher,
        health: Health,
        on_hit: Callable[[Hit], None],
        archive: PassageArchive | None = None,
        late: LateMatching | None = None,
    ) -> None:
        self._spool = spool
        self._outbox = outbox
        self._matcher = matcher
        self._health = health
        self._on_hit = on_hit
        self._held: deque[Passage] = deque()  # refused by the disk; tried again
        self._hits: deque[Hit] = deque()  # matched, not yet in the outbox
        self._matched_rows: list[HitKey] = []
        self._archive = archive
        self._late = late
        self._look_at_s = 0.0
        self._unkept: deque[Passage] = deque()  # not in the archive yet, without pictures
        self._unkept_hits: list[Hit] = []
        self._not_kept = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def start(self) -> None:
        """Begin, with what an earlier run left in the spool."""
        self._thread.start()
        self._wake.set()

    def submit(self, passages: Sequence[Passage]) -> None:
        """Take passages; on return they are on disk, or held in memory while the disk refuses."""
        with self._lock:
            self._held.extend(passages)
            self._write_held()
        self._wake.set()

    def waiting(self) -> int:
        """Passages not matched yet."""
        return len(self._held) + self._spool.depth()

    def held(self) -> int:
        """Passages that the disk has refused: they are lost when the process ends."""
        return len(self._held)

    def stop(self, deadline_s: float) -> int:
        """Match what waits, for at most ``deadline_s``; return how many passages are left.

        Those left lie in the spool and are matched at the next start.
        """
        until = time.monotonic() + deadline_s
        while self.waiting() and time.monotonic() < until and self._thread.is_alive():
            self._wake.set()
            time.sleep(0.02)
        self._stopping.set()
        self._wake.set()
        self._thread.join(max(until - time.monotonic(), 0.2))
        if self._unkept:
            _log.warning("passages are missing in the archive", count=len(self._unkept))
        return self.waiting()

    def _write_held(self) -> None:
        while self._held:
            passage = self._held[0]
            name = passage.id + (".closed" if passage.closed else "")
            try:
                self._spool.put(name, passage.revision, serialise_passage(passage))
            except CheckpointError as error:
                self._health.report("disk", str(error))
                if passage.evidence is not None and passage.evidence.jpeg:
                    self._held[0] = replace(passage, evidence=replace(passage.evidence, jpeg=b""))
                return
            self._held.popleft()
        self._health.report("disk", None)

    def _run(self) -> None:
        retrying = Retrying(
            retry=retry_if_exception_type(Exception),  # never stop delivering unseen
            wait=wait_random_exponential(multiplier=0.2, max=5.0),
            sleep=sleep_using_event(self._stopping),
            stop=stop_when_event_set(self._stopping),
            before_sleep=self._report_failure,
        )
        while not self._stopping.is_set():
            self._wake.wait(None if self._archive is None else _LOOK_EVERY_S)
            self._wake.clear()
            try:
                while not self._stopping.is_set() and retrying(self._step):
                    pass
            except RetryError:
                return  # stopped while Redis or the disk was away; the spool keeps the rest
            for component in (*_COMPONENTS.values(), "delivery"):
                self._health.report(component, None)

    def _report_failure(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if not isinstance(error, CheckpointError):
            _log.error("delivery failed; it goes on", exc_info=error)
        self._health.report(_COMPONENTS.get(type(error), "delivery"), str(error))

    def _step(self) -> bool:
        """Bring one batch into the outbox, or match late; False when there is nothing to do."""
        with self._lock:
            self._write_held()
        if not self._matched_rows:
            waiting = self._spool.pending(BATCH)
            if not waiting:
                return self._keep() and self._match_late()
            passages = [parse_passage(row.payload) for row in waiting]
            hits = self._matcher.match(passages)
            self._hits.extend(hits)
            self._matched_rows = [row.key for row in waiting]
            self._unkept.extend(map(_without_picture, passages))
            self._unkept_hits += [
                replace(hit, passage=_without_picture(hit.passage)) for hit in hits
            ]
        if self._hits:  # one wait for the disk for all of them
            self._outbox.put_all(map(publish_request, self._hits))
            while self._hits:
                self._on_hit(self._hits.popleft())
        self._keep()
        self._spool.done(self._matched_rows)
        self._matched_rows = []
        return True

    def _keep(self) -> bool:
        """Bring what was matched into the archive; False while the archive refuses it."""
        if self._archive is None:
            self._unkept.clear()
            self._unkept_hits.clear()
            return True
        if not self._unkept:
            return True
        problem = None
        try:
            self._archive.keep(self._unkept, self._unkept_hits)
        except ArchiveError as error:
            while len(self._unkept) > _UNKEPT:
                self._unkept.popleft()
                self._not_kept += 1
            del self._unkept_hits[:-_UNKEPT]
            problem = f"{error} ({self._not_kept} passages were given up)"
        else:
            self._unkept.clear()
            self._unkept_hits.clear()
        self._health.report("archive", problem)
        return problem is None

    def _match_late(self) -> bool:
        """One slice of late matching; what goes wrong in it must not hold up what is live."""
        if self._late is None or time.monotonic() < self._look_at_s:
            return False
        problem, more = None, False
        try:
            more = self._late.step(self._send_late)
        except CheckpointError as error:
            problem = str(error)
        except Exception as error:
            _log.exception("late matching failed; it is tried again")
            problem = str(error)
        self._health.report("late matching", problem)
        if not more:
            self._look_at_s = time.monotonic() + _LOOK_EVERY_S / 2
        return more

    def _send_late(self, hits: Sequence[Hit]) -> None:
        self._outbox.put_all(map(publish_request, hits))
        for hit in hits:
            self._on_hit(hit)


def _without_picture(passage: Passage) -> Passage:
    if passage.evidence is None:
        return passage
    return replace(passage, evidence=replace(passage.evidence, jpeg=b""))
