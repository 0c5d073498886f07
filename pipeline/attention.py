"""How much attention a camera gets: which of its frames are decoded, looked at and passed on.

One object for each camera, shared by the camera's thread, which asks, and the recognition thread,
which tells what is in view. Every frame that is left out is counted by its cause.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

from pipeline.config import CameraSettings, SavingSettings
from pipeline.lag import Falling
from pipeline.mailbox import MailboxCounts, Mailboxes
from pipeline.motion import REFRESH_S, Luma, MotionGate, luma_grid
from pipeline.types import Present

STILL = "still"
"""Cause: nothing had moved since the last frame that was looked at. A sampled frame."""
KNOWN = "known"
"""Cause: every vehicle in view was beyond doubt, and had been looked at a moment ago. A sampled
frame."""
LIGHT = "light"
"""Cause: not decoded, because the lane was empty: no other frame refers to it, or it is no key
frame."""
BEHIND = "behind"
"""Cause of a drop: decoding is late, and goes on at the next key frame. A sampled frame."""
OVERLOAD = "overload"
"""Cause of a drop: this machine has more frames to recognise than it can. A sampled frame."""

OVERLOOKED_S = 1.0
"""Between two looks at a camera a vehicle may have come and gone, from this time on."""

EASED_S = 0.4
"""While all vehicles in view are beyond doubt, at most so much time is from look to look."""

_EMPTY_S = 2.0  # a lane in which nothing has moved for so long is decoded lightly
_REFRESHES = 3.0  # looks in the time after which a standing vehicle would count as gone
_TOLERANCE_S = 0.01  # by which frames are not evenly spaced
_QUEUE_S = 0.2  # of a camera's frames, so many seconds' worth may wait: one, at five a second


class Attention:
    """Decides for one camera. Thread-safe.

    Args:
        savings: what may be left out.
        close_after_s: a vehicle unseen for so long has left; a standing one is seen more often.
        detector_side: longer side of the detector's input in pixels, where it takes small pictures.
        mailbox: what has become of the camera's frames; None: they wait for room and none is lost.
        most_waiting: while so many wait in the mailbox, no more are passed on.
    """

    def __init__(
        self,
        savings: SavingSettings,
        close_after_s: float,
        detector_side: int | None = None,
        mailbox: Callable[[], MailboxCounts] | None = None,
        most_waiting: int = 1,
    ) -> None:
        self.small_side = detector_side if savings.scale_planes else None
        """Longer side of the small picture that is to be made from the planes; None: none."""
        self.deblocks = not savings.skip_deblocking
        """Whether decoding smooths the edges of blocks."""
        self._savings = savings
        self._standing_s = min(REFRESH_S, close_after_s / _REFRESHES)
        self._gate = MotionGate()
        self._lock = threading.Lock()
        self._skipped: Counter[str] = Counter()
        self._overload = self._missed = 0
        self._falling = Falling()
        self._behind = False
        self._present = Present()
        self._mailbox, self._most_waiting = mailbox, most_waiting
        self._now_s = self._passed_s = 0.0
        self._looked_s: float | None = None
        self._lost_then = 0
        self._overlooked_s = 0.0

    def restart(self) -> None:
        """The source is opened, anew perhaps."""
        self._gate.restart()

    def wants(self, luma: Luma | None, media_s: float) -> bool:
        """Whether a sampled frame is to be looked at; else it is counted. The camera's thread.

        ``luma``: its brightness, (H, W) uint8; None where that is not at hand.
        """
        self._now_s = media_s
        grid = luma_grid(luma) if self._savings.motion_gate and luma is not None else None
        with self._lock:
            present = self._present
            if grid is not None:
                empty = not present.vehicles
                refresh_s = REFRESH_S if empty else self._standing_s
                worth = self._gate.worth(grid, media_s, empty=empty, refresh_s=refresh_s)
                if not worth and not present.unsettled:
                    self._skipped[STILL] += 1
                    return False
            if self._knows(present, media_s):
                self._skipped[KNOWN] += 1
                return False
            if self._mailbox is not None and self._mailbox().inside >= self._most_waiting:
                self._overload += 1
                return False
        self._passed_s = media_s
        if grid is not None:
            self._gate.looked(grid, media_s)
        return True

    @property
    def light(self) -> bool:
        """Whether decoding what others refer to is enough for now. The camera's thread."""
        return self._savings.light_decoding and self._empty

    @property
    def key_frames(self) -> bool:
        """Whether decoding key frames is enough for now. The camera's thread."""
        return self._savings.key_frames and self._empty

    @property
    def _empty(self) -> bool:
        return (
            self._savings.motion_gate
            and not self._present.vehicles
            and self._gate.still_s(self._now_s) > _EMPTY_S
        )

    def stirs(self, luma: Luma | None) -> bool:
        """Whether something has moved since the last look; nothing is noted. Camera's thread."""
        return luma is None or self._gate.stirs(luma_grid(luma))

    def not_decoded(self, frames: int = 1) -> None:
        """So many frames were left undecoded; fewer than none: are decoded after all.

        The camera's thread.
        """
        with self._lock:
            self._skipped[LIGHT] += frames

    def late(self, lag_s: float, now_s: float) -> None:
        """By how much decoding is late now (monotonic seconds). The thread that decodes."""
        self._behind = self._falling.behind(lag_s, now_s)

    @property
    def behind(self) -> bool:
        """Whether frames are to be left out up to the next key frame. The thread that decodes."""
        return self._behind

    def missed(self) -> None:
        """A frame that would have been sampled was left undecoded, for being late."""
        with self._lock:
            self._missed += 1

    def tell(self, present: Present, media_s: float) -> None:
        """What the latest recognised frame, at ``media_s``, left in view. Recognition's thread."""
        with self._lock:
            self._present = present
            lost = self._overload + self._missed
            if self._mailbox is not None:
                lost += sum(self._mailbox().dropped.values())
            gap_s = 0.0 if self._looked_s is None else media_s - self._looked_s
            if gap_s >= OVERLOOKED_S and lost > self._lost_then:
                self._overlooked_s += gap_s
            self._looked_s, self._lost_then = media_s, lost

    @property
    def skipped(self) -> Mapping[str, int]:
        """Frames left out because nothing was to be seen, by cause."""
        with self._lock:
            return {cause: self._skipped[cause] for cause in (STILL, KNOWN, LIGHT)}

    @property
    def dropped(self) -> Mapping[str, int]:
        """Sampled frames left out though they may have been worth a look, by cause."""
        with self._lock:
            return {OVERLOAD: self._overload, BEHIND: self._missed}

    @property
    def overlooked_s(self) -> float:
        """Seconds of the camera in which a vehicle may have come and gone because frames were lost:
        the sum of all times between two looks that were ``OVERLOOKED_S`` or longer."""
        with self._lock:
            return self._overlooked_s

    def _knows(self, present: Present, media_s: float) -> bool:
        """Whether nobody in view need be looked at again so soon."""
        since_s = media_s - self._passed_s
        return (
            self._savings.ease_known
            and present.vehicles > 0
            and present.doubtful == 0
            and 0 <= since_s < min(EASED_S, self._standing_s) - _TOLERANCE_S
        )


