"""Lag: a hiccup is caught up with, a machine that is too slow leaves out what it cannot decode."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.attention import BEHIND, Attention
from pipeline.config import SavingSettings
from pipeline.lag import BEHIND_S, PERSIST_S, Falling, StreamLag
from pipeline.media import EndOfMedia
from pipeline.source import open_source
from tests.support.clips import make_clip, number_in


@given(st.floats(0, 1e6), st.floats(-1e5, 1e5), st.lists(st.floats(0, 5), max_size=50))
def test_lag_is_against_the_best_so_far(
    start_s: float, media_s: float, delays: list[float]
) -> None:
    lag, delays = StreamLag(), [0.0, *delays]
    for number, delay_s in enumerate(delays):
        measured = lag.at(start_s + 0.04 * number + delay_s, media_s + 0.04 * number)
        assert 0 <= measured <= delay_s + 1e-6
        assert measured >= delay_s - 0.1 - 1e-3 * (0.04 * number + max(delays))


def test_a_slow_clock_of_the_camera_is_no_lag() -> None:
    lag = StreamLag()
    for second in range(4 * 3600):
        assert lag.at(float(second), second * (1 - 5e-4)) < BEHIND_S


def test_a_camera_that_begins_anew_is_no_lag() -> None:
    lag = StreamLag()
    lag.at(100.0, 5000.0)
    assert lag.at(100.04, 0.0) == 0
    assert lag.at(100.08, 0.04) == pytest.approx(0, abs=1e-3)


def run_of_a_stream(frames: int, busy_s: float, delay_s: list[float]) -> list[float]:
    """Lag of each packet of a stream of 25 a second: one is there ``delay_s`` after its moment, in
    turn, and keeps its reader busy for ``busy_s``."""
    lag, found, free_s = StreamLag(), [], 0.0
    for number in range(frames):
        there_s = 0.04 * number + delay_s[min(number, len(delay_s) - 1)]
        waited_s = max(there_s - free_s, 0.0)
        now_s = max(there_s, free_s)
        found.append(lag.at(now_s, 0.04 * number, waited_s))
        free_s = now_s + busy_s
    return found


def test_a_stream_that_comes_later_from_now_on_is_no_lag() -> None:
    later = run_of_a_stream(500, 0.004, [0.05] * 250 + [1.5])
    assert max(later) < BEHIND_S
    pauses = run_of_a_stream(
        500, 0.004, [0.05] * 250 + [max(3.0 - 0.04 * n, 0.05) for n in range(250)]
    )
    assert max(pauses) < BEHIND_S


def test_a_reader_that_is_too_slow_lags_by_what_it_is_late() -> None:
    slow = run_of_a_stream(500, 0.05, [0.05])
    assert slow[-1] == pytest.approx(500 * 0.01, abs=0.3)
    assert slow[100] == pytest.approx(1.0, abs=0.3)


def test_a_reader_that_keeps_up_has_no_lag_though_it_is_busy() -> None:
    assert max(run_of_a_stream(500, 0.036, [0.05, 0.05, 0.2, 0.05])) < BEHIND_S


def test_a_burst_after_a_hiccup_is_not_left_out() -> None:
    falling = Falling()
    late = [falling.behind(max(0.0, 3.0 - 0.1 * n), 10 + 0.01 * n) for n in range(40)]
    assert not any(late)


def test_a_lag_that_lasts_counts_and_the_next_one_at_once() -> None:
    falling = Falling()
    assert not falling.behind(0.6, 0.0)
    assert not falling.behind(0.6, PERSIST_S - 0.01)
    assert falling.behind(0.6, PERSIST_S)
    assert not falling.behind(0.1, 2.0)
    assert falling.behind(0.6, 3.0)
    assert not falling.behind(0.1, 3.5)
    assert not falling.behind(0.0, 20.0)
    assert not falling.behind(0.6, 21.0)  # after calm it must last again


@settings(deadline=None, max_examples=30)
@given(late=st.sets(st.integers(0, 99)), layers=st.booleans())
def test_a_late_camera_goes_on_at_the_next_key_frame_and_every_sample_is_counted(
    tmp_path_factory: pytest.TempPathFactory, late: set[int], layers: bool
) -> None:
    path = _clip(tmp_path_factory, 2 if layers else 0)
    attention = Attention(SavingSettings(motion_gate=False), 1.2)
    source = open_source(str(path), sample_fps=25, attention=attention)
    numbers, packet = [], 0
    try:
        while True:
            attention.late(BEHIND_S + 1 if packet in late else 0.0, 1000.0 + packet)
            packet += 1
            sample = source.read()
            if sample is not None:
                numbers.append(number_in(sample.image))
    except EndOfMedia:
        pass
    finally:
        source.close()
    assert numbers == sorted(set(numbers))
    assert set(numbers) >= {0, 25, 50, 75}  # key frames
    assert source.broken == 0
    if not layers:  # with frames out of order a time may come twice
        assert len(numbers) + attention.dropped[BEHIND] == 100


_made: dict[int, Path] = {}


def _clip(factory: pytest.TempPathFactory, b_frames: int) -> Path:
    if b_frames not in _made:
        folder = factory.mktemp("lag")
        _made[b_frames] = make_clip(folder / "a.mkv", frames=100, b_frames=b_frames)
    return _made[b_frames]
