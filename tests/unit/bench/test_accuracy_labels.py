"""Label files and file names, as ``checkpoint bench accuracy`` takes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy.labels import Choice, TextSource, load
from benchmarks.accuracy.names import parse_ccpd, parse_plates
from pipeline.errors import InputError
from pipeline.types import PlateClass

CCPD = "025-95_113-154&383_386&473-386&473_177&454_154&383_363&402-0_0_22_27_27_33_16-37-15"
GREEN = "04-90_267-158&448_542&553-541&553_162&551_158&448_542&450-0_1_3_24_27_33_30_24-99-116"


def frame(**more: object) -> dict[str, object]:
    plate = {"box": [10, 20, 110, 52], "text": "辽A12345"}
    return {"image": "a.jpg", "plates": [plate | dict(more.pop("plate", {}))]} | more


def write(folder: Path, name: str, *rows: object) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_a_ccpd_name_tells_text_box_and_corners() -> None:
    name = parse_ccpd(CCPD)
    assert name is not None
    assert name.text == "皖AY339S"
    assert name.box_px() == (154, 383, 386, 473)
    assert name.corners_px().tolist() == [[154, 383], [363, 402], [386, 473], [177, 454]]


def test_a_ccpd_name_of_a_new_energy_plate() -> None:
    name = parse_ccpd(GREEN)
    assert name is not None
    assert name.text == "皖BD03960"


@pytest.mark.parametrize(
    "stem",
    [
        "1000",
        "皖A12345",
        CCPD.replace("0_0_22", "77_0_22"),  # no such province
        CCPD.replace("154&383_386&473-", "386&383_154&473-"),  # a box turned inside out
        CCPD.replace("-386&473_177&454", "-386&473"),  # three corners
    ],
)
def test_other_names_are_no_ccpd_names(stem: str) -> None:
    assert parse_ccpd(stem) is None


@pytest.mark.parametrize(
    ("stem", "plates"),
    [
        ("皖A12345", ("皖A12345",)),
        ("皖A·12345_1", ("皖A12345",)),
        ("皖a12345-2", ("皖A12345",)),
        ("gate 3_辽AD12345 (2)", ("辽AD12345",)),
        ("皖A12345_辽B54321", ("皖A12345", "辽B54321")),
        ("IMG_0001", ()),
        ("皖A1234", ()),
        ("Москва", ()),
    ],
)
def test_plates_in_names(stem: str, plates: tuple[str, ...]) -> None:
    assert parse_plates(stem) == plates


def test_a_frame_line(tmp_path: Path) -> None:
    corners = [[10, 20], [110, 22], [110, 52], [10, 50]]
    row = frame(plate={"corners": corners, "colour": "蓝色"}, plates_complete=True, set="gate")
    (picture,) = load(write(tmp_path, "frames.jsonl", row), Choice()).pictures
    assert picture.path == tmp_path / "a.jpg"
    assert picture.complete
    assert picture.subset == "gate"
    (plate,) = picture.plates
    assert plate.text == "辽A12345"
    assert plate.box == (10, 20, 110, 52)
    assert np.array_equal(plate.corners, corners)
    assert plate.plate_class is PlateClass.BLUE


@pytest.mark.parametrize(
    ("told", "kind", "plate_class"),
    [
        ({"text": "辽A12345"}, "ordinary, colour not told", None),
        ({"text": "辽A12345", "colour": "black"}, "ordinary, colour not told", None),
        ({"text": "辽A12345", "colour": "黄色"}, "yellow", None),
        ({"text": "辽A12345", "class": "yellow_double"}, "yellow_double", PlateClass.YELLOW_DOUBLE),
        ({"text": "辽AD12345", "colour": "黄色"}, "green_small", PlateClass.GREEN_SMALL),
        ({"text": "辽A1234挂"}, "trailer", PlateClass.TRAILER),
        ({"text": "HELLO"}, "no known form", None),
        ({"text": None}, None, None),
        ({"text": None, "class": "army"}, "army", PlateClass.ARMY),
    ],
)
def test_the_class_is_what_the_label_leaves_possible(
    tmp_path: Path, told: dict, kind: str | None, plate_class: PlateClass | None
) -> None:
    file = write(tmp_path, "frames.jsonl", frame(plate=told))
    (picture,) = load(file, Choice()).pictures
    assert (picture.plates[0].kind, picture.plates[0].plate_class) == (kind, plate_class)


def test_texts_are_brought_into_their_one_spelling(tmp_path: Path) -> None:
    file = write(tmp_path, "crops.jsonl", {"image": "a.jpg", "text": "辽a·12345"})
    (picture,) = load(file, Choice()).pictures
    assert picture.plates[0].text == "辽A12345"


def test_texts_of_a_model_can_be_left_out(tmp_path: Path) -> None:
    read = {"image": "b.jpg", "text": "辽A12345", "text_source": "model"}
    crops = write(tmp_path, "crops.jsonl", {"image": "a.jpg", "text": "辽B54321"}, read)
    only = Choice(texts=TextSource.DATASET)
    assert len(load(crops, Choice()).pictures) == 2
    assert [p.name for p in load(crops, only).pictures] == ["a.jpg"]
    frames = write(tmp_path, "frames.jsonl", frame(plate={"text_source": "model"}))
    (picture,) = load(frames, only).pictures  # the plate is there all the same
    assert [plate.text for plate in picture.plates] == [None]


def test_a_folder_with_both_files_gives_frames_unless_crops_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path, "frames.jsonl", frame())
    write(tmp_path, "crops.jsonl", {"image": "c.jpg", "text": "辽A12345"})
    assert not load(tmp_path, Choice()).crops
    labels = load(tmp_path, Choice(crops=True))
    assert labels.crops
    assert [picture.name for picture in labels.pictures] == ["c.jpg"]


def test_one_fold(tmp_path: Path) -> None:
    file = write(tmp_path, "f.jsonl", frame(fold="train"), frame(fold="val", image="v.jpg"))
    assert [p.name for p in load(file, Choice(fold="val")).pictures] == ["v.jpg"]
    with pytest.raises(InputError, match=r"no line is of fold 'test' \(folds there: train, val\)"):
        load(file, Choice(fold="test"))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"image": "a.jpg", "plates": [', "Invalid JSON"),
        (frame(plate={"box": [10, 20, 110]}), "plates.0.box.3: Field required"),
        (frame(plate={"box": [110, 20, 10, 52]}), "x1 < x2"),
        (frame(plate={"box": [10, 20, 110, "far"]}), "plates.0.box.3"),
        (frame(plate={"text": "Α12345"}), "U\\+0391"),  # a Greek letter
        ({"plates": []}, "image: Field required"),
    ],
)
def test_a_broken_line_is_named_and_the_rest_is_used(
    tmp_path: Path, row: object, reason: str
) -> None:
    labels = load(write(tmp_path, "frames.jsonl", frame(), "", row), Choice())
    assert len(labels.pictures) == 1
    (failure,) = labels.failures
    assert failure.startswith(f"{tmp_path / 'frames.jsonl'} line 3: ")
    with pytest.raises(InputError, match=reason):
        load(write(tmp_path, "frames.jsonl", row), Choice())


@pytest.mark.parametrize(
    ("names", "choice", "message"),
    [
        ((), Choice(), "holds no pictures"),
        (("IMG_1.jpg", "IMG_2.jpg"), Choice(), "nothing there has a label"),
        ((), Choice(no_plates=True), "holds no pictures"),
    ],
)
def test_a_folder_without_anything_to_measure(
    tmp_path: Path, names: tuple[str, ...], choice: Choice, message: str
) -> None:
    touch(tmp_path, *names)
    with pytest.raises(InputError, match=message):
        load(tmp_path, choice)


def test_an_empty_label_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is empty; it should hold one JSON object a line"):
        load(write(tmp_path, "frames.jsonl", ""), Choice())


def test_names_as_labels(tmp_path: Path) -> None:
    touch(tmp_path, f"{CCPD}.jpg", "north/辽A12345.png", "IMG_7.jpg")
    labels = load(tmp_path, Choice())
    assert [p.plates[0].text for p in labels.pictures] == ["皖AY339S", "辽A12345"]
    assert labels.pictures[0].plates[0].box is not None
    assert labels.pictures[1].plates[0].box is None
    assert labels.pictures[1].subset == "north"
    (failure,) = labels.failures
    assert failure.startswith(f"{tmp_path / 'IMG_7.jpg'}: its name tells no plate")


def test_named_crops_have_no_place_in_a_picture(tmp_path: Path) -> None:
    touch(tmp_path, f"{CCPD}.jpg", "辽A12345_辽A54321.jpg")
    labels = load(tmp_path, Choice(crops=True))
    assert [p.plates[0].box for p in labels.pictures] == [None]
    assert "2 plates" in labels.failures[0]


def test_without_plates_every_picture_counts(tmp_path: Path) -> None:
    touch(tmp_path, "IMG_1.jpg", "辽A12345.jpg")
    labels = load(tmp_path, Choice(no_plates=True))
    assert all(picture.complete and not picture.plates for picture in labels.pictures)
    assert len(labels.pictures) == 2


def test_a_limit_spreads_over_all(tmp_path: Path) -> None:
    rows = [frame(image=f"{number}.jpg") for number in range(101)]
    labels = load(write(tmp_path, "frames.jsonl", *rows), Choice(limit=5))
    assert [p.name for p in labels.pictures] == ["0.jpg", "25.jpg", "50.jpg", "75.jpg", "100.jpg"]
