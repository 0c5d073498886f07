"""Labelled pictures → outcomes, by the recogniser exactly as ``checkpoint recognise`` uses it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TypeAlias

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.accuracy import conditions
from benchmarks.accuracy.confusion import distance
from benchmarks.accuracy.matching import match
from benchmarks.accuracy.records import (
    ExtraPlate,
    LabelledPicture,
    LabelledPlate,
    Measured,
    PlateOutcome,
)
from detectors.recogniser import Recogniser
from pipeline.errors import InputError
from pipeline.source import read_picture
from pipeline.types import ImageBgr, PlateRead, ReadPlate

BATCH = 8


def measure(
    recogniser: Recogniser,
    pictures: Iterable[LabelledPicture],
    *,
    crops: bool = False,
    timing: bool = False,
) -> Measured:
    """Recognise every picture and compare it with its label.

    A picture that cannot be read is named in ``failures`` and left out. ``crops``: each picture
    is one plate, already cut out. ``timing``: pictures go in one by one, and the time of each is
    kept; without, in batches of :data:`BATCH`.
    """
    counted = complete = 0
    plates: list[PlateOutcome] = []
    extras: list[ExtraPlate] = []
    failures: list[str] = []
    times_ms: list[float] = []
    remaining = iter(pictures)
    while batch := list(islice(remaining, 1 if timing else BATCH)):
        images: list[ImageBgr] = []
        shown: list[LabelledPicture] = []
        for picture in batch:
            try:
                images.append(read_picture(picture.path))
                shown.append(picture)
            except InputError as error:
                failures.append(str(error))
        if not shown:
            continue
        if timing and not counted:  # the first run of a network takes longer than all others
            _recognise(recogniser, images, crops)
        begun_s = time.perf_counter()
        answers = _recognise(recogniser, images, crops)
        if timing:
            times_ms.append(1000 * (time.perf_counter() - begun_s))
        for picture, image, answer in zip(shown, images, answers, strict=True):
            counted += 1
            complete += picture.complete
            outcomes, more = (
                _crop(picture, image, answer)
                if isinstance(answer, PlateRead)
                else _frame(picture, image, answer)
            )
            plates += outcomes
            extras += more
    return Measured(
        counted, complete, tuple(plates), tuple(extras), tuple(failures), tuple(times_ms)
    )


Answer: TypeAlias = PlateRead | tuple[ReadPlate, ...]


def _recognise(recogniser: Recogniser, images: Sequence[ImageBgr], crops: bool) -> Sequence[Answer]:
    if crops:
        return recogniser.read_crops(images)
    return [plates for plates, _ in recogniser.recognise(images)]


def _crop(
    picture: LabelledPicture, image: ImageBgr, read: PlateRead
) -> tuple[list[PlateOutcome], list[ExtraPlate]]:
    corners = conditions.outline(image)
    if not picture.plates:
        extra = ExtraPlate(picture, read.text, read.probability, corners)
        return [], [extra] if read.text else []
    outcome = PlateOutcome(
        picture=picture,
        plate=picture.plates[0],
        found=None,
        text=read.text,
        probability=read.probability,
        plate_class=read.plate_class,
        corners=corners,
        width_px=float(image.shape[1]),
        blur=conditions.blur(image, corners),
    )
    return [outcome], []


def _frame(
    picture: LabelledPicture, image: ImageBgr, found: Sequence[ReadPlate]
) -> tuple[list[PlateOutcome], list[ExtraPlate]]:
    light = conditions.light(image)
    outcomes = []
    chosen = _chosen(picture.plates, found)
    for plate, index in zip(picture.plates, chosen, strict=True):
        hit = None if index is None else found[index]
        corners = plate.corners
        if corners is None and plate.box is not None:
            corners = conditions.box_corners(plate.box)
        if corners is None and hit is not None:
            corners = hit.detection.corners
        outcomes.append(
            PlateOutcome(
                picture=picture,
                plate=plate,
                found=hit is not None,
                text=hit.read.text if hit else None,
                probability=hit.read.probability if hit else 0.0,
                plate_class=hit.read.plate_class if hit else None,
                corners=corners,
                light=light,
                width_px=None if corners is None else conditions.width_px(corners),
                blur=None if corners is None else conditions.blur(image, corners),
            )
        )
    extras = [
        ExtraPlate(picture, extra.read.text, extra.read.probability, extra.detection.corners)
        for index, extra in enumerate(found)
        if picture.complete and index not in chosen
    ]
    return outcomes, extras


def _chosen(plates: Sequence[LabelledPlate], found: Sequence[ReadPlate]) -> list[int | None]:
    """For each annotated plate the detection that is compared with it.

    By overlap where the label has a box. A label without one, a file's name, is compared with
    the detection whose text is nearest to it (the surer one of equals), so that one right text
    is enough; one detection for each plate.
    """
    boxes = [plate.box for plate in plates if plate.box is not None]
    if len(boxes) == len(plates):
        return match(boxes, [read.detection.box for read in found])
    chosen: list[int | None] = [None] * len(plates)
    if not plates or not found:
        return chosen
    cost = [
        [distance(p.text or "", f.read.text or "") - f.read.probability / 2 for f in found]
        for p in plates
    ]
    for row, column in zip(*linear_sum_assignment(np.array(cost)), strict=True):
        chosen[int(row)] = int(column)
    return chosen
