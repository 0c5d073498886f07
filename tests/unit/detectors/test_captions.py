import numpy as np

from detectors.decode import is_legal
from detectors.training.captions import caption, caption_patch, put, words, write_captions


def test_no_caption_says_a_plate() -> None:
    rng = np.random.default_rng(5)
    said = [words(rng, chinese=bool(k % 2)) for k in range(4000)]
    assert not [text for text in said if is_legal(text.replace(" ", ""))]
    assert len(set(said)) > 3000


def test_captions_leave_plates_as_they_are() -> None:
    rng = np.random.default_rng(6)
    plate = np.array([[60, 100], [200, 110], [200, 150], [60, 140]], np.float32)
    for _ in range(60):
        image = np.full((240, 320, 3), 90, np.uint8)
        write_captions(image, [plate], rng, None)
        assert (image[100:150, 60:200] == 90).all()


def test_captions_can_be_seen_and_are_cut_at_the_edge() -> None:
    rng = np.random.default_rng(7)
    for height in (9, 24, 48):
        tile = caption(rng, height, None)
        assert tile.shape[0] == height
        assert tile[..., 3].max() > 100
        image = np.full((60, 80, 3), 127, np.uint8)
        put(image, tile, 70, 40)
        put(image, tile, 0, 0)
        assert (image != 127).any()


def test_the_part_of_a_caption_that_is_cut_out_lies_on_it() -> None:
    rng = np.random.default_rng(8)
    surface = rng.integers(0, 255, (30, 90, 3)).astype(np.uint8)
    for _ in range(50):
        image, corners = caption_patch(surface, rng, None)
        assert corners.min() >= 0
        assert (corners.max(axis=0) <= [image.shape[1], image.shape[0]]).all()
        assert corners[1, 0] > corners[0, 0]
        assert corners[2, 1] > corners[1, 1]
