"""The program with PaddleOCR as its reader; skipped where the ``paddleocr`` extra is missing."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import av
import cv2
import pytest

from detectors.manifest import SHIPPED
from pipeline.commands.demo import CLIP
from tests.support.program import checkpoint, events

PLATES = [p["main_plate"] for p in json.loads(CLIP.with_suffix(".json").read_text())["passages"]]

with_paddleocr = pytest.mark.skipif(
    importlib.util.find_spec("paddleocr") is None,
    reason="paddleocr missing: pip install -e '.[dev,paddleocr]'",
)


@with_paddleocr
@pytest.mark.redis
@pytest.mark.grpc
@pytest.mark.slow
def test_a_run_reads_the_plates_of_the_clip(tmp_path: Path) -> None:
    settings = tmp_path / "checkpoint.toml"
    settings.write_text(
        '[recognition]\nreader = "paddleocr"\n[alerts]\nlisten = "127.0.0.1:0"\n'
        f'[[cameras]]\nname = "gate"\nsource = "{CLIP}"\n',
        encoding="utf-8",
    )
    done = checkpoint("run", "--config", str(settings), "--once", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    passages = {e["id"]: e for e in events(done.stdout) if e["event"] == "passage"}.values()
    assert sorted(passage["plate"] for passage in passages) == sorted(PLATES)
    assert all(passage["probability"] > 0.9 for passage in passages)


@with_paddleocr
def test_a_picture_is_read_by_a_named_folder(tmp_path: Path) -> None:
    picture = tmp_path / "frame.png"
    with av.open(str(CLIP)) as clip:
        for number, frame in enumerate(clip.decode(video=0)):
            if number == 50:
                cv2.imwrite(str(picture), frame.to_ndarray(format="bgr24"))
                break
    arguments = ("recognise", "--json", str(picture))
    shipped = checkpoint(*arguments, cwd=tmp_path)
    folder = ("--reader", "paddleocr", "--reader-model", str(SHIPPED / "reader_ppocr"))
    named = checkpoint(*arguments, *folder, cwd=tmp_path)
    assert named.returncode == 0, named.stderr
    (wanted,), (given,) = events(shipped.stdout), events(named.stdout)
    assert wanted["plates"]
    for one, other in zip(given["plates"], wanted["plates"], strict=True):
        assert (one["text"], one["class"]) == (other["text"], other["class"])
        assert one["char_probabilities"] == pytest.approx(other["char_probabilities"], abs=2e-3)


def test_a_model_without_its_reader_is_wrong_usage(tmp_path: Path) -> None:
    arguments = ("recognise", str(tmp_path), "--reader-model", str(tmp_path))
    done = checkpoint(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "--reader paddleocr" in done.stderr
    assert checkpoint("recognise", ".", "--reader", "tesseract", cwd=tmp_path).returncode == 2
