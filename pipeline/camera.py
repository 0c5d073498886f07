"""What a camera can be doing, and the small decisions about it that need no thread.

States and their legal changes::

    CONNECTING ──first frame──▶ STREAMING ──no frame, or the same one──▶ STALLED
        ▲  │                        │                                       │
        │  └─────── failed ───────▶ BACKING_OFF ◀──── disconnected ─────────┘
        └──────── waited ───────────┘
    any ──stopped, end of a file, unusable source──▶ STOPPED
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from pipeline.types import ImageBgr

_SIGNATURE_STRIDE_PX = 8


class CameraState(StrEnum):
    """What a camera's thread is doing; see the module's picture."""

    CONNECTING = "connecting"
    STREAMING = "streaming"
    STALLED = "stalled"
    BACKING_OFF = "backing_off"
    STOPPED = "stopped"


_S = CameraState
LEGAL_CHANGES: Mapping[CameraState, frozenset[CameraState]] = MappingProxyType(
    {
        _S.CONNECTING: frozenset({_S.STREAMING, _S.BACKING_OFF, _S.STOPPED}),
        _S.STREAMING: frozenset({_S.STALLED, _S.BACKING_OFF, _S.STOPPED}),
        _S.STALLED: frozenset({_S.BACKING_OFF, _S.STOPPED}),
        _S.BACKING_OFF: frozenset({_S.CONNECTING, _S.STOPPED}),
        _S.STOPPED: frozenset(),
    }
)


class StopReason(StrEnum):
    """Why a camera is STOPPED."""

    END = "end"
    REQUESTED = "requested"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """One camera at one moment. ``source`` and ``last_error`` hold no credentials.

    ``decoded`` and ``sampled`` count frames; ``broken`` those that could not be decoded;
    ``dropped`` those that were sampled and lost, by cause: ``mailbox`` and ``stale``, and
    ``shutdown`` for one that was in hand when the camera was stopped.
    """

    camera: str
    source: str
    state: CameraState
    since: datetime
    decoded: int = 0
    sampled: int = 0
    broken: int = 0
    dropped: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    reconnects: int = 0
    last_error: str | None = None
    last_frame_age_s: float | None = None
    stop_reason: StopReason | None = None


class Backoff:
    """Capped exponential waits with jitter: each between half and the whole of its step."""

    def __init__(self, initial_s: float, max_s: float, rng: random.Random | None = None) -> None:
        self._initial_s, self._max_s = min(initial_s, max_s), max_s
        self._rng = rng or random.Random()
        self._step_s = self._initial_s

    def next_s(self) -> float:
        """The next wait, seconds."""
        step_s, self._step_s = self._step_s, min(self._step_s * 2, self._max_s)
        return step_s * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin with the initial wait again."""
        self._step_s = self._initial_s


class Freeze:
    """Tells for how long the picture has been the same, from a sparse grid of its pixels."""

    def __init__(self) -> None:
        self._signature: int | None = None
        self._since_s = 0.0

    def same_for_s(self, image: ImageBgr, now_s: float) -> float:
        """Seconds for which the picture has not changed in one bit; ``image`` is (H, W, 3)."""
        grid = image[::_SIGNATURE_STRIDE_PX, ::_SIGNATURE_STRIDE_PX, 1]  # green: most of luma
        signature = zlib.crc32(grid.tobytes())
        if signature != self._signature:
            self._signature, self._since_s = signature, now_s
        return now_s - self._since_s
