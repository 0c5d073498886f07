"""Real picture files: every depth and colour, broken ones, names in Chinese."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from structlog.testing import capture_logs

from pipeline.errors import InputError
from pipeline.source import EndOfMedia, Sample, Source, list_pictures, open_source, read_picture

RAMP = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (48, 1))


def write(path: Path, image: np.ndarray, *options: int) -> Path:
    ok, encoded = cv2.imencode(path.suffix, image, list(options))
    assert ok
    path.write_bytes(encoded.tobytes())
    return path


def samples(source: Source) -> list[Sample]:
    found: list[Sample] = []
    try:
        while True:
            sample = source.read()
            if sample is not None:
                found.append(sample)
    except EndOfMedia:
        return found
    finally:
        source.close()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp"])
def test_colour_pictures_are_bgr(tmp_path: Path, suffix: str) -> None:
    image = np.full((48, 64, 3), (200, 100, 20), np.uint8)
    found = read_picture(write(tmp_path / f"车 牌{suffix}", image))
    assert found.dtype == np.uint8
    assert found.shape == (48, 64, 3)
    assert np.abs(found.astype(int) - image).max() <= 6


@pytest.mark.parametrize(
    "image",
    [
        RAMP,
        RAMP.astype(np.uint16) * 257,
        np.dstack([RAMP, RAMP, RAMP, np.full_like(RAMP, 128)]),
        np.dstack([RAMP, RAMP, RAMP]).astype(np.uint16) * 257,
    ],
    ids=["grey", "grey16", "transparent", "colour16"],
)
def test_other_depths_become_bgr(tmp_path: Path, image: np.ndarray) -> None:
    found = read_picture(write(tmp_path / "a.png", image))
    assert found.dtype == np.uint8
    assert found.shape == (48, 64, 3)
    assert np.abs(found[..., 1].astype(int) - RAMP).max() <= 1


def test_a_picture_is_turned_upright(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", np.dstack([RAMP, RAMP, RAMP]))
    content = path.read_bytes()
    exif = (
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01"
        b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"  # orientation 6: turn a quarter clockwise
        b"\0\0\0\0"
    )
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    path.write_bytes(content[:2] + segment + content[2:])
    upright = read_picture(path)
    assert upright.shape == (64, 48, 3)
    assert upright[0].mean() < 20 < 235 < upright[-1].mean()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"no picture at all", "no picture"),
        (b"\xff\xd8\xff\xe0\0\x10JF", "cut off"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "坏.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_picture(path)
    assert str(path) in str(caught.value)
    with pytest.raises(InputError, match=words):
        samples(open_source(str(path), sample_fps=5))


def test_a_cut_off_picture_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    path = write(tmp_path / "a.jpg", noise)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="cut off"):
        read_picture(path)


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_picture(tmp_path / "none.jpg")
    with pytest.raises(InputError, match="cannot be read"):
        read_picture(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        open_source(str(tmp_path / "none"), sample_fps=5)


def test_a_folder_gives_its_pictures_in_order_and_goes_on_past_a_broken_one(tmp_path: Path) -> None:
    for number, name in enumerate(["b.png", "a.jpg", "夜/c.PNG"]):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        image = np.full((20, 30, 3), 40 * (number + 1), np.uint8)
        path.write_bytes(cv2.imencode(path.suffix.lower(), image)[1].tobytes())
    (tmp_path / "aa.jpg").write_bytes(b"broken")
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "._a.jpg").write_bytes(b"left behind by another system")
    source = open_source(f"file://{tmp_path}", sample_fps=4)
    with capture_logs() as logs:
        found = samples(source)
    assert [round(float(one.image.mean()) / 40) for one in found] == [2, 1, 3]
    assert [one.media_s for one in found] == [0.0, 0.5, 0.75]  # the broken one keeps its place
    assert (source.decoded, source.broken) == (3, 1)
    assert len(logs) == 1
    assert "aa.jpg" in logs[0]["reason"]


def test_a_folder_of_nothing_but_broken_pictures(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(InputError, match="none of its 2 pictures"):
        samples(open_source(str(tmp_path), sample_fps=5))


def test_folders_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no pictures"):
        open_source(str(tmp_path), sample_fps=5)
    (tmp_path / "notes.txt").write_text("not a picture")
    with pytest.raises(InputError, match="holds no pictures") as caught:
        list_pictures(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_picture_without_a_suffix_is_known_by_its_content(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", np.dstack([RAMP, RAMP, RAMP])).rename(tmp_path / "picture")
    assert len(samples(open_source(str(path), sample_fps=5))) == 1
