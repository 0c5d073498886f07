"""More cameras than the machine can recognise: the real attention and mailboxes, simulated time."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import numpy as np
import pytest

from pipeline.attention import OVERLOAD, Attention
from pipeline.config import RecognitionSettings, SavingSettings
from pipeline.mailbox import MAILBOX, STALE, Mailboxes
from pipeline.types import Frame

FPS, SECONDS, SETTLED_S = 5.0, 50, 15.0
START = datetime(2026, 1, 1, tzinfo=UTC)
IMAGE = np.zeros((1, 1, 3), np.uint8)
RECOGNITION = RecognitionSettings()
BATCH = 4  # as on two cores


@dataclass
class SteppedClock:
    """Shows what it was set to."""

    now_s: float = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def now(self) -> datetime:
        return START


@dataclass(frozen=True)
class Outcome:
    """``rates``: recognised frames a second of each camera once the rate has settled; ``late_s``:
    p95 from arrival to the end of recognition; ``waiting``: most frames that ever waited."""

    rates: list[float]
    late_s: float
    waiting: int
    lost: Counter[str]
    offered: int
    recognised: int


def load(cameras: int, frame_s: float, *, at_once: bool) -> Outcome:
    """Cameras whose every frame is worth a look, before a machine that takes ``frame_s`` for one.

    ``at_once``: all send at the same moment; else each in its turn.
    """
    rng, clock = random.Random(cameras), SteppedClock()
    names = [f"camera-{number}" for number in range(cameras)]
    boxes = Mailboxes(
        names,
        capacity=2,
        staleness_s=RECOGNITION.staleness_s,
        clock=clock,
    )
    attentions = {
        name: Attention(SavingSettings(motion_gate=False), 1.2, mailbox=partial(boxes.counts, name))
        for name in names
    }
    arrivals = sorted(
        ((number + (0 if at_once else place / cameras) + 0.1 * rng.random()) / FPS, name)
        for place, name in enumerate(names)
        for number in range(round(SECONDS * FPS))
    )
    waiting, recognised, taken, late = 0, 0, Counter[str](), list[float]()
    free_s, index = 0.0, 0
    while index < len(arrivals) or boxes.depth():
        while index < len(arrivals) and arrivals[index][0] <= free_s:
            clock.now_s, name = arrivals[index]
            index += 1
            if attentions[name].wants(None, clock.now_s):
                boxes.put(Frame(name, index, START, clock.now_s, clock.now_s, IMAGE, live=True))
        waiting = max(waiting, boxes.depth())
        clock.now_s = max(clock.now_s, free_s)
        batch = boxes.take(BATCH, 0, wait_s=0)
        free_s = clock.now_s + frame_s * len(batch)
        if not batch and index < len(arrivals):
            free_s = max(free_s, arrivals[index][0] + RECOGNITION.batch_deadline_s)
        recognised += len(batch)
        for frame in batch:
            if frame.arrived_s > SETTLED_S:
                taken[frame.camera] += 1
                late.append(free_s - frame.arrived_s)
    lost = Counter(boxes.counts().dropped)
    for attention in attentions.values():
        lost.update(attention.dropped)
    rates = [taken[name] / (SECONDS - SETTLED_S) for name in names]
    late_s = sorted(late)[int(0.95 * len(late))]
    return Outcome(rates, late_s, waiting, lost, len(arrivals), recognised)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(("frame_s", "most_late_s"), [(0.025, 0.55), (0.05, 1.1)])
def test_each_camera_keeps_its_share_of_an_overloaded_machine(
    frame_s: float, most_late_s: float, at_once: bool
) -> None:
    found = load(16, frame_s, at_once=at_once)
    assert min(found.rates) > 0.95 * max(found.rates)
    assert sum(found.rates) > 0.97 / frame_s, "the machine is not idle meanwhile"
    assert found.late_s < most_late_s
    assert found.waiting <= 16, "one of each camera"
    assert found.recognised + sum(found.lost.values()) == found.offered, "each loss is counted"
    assert found.lost[OVERLOAD] == sum(found.lost.values()), "left out before they cost"


def test_the_rate_falls_smoothly_with_the_number_of_cameras() -> None:
    rates = [min(load(cameras, 0.025, at_once=True).rates) for cameras in (6, 8, 10, 12, 16, 24)]
    assert rates[0] == pytest.approx(FPS)
    assert rates == sorted(rates, reverse=True)
    for cameras, rate in zip((10, 12, 16, 24), rates[2:], strict=True):
        assert rate == pytest.approx(40 / cameras, rel=0.12)


def test_a_machine_that_carries_its_cameras_loses_nothing() -> None:
    found = load(8, 0.02, at_once=True)
    assert sum(found.lost.values()) == 0
    assert found.late_s < 0.3


def test_far_too_many_cameras_are_dropped_for_their_age_and_counted() -> None:
    found = load(16, 0.2, at_once=True)
    assert found.lost[STALE] + found.lost[MAILBOX] < 0.15 * found.offered
    assert min(found.rates) > 0.8 * max(found.rates)
