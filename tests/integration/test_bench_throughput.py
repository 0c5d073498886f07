"""``checkpoint bench throughput`` and ``latency`` as their users run them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import clips, run_all
from pipeline.commands.demo import CLIP
from tests.support.program import checkpoint
from tests.support.rtsp_server import require_rtsp

pytestmark = [pytest.mark.redis, pytest.mark.grpc, pytest.mark.slow]
CONTRACT = {
    "cameras",
    "seconds",
    "decoded_fps",
    "recognised_fps",
    "passages",
    "dropped",
    "latency_ms",
    "cpu_cores",
    "rss_mib",
    "device",
    "ceiling",
}


def measured(tmp_path: Path, *arguments: str) -> dict:
    command = ("bench", "throughput", "--source", str(CLIP), "--device", "cpu", *arguments)
    done = checkpoint(*command, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return json.loads(line)


def test_two_cameras_are_measured_beside_their_ceilings(tmp_path: Path) -> None:
    one = measured(tmp_path, "--cameras", "2", "--seconds", "6", "--out", "report", "--profile")
    assert one.keys() >= CONTRACT
    assert (one["cameras"], one["device"]) == (2, "cpu")
    assert one["seconds"] == pytest.approx(6, abs=2)
    assert 0 < one["decoded_fps"] <= 1.3 * one["expected_fps"]
    assert one["expected_fps"] == 50
    assert 0 < one["recognised_fps"] < one["decoded_fps"]
    assert one["dropped"].keys() >= {"stale", "mailbox", "overload"}
    assert set(one["latency_ms"]) == {"p50", "p95", "p99"}
    ceiling = one["ceiling"]
    assert min(ceiling["decode_only_fps"], ceiling["detect_only_fps"]) > 0
    shares = one["cpu_shares"]
    assert sum(shares.values()) == pytest.approx(1, abs=0.01)
    assert one["efficiency"] == pytest.approx(1 - shares["other"], abs=0.01)
    threads = one["cpu_threads"]
    assert sum(threads.values()) == pytest.approx(1, abs=0.01)
    assert min(threads["cameras"], threads["recognition"], threads["native"]) > 0.01
    profile = one["profile"]
    assert sum(profile.values()) == pytest.approx(1, abs=0.01)
    assert min(profile["decoding"], profile["networks"]) > 0.05
    assert (tmp_path / "report" / "stacks.txt").stat().st_size > 0
    assert 0.5 < one["fairness"] <= 1
    assert one["memory"]["peak_mib"] >= one["memory"]["last_third_mib"] > 50
    assert 0 <= one["right"] <= one["shown"]
    kept = json.loads((tmp_path / "report" / "throughput.json").read_text(encoding="utf-8"))
    assert len(kept["series"]) >= 3
    assert (tmp_path / "report" / "memory.png").stat().st_size > 1000


@pytest.mark.rtsp
def test_cameras_are_served_by_rtsp(tmp_path: Path) -> None:
    require_rtsp()
    one = measured(tmp_path, "--cameras", "2", "--seconds", "5", "--rtsp", "--fps", "4")
    assert one["rtsp"] is True
    assert one["decoded_fps"] > 0
    assert one["recognised_fps"] > 0


@pytest.mark.rtsp
def test_h265_cameras_are_served_by_rtsp(tmp_path: Path) -> None:
    require_rtsp()
    made = clips.make(tmp_path, ("busy_h265",), seconds=2.0)
    source = ("--source", str(made["busy_h265"]))
    one = measured(tmp_path, *source, "--cameras", "1", "--seconds", "5", "--rtsp")
    assert (one["rtsp"], one["source"]) == (True, "busy_h265.mp4")
    assert one["decoded_fps"] > 0
    assert one["recognised_fps"] > 0


def test_savings_are_switched_off_by_name(tmp_path: Path) -> None:
    off = ("--off", "motion_gate", "--off", "skip_settled", "--on", "key_frames")
    one = measured(tmp_path, "--cameras", "1", "--seconds", "2", *off)
    assert one["savings"] == {
        "motion_gate": False,
        "light_decoding": True,
        "key_frames": True,
        "skip_deblocking": False,
        "scale_planes": True,
        "skip_settled": False,
        "ease_known": True,
    }
    assert one["still_fps"] == 0


@pytest.mark.parametrize(
    ("arguments", "says", "status"),
    [
        (("throughput", "--source", "none.mp4"), "no such file", 1),
        (("throughput", "--source", str(CLIP), "--off", "luck"), "no such saving", 2),
        (("throughput", "--source", str(CLIP), "--cameras", "0"), "cameras", 2),
        (("latency", "--source", "none.mp4"), "no such file", 1),
        (("latency", "--source", str(CLIP), "--cameras", "0"), "cameras", 2),
    ],
)
def test_mistakes_are_named(
    tmp_path: Path, arguments: tuple[str, ...], says: str, status: int
) -> None:
    done = checkpoint("bench", *arguments, cwd=tmp_path)
    assert done.returncode == status
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_way_from_camera_to_subscriber_is_measured_by_stage(tmp_path: Path) -> None:
    command = ("bench", "latency", "--source", str(CLIP), "--seconds", "12", "--json")
    done = checkpoint(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    one = json.loads(done.stdout)
    assert one["plates"] == 11
    assert one["hits"] >= 1
    stages = one["ms"]
    for stage in ("decode", "wait", "recognise", "settle", "match", "publish", "total", "in_view"):
        assert stages[stage]["p50"] >= 0
    assert stages["total"]["p99"] >= stages["settle"]["p50"]
    assert stages["in_view"]["p50"] >= stages["total"]["p50"]


@pytest.mark.parametrize("name", ["busy_h264", "layers_h264", "quiet_h265"])
def test_clips_are_made_as_a_camera_sends_them(tmp_path: Path, name: str) -> None:
    import av

    made = clips.make(tmp_path, (name,), seconds=0.6)
    kind = clips.KINDS[name]
    with av.open(str(made[name])) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (1920, 1080, 25)
        assert stream.codec_context.name == ("hevc" if "265" in name else "h264")
        stream.codec_context.skip_frame = "NONREF"
        frames = sum(1 for _ in container.decode(stream))
    shown = 30 if kind.quiet else 15
    truth = json.loads(made[name].with_suffix(".json").read_text(encoding="utf-8"))
    assert truth["frames"] == shown
    assert frames == pytest.approx(shown / 2, abs=2) if kind.layers else frames == shown
    before = made[name].stat().st_mtime_ns
    assert clips.make(tmp_path, (name,))[name].stat().st_mtime_ns == before  # not made twice


def test_what_fails_is_not_measured_and_the_rest_is(tmp_path: Path) -> None:
    import sys

    good = run_all.Step("match", "good", (sys.executable, "-c", "print('{\"a\": 1}')"), 60)
    bad = run_all.Step("alerts", "bad", (sys.executable, "-c", "raise SystemExit('no luck')"), 60)
    slow = run_all.Step("long", "slow", (sys.executable, "-c", "import time; time.sleep(60)"), 0.5)
    records = [run_all.run(step, tmp_path) for step in (good, bad, slow)]
    assert records[0]["result"] == {"a": 1}
    assert records[1]["not_measured"] == "no luck"
    assert "more than" in records[2]["not_measured"]
    assert len(list(tmp_path.glob("*.json"))) == 3
    none = 'print(\'{"measured": false, "reason": "not measured: no GPU"}\')'
    without = run_all.run(run_all.Step("gpu", "device", (sys.executable, "-c", none), 60), tmp_path)
    assert without["not_measured"] == "no GPU"
