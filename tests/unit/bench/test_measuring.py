"""Growth of memory, processor time by thread, and fairness: each against what is known."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measuring import ThreadCpu
from benchmarks.memory import growth
from benchmarks.throughput import fairness


def test_a_leak_is_a_slope_and_a_warm_up_is_none() -> None:
    filling = [(float(at), 500.0 + min(at, 100)) for at in range(0, 3600, 10)]
    steady = growth(filling)
    assert steady is not None
    assert steady.slope_mib_h == pytest.approx(0)
    assert (steady.last_third_mib, steady.peak_mib) == (600, 600)
    leaking = growth([(at, mib + at / 3600 * 40) for at, mib in filling])
    assert leaking is not None
    assert leaking.slope_mib_h == pytest.approx(40)
    assert leaking.last_third_mib - leaking.first_third_mib > 20
    assert growth(filling[:5]) is None


def test_processor_time_is_told_by_thread() -> None:
    worked, done = threading.Event(), threading.Event()

    def work() -> None:
        until_s = time.thread_time() + 0.2
        while time.thread_time() < until_s:
            pass
        worked.set()
        done.wait(90)

    threads = ThreadCpu({"camera-": "cameras", "recognition": "recognition"})
    busy = threading.Thread(target=work, name="camera-a")
    busy.start()
    assert worked.wait(90)
    shares = threads.shares()
    done.set()
    busy.join()
    assert set(shares) == {"cameras", "recognition", "rest", "native"}
    assert sum(shares.values()) == pytest.approx(1, abs=0.05)
    assert shares["cameras"] > 0.3
    assert shares["recognition"] == 0


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=30))
def test_fairness_is_one_for_equals_and_never_below_one_of_all(rates: list[float]) -> None:
    assert 1 / len(rates) - 1e-9 <= fairness(rates) <= 1 + 1e-9
    assert fairness([rates[0]] * len(rates)) == pytest.approx(1)
    assert fairness([rates[0], *[0.0] * 3]) == pytest.approx(0.25)
