"""Keeps an eye on the list: beats for its age, tidies up, and says when it grows stale.

Every process that has the list open for long runs one. Who can write to the list's master beats
there once a minute: so the list's age is the time since its master last lived, for every reader
and every replica. Who reads from a replica, or may only read, cannot beat, and need not: its
replica brings it the beats of others, and where they stay away its list is getting old.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog

from pipeline.errors import CheckpointError, StoreUnavailable
from watchlist.store import Watchlist

log = structlog.get_logger(__name__)

BEAT_EVERY_S = 60.0


class Keeper:
    """A thread that keeps one list; a context manager.

    Args:
        watchlist: any thread may use it.
        stale_after_s: age of the list from which on it counts as stale.
        report: told what is wrong with the list's age, None when nothing is. Not told while
            Redis is away: others notice that.
        every_s: seconds from beat to beat.
    """

    def __init__(
        self,
        watchlist: Watchlist,
        stale_after_s: float,
        report: Callable[[str | None], None],
        every_s: float = BEAT_EVERY_S,
    ) -> None:
        self._watchlist = watchlist
        self._stale_after_s = stale_after_s
        self._report = report
        self._every_s = every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchlist-keeper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self, deadline_s: float = 1.0) -> None:
        """End the thread, within ``deadline_s`` if Redis lets it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(deadline_s)

    def keep(self) -> None:
        """Beat, tidy up, and look at the age, once.

        Raises:
            StoreUnavailable: Redis is away.
        """
        try:
            self._watchlist.beat()
            if self._watchlist.recover():
                log.warning("watchlist.recovered", message="a killed change was taken away")
        except StoreUnavailable as error:
            log.debug("watchlist.no_beat", message=str(error))  # a replica, or no right to write
        state = self._watchlist.state()
        if state.version and state.age_s > self._stale_after_s:
            self._report(
                f"the watchlist (version {state.version}) is {state.age_s / 3600:.1f} h old: its "
                "master has not been heard of; see that it runs and that replication works"
            )
        else:
            self._report(None)

    def _run(self) -> None:
        while True:
            try:
                self.keep()
            except CheckpointError as error:
                log.debug("watchlist.not_kept", message=str(error))
            except Exception:
                log.exception("watchlist.keeper_failed")  # whatever it is, try again
            if self._stopping.wait(self._every_s):
                return
