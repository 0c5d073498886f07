"""The worst cases as a contact sheet: what was seen, what it is, what was read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea

from benchmarks.accuracy.confusion import align
from benchmarks.accuracy.lettering import Lettering
from benchmarks.accuracy.records import ExtraPlate, PlateOutcome
from benchmarks.accuracy.report import Report
from detectors.preprocess import rectify
from pipeline.errors import InputError
from pipeline.source import read_picture
from pipeline.types import Corners, ImageBgr

INK, GREY, WRONG = "#1b2430", "#7a8594", "#c62828"
COLUMNS = 4
AROUND = 4.0
"""Width of the surroundings shown, in widths of the plate."""
VIEW = (480, 300)
PLATE = (440, 140)

Case: TypeAlias = PlateOutcome | ExtraPlate


def worst(report: Report, letters: Lettering) -> Figure:
    """A tile for each of the report's worst cases; pictures are read again from their files."""
    tiles = [(case, image) for case in report.worst if (image := _picture(case)) is not None]
    columns = min(COLUMNS, max(1, len(tiles)))
    rows = max(1, -(-len(tiles) // columns))
    crops = report.found is None and report.plates > 0
    tile_height = 2.2 if crops else 4.1
    figure = Figure(figsize=(3.5 * columns + 0.3, tile_height * rows + 0.8))
    top = 1 - 0.75 / (tile_height * rows + 0.8)
    grid = figure.add_gridspec(
        rows, columns, left=0.02, right=0.98, bottom=0.01, top=top, wspace=0.08, hspace=0.12
    )
    figure.text(0.02, 1 - 0.2 / (tile_height * rows + 0.8), _title(report), fontsize=16,
                fontweight="bold", va="top")  # fmt: skip
    for place, (case, image) in enumerate(tiles):
        cell = grid[place // columns, place % columns]
        parts = ([] if crops else [2.1]) + [1.05, 1.0]
        inner = GridSpecFromSubplotSpec(len(parts), 1, cell, height_ratios=parts, hspace=0.03)
        axes = [figure.add_subplot(inner[i]) for i in range(len(parts))]
        for axis in axes:
            axis.set_axis_off()
        if not crops:
            _show(axes[0], _view(image, case.corners))
        _show(axes[-2], _plate(image, case.corners))
        _tell(axes[-1], case, letters)
    return figure


def _title(report: Report) -> str:
    return f"The {len(report.worst)} worst cases, surest mistakes first"


def _picture(case: Case) -> ImageBgr | None:
    try:
        return read_picture(case.picture.path)
    except InputError:  # gone since it was measured
        return None


def _view(image: ImageBgr, corners: Corners | None) -> ImageBgr:
    """The plate's surroundings with its outline; the whole picture where no place is known."""
    if corners is None:
        scale = min(VIEW[0] / image.shape[1], VIEW[1] / image.shape[0])
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    low, high = corners.min(axis=0), corners.max(axis=0)
    width = AROUND * max(float(high[0] - low[0]), 8.0)
    scale = VIEW[0] / width
    centre = (low + high) / 2
    shift = np.array(VIEW) / 2 - scale * centre
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float64)
    view = cv2.warpAffine(
        image, matrix, VIEW, flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    outline = np.round(corners * scale + shift).astype(np.int32)
    cv2.polylines(view, [outline], True, (60, 220, 255), 2, cv2.LINE_AA)
    return np.asarray(view, np.uint8)


def _plate(image: ImageBgr, corners: Corners | None) -> ImageBgr:
    if corners is None:
        return np.full((PLATE[1], PLATE[0], 3), 240, np.uint8)
    return rectify(image, corners, PLATE)


def _show(axis: Axes, image: ImageBgr) -> None:
    axis.imshow(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), aspect="equal", interpolation="antialiased")


def _tell(axis: Axes, case: Case, letters: Lettering) -> None:
    """A line with what the plate is, one with what was read, one with the picture's name."""
    truth = case.plate.text if isinstance(case, PlateOutcome) else None
    sure = [(f"  {case.probability:.3f}", GREY)] if case.text else []
    name = case.picture.name
    name = name if len(name) <= 38 else "…" + name[-37:]
    if truth is None:
        missing = "no plate annotated" if isinstance(case, ExtraPlate) else "a plate without a text"
        _line(axis, 0.94, [(missing, GREY)], 13)
    else:
        _line(axis, 0.94, [("is ", GREY), *_marked(truth, case.text, letters)], 15)
    if case.text:
        read = [("read ", GREY), *_marked(case.text, truth, letters), *sure]
        _line(axis, 0.6, read, 15)
    else:
        missed = isinstance(case, PlateOutcome) and case.found is False
        _line(axis, 0.6, [("not found" if missed else "found, not read", WRONG)], 15)
    _line(axis, 0.25, [(letters.text(name), GREY)], 9)


def _marked(text: str, other: str | None, letters: Lettering) -> list[tuple[str, str]]:
    """The text in runs of one colour: what differs from ``other`` stands out."""
    if other is None:
        return [(letters.text(text), INK)]
    same = [mine == theirs for mine, theirs in align(text, other) if mine]
    return [
        (part, INK if right else WRONG)
        for part, right in zip(letters.spell(text), same, strict=True)
    ]


def _line(axis: Axes, y: float, runs: Sequence[tuple[str, str]], size: int) -> None:
    areas: list[Any] = [
        TextArea(text, textprops={"color": colour, "size": size}) for text, colour in runs
    ]
    packed = HPacker(children=areas, pad=0, sep=0, align="baseline")
    axis.add_artist(
        AnchoredOffsetbox(
            "upper left",
            child=packed,
            pad=0,
            borderpad=0,
            frameon=False,
            bbox_to_anchor=(0.02, y),
            bbox_transform=axis.transAxes,
        )
    )
