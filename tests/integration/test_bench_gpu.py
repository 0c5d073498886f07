"""``checkpoint bench gpu``: what it says without a GPU, and the same code on CPU tensors."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from benchmarks import gpu
from detectors.device.choice import device_problem
from tests.support.program import checkpoint, events

CLIP = Path(__file__).parents[2] / "pipeline" / "demo_assets" / "demo.mp4"

missing = [n for n in ("torch", "ultralytics") if importlib.util.find_spec(n) is None]
with_torch = pytest.mark.skipif(
    bool(missing), reason=f"{' and '.join(missing)} missing: pip install -e '.[gpu]'"
)


@pytest.mark.skipif(device_problem("auto") is None, reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured_and_that_is_said(tmp_path) -> None:
    done = checkpoint("bench", "gpu", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (record,) = events(done.stdout)
    assert record["measured"] is False
    assert record["reason"].startswith("not measured: no NVIDIA GPU")
    assert record["machine"]["cores"] >= 1
    assert "from_memory" not in record
    shown = checkpoint("bench", "gpu", cwd=tmp_path)
    assert shown.stdout.startswith("not measured: no NVIDIA GPU")


def test_a_device_that_there_is_none_of_is_wrong_usage(tmp_path) -> None:
    done = checkpoint("bench", "gpu", "--device", "tpu", cwd=tmp_path)
    assert done.returncode == 2
    assert "auto, cpu, cuda or cuda:N" in done.stderr


@pytest.mark.skipif(not missing, reason="torch and ultralytics are installed")
def test_a_check_says_what_it_needs(tmp_path) -> None:
    done = checkpoint("bench", "gpu", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 2
    assert "checkpoint-vehicles[gpu]" in done.stderr


@with_torch
def test_a_clip_that_is_none_is_said(tmp_path, capsys) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"no clip")
    for path in (tmp_path / "clip.mp4", tmp_path / "missing.mp4"):
        assert gpu.main(["--device", "cpu", "--source", str(path)]) == 1
        assert str(path) in capsys.readouterr().err


@with_torch
@pytest.mark.long
def test_every_part_runs_on_cpu_tensors(tmp_path, capsys) -> None:
    out = tmp_path / "gpu.json"
    small = ["--seconds", "0.5", "--streams", "2", "--cameras", "1", "--batch", "2"]
    arguments = ["--device", "cpu", "--source", str(CLIP), *small, "--out", str(out)]
    assert gpu.main(arguments) == 0
    record = json.loads(out.read_text(encoding="utf-8"))
    assert record["measured"] is False
    assert "CPU tensors" in record["reason"]
    assert record["device"]["input"] == [640, 384]
    assert record["device"]["nvdec"] is False
    agreement = record["agreement"]
    assert agreement["plates"] == agreement["same_text"] > 0
    assert agreement["corners_px"] < 0.01
    memory, decoding = record["from_memory"], record["decoding"]
    assert memory["frames_per_s"] > 0
    assert 0 < memory["plates_per_frame"] < 3
    assert memory["detect_only_frames_per_s"] > 0
    assert memory["read_only_plates_per_s"] > 0
    assert decoding["frames_per_s"] > 0
    assert decoding["kept_frames_per_s"] > 0
    assert record["end_to_end"]["frames_per_s"] > 0
    assert 0 < record["end_to_end"]["share_of_decoding"] < 1
    assert record["cameras"]["expected_frames_per_s"] == 25
    assert record["cameras"]["latency_ms"]["p95"] > 0
    assert "1 cameras of 25 frames/s" in capsys.readouterr().err
