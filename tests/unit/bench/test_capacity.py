"""What many cameras need, predicted from what few cost; and how that fits what was measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from benchmarks.capacity import (
    SIZES,
    Assumptions,
    Point,
    compare,
    costs_of,
    model,
    need,
)
from benchmarks.capacity_measured import measured_bytes, read_points
from pipeline.commands.bench import app
from pipeline.errors import ConfigError, InputError

MEASURED = [
    Path(__file__).parents[2] / "support" / "measured" / name
    for name in ("results.json", "four.json", "six.json")
]
CPU_MS = {"decode": 4.0, "detect": 20.0, "read": 2.0}


def point(cameras: int, *, lost: float = 0.0, cores: float | None = None) -> Point:
    """A run of cameras that decode 20 frames, detect 4 and read 3 plates a second each.

    Alone that is 0.08 + 0.08 + 0.006 cores; the rest of the path adds 0.034.
    """
    return Point(
        name=f"{cameras}.json",
        cameras=cameras,
        machine_cores=2.0,
        cores=0.2 * cameras if cores is None else cores,
        decoded_s=20.0 * cameras,
        detected_s=4.0 * cameras,
        reads_s=3.0 * cameras,
        passages_s=0.4 * cameras,
        rss_mib=500.0 + 20 * cameras,
        lost_share=lost,
        cpu_ms=CPU_MS,
    )


def record(cameras: int = 4) -> dict:
    """As ``bench throughput --json`` writes it."""
    return {
        "cameras": cameras,
        "seconds": 60.0,
        "decoded_fps": 80.0,
        "recognised_fps": 16.0,
        "passages": 96,
        "dropped": {"stale": 0, "mailbox": 0, "overload": 6},
        "cpu_cores": 0.8,
        "rss_mib": 580.0,
        "ceiling": {"decode_only_fps": 500.0, "cpu_ms": CPU_MS},
        "cpu_shares": {"decode": 0.4, "detect": 0.4, "read": 0.03, "other": 0.17},
        "machine": {"cpu": "a CPU", "cores": 2, "commit": None},
    }


def write(path: Path, content: dict) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_costs_are_those_of_one_camera() -> None:
    costs = costs_of([point(4), point(8)])
    assert costs.part_cores == pytest.approx({"decode": 0.08, "detect": 0.08, "read": 0.006})
    assert costs.other_cores == pytest.approx(0.034)
    assert costs.cores == pytest.approx(0.2)
    assert (costs.base_mib, costs.rss_mib) == pytest.approx((500.0, 20.0))
    assert costs.passages_s == pytest.approx(0.4)


def test_an_overloaded_run_tells_no_costs() -> None:
    full = point(40, lost=0.5, cores=2.0)
    assert costs_of([point(4), full]) == costs_of([point(4)])  # but for memory, which is bounded
    assert costs_of([point(4)], base_mib=900).rss_mib == 0
    with pytest.raises(InputError, match="measure fewer cameras"):
        costs_of([point(40, lost=0.5, cores=2.0)])


def test_what_was_measured_is_held_against_the_model() -> None:
    full = point(40, lost=0.5, cores=2.0)
    _, agreeing, overloaded = compare([point(4), point(8), full])
    assert agreeing.agrees
    assert agreeing.foretold
    assert agreeing.error == pytest.approx(0.0)
    assert overloaded.error is None
    assert overloaded.agrees  # 8 cores wanted of 2
    _, differing = compare([point(4), point(8, cores=2.4)])
    assert not differing.agrees
    assert differing.error == pytest.approx(1.6 / 2.4 - 1)
    _, wrong = compare([point(4), point(5, lost=0.5, cores=2.0)])
    assert not wrong.agrees  # the model says that there was room
    _, shared = compare([point(4), replace(point(5, lost=0.5, cores=0.9), load=1.0)])
    assert shared.agrees  # but not beside what else ran there
    (alone,) = compare([point(4)])
    assert not alone.foretold


def test_more_traffic_is_no_error_of_the_model() -> None:
    busy = replace(point(4), decoded_s=160.0, detected_s=32.0, reads_s=24.0, cores=1.6)
    _, found = compare([point(4), busy])
    assert found.error == pytest.approx(0.0)


def test_needs_of_a_thousand_cameras() -> None:
    found = need(1000, costs_of([point(4)]), Assumptions())
    assert found.cores == pytest.approx(200.0)
    assert found.nodes == 9  # 112 cameras keep 70 % of 32 cores busy
    assert found.cameras_per_node == 112
    assert found.spare_nodes == 1
    assert found.gpu_nodes == 10 + 1
    assert found.camera_gbit_s == pytest.approx(4.0)
    assert found.passages_s == pytest.approx(1000 * 1000 / 3600)
    assert found.hits_s == pytest.approx(found.passages_s / 1000)
    assert found.storage_gb_day == pytest.approx(1000 * 10_000 * 54_700 / 1e9)
    assert found.redis_cores == 1


@given(
    st.integers(1, 20_000),
    st.integers(1, 20_000),
    st.floats(1, 128),
    st.floats(0.1, 1.0),
)
def test_more_cameras_never_need_less_and_no_node_is_overfull(
    few: int, more: int, cores: float, busy: float
) -> None:
    given_ = replace(Assumptions(), node_cores=cores, busy_share=busy)
    costs = costs_of([point(4)])
    small, large = (need(n, costs, given_) for n in sorted((few, more)))
    for name in ("nodes", "gpu_nodes", "camera_gbit_s", "passages_s", "storage_gb_day"):
        assert getattr(small, name) <= getattr(large, name)
    for found in (small, large):
        assert found.nodes * found.cameras_per_node >= found.cameras
        wanted = found.cameras_per_node * costs.cores
        assert wanted <= cores * busy + 1e-6 or found.cameras_per_node == 1


def test_every_assumption_says_why() -> None:
    assert all(Assumptions().reasons().values())


def test_a_result_of_the_throughput_bench_is_read(tmp_path: Path) -> None:
    (found,) = read_points(write(tmp_path / "run.json", record()))
    assert (found.cameras, found.cores, found.machine_cores) == (4, 0.8, 2.0)
    assert found.reads_s == pytest.approx(0.03 * 0.8 * 1000 / 2.0)
    assert found.passages_s == pytest.approx(1.6)
    assert found.lost_share == pytest.approx(0.1 / 16.1)
    assert not found.overloaded


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cameras": "x"}', "null", "no JSON"])
def test_anything_else_is_refused_with_the_files_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"run\.json"):
        read_points(tmp_path / "run.json")
    with pytest.raises(InputError, match=r"none\.json"):
        read_points(tmp_path / "none.json")


def test_all_that_make_bench_has_measured_is_read(tmp_path: Path) -> None:
    records = [
        {"kind": "throughput", "name": "quiet, 4", "result": record()},
        {"kind": "throughput", "name": "quiet, 8", "not_measured": "took too long"},
        {"kind": "match", "name": "entries", "result": {"lookups_s": 1}},
    ]
    (found,) = read_points(write(tmp_path / "results.json", {"records": records}))
    assert (found.name, found.cameras) == ("quiet, 4", 4)
    (part,) = read_points(write(tmp_path / "part.json", records[0]))
    assert part == found
    with pytest.raises(InputError, match="was measured in it"):
        read_points(write(tmp_path / "empty.json", {"records": records[1:]}))


def test_what_was_measured_here_is_foretold() -> None:
    """Real runs on two cores: one, two and four cameras, and six beside another program."""
    arguments = [part for one in MEASURED for part in ("--measured", str(one))]
    done = CliRunner().invoke(app, ["capacity", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert [one["cameras"] for one in said["measured"]] == [1, 2, 4, 6]
    assert all(one["agrees"] and one["foretold"] for one in said["measured"])
    assert [one["overloaded"] for one in said["measured"]] == [False, False, False, True]
    table = CliRunner().invoke(app, ["capacity", *arguments]).stdout
    for row in ("nodes", "GPUs", "video in all", "to and from Redis", "alerts, Mbit/s"):
        line = next(line for line in table.splitlines() if row in line)
        assert len([part for part in line.split() if part[0].isdigit()]) == len(SIZES), line


def test_bytes_are_measured_in_a_data_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no passages"):
        measured_bytes(tmp_path)
    day = tmp_path / "evidence" / "2026-03-01"
    day.mkdir(parents=True)
    for number in range(2):
        (day / f"{number}.jpg").write_bytes(b"x" * 1000)
        (day / f"{number}.json").write_bytes(b"x" * 100)
    (tmp_path / "passages.sqlite").write_bytes(b"x" * 4096)
    assert measured_bytes(tmp_path) == {"evidence_bytes": 1100.0, "record_bytes": 2048.0}


def test_the_command(tmp_path: Path) -> None:
    run = str(write(tmp_path / "run.json", record()))
    arguments = ["capacity", "--measured", run, "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*arguments, "--json", "--assume", "node_cores=64"])
    assert done.exit_code == 0, done.output
    (line,) = done.stdout.splitlines()
    said = json.loads(line)
    assert said == json.loads((tmp_path / "out" / "capacity.json").read_text(encoding="utf-8"))
    assert [one["cameras"] for one in said["needs"]] == list(SIZES)
    assert said["assumptions"]["node_cores"] == {"value": 64, "why": "given"}
    assert said["measured"][0]["agrees"]
    assert (tmp_path / "out" / "capacity.png").stat().st_size > 1000
    table = CliRunner().invoke(app, ["capacity", "--measured", run, "--cameras", "50"])
    assert "50" in table.stdout
    assert "Prices are yours" in table.stdout


@pytest.mark.parametrize("given_", ["nodes=3", "node_cores=many", "node_cores=0", "hit_share=-1"])
def test_a_wrong_assumption_is_refused(tmp_path: Path, given_: str) -> None:
    run = str(write(tmp_path / "run.json", record()))
    done = CliRunner().invoke(app, ["capacity", "--measured", run, "--assume", given_])
    assert isinstance(done.exception, ConfigError)
    assert "--assume" in str(done.exception)


def test_the_model_keeps_what_it_was_made_from() -> None:
    report = model([point(2), point(6)], Assumptions(), (10,))
    assert [one.agrees for one in report.comparisons] == [True, True]
    assert [one.cameras for one in report.needs] == [10]
