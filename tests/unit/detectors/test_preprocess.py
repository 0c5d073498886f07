import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.preprocess import (
    GREY,
    PLATE_SIZE,
    STRIDE,
    crop_box,
    fit,
    letterbox,
    rectify,
    resize_plate,
)

sides = st.integers(1, 5000)


@given(sides, sides, st.sampled_from([256, 512, 640, 1280]))
def test_a_letterbox_holds_its_picture(width: int, height: int, side: int) -> None:
    box = fit((width, height), side)
    assert box.size[0] % STRIDE == box.size[1] % STRIDE == 0
    assert box.scale <= 2.0
    assert max(box.size) <= max(side, 2 * STRIDE)
    assert box.left >= 0
    assert box.top >= 0
    assert round(width * box.scale) + box.left <= box.size[0] + 1
    assert round(height * box.scale) + box.top <= box.size[1] + 1


@given(
    sides,
    sides,
    st.lists(st.tuples(st.floats(0, 5000), st.floats(0, 5000)), min_size=1, max_size=8),
)
def test_points_come_back_from_a_letterbox(width: int, height: int, points: list) -> None:
    box = fit((width, height), 640)
    before = np.float32(points)
    after = box.to_picture(box.to_input(before))
    tolerance = 1e-3 + 1e-4 * max(width, height, 5000)
    assert np.abs(after - before).max() < tolerance


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="without pixels"):
        fit((0, 10), 640)


def test_letterbox_pads_with_grey_and_keeps_the_picture() -> None:
    image = np.full((100, 300, 3), 200, np.uint8)
    box = fit((300, 100), 320)
    out = letterbox(image, box)
    assert out.shape == (box.size[1], box.size[0], 3)
    assert (out[box.size[1] // 2, box.size[0] // 2] == 200).all()
    assert (out[0, 0] == GREY).all()


def test_the_demo_shape_is_shared_by_a_camera_family() -> None:
    assert fit((1280, 720), 640).size == fit((1920, 1080), 640).size == (640, 384)


@given(st.floats(-0.4, 0.4), st.floats(40, 300), st.floats(0.6, 1.2), st.integers(0, 2**31 - 1))
def test_rectify_undoes_a_view(angle: float, width: float, squeeze: float, seed: int) -> None:
    """A picture of four coloured quarters comes back with its quarters in place."""
    plate = np.zeros((60, 180, 3), np.uint8)
    plate[:30, :90], plate[:30, 90:] = (255, 0, 0), (0, 255, 0)
    plate[30:, :90], plate[30:, 90:] = (0, 0, 255), (255, 255, 255)
    half = np.float32([width / 2, width / 6 * squeeze])
    quad = np.float32([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    turn = np.float32([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    noise = np.random.default_rng(seed).uniform(-0.02, 0.02, (4, 2)) * width
    quad = np.float32(quad @ turn + 250 + noise)
    matrix = cv2.getPerspectiveTransform(np.float32([[0, 0], [180, 0], [180, 60], [0, 60]]), quad)
    seen = cv2.warpPerspective(plate, matrix, (500, 500))
    flat = rectify(seen, quad)
    assert flat.shape == (PLATE_SIZE[1], PLATE_SIZE[0], 3)
    for y, x, colour in ((12, 42, 0), (12, 126, 1), (36, 42, 2)):
        assert flat[y, x].argmax() == colour
        assert flat[y, x].max() > 150
    assert flat[36, 126].min() > 150


def test_rectify_outside_the_picture_repeats_its_edge() -> None:
    image = np.full((40, 40, 3), 77, np.uint8)
    flat = rectify(image, np.float32([[-30, -30], [90, -30], [90, 60], [-30, 60]]))
    assert (flat == 77).all()


def test_a_plate_of_the_right_size_is_left_alone() -> None:
    plate = np.zeros((48, 168, 3), np.uint8)
    assert resize_plate(plate) is plate
    assert resize_plate(np.zeros((24, 94, 3), np.uint8)).shape == (48, 168, 3)


@given(*[st.floats(-50, 150) for _ in range(4)])
def test_a_crop_always_has_pixels(x1: float, y1: float, x2: float, y2: float) -> None:
    crop = crop_box(np.zeros((60, 80, 3), np.uint8), (x1, y1, x2, y2))
    assert min(crop.shape[:2]) >= 1
