"""What was shown and told in a looped clip, quantiles, and the report of all benchmarks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import run_report
from benchmarks.measuring import quantiles_ms, rounded
from benchmarks.playing import EDGE_S, Clip, Observer, found
from benchmarks.savings import Truth
from pipeline.recognise import FrameTimes
from pipeline.types import Passage

CLIP = Clip(Path("a.mp4"), 20.0, 25.0)
TRUTH = [Truth("辽A12345", 1.0, 3.0), Truth("辽B6789D", 15.0, 17.0)]
START = datetime(2026, 1, 1, tzinfo=UTC)


def passage(camera: str, plate: str | None, start_s: float, end_s: float, **more) -> Passage:
    return replace(
        Passage(
            id=f"{camera}-{start_s}",
            revision=0,
            camera=camera,
            lane=None,
            direction=None,
            started_at=START + timedelta(seconds=start_s),
            ended_at=START + timedelta(seconds=end_s),
            start_s=start_s,
            end_s=end_s,
            plate=plate,
            plate_class=None,
            probability=0.9,
            text_probabilities=(),
            char_probs=None,
            reads=3,
            vehicle_class=None,
            vehicle_colour=None,
            evidence=None,
            closed=False,
            latency_s=0.1,
        ),
        **more,
    )


def test_every_lap_of_every_camera_shows_every_passage() -> None:
    told = [
        passage(camera, one.plate, lap * 20 + one.start_s + 0.2, lap * 20 + one.end_s)
        for camera in ("a", "b")
        for lap in range(2)
        for one in TRUTH
    ]
    assert found(TRUTH, CLIP, ["a", "b"], 40.0 + EDGE_S, told) == (8, 8)
    assert found(TRUTH, CLIP, ["a", "b"], 40.0 + EDGE_S, told[1:]) == (8, 7)


def test_what_is_still_shown_at_the_end_does_not_count() -> None:
    assert found(TRUTH, CLIP, ["a"], 3.0 + EDGE_S - 0.1, []) == (0, 0)
    assert found(TRUTH, CLIP, ["a"], 3.0 + EDGE_S, []) == (1, 0)


@pytest.mark.parametrize(("plate", "start_s"), [("辽A12346", 1.2), (None, 1.2), ("辽A12345", 9.0)])
def test_another_plate_or_another_time_is_not_right(plate: str | None, start_s: float) -> None:
    told = [passage("a", plate, start_s, start_s + 1)]
    assert found(TRUTH, CLIP, ["a"], 10.0, told) == (1, 0)


def test_another_cameras_passage_is_not_right() -> None:
    told = [passage("b", "辽A12345", 1.2, 2.8)]
    assert found(TRUTH, CLIP, ["a", "b"], 10.0, told) == (2, 1)


def test_an_observer_measures_only_while_it_is_told_to() -> None:
    observer = Observer()
    observer.passage(passage("a", "辽A12345", 1, 2))
    observer.times([FrameTimes("a", 0.01, 0.02, 0.03, 1)])
    assert (observer.new_passages, list(observer.frames_s), observer.reads) == (0, [], 0)
    observer.measuring = True
    observer.passage(passage("a", "辽A12345", 1, 2))  # known from before
    observer.passage(passage("a", "辽B6789D", 3, 4))
    observer.passage(passage("a", None, 5, 6, closed=True))
    observer.times([FrameTimes("a", 0.01, 0.02, 0.03, 2)])
    assert observer.new_passages == 2
    assert list(observer.settled_s) == [0.1]
    assert observer.unsettled == 1
    assert list(observer.frames_s) == pytest.approx([0.06])
    assert observer.reads == 2


@given(st.lists(st.floats(0, 100), min_size=1))
def test_quantiles_are_values_in_order(values: list[float]) -> None:
    ms = quantiles_ms(values)
    assert ms["p50"] <= ms["p95"] <= ms["p99"]  # type: ignore[operator]
    assert all(any(abs(at - 1000 * value) <= 0.06 for value in values) for at in ms.values())


def test_no_value_has_no_quantile() -> None:
    assert quantiles_ms([]) == {"p50": None, "p95": None, "p99": None}
    assert rounded({"a": [1.23456, 2], "b": None}) == {"a": [1.235, 2], "b": None}


MACHINE = {
    "cpu": "a processor",
    "cores": 2,
    "memory_gib": 8.0,
    "load": 0.1,
    "commit": None,
    "measured_at": "2026-01-01T00:00:00+00:00",
}


def result(cameras: int) -> dict:
    ms = {"p50": 80.0, "p95": 190.0, "p99": None}
    return {
        "source": "busy.mp4",
        "rtsp": False,
        "cameras": cameras,
        "decoded_fps": 25.0 * cameras,
        "expected_fps": 25.0 * cameras,
        "recognised_fps": 5.0 * cameras,
        "still_fps": 0.0,
        "light_fps": 0.0,
        "seconds": 60.0,
        "dropped": {"stale": 0, "mailbox": 2},
        "overlooked_s": 0.0,
        "shown": None,
        "right": None,
        "latency_ms": ms,
        "frame_ms": ms,
        "cpu_cores": 1.5,
        "efficiency": 0.83,
        "rss_mib": 700.0,
        "ceiling": {"decode_only_fps": 600.0, "detect_only_fps": 119.0},
    }


def test_a_machine_carries_what_it_loses_nothing_of() -> None:
    def record(cameras: int, **other: object) -> dict:
        return {"kind": "throughput", "name": "", "result": result(cameras) | other}

    enough = [record(1), record(4), record(8, decoded_fps=190.0)]
    assert run_report.carried(enough)["busy.mp4"]["cameras"] == 4
    drops = [record(1), record(4, dropped={"stale": 30})]
    assert run_report.carried(drops)["busy.mp4"]["cameras"] == 1
    passages = [record(1, shown=9, right=9), record(2, shown=18, right=17)]
    assert run_report.carried(passages)["busy.mp4"]["cameras"] == 1
    light = [record(4, decoded_fps=60.0, light_fps=40.0)]
    assert run_report.carried(light)["busy.mp4"]["cameras"] == 4


def test_the_report_says_what_was_not_measured(tmp_path: Path) -> None:
    records = [
        {"kind": "throughput", "name": "busy, 1", "result": result(1)},
        {"kind": "throughput", "name": "busy, 4", "result": result(4)},
        {"kind": "alerts", "name": "loopback", "not_measured": "no Redis"},
    ]
    run_report.write({"mode": "quick", "machine": MACHINE, "records": records}, tmp_path)
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "| busy.mp4 | 4 | 100 of 100 |" in text
    assert "loopback: not measured (no Redis)" in text
    assert "## Savings\n\nnot measured" in text
    assert "![throughput](throughput.png)" in text
    assert (tmp_path / "latency.png").stat().st_size > 1000


def test_the_report_has_a_table_for_each_benchmark() -> None:
    memory = {"first_third_mib": 700.0, "last_third_mib": 701.0}
    memory |= {"peak_mib": 720.0, "slope_mib_h": 0.5}
    profile = {"networks": 0.46, "decoding": 0.375}
    ms = {"p50": 4.1, "p99": 5.2}
    speed = {
        "plates": 10_000,
        "passages_per_s": 33_000.4,
        "doubtful_per_s": 20_000.0,
        "cpu_us": 25.8,
        "single_ms": {"p50": 0.2, "p99": 2.8, "max": 8.0},
    }
    match = {
        "entries": 1_000_000,
        "patterns": 10_000,
        "masks": 200,
        "speeds": [speed],
        "redis": "7.0.15",
        "bytes_per_entry": 697.8,
        "load_s": 40.1,
    }
    alerts = {
        "machine": {"store": "Redis 7.0.15"},
        "latency": {"rate": 200.0, "picture_bytes": 50_000, "ms": ms},
        "sustained": {"hits_per_s": 2447.0},
        "fan": {"subscribers": 500, "alerts": 12_500, "missing": 0, "ms": ms},
    }
    accuracy = {
        "source": "val",
        "pictures": 230,
        "plates": 264,
        "found": {"count": 229, "of": 234, "share": 0.9786},
        "read": {"count": 0, "of": 0, "share": None},
        "class": None,
        "characters": None,
    }
    gpu = {"measured": True, "detect_read": {"frames_per_s": 3100.0}}
    found = {
        "long": result(6) | {"memory": memory, "profile": profile},
        "match": match,
        "alerts": alerts,
        "accuracy": accuracy,
        "gpu": gpu,
    }
    records = [{"kind": kind, "name": "one", "result": one} for kind, one in found.items()]
    text = run_report.markdown({"mode": "full", "machine": MACHINE, "records": records})
    for line in (
        "| slope after the first third, an hour | 0.5 |",
        "| networks | 46.0% |",
        "| 10,000 | 33,000 | 20,000 | 25.8 | 0.2 / 2.8 |",
        "| camera's hit to subscriber at 200 hits/s with 50 KB, ms p50 / p99 | 4.1 / 5.2 |",
        "| alerts to 500 subscribers, missing | 12,500, 0 |",
        "| found | 229 of 234, 97.9% |",
        "| detect read, frames per s | 3100.0 |",
        "![memory](long/memory.png)",
    ):
        assert line in text
    assert "| read |" not in text
