"""A live frame is dated by its camera's pace, however late this machine comes to it."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import ManualClock
from pipeline.config import CameraSettings
from pipeline.ingest import CameraWorker
from pipeline.mailbox import Mailboxes
from pipeline.source import EndOfMedia, Sample

STEP_S = 0.2


class LateReader:
    """A camera's frames, each taken some seconds after it has come, and never two at once."""

    broken = 0
    position_s = 0.0
    step_s = STEP_S

    def __init__(self, clock: ManualClock, late_s: list[float]) -> None:
        self.decoded = 0
        self._clock = clock
        self._late_s = late_s
        self._began_s = clock.monotonic()

    def read(self) -> Sample:
        if self.decoded == len(self._late_s):
            raise EndOfMedia
        self.position_s = self.decoded * STEP_S
        due_s = self.position_s + self._late_s[self.decoded]
        passed_s = self._clock.monotonic() - self._began_s
        self._clock.advance(max(due_s - passed_s, 0.001))
        self.decoded += 1
        picture = np.full((16, 16, 3), self.decoded % 256, np.uint8)
        return Sample(self.position_s, picture)

    def close(self) -> None:
        pass


@given(st.lists(st.floats(0.0, 6.0), max_size=10), st.lists(st.floats(0.0, 6.0), max_size=40))
def test_late_frames_are_dated_as_prompt_ones(before: list[float], after: list[float]) -> None:
    """As soon as one frame has come in time, its pace is known, and all later dates are right."""
    clock = ManualClock()
    began, lates = clock.now(), [*before, 0.0, *after]
    mailboxes = Mailboxes(["gate"], capacity=1000, staleness_s=1e9, clock=clock)
    worker = CameraWorker(
        CameraSettings(name="gate", source="rtsp://192.0.2.1/1"),
        mailboxes,
        clock=clock,
        opener=lambda: LateReader(clock, lates),
        wait=lambda _: True,
    )
    worker.run()
    frames = mailboxes.take(1000, 0)
    assert len(frames) == len(lates)
    off_s = [
        (frame.captured_at - began - timedelta(seconds=number * STEP_S)).total_seconds()
        for number, frame in enumerate(frames)
    ]
    assert min(off_s) > -0.03  # never dated earlier than it was taken
    caught_up = next((n for n, off in enumerate(off_s) if off < 0.01), len(off_s))
    if not before:
        assert caught_up == 0
    assert all(abs(off) < 0.03 for off in off_s[caught_up:])
