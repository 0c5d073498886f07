"""The helper thread of a stream: failures pass through, and nothing hangs its owner."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from pipeline.detached import SLICE_S, DetachedSource
from pipeline.errors import SourceError
from pipeline.source import EndOfMedia, Sample, Source

PICTURE = np.zeros((2, 2, 3), np.uint8)


class Numbered:
    """Ten frames of which every other is sampled, then the end, or a hang."""

    def __init__(self, hang: threading.Event | None = None) -> None:
        self.decoded = self.broken = 0
        self.position_s, self.step_s = 0.0, 0.04
        self.closed = threading.Event()
        self._hang = hang

    def read(self) -> Sample | None:
        if self.decoded == 10:
            if self._hang is None:
                raise EndOfMedia
            self._hang.wait(300)
            return None
        self.decoded += 1
        self.position_s = self.decoded * self.step_s
        return Sample(self.position_s, PICTURE) if self.decoded % 2 else None

    def close(self) -> None:
        self.closed.set()


def opened(source: Source) -> DetachedSource:
    helper = DetachedSource("helper", lambda: source)
    assert helper.wait_open(90)
    return helper


def until_finished(helper: DetachedSource) -> None:
    started = time.monotonic()
    while not helper.finished:
        assert time.monotonic() - started < 90
        time.sleep(0.01)


def test_every_step_and_the_end_pass_through() -> None:
    source = Numbered()
    helper = opened(source)
    samples = [(helper.read(), helper.decoded) for _ in range(10)]
    with pytest.raises(EndOfMedia):
        helper.read()
    assert [decoded for _, decoded in samples] == list(range(1, 11))
    times = [sample.media_s for sample, _ in samples if sample is not None]
    assert times == pytest.approx([0.04, 0.12, 0.20, 0.28, 0.36])
    assert helper.step_s == 0.04
    until_finished(helper)
    assert source.closed.is_set()


def test_a_failure_to_open_passes_through() -> None:
    def fail() -> Source:
        raise SourceError("nothing listens")

    helper = DetachedSource("helper", fail)
    with pytest.raises(SourceError, match="nothing listens"):
        helper.wait_open(90)
    until_finished(helper)


def test_a_hanging_read_does_not_hang_its_owner() -> None:
    hang = threading.Event()
    source = Numbered(hang)
    helper = opened(source)
    while helper.decoded < 10:
        helper.read()
    started = time.monotonic()
    assert helper.read() is None
    helper.close()
    assert SLICE_S / 2 < time.monotonic() - started < 90
    assert not helper.finished
    hang.set()
    until_finished(helper)
    assert source.closed.is_set()


def test_a_helper_left_alone_with_full_hands_ends() -> None:
    source = Numbered()
    helper = opened(source)
    time.sleep(0.05)
    helper.close()
    until_finished(helper)
    assert source.closed.is_set()


def test_what_opens_too_late_is_closed() -> None:
    source, slow = Numbered(), threading.Event()

    def open_slowly() -> Source:
        slow.wait(300)
        return source

    helper = DetachedSource("helper", open_slowly)
    assert not helper.wait_open(0.01)
    helper.close()
    slow.set()
    until_finished(helper)
    assert source.closed.is_set()
    assert source.decoded == 0
