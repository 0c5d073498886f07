"""Pictures as their decoder left them: every part of them is what FFmpeg itself makes of it."""

from __future__ import annotations

from functools import cache

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from hypothesis import given
from hypothesis import strategies as st

from detectors.preprocess import crop_box, rectify
from pipeline.planes import PlanarPicture, planar
from pipeline.types import ImageBgr

SIZES = ((64, 48), (63, 47), (65, 32))


@cache
def frame(size: tuple[int, int], colorspace: int = 2, color_range: int = 0) -> av.VideoFrame:
    """Smooth colours, so that how chroma is enlarged does not matter."""
    width, height = size
    made = av.VideoFrame(width, height, "yuv420p")
    made.colorspace, made.color_range = colorspace, color_range
    for number, plane in enumerate(made.planes):
        y, x = np.mgrid[0 : plane.height, 0 : plane.width].astype(float)
        values = 90 + 60 * np.sin(0.015 * (1 + (number > 0)) * (x + (1 + number) * y))
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[:, : plane.width] = values
        plane.update(padded.tobytes())
    return made


def picture(of: av.VideoFrame) -> PlanarPicture:
    found = planar(of)
    assert found is not None
    return found


def whole(of: av.VideoFrame, colorspace: Colorspace, color_range: ColorRange) -> ImageBgr:
    bgr = of.reformat(
        format="bgr24", src_colorspace=colorspace, src_color_range=color_range
    ).to_ndarray()
    return np.asarray(bgr, np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bt709", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_it_is_the_picture_that_ffmpeg_makes(
    size: tuple[int, int], bt709: bool, full: bool
) -> None:
    made = frame(size, 1 if bt709 else 5, 2 if full else 1)
    expected = whole(
        made,
        Colorspace.ITU709 if bt709 else Colorspace.ITU601,
        ColorRange.JPEG if full else ColorRange.MPEG,
    )
    shown = picture(made)
    assert shown.shape == expected.shape
    difference = np.abs(shown[:, :].astype(int) - expected)
    # of a picture with an odd side FFmpeg enlarges chroma smoothly
    assert difference.max() <= (10 if size[0] % 2 else 6)
    assert difference.mean() < 1.5


@given(
    st.sampled_from(SIZES),
    st.lists(st.integers(0, 70), min_size=4, max_size=4),
    st.integers(1, 9),
)
def test_a_part_is_that_part_of_the_whole(
    size: tuple[int, int], edges: list[int], step: int
) -> None:
    shown = picture(frame(size))
    part = (slice(edges[0], edges[1], step), slice(edges[2], edges[3], step))
    assert np.array_equal(shown[part], shown[:, :][part])


def test_turned_and_rarer_frames_are_not_taken() -> None:
    assert planar(av.VideoFrame(64, 48, "yuv444p")) is None
    assert planar(av.VideoFrame(64, 48, "bgr24")) is None


@pytest.mark.parametrize("left", [0.0, 21.5, 40.0])
def test_a_plate_is_straightened_out_of_its_part_alone(left: float) -> None:
    shown = picture(frame((64, 48)))
    corners = np.array([[2, 10], [22, 12], [21, 19], [1, 17]], np.float32)
    corners += np.array([left, 3], np.float32)
    for margin in ((0.0, 0.0), (0.1, 0.2)):
        expected = rectify(shown[:, :], corners, margin=margin).astype(int)
        assert np.abs(rectify(shown, corners, margin=margin) - expected).max() <= 1


def test_a_vehicle_is_thinned_while_it_is_cut_out() -> None:
    shown = picture(frame((64, 48)))
    box = (3.0, 2.0, 61.0, 47.5)
    assert np.array_equal(crop_box(shown, box), crop_box(shown[:, :], box))
    thinned = crop_box(shown, box, least=10)
    assert np.array_equal(thinned, crop_box(shown[:, :], box)[::4, ::4])
