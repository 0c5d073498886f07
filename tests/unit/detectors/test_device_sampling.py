"""Scaling, straightening and colours in tensors: what OpenCV and FFmpeg make of the same pictures.

Skipped where there is no torch; on CPU tensors.
"""

import av
import cv2
import numpy as np
import pytest

from detectors.preprocess import PLATE_MARGIN, fit, rectify
from detectors.preprocess import letterbox as letterbox_by_opencv
from detectors.scene import SceneOptions

torch = pytest.importorskip("torch", reason="torch missing: pip install 'torch>=2.7'")

from detectors.device.lanes import Graphed, Lane, round_up  # noqa: E402
from detectors.device.pictures import DevicePicture, Gallery  # noqa: E402
from detectors.device.sampling import BT601, letterbox, taps  # noqa: E402

LANE = Lane(torch.device("cpu"))


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Soft blotches of all colours, with an edge here and there."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    soft = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    cv2.putText(soft, "A12345", (width // 8, height // 2), 0, height / 200, (255, 255, 255), 3)
    return soft


def decoded(image: np.ndarray) -> av.VideoFrame:
    """The picture as a decoder gives it."""
    return av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="yuv420p")


def device_picture(image: np.ndarray) -> DevicePicture:
    planes = decoded(image).reformat(format="nv12").planes
    luma, chroma = (torch.from_dlpack(plane).clone() for plane in planes)
    return DevicePicture(luma[..., None], chroma)


@pytest.mark.parametrize("side", [640, 256])
@pytest.mark.parametrize(
    "size", [(1920, 1080), (1280, 720), (704, 576), (2688, 1520), (640, 384), (333, 217)]
)
def test_pictures_are_letterboxed_as_by_opencv(size, side) -> None:
    image = picture(*size)
    box = fit(size, side)
    wanted = letterbox_by_opencv(image, box).astype(np.float32)
    batch = letterbox((torch.from_numpy(image)[None],), BT601, box, torch.float32)
    given = batch[0].permute(1, 2, 0).numpy() * 255
    assert batch.shape == (1, 3, box.size[1], box.size[0])
    assert np.abs(given - wanted).max() <= 1.01
    assert np.abs(given - wanted).mean() < 0.2


@pytest.mark.parametrize("area", [True, False])
@pytest.mark.parametrize(("source", "target"), [(1080, 360), (1081, 333), (7, 3), (50, 49), (5, 9)])
def test_weights_of_each_pixel_sum_to_one(source, target, area) -> None:
    index, weights = taps(source, target, area)
    assert index.shape == weights.shape
    assert index.min() >= 0
    assert index.max() < source
    np.testing.assert_allclose(weights.sum(axis=0), 1.0, atol=1e-6)


def test_plates_are_straightened_as_by_opencv() -> None:
    image = picture(1920, 1080)
    rng = np.random.default_rng(1)
    gallery = Gallery([image], LANE)
    corners, wanted = [], []
    for width in np.linspace(40, 700, 24):  # the widest are sampled at twice the size
        tilt = rng.normal(0, 0.02 * width, (4, 2))
        place = rng.uniform([100, 100], [1100, 800])
        quad = width * np.array([[0, 0], [1, 0], [1, 0.32], [0, 0.32]]) + place + tilt
        corners.append(quad.astype(np.float32))
        wanted.append(rectify(image, corners[-1]))
    margins = np.tile(np.float32(PLATE_MARGIN), (len(corners), 1))
    given = gallery.straightened(LANE, [0] * len(corners), np.stack(corners), margins)
    difference = np.abs(given.permute(0, 2, 3, 1).numpy() - np.stack(wanted))
    assert difference.mean() < 0.5
    assert np.quantile(difference, 0.999) <= 4


def test_corners_outside_and_without_area_are_survived() -> None:
    gallery = Gallery([picture(64, 48)], LANE)
    outside = np.float32([[-50, -90], [900, -90], [900, 500], [-50, 500]])
    corners = np.stack([outside, np.zeros((4, 2), np.float32)])
    plates = gallery.straightened(LANE, [0, 0], corners, np.zeros((2, 2), np.float32))
    assert torch.isfinite(plates).all()
    assert plates.min() >= 0
    assert plates.max() <= 255


@pytest.mark.parametrize("size", [(1280, 720), (322, 242)])
def test_a_device_picture_is_indexed_like_its_picture(size) -> None:
    image = picture(*size)
    shown = device_picture(image)
    wanted = decoded(image).reformat(format="bgr24").to_ndarray()
    assert shown.shape == wanted.shape
    part = shown[31:200, 17:301]
    assert part.dtype == np.uint8
    assert np.abs(part.astype(int) - wanted[31:200, 17:301]).max() <= 4
    assert shown[0:0, 0:10].shape == (0, 10, 3)
    np.testing.assert_array_equal(shown[::3, 5:50:2], shown[0 : size[1], 0 : size[0]][::3, 5:50:2])


def test_planes_are_sampled_as_their_picture_is() -> None:
    image = picture(1280, 720)
    shown = device_picture(image)
    converted = np.ascontiguousarray(shown[0:720, 0:1280])
    box = fit((1280, 720), SceneOptions().side)
    planes = Gallery([shown], LANE).letterboxed(LANE, [0], [box], torch.float32)
    wanted = Gallery([converted], LANE).letterboxed(LANE, [0], [box], torch.float32)
    difference = (planes - wanted).abs() * 255  # larger only where colours are cut off at 0 or 255
    assert difference.mean() < 0.5
    assert difference.quantile(0.999) <= 3


def test_a_gallery_keeps_the_order_of_mixed_pictures() -> None:
    pictures = [
        picture(640, 384, 1),
        device_picture(picture(640, 384, 2)),
        picture(1280, 768, 3),
        picture(640, 384, 4),
        device_picture(picture(640, 384, 5)),
    ]
    gallery = Gallery(pictures, LANE)
    order = [4, 0, 2, 3, 1]
    boxes = [fit(pictures[n].shape[1::-1], 640) for n in order]
    batch = gallery.letterboxed(LANE, order, boxes, torch.float32)
    for row, number in enumerate(order):
        alone = Gallery([pictures[number]], LANE).letterboxed(
            LANE, [0], [boxes[row]], torch.float32
        )
        torch.testing.assert_close(batch[row], alone[0])
    assert [held.shape for held in gallery.held()] == [image.shape for image in pictures]


def test_a_read_only_picture_is_sent() -> None:
    image = picture(640, 384)
    image.flags.writeable = False
    assert Gallery([image], LANE).held()[0].shape == (384, 640, 3)


def test_batches_are_filled_up_to_few_sizes() -> None:
    assert [round_up(count, 64) for count in (1, 2, 3, 5, 33, 64)] == [1, 2, 4, 8, 64, 64]
    assert round_up(40, 48) == 48


def test_without_cuda_a_function_is_called_plainly() -> None:
    calls = []

    def double(batch):
        calls.append(len(batch))
        return (batch * 2,)

    run = Graphed(double, torch.device("cpu"))
    (answer,) = run(torch.ones(3))
    (other,) = run(torch.zeros(3))
    assert calls == [3, 3]
    assert answer.tolist() == [2, 2, 2]
    assert other.tolist() == [0, 0, 0]
