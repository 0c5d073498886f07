"""The pace of a file that is played as a camera would send it."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.attention import Attention
from pipeline.clock import Clock

_LATE_S = 3.0


class Pace:
    """Tells when frames of one file are due. Owned by the camera's thread.

    ``wait`` sleeps for so many seconds and returns True where the camera is to stop.
    """

    def __init__(
        self, clock: Clock, wait: Callable[[float], bool], attention: Attention | None
    ) -> None:
        self.started_s = clock.monotonic()
        """The monotonic second of the file's first frame."""
        self._clock = clock
        self._wait = wait
        self._attention = attention

    def keep(self, position_s: float) -> bool:
        """Wait until the frame at ``position_s`` is due; True where the camera is to stop."""
        now_s = self._clock.monotonic()
        early_s = self.started_s + position_s - now_s
        if self._attention is not None:
            self._attention.late(-early_s, now_s)
        if early_s < -_LATE_S:  # this machine cannot keep up: go on from here, without a burst
            self.started_s -= early_s
        return early_s > 0 and self._wait(early_s)
