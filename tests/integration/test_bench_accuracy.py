"""``checkpoint bench accuracy`` as a child process, over frames of the demo's clip."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.support.program import checkpoint

CLIP = ROOT / "pipeline" / "demo_assets" / "demo.mp4"
# Frames of the clip that show one plate, and where it lies: boxes drawn by hand.
FRAMES = {
    143: ("辽AD61375", "green_small", [301, 258, 401, 288]),
    203: ("辽C05316", "yellow_single", [932, 237, 1028, 270]),
    327: ("辽K57H93", "blue", [323, 252, 415, 284]),
}


@pytest.fixture(scope="session")
def pictures() -> dict[int, np.ndarray]:
    passages = json.loads(CLIP.with_suffix(".json").read_text(encoding="utf-8"))["passages"]
    told = {passage["main_plate"] for passage in passages}
    assert {text for text, _, _ in FRAMES.values()} <= told
    with av.open(str(CLIP)) as container:
        decoded = enumerate(container.decode(video=0))
        wanted = ((number, frame) for number, frame in decoded if number in FRAMES)
        return {number: frame.to_ndarray(format="bgr24") for number, frame in wanted}


def save(path: Path, image: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())


@pytest.fixture
def frames(tmp_path: Path, pictures: dict[int, np.ndarray]) -> Path:
    """A folder with frames.jsonl; the last plate has a wrong label."""
    folder = tmp_path / "frames"
    folder.mkdir()
    lines = []
    for number, (text, plate_class, box) in FRAMES.items():
        save(folder / f"{number}.jpg", pictures[number])
        label = "辽K57H98" if text == "辽K57H93" else text
        plate = {"box": box, "text": label, "class": plate_class}
        row = {"image": f"{number}.jpg", "plates": [plate], "plates_complete": True, "fold": "val"}
        lines.append(json.dumps(row, ensure_ascii=False))
    (folder / "frames.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_frames_with_a_broken_line_and_a_missing_picture(frames: Path, tmp_path: Path) -> None:
    file = frames / "frames.jsonl"
    good = file.read_text(encoding="utf-8")
    broken = '{"image": "4.jpg", "plates": [{"box": [1, 2, 3]}], "fold": "val"}\n'
    gone = '{"image": "gone.jpg", "plates": [], "fold": "val"}\n'
    train = '{"image": "train.jpg", "plates": [], "fold": "train"}\n'
    file.write_text(good + broken + gone + train, encoding="utf-8")

    out = tmp_path / "out"
    ran = checkpoint(
        "bench", "accuracy", str(frames), "--fold", "val", "--json", "--out", str(out), "--timing",
        cwd=tmp_path,
    )  # fmt: skip

    assert ran.returncode == 1, ran.stderr
    assert f"{file} line 4: plates.0.box" in ran.stderr
    assert f"{frames / 'gone.jpg'}: no such file" in ran.stderr
    assert "Traceback" not in ran.stderr
    (line,) = ran.stdout.splitlines()
    report = json.loads(line)
    assert report["pictures"] == 3
    assert (report["found"]["count"], report["found"]["of"]) == (3, 3)
    assert (report["read"]["count"], report["read"]["of"]) == (2, 3)
    assert report["class"]["count"] == 3
    assert report["confusions"] == [{"truth": "8", "read": "3", "count": 1}]
    assert report["worst"][0]["read"] == "辽K57H93"
    assert report["false_plates"]["with_text"] == 0
    groups = {g["group"]: g["read"]["count"] for g in report["by"]["plate_class"]["groups"]}
    assert groups == {"green_small": 1, "yellow_single": 1, "blue": 0}
    assert [g["group"] for g in report["by"]["light"]["groups"]] == ["day"]
    assert 0 < report["timing"]["median_ms"] <= report["timing"]["p90_ms"]
    assert report["timing"]["cpu"]
    assert len(report["failures"]) == 2

    assert json.loads((out / "report.json").read_text(encoding="utf-8")) == report
    assert "| 8 | 3 | 1 |" in (out / "report.md").read_text(encoding="utf-8")
    for name in ("shares.png", "reliability.png", "confusions.png", "worst.png"):
        assert cv2.imread(str(out / name)) is not None, name


def test_pictures_named_by_their_plate_give_a_table(
    tmp_path: Path, pictures: dict[int, np.ndarray]
) -> None:
    folder = tmp_path / "named"
    folder.mkdir()
    x1, y1, x2, y2 = FRAMES[327][2]
    # CCPD: corners from the bottom-right, clockwise; 辽 is 7, K 9; 57H93 in its table
    ccpd = (
        f"1-0_0-{x1}&{y1}_{x2}&{y2}-{x2}&{y2}_{x1}&{y2}_{x1}&{y1}_{x2}&{y1}-7_9_29_31_7_33_27-9-9"
    )
    save(folder / f"{ccpd}.png", pictures[327])
    save(folder / "辽AD61375_1.png", pictures[143])
    save(folder / "辽C05316.png", pictures[203])
    ran = checkpoint("bench", "accuracy", str(folder), cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert "3 pictures, 3 plates, 3 of them with a text" in ran.stdout
    assert "3/3" in ran.stdout
    assert "green small" in ran.stdout


def test_false_plates_in_pictures_that_should_have_none(
    tmp_path: Path, pictures: dict[int, np.ndarray]
) -> None:
    folder = tmp_path / "road"
    folder.mkdir()
    save(folder / "empty.png", np.full((360, 640, 3), 90, np.uint8))
    save(folder / "bus.png", pictures[203])
    ran = checkpoint("bench", "accuracy", str(folder), "--no-plates", "--json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    false = json.loads(ran.stdout)["false_plates"]
    assert false["with_text"] == 1
    assert false["with_text_per_200_pictures"] == 100
    assert (false["pictures_with_one"]["count"], false["pictures_with_one"]["of"]) == (1, 2)


def test_crops_without_matplotlib(tmp_path: Path, pictures: dict[int, np.ndarray]) -> None:
    folder = tmp_path / "crops"
    folder.mkdir()
    rows = []
    for number, (text, _, (x1, y1, x2, y2)) in FRAMES.items():
        save(folder / f"{number}.png", pictures[number][y1:y2, x1:x2])
        rows.append(json.dumps({"image": f"{number}.png", "text": text}, ensure_ascii=False))
    (folder / "crops.jsonl").write_text("\n".join(rows), encoding="utf-8")
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from pipeline.cli import main\nsys.argv[0] = 'checkpoint'\nmain()"
    )
    arguments = ["bench", "accuracy", folder, "--json", "--out", tmp_path / "o"]
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stderr
    assert "checkpoint-vehicles[bench]" in ran.stderr
    report = json.loads(ran.stdout)
    assert report["found"] is None
    assert report["read"]["count"] == 3
    assert "checkpoint-vehicles[bench]" in (tmp_path / "o" / "report.md").read_text("utf-8")
    assert not list((tmp_path / "o").glob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["."], 1, "holds no pictures"),
        ([".", "--font", "f.ttf"], 2, "add --out FOLDER"),
        ([".", "--reader-model", "m"], 2, "--reader-model names a model for PaddleOCR"),
    ],
)
def test_what_cannot_be_measured_is_said(
    tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    ran = checkpoint("bench", "accuracy", *arguments, cwd=tmp_path)
    assert ran.returncode == status
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""
