"""One thread for each camera: it opens the source, reads it, and opens it again when it is lost.

The states are in :mod:`pipeline.camera`. A live source is tried for ever; its end is a lost
connection. A stall is seen from the frames, never from the socket: no frame for
``stall_timeout_s``, or the very same picture for ``frozen_timeout_s`` (an encoder that hangs;
a quiet scene has sensor noise, so it is never identical to the bit). A file ends, or fails
once and for all.
"""

from __future__ import annotations

import random
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import structlog

from pipeline.attention import BEHIND, LIGHT, Attention
from pipeline.camera import (
    Backoff,
    CameraRecord,
    CameraState,
    CameraStatus,
    Freeze,
    StopReason,
    stand_back,
)
from pipeline.clock import Clock, SystemClock
from pipeline.config import CameraSettings
from pipeline.detached import DetachedSource
from pipeline.errors import CheckpointError, InputError, SourceError, redact
from pipeline.lag import StreamLag
from pipeline.mailbox import Mailboxes
from pipeline.media import Decoder
from pipeline.pace import Pace
from pipeline.source import EndOfMedia, Sample, Source, display_name, is_live, open_source
from pipeline.types import Frame

__all__ = ["CameraState", "CameraStatus", "CameraWorker", "StopReason"]

_log = structlog.get_logger(__name__)
_POLL_S = 0.05
_OPEN_GRACE_S = 1.0


class _Stopped(Exception):
    """The camera was asked to stop."""


