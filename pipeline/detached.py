"""A stream that is opened and read in a helper thread, so that its owner never hangs.

Libav cannot be interrupted from outside: a read of a frozen server returns at its time-out and
not before, and a time-out so short that a stop is prompt would now and then fire in the middle
of a packet, after which an RTSP connection is out of step. So the camera's thread looks at this
source in short slices, and leaves the helper to its time-out when it has had enough.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.camera import stand_back
from pipeline.source import Sample, Source

SLICE_S = 0.2
"""Longest that :meth:`DetachedSource.read` blocks, seconds."""
_AHEAD = 2


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """What one read of the helper gave: a sample, or an end or failure, and the counters."""

    decoded: int
    broken: int
    position_s: float
    sample: Sample | None = None
    failure: Exception | None = None


class DetachedSource:
    """A :class:`pipeline.source.Source` whose work a daemon thread does.

    Args:
        name: of the helper thread; holds no credentials.
        opener: opens the real source, and is called in the helper.
    """

    def __init__(self, name: str, opener: Callable[[], Source]) -> None:
        self.decoded = 0
        self.broken = 0
        self.position_s = 0.0
        self.step_s = 0.0
        self._opener = opener
        self._opened = threading.Event()
        self._abandoned = threading.Event()
        self._steps: queue.Queue[_Step] = queue.Queue(_AHEAD)
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def finished(self) -> bool:
        """True when the helper is gone, and with it file and connection."""
        return not self._thread.is_alive()

    def wait_open(self, timeout_s: float) -> bool:
        """Wait for the opening, at most ``timeout_s``; True once it is open.

        Raises:
            Exception: what the opener raised.
        """
        if not self._opened.wait(timeout_s):
            return False
        if self._failure is not None:
            raise self._failure
        return True

    def read(self) -> Sample | None:
        """The helper's next step, or None after ``SLICE_S``; see :meth:`Source.read`."""
        try:
            step = self._steps.get(timeout=SLICE_S)
        except queue.Empty:
            return None
        self.decoded, self.broken, self.position_s = step.decoded, step.broken, step.position_s
        if step.failure is not None:
            raise step.failure
        return step.sample

    def close(self) -> None:
        """Leave the helper alone: it closes the real source as soon as it can, and ends."""
        self._abandoned.set()

    def _work(self) -> None:
        stand_back()
        try:
            source = self._opener()
        except Exception as error:
            self._failure = error
            self._opened.set()
            return
        self.step_s = source.step_s
        self._opened.set()
        try:
            while not self._abandoned.is_set():
                decoded, broken = source.decoded, source.broken
                sample: Sample | None = None
                failure: Exception | None = None
                try:
                    sample = source.read()
                except Exception as error:
                    failure = error
                if failure or source.decoded > decoded or source.broken > broken:
                    self._hand_over(
                        _Step(source.decoded, source.broken, source.position_s, sample, failure)
                    )
                if failure is not None:
                    return
        finally:
            source.close()

    def _hand_over(self, step: _Step) -> None:
        while not self._abandoned.is_set():
            try:
                self._steps.put(step, timeout=SLICE_S)
            except queue.Full:
                continue
            return
