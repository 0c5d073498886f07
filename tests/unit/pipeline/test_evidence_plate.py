"""The plate cut out of an evidence picture, and the picture without it."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evidence_plate import plate_hidden, plate_picture
from pipeline.types import ImageBgr


def jpeg_of(image: ImageBgr) -> bytes:
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 98])
    return encoded.tobytes()


def image_of(jpeg: bytes) -> ImageBgr:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)


def scene(corners: np.ndarray) -> bytes:
    """A grey picture with a plate that is red in its left half and blue in its right one."""
    image = np.full((240, 320, 3), 128, np.uint8)
    top, bottom = (corners[0] + corners[1]) / 2, (corners[3] + corners[2]) / 2
    left = np.array([corners[0], top, bottom, corners[3]])
    right = np.array([top, corners[1], corners[2], bottom])
    cv2.fillConvexPoly(image, np.round(left).astype(np.int32), (0, 0, 255))
    cv2.fillConvexPoly(image, np.round(right).astype(np.int32), (255, 0, 0))
    return jpeg_of(image)


TILTED = np.float32([[100, 120], [180, 100], [186, 128], [106, 148]])


def test_a_tilted_plate_is_straightened_and_enlarged() -> None:
    image = image_of(plate_picture(scene(TILTED), TILTED, 480))
    height, width = image.shape[:2]
    assert width == 480
    assert 0.3 < height / width < 0.42, "as tall as its corners say"
    for y in (0.25, 0.5, 0.75):
        left = image[int(y * height), int(0.25 * width)]
        right = image[int(y * height), int(0.75 * width)]
        assert left[2] > 200 > left[0], "red"
        assert right[0] > 200 > right[2], "blue"


def test_a_plate_upside_down_is_turned_by_its_corners() -> None:
    turned = TILTED[[2, 3, 0, 1]]
    image = image_of(plate_picture(scene(turned), turned, 200))
    assert image[image.shape[0] // 2, 50][2] > 200


@pytest.mark.parametrize(
    ("jpeg", "corners", "said"),
    [
        (b"", TILTED, "no picture"),
        (b"no jpeg at all", TILTED, "no picture"),
        (scene(TILTED), TILTED[:3], "four corners"),
        (scene(TILTED), TILTED * np.float32(np.nan), "four corners"),
        (scene(TILTED), TILTED * 0, "around nothing"),
        (scene(TILTED), TILTED[[0, 2, 1, 3]], "around nothing"),
        (scene(TILTED), TILTED + 1000, "outside"),
        (scene(TILTED), np.float32([[-90, 10], [-50, 10], [-50, 30], [-90, 30]]), "outside"),
    ],
)
def test_what_is_no_plate_is_refused(jpeg: bytes, corners: np.ndarray, said: str) -> None:
    for function in (plate_picture, plate_hidden):
        with pytest.raises(ValueError, match=said):
            function(jpeg, corners)


def written(text: str) -> bytes:
    image = np.full((240, 320, 3), 90, np.uint8)
    cv2.rectangle(image, (100, 100), (220, 138), (160, 80, 20), -1)
    cv2.putText(image, text, (104, 128), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2)
    return jpeg_of(image)


FLAT = np.float32([[100, 100], [220, 100], [220, 138], [100, 138]])


@given(st.text("ABCDEFGH2345", min_size=6, max_size=6))
def test_a_hidden_plate_does_not_tell_its_text(text: str) -> None:
    """What is left is one colour, which another text has nearly, too."""
    hidden = image_of(plate_hidden(written(text), FLAT)).astype(int)
    other = image_of(plate_hidden(written("88M88W"), FLAT)).astype(int)
    inside = (slice(108, 130), slice(110, 210))  # away from the edge, where JPEG rings
    assert np.ptp(hidden[inside], axis=(0, 1)).max() <= 16, "no strokes"
    assert np.abs(hidden[inside] - other[inside]).max() < 40
    assert np.abs(hidden[:80] - other[:80]).max() <= 2, "the rest stays"


def test_a_plate_that_reaches_over_the_edge_is_hidden_up_to_it() -> None:
    corners = np.float32([[-20, 100], [60, 100], [60, 130], [-20, 130]])
    image = np.full((240, 320, 3), 90, np.uint8)
    image[100:130, 0:60:4] = 255
    hidden = image_of(plate_hidden(jpeg_of(image), corners))
    assert np.ptp(hidden[115, :55].astype(int), axis=0).max() < 40
