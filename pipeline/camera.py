"""What a camera can be doing, and the small decisions about it that need no thread.

States and their legal changes::

    CONNECTING ──first frame──▶ STREAMING ──no frame, or the same one──▶ STALLED
        ▲  │                        │                                       │
        │  └─────── failed ───────▶ BACKING_OFF ◀──── disconnected ─────────┘
        └──────── waited ───────────┘
    any ──stopped, end of a file, unusable source──▶ STOPPED
"""

from __future__ import annotations

import os
import random
import sys
import threading
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from pipeline.types import ImageBgr, Passage

FROZEN_S = 6.0
"""The very same picture for so long is a fault: a camera that hangs is known within ten seconds."""
SILENT_S = 8.0
"""A camera that has not been reached within so long is at fault."""
_SIGNATURE_STRIDE_PX = 8
_DECODER_NICE = 5
_RATE_WINDOW_S = 2.0


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
    ``dropped`` those that were sampled and lost, by cause: ``mailbox``, ``stale``, ``overload`` and
    ``behind``, and ``shutdown`` for one that was in hand when the camera was stopped. ``skipped``:
    left out because nothing was to be seen, ``still`` not looked at, ``light`` not decoded.
    ``fps``: frames decoded a second, of late. ``unchanged_s``: for how long the very same picture
    has come. ``latency_s``: from the arrival of the latest frame to its reads; None before one.
    ``overlooked_s``: for how long a vehicle could come and go unseen because frames were lost.
    """

    camera: str
    source: str
    state: CameraState
    since: datetime
    decoded: int = 0
    sampled: int = 0
    broken: int = 0
    dropped: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    skipped: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    reconnects: int = 0
    last_error: str | None = None
    last_frame_age_s: float | None = None
    fps: float = 0.0
    unchanged_s: float = 0.0
    latency_s: float | None = None
    overlooked_s: float = 0.0
    last_passage: Passage | None = None
    stop_reason: StopReason | None = None


def fault(camera: CameraStatus, now: datetime) -> str | None:
    """What is wrong with a camera; None where all is well, it has only just been started, or it
    has ended as it was to.

    A camera whose picture is frozen is said to be at fault long before it is connected to anew.
    """
    if camera.state is CameraState.STREAMING:
        if camera.unchanged_s >= FROZEN_S:
            return f"{camera.source}: the very same picture for {camera.unchanged_s:.0f} s"
        return None
    if camera.state is CameraState.STOPPED:
        return camera.last_error if camera.stop_reason is StopReason.ERROR else None
    connecting = camera.state is CameraState.CONNECTING and camera.last_error is None
    if connecting and (now - camera.since).total_seconds() < SILENT_S:
        return None
    return camera.last_error or f"{camera.source}: {camera.state.value}"


class FrameRate:
    """Frames a second, over windows of some seconds. Owned by one thread."""

    def __init__(self) -> None:
        self._from_s: float | None = None
        self._count = 0
        self._rate = 0.0

    def count(self, frames: int, now_s: float) -> None:
        """So many frames have come."""
        if self._from_s is None:
            self._from_s = now_s
            return
        self._count += frames
        if now_s - self._from_s >= _RATE_WINDOW_S:
            self._rate = self._count / (now_s - self._from_s)
            self._from_s, self._count = now_s, 0

    def of(self, now_s: float) -> float:
        """The rate now; 0 where nothing has come for longer than a window."""
        if self._from_s is None:
            return 0.0
        elapsed_s = now_s - self._from_s
        if elapsed_s >= 2 * _RATE_WINDOW_S:
            return self._count / elapsed_s
        return self._rate


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
        sparse = image[::_SIGNATURE_STRIDE_PX, ::_SIGNATURE_STRIDE_PX]
        signature = zlib.crc32(sparse[..., 1].tobytes())  # green: most of luma
        if signature != self._signature:
            self._signature, self._since_s = signature, now_s
        return now_s - self._since_s


def stand_back() -> None:
    """Let recognition go first: give the calling thread, which decodes, a lower priority.

    Where more cameras are configured than fit, decoders would else take the processor from the
    recognition of what they have decoded. Nothing changes where threads have no priority.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _DECODER_NICE)