def may_wait(sample_fps: float) -> int:
    """How many frames of a camera may wait: those of a fifth of a second, one at least."""
    return max(1, int(_QUEUE_S * sample_fps + _TOLERANCE_S))


class Attentions:
    """The attention of every camera, by name. Thread-safe.

    Args:
        savings: of cameras that have none of their own.
        close_after_s, detector_side: see :class:`Attention`.
        mailboxes: where the cameras' frames wait; None: nothing is left out, for files that are
            read once.
        mailbox_frames: of one camera wait at most so many; None: see :func:`may_wait`.
    """

    def __init__(
        self,
        savings: SavingSettings,
        close_after_s: float,
        detector_side: int | None,
        mailboxes: Mailboxes | None = None,
        mailbox_frames: int | None = None,
    ) -> None:
        self._savings = savings
        self._close_after_s = close_after_s
        self._detector_side = detector_side
        self._mailboxes = mailboxes
        self._mailbox_frames = mailbox_frames
        self._lock = threading.Lock()
        self._of: dict[str, Attention] = {}

    def of(self, camera: CameraSettings) -> Attention:
        """The camera's, made where it has none."""
        with self._lock:
            if camera.name not in self._of:
                self._of[camera.name] = self._made(camera)
            return self._of[camera.name]

    def _made(self, camera: CameraSettings) -> Attention:
        savings = camera.savings or self._savings
        if self._mailboxes is None:
            whole = {"motion_gate": False, "ease_known": False, "skip_deblocking": False}
            savings = savings.model_copy(update=whole)
            return Attention(savings, self._close_after_s, self._detector_side)
        most = self._mailbox_frames or may_wait(camera.sample_fps)
        mailbox = partial(self._mailboxes.counts, camera.name)
        return Attention(savings, self._close_after_s, self._detector_side, mailbox, most)

    def tell(self, camera: str, present: Present, media_s: float) -> None:
        """See :meth:`Attention.tell`; nothing where the camera is gone."""
        with self._lock:
            attention = self._of.get(camera)
        if attention is not None:
            attention.tell(present, media_s)

    def forget(self, camera: str) -> None:
        """A camera is gone."""
        with self._lock:
            self._of.pop(camera, None)
