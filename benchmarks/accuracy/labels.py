"""Where labels come from: ``frames.jsonl``, ``crops.jsonl``, or the pictures' own file names.

A line of ``frames.jsonl`` is a picture with its plates::

    {"image": "frames/1.jpg", "plates": [{"box": [x1, y1, x2, y2], "corners": [[x, y], …],
     "text": "辽A12345", "colour": "blue", "class": "blue"}], "plates_complete": true}

``box`` alone must be there. A line of ``crops.jsonl`` is a plate that has been cut out::

    {"image": "crops/1.jpg", "text": "辽A12345"}

Either may have ``fold``, ``set`` (a camera or collection) and, beside a text, ``text_source``;
paths are relative to the file. Without such a file the names of the pictures are the labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from benchmarks.accuracy.names import parse_ccpd, parse_plates
from benchmarks.accuracy.records import LabelledPicture, LabelledPlate, Labels
from pipeline.errors import InputError, WatchlistError
from pipeline.source import is_picture, list_pictures
from pipeline.types import PlateClass
from watchlist.grammar import classify, normalise

_YELLOW = frozenset((PlateClass.YELLOW_SINGLE, PlateClass.YELLOW_DOUBLE))
_COLOURS = {
    "蓝": frozenset((PlateClass.BLUE,)),
    "blue": frozenset((PlateClass.BLUE,)),
    "黄": _YELLOW,
    "yellow": _YELLOW,
}
_FORMS = (
    "a folder with frames.jsonl or crops.jsonl, pictures with CCPD names, or pictures named by "
    "their plate (辽A12345.jpg, 辽A12345_2.jpg)"
)


class TextSource(StrEnum):
    """Which texts count: all of them, or only those that no model has read."""

    ALL = "all"
    DATASET = "dataset"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which part of the labels is measured.

    ``crops``: the pictures are plates that have been cut out. ``no_plates``: no picture holds a
    plate. ``limit``: at most so many pictures, evenly spread.
    """

    fold: str | None = None
    texts: TextSource = TextSource.ALL
    crops: bool = False
    no_plates: bool = False
    limit: int | None = None


def load(source: Path, choice: Choice) -> Labels:
    """Read the labels of a folder, or of one label file.

    Raises:
        InputError: there is nothing to measure.
    """
    if choice.no_plates:
        labels = _without_plates(source, choice)
    elif (file := _label_file(source, choice.crops)) is not None:
        labels = _read_file(file, choice)
    else:
        labels = _read_names(source, choice)
    pictures = labels.pictures
    if choice.limit is not None and choice.limit < len(pictures):
        places = np.linspace(0, len(pictures) - 1, choice.limit).round().astype(int)
        pictures = tuple(pictures[place] for place in places)
    return Labels(labels.source, labels.form, pictures, labels.crops, labels.failures)


# --- label files ---------------------------------------------------------------------------


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _PlateRow(_Row):
    text: str | None = None
    text_source: str | None = None
    colour: str | None = None
    plate_class: PlateClass | None = Field(None, alias="class")

    def spelling(self, texts: TextSource) -> str | None:
        """The text in its one spelling, None where it is not told or does not count."""
        if not self.text or (texts is TextSource.DATASET and self.text_source == "model"):
            return None
        return normalise(self.text)


Pair = tuple[FiniteFloat, FiniteFloat]


class _BoxedRow(_PlateRow):
    box: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
    corners: tuple[Pair, Pair, Pair, Pair] | None = None

    @model_validator(mode="after")
    def _box_has_area(self) -> Self:
        x1, y1, x2, y2 = self.box
        if not (x1 < x2 and y1 < y2):
            raise ValueError("box must be [x1, y1, x2, y2] with x1 < x2 and y1 < y2")
        return self


class _FrameLine(_Row):
    image: Annotated[str, Field(min_length=1)]
    plates: tuple[_BoxedRow, ...]
    plates_complete: bool = False
    subset: str | None = Field(None, alias="set")
    fold: str | None = None


class _CropLine(_PlateRow):
    image: Annotated[str, Field(min_length=1)]
    subset: str | None = Field(None, alias="set")
    fold: str | None = None


def _label_file(source: Path, crops: bool) -> Path | None:
    if source.is_file():
        if source.suffix == ".jsonl":
            return source
        if is_picture(source):
            return None
        raise InputError(f"{source}: is no folder, no .jsonl file and no picture; name {_FORMS}")
    names = ("crops.jsonl",) if crops else ("frames.jsonl", "crops.jsonl")
    return next((source / name for name in names if (source / name).is_file()), None)


