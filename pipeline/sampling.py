"""Media time from raw timestamps, and the choice of frames by it. Pure."""

from __future__ import annotations

import math

_JUMP_BACK_S = 1.0
_SLOT_TOLERANCE_S = 1e-3  # containers that keep whole milliseconds round a frame's time down


class MediaClock:
    """Turns a stream's timestamps into media seconds that start at 0 and never go back.

    A missing timestamp counts one step on. A step back of more than a second, or ahead of
    more than ``longest_gap_s``, is a new origin (joined files, a restarted encoder): time
    goes on from where it was. A smaller step back is held at the last time.
    """

    def __init__(self, step_s: float, longest_gap_s: float = math.inf) -> None:
        self.step_s = step_s
        self._longest_gap_s = longest_gap_s
        self._origin_s: float | None = None
        self._last_s: float | None = None

    def at(self, pts_s: float | None) -> float:
        """Media time of the next frame, whose timestamp is ``pts_s`` (seconds or None)."""
        if self._last_s is None:
            self._origin_s, media_s = pts_s, 0.0
        elif pts_s is None:
            media_s = self._last_s + self.step_s
        else:
            expected_s = self._last_s + self.step_s
            if self._origin_s is None:
                self._origin_s = pts_s - expected_s
            media_s = pts_s - self._origin_s
            ahead_s = media_s - self._last_s
            if ahead_s < -_JUMP_BACK_S or ahead_s > self._longest_gap_s:
                self._origin_s, media_s = pts_s - expected_s, expected_s
        self._last_s = max(media_s, self._last_s or 0.0)
        return self._last_s

    def ahead(self, pts_s: float) -> float:
        """About what :meth:`at` will say of a later frame; time does not go on for it."""
        if self._origin_s is None or self._last_s is None:
            return self._last_s or 0.0
        return max(pts_s - self._origin_s, self._last_s)


class Sampler:
    """Takes the first frame of every slot of ``1 / fps`` seconds of media time."""

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._slot = -1

    def takes(self, media_s: float) -> bool:
        """Whether the frame at ``media_s`` is sampled; times must not go back."""
        slot = math.floor((media_s + _SLOT_TOLERANCE_S) * self._fps)
        if slot == self._slot:
            return False
        self._slot = slot
        return True
