"""A still shows the road, and nobody."""

from __future__ import annotations

from datetime import UTC, datetime

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from pipeline.clock import ManualClock
from pipeline.stills import Stills, still
from pipeline.types import (
    ALPHABET,
    SLOTS,
    Frame,
    PlateClass,
    PlateDetection,
    PlateRead,
    ReadPlate,
    Recognition,
    VehicleClass,
    VehicleDetection,
)

NOW = datetime(2026, 5, 1, tzinfo=UTC)
HEIGHT, WIDTH = 1080, 1920


def checkered(cell_px: int) -> np.ndarray:
    """The most detail there can be, at a given size."""
    rows, columns = np.indices((HEIGHT, WIDTH)) // cell_px
    grey = ((rows + columns) % 2 * 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def plate_at(x: float, y: float, width: float, height: float) -> ReadPlate:
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
    probs = np.full((SLOTS, len(ALPHABET)), 1 / len(ALPHABET), np.float32)
    classes = np.full(len(PlateClass), 1 / len(PlateClass), np.float32)
    read = PlateRead("京A12345", PlateClass.BLUE, 0.9, (0.9,) * 7, probs, classes)
    return ReadPlate(PlateDetection(corners.astype(np.float32), 0.9), read)


def recognition(
    image: np.ndarray,
    *boxes: tuple[float, ...],
    plates: tuple[ReadPlate, ...] = (),
    number: int = 0,
) -> Recognition:
    frame = Frame("gate", number, NOW, 0.0, 0.0, image)
    vehicles = tuple(VehicleDetection(box, VehicleClass.CAR, 0.9) for box in boxes)  # type: ignore[arg-type]
    return Recognition(frame, plates, vehicles)


def contrast(image: np.ndarray) -> float:
    return float(image.astype(float).std())


def test_no_detail_of_the_size_of_a_face_is_left() -> None:
    """A face 40 pixels across has features of 4 to 6 pixels."""
    shown = still(recognition(checkered(5)))
    assert shown.shape == (288, 512, 3)
    assert contrast(shown) < 25
    assert contrast(still(recognition(checkered(120)))) > 90  # the road is to be seen


def test_next_to_nothing_is_left_of_a_vehicles_upper_part() -> None:
    image = checkered(40)  # a windscreen that fills the picture
    shown = still(recognition(image, (400, 100, 1500, 1000)))
    scale = 512 / WIDTH
    upper = shown[int(130 * scale) : int(560 * scale), int(430 * scale) : int(1470 * scale)]
    lower = shown[int(640 * scale) : int(980 * scale), int(430 * scale) : int(1470 * scale)]
    assert contrast(upper) < 25
    assert contrast(lower) > 80


def test_a_plate_is_a_patch_of_its_colour() -> None:
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    image[800:900, 700:1060] = (200, 90, 20)
    for at in range(720, 1040, 40):
        image[815:885, at : at + 16] = 255
    shown = still(recognition(image, plates=(plate_at(700, 800, 360, 100),)))
    scale = 512 / WIDTH
    part = shown[int(812 * scale) : int(888 * scale), int(730 * scale) : int(1030 * scale)]
    assert part.reshape(-1, 3).std(axis=0).max() < 12
    assert part[..., 0].mean() > part[..., 2].mean() + 30


@given(
    boxes=st.lists(
        nps.arrays(np.float64, 4, elements=st.floats(-500, 3000, width=32)).map(tuple), max_size=4
    ),
    size=st.tuples(st.integers(1, 80), st.integers(1, 80)),
)
def test_any_boxes_in_any_picture(boxes: list[tuple[float, ...]], size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    shown = still(recognition(image, *boxes, plates=(plate_at(5, 5, 900, 3),)))
    assert shown.shape[1:] == (512, 3)


def test_one_is_made_a_second_and_only_for_who_looks() -> None:
    clock = ManualClock()
    stills = Stills(clock)
    assert stills.of("gate") is None
    stills.note(recognition(checkered(120)))
    first = stills.of("gate")
    assert first is not None
    assert cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR).shape == (288, 512, 3)
    stills.note(recognition(np.zeros((HEIGHT, WIDTH, 3), np.uint8), number=1))
    assert stills.of("gate") is first
    clock.advance(1.0)
    second = stills.of("gate")
    assert second is not first
    assert stills.of("gate") is second  # nothing newer has come
    assert stills.of("other") is None
    stills.forget("gate")
    assert stills.of("gate") is None
