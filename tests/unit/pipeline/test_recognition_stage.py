"""Batches and the recognition thread, with a recogniser that knows what it will see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.batching import Batcher, CloseReason
from pipeline.clock import SystemClock
from pipeline.config import CameraSettings, PassageSettings
from pipeline.evidence import EvidenceStore
from pipeline.health import Health
from pipeline.mailbox import Mailboxes
from pipeline.passage import PassageBuilder
from pipeline.recognise import RecognitionStage
from pipeline.types import Frame, ImageBgr, Passage, Recognition
from tests.support import scenes


class Scripted:
    """Recognises by the picture's identity."""

    def __init__(self, recognitions: Sequence[Recognition]) -> None:
        self.known = {id(one.frame.image): one for one in recognitions}
        self.batches: list[int] = []

    def recognise(self, images: Sequence[ImageBgr], small=None, known=None):
        self.batches.append(len(images))
        found = [self.known[id(image)] for image in images]
        return [(one.plates, one.vehicles) for one in found]


def make_stage(tmp_path: Path, mailboxes: Mailboxes, recogniser, on_passages, silent_s=60.0):
    builder = PassageBuilder(
        CameraSettings(name="gate", source="x.mp4"),
        PassageSettings(),
        EvidenceStore(tmp_path, Health()),
        SystemClock(),
    )
    batcher = Batcher(mailboxes, 4, 0.01)
    return RecognitionStage(
        batcher, recogniser, {"gate": builder}, silent_s, on_passages, SystemClock()
    )


def test_batches_close_by_size_by_deadline_and_at_the_end() -> None:
    mailboxes = Mailboxes(["gate"], capacity=8, clock=SystemClock())
    batcher = Batcher(mailboxes, 3, 0.01)
    for index in range(4):
        mailboxes.put(scenes.frame(index / 5))
    assert [len(batch.frames) for batch in (batcher.next(0.1), batcher.next(0.1)) if batch] == [
        3,
        1,
    ]
    empty = batcher.next(0.0)
    assert empty is not None
    assert empty.frames == ()
    mailboxes.put(scenes.frame(1.0))
    mailboxes.close("gate")
    last = batcher.next(1.0)
    assert last is not None
    assert last.reason is CloseReason.ENDED
    assert batcher.next(0.0) is None
    assert batcher.closed_by == {
        CloseReason.FULL: 1,
        CloseReason.DEADLINE: 1,
        CloseReason.ENDED: 1,
    }


def test_every_frame_is_recognised_and_the_last_passage_is_closed(tmp_path: Path) -> None:
    stream = scenes.drive_past("辽A12345", 0.0)
    recogniser = Scripted(stream)
    mailboxes = Mailboxes(["gate"], capacity=2, clock=SystemClock())
    told: list[Passage] = []
    stage = make_stage(tmp_path, mailboxes, recogniser, told.extend)
    stage.start()
    for one in stream:
        assert mailboxes.put(one.frame)
    mailboxes.close("gate")
    assert stage.join(90)
    assert stage.recognised == sum(recogniser.batches) == len(stream)
    assert [(p.plate, p.closed) for p in told] == [("辽A12345", False), ("辽A12345", True)]


def test_a_silent_camera_has_its_passages_closed(tmp_path: Path) -> None:
    clock = SystemClock()
    now = clock.monotonic()
    stream = [
        replace(one, frame=replace(one.frame, live=True, arrived_s=now))
        for one in scenes.drive_past("辽A12345", 0.0)
    ]
    mailboxes = Mailboxes(["gate"], capacity=8, staleness_s=60, clock=clock)
    told: list[Passage] = []
    stage = make_stage(tmp_path, mailboxes, Scripted(stream), told.extend, silent_s=0.2)
    stage.start()
    for one in stream:
        mailboxes.put(one.frame)
    for _ in range(200):
        if told and told[-1].closed:
            break
        stage.join(0.05)
    mailboxes.close("gate")
    assert stage.join(90)
    assert [p.closed for p in told] == [False, True]


def test_a_recogniser_that_fails_is_seen(tmp_path: Path) -> None:
    class Failing:
        def recognise(self, images: Sequence[ImageBgr], small=None, known=None):
            raise RuntimeError("no such kernel")

    mailboxes = Mailboxes(["gate"], staleness_s=60, clock=SystemClock())
    stage = make_stage(tmp_path, mailboxes, Failing(), lambda passages: None)
    stage.start()
    frame: Frame = scenes.frame(0.0)
    mailboxes.put(frame)
    assert stage.join(90)
    assert isinstance(stage.failure, RuntimeError)
