"""The program on an NVIDIA GPU; skipped where there is none that torch can use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detectors.device.choice import device_problem
from tests.support.program import checkpoint, events

CLIP = Path(__file__).parents[2] / "pipeline" / "demo_assets" / "demo.mp4"
PROBLEM = device_problem("auto")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(PROBLEM is not None, reason=f"no NVIDIA GPU: {PROBLEM}"),
]


@pytest.mark.redis
@pytest.mark.grpc
def test_a_run_on_the_gpu_reads_the_plates_of_the_clip(tmp_path: Path) -> None:
    settings = tmp_path / "checkpoint.toml"
    settings.write_text(
        '[recognition]\ndevice = "cuda"\n[alerts]\nlisten = "127.0.0.1:0"\n'
        f'[[cameras]]\nname = "gate"\nsource = "{CLIP}"\n',
        encoding="utf-8",
    )
    done = checkpoint("run", "--config", str(settings), "--once", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    truth = json.loads(CLIP.with_suffix(".json").read_text(encoding="utf-8"))
    passages = {e["id"]: e for e in events(done.stdout) if e["event"] == "passage"}.values()
    plates = sorted(passage["plate"] for passage in passages)
    assert plates == sorted(passage["main_plate"] for passage in truth["passages"])
    assert all(passage["evidence"] for passage in passages)


def test_the_benchmark_measures(tmp_path: Path) -> None:
    small = ("--seconds", "2", "--streams", "4", "--cameras", "4")
    done = checkpoint("bench", "gpu", "--json", "--source", str(CLIP), *small, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (record,) = events(done.stdout)
    assert record["measured"] is True
    assert record["agreement"]["plates"] == record["agreement"]["same_text"] > 5
    assert record["agreement"]["corners_px"] < 1.5
    assert record["from_memory"]["frames_per_s"] > 100
    assert record["cameras"]["frames_per_s"] > 90
