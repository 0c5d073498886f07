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
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

import structlog

from pipeline.clock import Clock
from pipeline.types import ImageBgr, Passage

FROZEN_S = 6.0
"""The very same picture for so long is a fault: a camera that hangs is known within ten seconds."""
SILENT_S = 8.0
"""A camera that has not been reached within so long is at fault."""
_SIGNATURE_STRIDE_PX = 8
_DECODER_NICE = 5
_RATE_WINDOW_S = 2.0
_log = structlog.get_logger(__name__)


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


class CameraRecord:
    """What has become of one camera so far: its thread writes, any thread reads.

    ``source`` is shown as it is: it must hold no credentials.
    """

    def __init__(self, camera: str, source: str, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rate = FrameRate()
        self._last_frame_s: float | None = None
        self._has_streamed = False
        self._status = CameraStatus(camera, source, CameraState.CONNECTING, clock.now())

    @property
    def source(self) -> str:
        """What it reads, as it is shown."""
        return self._status.source

    @property
    def state(self) -> CameraState:
        """What the camera is doing."""
        return self._status.state

    def now(self) -> CameraStatus:
        """The camera at this moment, as far as its own thread knows."""
        with self._lock:
            now_s = self._clock.monotonic()
            age_s = None if self._last_frame_s is None else max(0.0, now_s - self._last_frame_s)
            return replace(self._status, last_frame_age_s=age_s, fps=self._rate.of(now_s))

    def came(self, decoded: int, broken: int) -> None:
        """So many frames were decoded, and so many could not be; the first one is a stream."""
        if decoded and self.state is CameraState.CONNECTING:
            self.enter(CameraState.STREAMING)
        with self._lock:
            if decoded:
                self._last_frame_s = self._clock.monotonic()
                self._rate.count(decoded, self._last_frame_s)
            self._status = replace(
                self._status,
                decoded=self._status.decoded + decoded,
                broken=self._status.broken + broken,
            )

    def sampled(self) -> None:
        """One more frame was sampled."""
        with self._lock:
            self._status = replace(self._status, sampled=self._status.sampled + 1)

    def unchanged(self, seconds: float) -> None:
        """The very same picture has come for so long."""
        with self._lock:
            self._status = replace(self._status, unchanged_s=seconds)

    def failed(self, problem: str) -> None:
        """Something went wrong, told without credentials."""
        with self._lock:
            self._status = replace(self._status, last_error=problem)

    def enter(self, state: CameraState, reason: StopReason | None = None) -> None:
        """Change the state, with the reason where that is STOPPED.

        Raises:
            RuntimeError: the change is not legal, which is a mistake in the camera's thread.
        """
        with self._lock:
            old, camera = self._status.state, self._status.camera
            if state not in LEGAL_CHANGES[old]:
                raise RuntimeError(f"camera {camera}: no way from {old} to {state}")
            again = state is CameraState.STREAMING and self._has_streamed
            self._has_streamed |= state is CameraState.STREAMING
            self._status = replace(
                self._status,
                state=state,
                since=self._clock.now(),
                reconnects=self._status.reconnects + again,
                stop_reason=reason,
            )
        _log.debug("camera state", camera=camera, old=old.value, new=state.value)
        if state is CameraState.STREAMING:
            _log.info("camera streams", camera=camera, source=self.source)


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
