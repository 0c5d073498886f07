"""The camera's state machine, with a scripted source and time moved by hand."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from structlog.testing import capture_logs

from pipeline.camera import CameraState, StopReason
from pipeline.clock import ManualClock
from pipeline.config import CameraSettings
from pipeline.errors import InputError, SourceError
from pipeline.ingest import CameraWorker
from pipeline.mailbox import Mailboxes
from pipeline.source import EndOfMedia, Sample, Source

LIVE = "rtsp://op:s3cret@camera/1"
Step = float | str | Exception
"""Seconds of silence, ``frame``, ``same`` (a frame like the one before), or what is raised."""


class Script:
    """A source that does what its script says, 0.2 s of time for each frame."""

    def __init__(self, clock: ManualClock, steps: list[Step]) -> None:
        self.decoded = self.broken = 0
        self.position_s, self.step_s = 0.0, 0.2
        self.closed = False
        self._clock = clock
        self._steps: Iterator[Step] = iter(steps)
        self._shade = 0

    def read(self) -> Sample | None:
        step = next(self._steps, None)
        if step is None:
            raise EndOfMedia
        if isinstance(step, Exception):
            raise step
        if isinstance(step, float):
            self._clock.advance(step)
            return None
        if step == "broken":
            self.broken += 1
            return None
        self._shade += step == "frame"
        self.position_s = self.decoded * self.step_s
        self.decoded += 1
        self._clock.advance(0.2)
        return Sample(self.position_s, np.full((16, 16, 3), self._shade % 256, np.uint8))

    def close(self) -> None:
        self.closed = True


class Stage:
    """A worker over scripted connections; it is stopped when the scripts are used up."""

    def __init__(
        self, source: str, scripts: list[list[Step] | Exception], **kwargs: object
    ) -> None:
        self.clock = ManualClock()
        self.mailboxes = Mailboxes(["gate"], capacity=1000, staleness_s=1e9, clock=self.clock)
        self.opened: list[Script] = []
        self.over = False
        self.states: list[CameraState] = []
        self.waits: list[float] = []
        self._scripts = iter(scripts)
        settings = CameraSettings(name="gate", source=source)
        self.worker = CameraWorker(
            settings,
            self.mailboxes,
            clock=self.clock,
            opener=self.open,
            wait=self.wait,
            rng=random.Random(1),
            **kwargs,  # type: ignore[arg-type]
        )

    def open(self) -> Source:
        script = next(self._scripts, None)
        if script is None:
            self.over = True
            raise SourceError("the play is over")
        if isinstance(script, Exception):
            raise script
        self.opened.append(Script(self.clock, script))
        return self.opened[-1]

    def wait(self, seconds: float) -> bool:
        self.states.append(self.worker.status().state)
        self.waits.append(seconds)
        self.clock.advance(seconds)
        return self.over

    def play(self) -> None:
        with capture_logs() as logs:
            self.worker.run()
        self.logs = logs
        self.changes = [(log["old"], log["new"]) for log in logs if log["event"] == "camera state"]
        assert all(script.closed for script in self.opened)
        assert self.worker.status().state is CameraState.STOPPED
        assert "s3cret" not in repr((logs, self.worker.status(), self.worker))

    def frames(self) -> list[float]:
        return [frame.media_s for frame in self.mailboxes.take(1000, 0)]


def test_the_end_of_a_live_stream_is_a_lost_connection() -> None:
    stage = Stage(LIVE, [["frame", "frame"], ["frame"]])
    stage.play()
    assert stage.changes[:5] == [
        ("connecting", "streaming"),
        ("streaming", "backing_off"),
        ("backing_off", "connecting"),
        ("connecting", "streaming"),
        ("streaming", "backing_off"),
    ]
    status = stage.worker.status()
    assert (status.decoded, status.sampled, status.reconnects) == (3, 3, 1)
    assert status.stop_reason is StopReason.REQUESTED
    assert "the camera closed the connection" in str(stage.logs)


def test_media_time_goes_on_over_a_reconnection() -> None:
    stage = Stage(LIVE, [["frame"] * 10, ["frame"] * 10])
    stage.play()
    times = stage.frames()
    assert times == sorted(set(times))
    assert times[10] - times[9] == pytest.approx(0.2 + stage.waits[0])


def test_a_stall_is_seen_from_the_frames() -> None:
    stage = Stage(LIVE, [["frame", 1.0, 1.0, 1.0, "frame", 3.9, 0.2, "frame"], ["frame"]])
    stage.play()
    assert stage.changes[:3] == [
        ("connecting", "streaming"),
        ("streaming", "stalled"),
        ("stalled", "backing_off"),
    ]
    assert stage.worker.status().decoded == 3  # two before the stall, one after
    stalls = [log for log in stage.logs if "no frame for 4.1 s" in str(log.get("problem"))]
    assert stalls


def test_broken_frames_do_not_hide_a_stall() -> None:
    rubbish: list[Step] = ["broken", 0.5] * 20
    stage = Stage(LIVE, [["frame", *rubbish]])
    stage.play()
    assert ("streaming", "stalled") in stage.changes
    assert stage.worker.status().broken == 8


def test_a_frozen_picture_is_a_stall() -> None:
    still: list[Step] = ["same"] * 200
    stage = Stage(LIVE, [["frame", *still]])
    stage.play()
    assert ("streaming", "stalled") in stage.changes
    assert 100 <= stage.worker.status().decoded <= 102  # 20 s of frames 0.2 s apart
    assert any("very same picture" in str(log.get("problem")) for log in stage.logs)


def test_an_opened_stream_without_a_frame_is_tried_again() -> None:
    stage = Stage(LIVE, [[1.0] * 10])
    stage.play()
    assert stage.changes[0] == ("connecting", "backing_off")
    assert "no frame for" in str(stage.logs)


def test_failed_attempts_wait_longer_up_to_the_cap_and_are_not_all_logged() -> None:
    stage = Stage(LIVE, [SourceError(f"{LIVE}: nothing listens")] * 40)
    stage.play()
    for wait, step in zip(stage.waits, [0.5, 1, 2, *[3] * 37], strict=False):
        assert step / 2 <= wait <= step
    assert set(stage.states) == {CameraState.BACKING_OFF}
    lost = [log["failures"] for log in stage.logs if log["event"] == "camera lost"]
    assert lost == [1, 2, 4, 8, 16, 32]


def test_waits_begin_small_again_after_a_good_time() -> None:
    failures: list[list[Step] | Exception] = [SourceError("away")] * 6
    stage = Stage(LIVE, [*failures, ["frame"] * 30, SourceError("away")])
    stage.play()
    assert stage.waits[5] >= 2
    assert stage.waits[6] <= 0.5


def test_an_unforeseen_error_does_not_give_a_camera_up() -> None:
    stage = Stage(LIVE, [OSError(f"odd: {LIVE}"), ["frame"]])
    stage.play()
    assert stage.worker.status().sampled == 1
    assert "unexpected OSError" in str(stage.logs)


def test_an_address_that_can_never_work_stops_the_camera() -> None:
    stage = Stage(LIVE, [InputError("unknown kind of address")])
    stage.play()
    status = stage.worker.status()
    assert status.stop_reason is StopReason.ERROR
    assert status.last_error == "unknown kind of address"
    assert not stage.waits


def test_a_file_ends() -> None:
    stage = Stage("clip.mp4", [["frame", "broken", "frame"]])
    stage.play()
    status = stage.worker.status()
    assert status.stop_reason is StopReason.END
    assert (status.decoded, status.broken, status.sampled) == (2, 1, 2)
    frames = stage.mailboxes.take(10, 0)
    assert [frame.sequence for frame in frames] == [0, 1]
    assert not any(frame.live for frame in frames)
    assert (frames[1].captured_at - frames[0].captured_at).total_seconds() == pytest.approx(0.2)
    assert stage.mailboxes.drained
    assert not stage.waits


def test_a_file_that_fails_is_not_tried_again() -> None:
    stage = Stage("clip.mp4", [SourceError("clip.mp4: is no video")])
    stage.play()
    assert stage.worker.status().last_error == "clip.mp4: is no video"
    assert stage.changes == [("connecting", "stopped")]
    assert [log["event"] for log in stage.logs].count("camera failed") == 1


def test_a_paced_loop_plays_like_a_live_camera() -> None:
    # the script itself takes 0.2 s a frame: the file is just in time, and never waits long
    stage = Stage("clip.mp4", [["frame"] * 5, ["frame"] * 5], pace=True, loop=True)
    stage.play()
    frames = stage.mailboxes.take(100, 0)
    assert [frame.media_s for frame in frames] == pytest.approx([n * 0.2 for n in range(10)])
    assert all(frame.live for frame in frames)


def test_a_paced_file_waits_for_its_time() -> None:
    class Fast(Script):
        def read(self) -> Sample | None:
            sample = super().read()
            self._clock.advance(-0.2)
            return sample

    stage = Stage("clip.mp4", [], pace=True)
    stage.worker._opener = lambda: Fast(stage.clock, ["frame"] * 5)
    started = stage.clock.monotonic()
    stage.play()
    # no frame is read before it is due, and the file ends when its last frame's time is over
    assert stage.clock.monotonic() - started == pytest.approx(1.0)
    assert stage.waits == pytest.approx([0.2] * 5)


def test_a_paced_file_that_comes_late_does_not_catch_up_in_a_burst() -> None:
    stage = Stage("clip.mp4", [["frame", 30.0, *["frame"] * 3]], pace=True)
    stage.play()
    assert stage.worker.status().sampled == 4
    assert stage.waits == pytest.approx([0.2])  # until its last frame's time is over


def test_a_frame_in_hand_at_the_stop_is_counted() -> None:
    stage = Stage("clip.mp4", [["frame"] * 3])
    stage.mailboxes.close("gate")
    stage.play()
    status = stage.worker.status()
    assert status.stop_reason is StopReason.REQUESTED
    assert status.sampled == 1
    assert status.dropped == {"mailbox": 0, "stale": 0, "shutdown": 1}
