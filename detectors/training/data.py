"""Reads the label files of the data folder (``frames.jsonl``, ``crops.jsonl``, …).

One place knows the label format; the trainings and the evaluation take records from here. A
record is kept as the plain mapping of its line; pictures are read on demand.
"""

# OpenCV's stubs widen every dtype, and torch is untyped for the check.
# mypy: disable-error-code="arg-type,assignment,call-overload,misc,no-any-return,operator"
# mypy: disable-error-code="return-value,untyped-decorator,var-annotated"

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from detectors.training.arrays import f32
from pipeline.types import ImageBgr, PlateClass

Row = dict[str, Any]
NOT_PLATE_VAL = 4
"""Every fourth false plate is kept for evaluation."""


def rows(data: Path, name: str, fold: str | None = None) -> list[Row]:
    """The lines of ``{name}.jsonl``, only those of one fold if asked."""
    lines = (data / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    records: list[Row] = [json.loads(line) for line in lines if line.strip()]
    return [record for record in records if fold is None or record["fold"] == fold]


def picture(data: Path, record: Row) -> ImageBgr:
    """The record's picture, (H, W, 3) uint8 BGR."""
    image = cv2.imread(str(data / record["image"]), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(data / record["image"])
    return image


def names(path: Path | None) -> frozenset[str]:
    """Pictures named in a text file, one a line; ``#`` begins a comment. None: no picture."""
    lines = path.read_text(encoding="utf-8").splitlines() if path else []
    return frozenset(line for line in lines if line and not line.startswith("#"))


def fitted_corners(plate: Row) -> np.ndarray | None:
    """Corner targets (4, 2) float32 of one annotated plate, or None without corners.

    The checkpoint frames carry two labels that disagree: corners predicted around the whole
    metal plate, often a few pixels too far out, and an annotated box tight around the
    characters. The target is halfway: the corners are moved so that their bounding box is the
    mean of both boxes. Tilt and perspective stay those of the corners.
    """
    if not plate.get("corners"):
        return None
    corners = f32(plate["corners"])
    low, high = corners.min(axis=0), corners.max(axis=0)
    box = f32(plate["box"]).reshape(2, 2)
    new_low, new_high = (low + box[0]) / 2, (high + box[1]) / 2
    scale = (new_high - new_low) / np.maximum(high - low, 1)
    return f32((corners - low) * scale + new_low)


def not_plates(data: Path, val: bool) -> list[ImageBgr]:
    """False plates: every fourth for evaluation, the others for training."""
    paths = sorted((data / "not_plates").iterdir())
    chosen = [p for i, p in enumerate(paths) if (i % NOT_PLATE_VAL == 0) == val]
    return [image for p in chosen if (image := cv2.imread(str(p))) is not None]


_COLOURS = {
    "蓝色": PlateClass.BLUE,
    "黄色": PlateClass.YELLOW_SINGLE,
    "绿色": None,
    "黑色": None,
    "白色": None,
}
_TAILS = {
    "警": PlateClass.POLICE,
    "学": PlateClass.COACH,
    "挂": PlateClass.TRAILER,
    "港": PlateClass.HK_MACAU,
    "澳": PlateClass.HK_MACAU,
    "使": PlateClass.EMBASSY,
    "领": PlateClass.CONSULATE,
}


def plate_class(record: Row) -> PlateClass | None:
    """The class that text and guessed colour agree on, None where that is not certain."""
    text = record.get("text") or ""
    if text.startswith("WJ"):
        return PlateClass.WJ
    if text and text[-1] in _TAILS:
        return _TAILS[text[-1]]
    if len(text) == 8:
        return PlateClass.GREEN_SMALL if text[2].isalpha() else PlateClass.GREEN_LARGE
    return _COLOURS.get(record.get("colour") or "")