class CameraWorker:
    """Reads one camera into its mailbox, in one thread of its own.

    Args:
        settings: the camera.
        mailboxes: where sampled frames go; the camera's mailbox is made if it is missing and
            closed when the camera stops.
        attention: decides which frames are left out; None: none are.
        decoder: what decodes videos; None: the CPU.
        pace: play a file at its own speed, as a live camera would: its frames may be dropped.
        loop: begin a file again at its end; media time goes on.
        clock, opener, wait, rng: seams for tests. ``opener`` opens the source, which is then
            read in the camera's own thread; ``wait`` sleeps for so many seconds and returns
            True where the camera is to stop.
    """

    def __init__(
        self,
        settings: CameraSettings,
        mailboxes: Mailboxes,
        *,
        attention: Attention | None = None,
        decoder: Decoder | None = None,
        pace: bool = False,
        loop: bool = False,
        clock: Clock | None = None,
        opener: Callable[[], Source] | None = None,
        wait: Callable[[float], bool] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.camera = settings.name
        self._settings = settings
        self._mailboxes = mailboxes
        self._mailboxes.add(settings.name)
        self._attention = attention
        self._decoder = decoder
        self._live = is_live(settings.source)
        self._pace = pace and not self._live
        self._loop = loop and not self._live
        self._clock = clock or SystemClock()
        self._opener = opener or self._open_settings
        self._detached = self._live and opener is None
        self._helper: DetachedSource | None = None
        self._stop = threading.Event()
        self._wait = wait or self._stop.wait
        self._backoff = Backoff(settings.backoff_initial_s, settings.backoff_max_s, rng)
        self._record = CameraRecord(settings.name, display_name(settings.source), self._clock)
        self._thread = threading.Thread(
            target=self._run_aside, name=f"camera-{settings.name}", daemon=True
        )
        self._shutdown_drops = 0
        self._sequence = 0
        self._first_s: float | None = None  # a live camera's first sample, monotonic seconds
        self._media_s = 0.0
        self._failures = 0

    def __repr__(self) -> str:
        return f"CameraWorker({self.camera!r}, {self._record.source!r})"

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the camera to stop, and return at once; its thread ends within a second.

        Frames already in the mailbox stay there to be taken.
        """
        self._stop.set()
        self._mailboxes.close(self.camera)

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread to end, at most ``timeout`` seconds; True where it has."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def status(self) -> CameraStatus:
        """The camera now."""
        status, attention = self._record.now(), self._attention
        dropped: Counter[str] = Counter(self._mailboxes.counts(self.camera).dropped)
        dropped["shutdown"] = self._shutdown_drops
        if attention is None:
            return replace(status, dropped=MappingProxyType(dict(dropped)))
        dropped.update(attention.dropped)
        return replace(
            status,
            dropped=MappingProxyType(dict(dropped)),
            skipped=attention.skipped,
            overlooked_s=attention.overlooked_s,
        )

    def _run_aside(self) -> None:
        stand_back()
        self.run()

    def run(self) -> None:
        """Do the thread's work in the caller's thread, until the camera is STOPPED."""
        reason = StopReason.ERROR
        try:
            if self._live:
                self._run_live()
            else:
                self._run_file()
            reason = StopReason.END
        except _Stopped:
            reason = StopReason.REQUESTED
        except CheckpointError as error:
            self._fail(str(error))
        except Exception as error:  # a mistake of ours: the other cameras go on, health shows it
            self._fail(_describe(error))
        finally:
            self._mailboxes.close(self.camera)
            self._record.enter(CameraState.STOPPED, reason)

    def _fail(self, problem: str) -> None:
        self._record.failed(problem)
        _log.error("camera failed", camera=self.camera, error=problem)

    def _run_live(self) -> None:
        while True:
            try:
                source = self._open_live()
                try:
                    self._stream(source)
                finally:
                    source.close()
            except (_Stopped, InputError):
                raise
            except EndOfMedia:
                self._retreat(f"{self._record.source}: the camera closed the connection")
            except SourceError as error:
                self._retreat(str(error))
            except Exception as error:  # a mistake of ours is no reason to give a camera up
                self._retreat(_describe(error))
            self._record.enter(CameraState.CONNECTING)

    def _run_file(self) -> None:
        offset_s = 0.0
        source = self._opener()
        pace, started_at = Pace(self._clock, self._wait, self._attention), self._clock.now()
        while True:
            try:
                while True:
                    if source.decoded:  # as from a camera: not before it is due
                        self._keep(pace, offset_s + source.position_s + source.step_s)
                    sample = self._step(source)
                    position_s = offset_s + source.position_s
                    self._keep(pace, position_s)
                    if sample is not None:
                        taken_s = offset_s + sample.media_s
                        moment = started_at + timedelta(seconds=taken_s)
                        arrived_s = self._clock.monotonic()
                        if self._pace:
                            moment = self._clock.now() - timedelta(seconds=position_s - taken_s)
                            arrived_s = min(arrived_s, pace.started_s + taken_s)
                        self._publish(sample, taken_s, moment, arrived_s, live=self._pace)
            except EndOfMedia:
                if not self._loop:
                    return
                offset_s += source.position_s + source.step_s
            finally:
                source.close()
            source = self._opener()

    def _keep(self, pace: Pace, position_s: float) -> None:
        if self._pace and pace.keep(position_s):
            raise _Stopped

    def _stream(self, source: Source) -> None:
        """Publish a live source's frames until it ends, fails or stalls."""
        freeze = Freeze()
        self._record.unchanged(0.0)
        opened_s = heard_s = self._clock.monotonic()
        base_s: float | None = None
        lag = StreamLag()
        while True:
            before, left_out = source.decoded, self._left_out()
            sample = self._step(source)
            now_s = self._clock.monotonic()
            if source.decoded > before or self._left_out() > left_out:
                heard_s = now_s
                self._failures = 0
                if now_s - opened_s >= self._settings.backoff_max_s:
                    self._backoff.reset()
            elif now_s - heard_s >= self._settings.stall_timeout_s:
                raise self._stalled(f"no frame for {now_s - heard_s:.1f} s")
            if sample is None:
                continue
            if base_s is None:
                base_s = self._resume_at(now_s, source.step_s) - sample.media_s
            arrived_s = now_s if sample.arrived_s is None else min(sample.arrived_s, now_s)
            media_s = base_s + sample.media_s
            # Dated by the camera's pace: another node, as late or not, dates the frame alike.
            late_s = now_s - arrived_s + lag.at(arrived_s, sample.media_s)
            moment = self._clock.now() - timedelta(seconds=late_s)
            self._publish(sample, media_s, moment, arrived_s, live=True)
            same_s = freeze.same_for_s(sample.image, now_s)
            self._record.unchanged(same_s)
            if same_s >= self._settings.frozen_timeout_s:
                raise self._stalled(f"the very same picture for {same_s:.1f} s")

    def _resume_at(self, now_s: float, step_s: float) -> float:
        """Media time of a connection's first sample: real time has gone on meanwhile."""
        if self._first_s is None:
            self._first_s = now_s
            return 0.0
        return max(now_s - self._first_s, self._media_s + step_s)

    def _stalled(self, reason: str) -> SourceError:
        if self._record.state is CameraState.STREAMING:
            self._record.enter(CameraState.STALLED)
        return SourceError(f"{self._record.source}: {reason}; connecting again")

    def _retreat(self, problem: str) -> None:
        """Wait before the next attempt; says so at the 1st, 2nd, 4th, 8th failure in a row."""
        wait_s = self._backoff.next_s()
        self._failures += 1
        self._record.failed(problem)
        self._record.enter(CameraState.BACKING_OFF)
        if self._failures & (self._failures - 1) == 0:
            _log.warning(
                "camera lost",
                camera=self.camera,
                problem=problem,
                failures=self._failures,
                next_attempt_s=round(wait_s, 1),
            )
        if self._wait(wait_s):
            raise _Stopped

    def _raise_if_stopped(self) -> None:
        if self._stop.is_set():
            raise _Stopped

    def _step(self, source: Source) -> Sample | None:
        """Read once and count what came."""
        self._raise_if_stopped()
        decoded, broken = source.decoded, source.broken
        try:
            return source.read()
        finally:
            self._record.came(source.decoded - decoded, source.broken - broken)

    def _left_out(self) -> int:
        """Frames that came and were not decoded."""
        if self._attention is None:
            return 0
        return self._attention.skipped[LIGHT] + self._attention.dropped[BEHIND]

    def _publish(
        self, sample: Sample, media_s: float, moment: datetime, arrived_s: float, *, live: bool
    ) -> None:
        frame = Frame(
            camera=self.camera,
            sequence=self._sequence,
            captured_at=moment,
            media_s=media_s,
            arrived_s=arrived_s,
            image=sample.image,
            live=live,
            small=sample.small,
            ready_s=self._clock.monotonic(),
        )
        self._sequence += 1
        self._media_s = media_s
        accepted = self._mailboxes.put(frame)
        self._record.sampled()
        if not accepted:
            self._shutdown_drops += 1
            raise _Stopped

    def _open_settings(self) -> Source:
        return open_source(
            self._settings.source,
            sample_fps=self._settings.sample_fps,
            connect_timeout_s=self._settings.connect_timeout_s,
            stall_timeout_s=self._settings.stall_timeout_s,
            attention=self._attention,
            decoder=self._decoder,
        )

    def _open_live(self) -> Source:
        """Open the stream; one attempt at a time, given up at the time-out or at a stop."""
        self._raise_if_stopped()
        if not self._detached:
            return self._opener()
        silent = SourceError(
            f"{self._record.source}: no usable answer within "
            f"{self._settings.connect_timeout_s:g} s; check that a camera answers there"
        )
        if self._helper is not None and not self._helper.finished:
            raise silent  # the attempt before this one still hangs
        helper = self._helper = DetachedSource(f"camera-{self.camera}-stream", self._opener)
        give_up_s = self._clock.monotonic() + self._settings.connect_timeout_s + _OPEN_GRACE_S
        try:
            while not helper.wait_open(_POLL_S):
                self._raise_if_stopped()
                if self._clock.monotonic() > give_up_s:
                    raise silent
        except BaseException:
            helper.close()
            raise
        return helper


def _describe(error: Exception) -> str:
    """An unforeseen error in one line: a traceback could show an address with its password."""
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" ({Path(place[0].filename).name}:{place[0].lineno})" if place else ""
    return redact(f"unexpected {type(error).__name__}: {error}{where}")