def _read_file(file: Path, choice: Choice) -> Labels:
    lines = list(_lines(file))
    crops = choice.crops or not any('"plates"' in text for _, text in lines)
    model = _CropLine if crops else _FrameLine
    pictures: list[LabelledPicture] = []
    failures: list[str] = []
    folds: dict[str | None, None] = {}
    for number, text in lines:
        try:
            row = model.model_validate_json(text)
            folds[row.fold] = None
            if choice.fold is not None and row.fold != choice.fold:
                continue
            if isinstance(row, _CropLine):
                if row.spelling(choice.texts) is not None:
                    pictures.append(_crop(file.parent, row, choice.texts))
            else:
                pictures.append(_frame(file.parent, row, choice.texts))
        except ValidationError as error:
            failures.append(f"{file} line {number}: {_reason(error)}")
        except WatchlistError as error:
            failures.append(f"{file} line {number}: {error}")
    if not pictures:
        raise InputError("\n".join(failures) or _nothing(file, choice, folds))
    return Labels(file, "crops" if crops else "frames", tuple(pictures), crops, tuple(failures))


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        content = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    for number, text in enumerate(content.split("\n"), start=1):
        if text.strip():
            yield number, text


def _reason(error: ValidationError) -> str:
    """What is wrong with a line: its first mistake, with the field's place."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    what = first["msg"].removeprefix("Value error, ")
    return f"{where}: {what}" if where else what


def _nothing(
    file: Path, choice: Choice, folds: Sequence[str | None] | dict[str | None, None]
) -> str:
    if not folds:
        return f"{file}: is empty; it should hold one JSON object a line"
    if choice.fold is not None and choice.fold not in folds:
        known = ", ".join(sorted(fold for fold in folds if fold)) or "none named"
        return f"{file}: no line is of fold {choice.fold!r} (folds there: {known})"
    return f"{file}: no line has a text that counts; leave out --labels {choice.texts}"


def _frame(folder: Path, row: _FrameLine, texts: TextSource) -> LabelledPicture:
    plates = tuple(
        LabelledPlate(
            text := plate.spelling(texts),
            plate.box,
            None if plate.corners is None else np.array(plate.corners, np.float32),
            *_kind(text, plate.colour, plate.plate_class),
        )
        for plate in row.plates
    )
    return LabelledPicture(folder / row.image, row.image, plates, row.plates_complete, row.subset)


def _crop(folder: Path, row: _CropLine, texts: TextSource) -> LabelledPicture:
    text = row.spelling(texts)
    plate = LabelledPlate(text, None, None, *_kind(text, row.colour, row.plate_class))
    return LabelledPicture(folder / row.image, row.image, (plate,), subset=row.subset)


def _kind(
    text: str | None, colour: str | None = None, named: PlateClass | None = None
) -> tuple[str | None, PlateClass | None]:
    """The group of a plate, and its class where that is certain.

    A label that names the class decides; then the form of the text; then the colour, where the
    form belongs to several classes.
    """
    if named is not None:
        return named.value, named
    possible = classify(text) if text else frozenset()
    if len(possible) > 1 and colour:
        told = next((of for name, of in _COLOURS.items() if colour.startswith(name)), None)
        possible = possible & told if told else possible
    if len(possible) == 1:
        (only,) = possible
        return only.value, only
    if not text:
        return None, None
    if not possible:
        return "no known form", None
    return ("yellow" if possible == _YELLOW else "ordinary, colour not told"), None


# --- names and plain pictures --------------------------------------------------------------


def _read_names(source: Path, choice: Choice) -> Labels:
    pictures: list[LabelledPicture] = []
    failures: list[str] = []
    forms: dict[str, None] = {}
    for path in _pictures(source):
        name = path.name if source.is_file() else str(path.relative_to(source))
        if (ccpd := parse_ccpd(path.stem)) is not None:
            forms["CCPD names"] = None
            box = None if choice.crops else ccpd.box_px()
            corners = None if choice.crops else ccpd.corners_px()
            plates: tuple[LabelledPlate, ...] = (
                LabelledPlate(ccpd.text, box, corners, *_kind(ccpd.text)),
            )
        elif texts := parse_plates(path.stem):
            forms["names of plates"] = None
            plates = tuple(LabelledPlate(text, None, None, *_kind(text)) for text in texts)
        else:
            failures.append(f"{path}: its name tells no plate; rename it, or move it away")
            continue
        if choice.crops and len(plates) > 1:
            failures.append(f"{path}: its name tells {len(plates)} plates, but --crops means one")
            continue
        subset = path.parent.name if path.parent != source and source.is_dir() else None
        pictures.append(LabelledPicture(path, name, plates, subset=subset))
    if not pictures:
        raise InputError(f"{source}: nothing there has a label; this needs {_FORMS}")
    return Labels(source, " and ".join(forms), tuple(pictures), choice.crops, tuple(failures))


def _without_plates(source: Path, choice: Choice) -> Labels:
    if source.suffix == ".jsonl":
        raise InputError(f"{source}: --no-plates takes a folder of pictures, not a label file")
    pictures = tuple(
        LabelledPicture(path, str(path.relative_to(source)), (), complete=True)
        for path in _pictures(source)
    )
    return Labels(source, "pictures without plates", pictures, choice.crops)


def _pictures(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    try:
        return list_pictures(source)
    except InputError as error:
        raise InputError(f"{error}; or {_FORMS}") from None
