"""Whether this machine falls behind a camera, and what a late camera may leave out. Pure."""

from __future__ import annotations

BEHIND_S = 0.5
"""From this lag on, frames are left undecoded up to the next key frame …"""
PERSIST_S = 1.5
"""… once it has lasted so long: a burst after a network's hiccup is decoded whole."""
_CALM_S = 5.0  # without a lag; afterwards the next one must last again
_JUMP_S = 10.0  # a lag that grows by more at once is a new clock, not a late machine
_DRIFT = 1e-3  # seconds a second by which a camera's clock may run slow against ours
_WINDOW_S = 1.0  # over which the share of time is taken that is spent waiting for packets
_IDLE = 0.5  # from this share on, it is the stream that is late


class StreamLag:
    """How much later than at best the packets of a stream are taken, by the stream's own clock.

    Whoever spends most of the time waiting for packets takes them as soon as they come: a stream
    that is later than before (another route, a recorder that buffers more) is no lag of ours.
    """

    def __init__(self) -> None:
        self._best: float | None = None
        self._last_s = 0.0
        self._waiting = 0.0

    def at(self, now_s: float, media_s: float, waited_s: float = 0.0) -> float:
        """Seconds of lag of the packet for ``media_s`` that is taken now (monotonic seconds).

        ``waited_s``: for how long it was waited for.
        """
        passed_s = now_s - self._last_s
        if self._best is not None and passed_s > 0:
            share, weight = min(waited_s / passed_s, 1.0), min(passed_s / _WINDOW_S, 1.0)
            self._waiting += weight * (share - self._waiting)
        offset = now_s - media_s
        if (
            self._best is None
            or offset < self._best
            or offset - self._best > _JUMP_S
            or self._waiting > _IDLE
        ):
            self._best = offset
        else:
            self._best = min(offset, self._best + _DRIFT * passed_s)
        self._last_s = now_s
        return offset - self._best


class Falling:
    """Whether lag has come to stay: then every lag counts, until there was none for a while."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._late_s = 0.0

    def behind(self, lag_s: float, now_s: float) -> bool:
        """Whether a lag of ``lag_s`` at ``now_s`` is more than can be caught up with."""
        if lag_s <= BEHIND_S:
            if self._since_s is not None and now_s - self._late_s > _CALM_S:
                self._since_s = None
            return False
        self._late_s = now_s
        if self._since_s is None:
            self._since_s = now_s
        return now_s - self._since_s >= PERSIST_S
