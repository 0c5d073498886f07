"""Decoding and suppression of whole batches in tensors, against those of one picture in numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.postprocess import BINS, anchors, decode_raw, merge_plates, reconcile, suppress

torch = pytest.importorskip("torch", reason="torch missing: pip install 'torch>=2.7'")

from detectors.device.postprocess import PLATES, VEHICLES, decode, greedy, overlaps  # noqa: E402

THRESHOLDS = np.array([0.25, 0.3, 0.3, 0.3, 0.3, 0.3], np.float32)
SIZE = (192, 128)


@st.composite
def crowds(draw) -> np.ndarray:
    """Boxes (K, 4), surest first, most of them in each other's way."""
    count = draw(st.integers(1, 24))
    place = st.integers(0, 60)
    edge = st.integers(5, 40)
    rows = draw(st.lists(st.tuples(place, place, edge, edge), min_size=count, max_size=count))
    boxes = np.array(rows, np.float32)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


@given(crowds())
@settings(deadline=None)
def test_those_stay_that_stay_one_by_one(boxes) -> None:
    scores = np.linspace(0.9, 0.3, len(boxes)).astype(np.float32)
    wanted = sorted(suppress(boxes, scores, 0.45, inside=0.8).tolist())
    many = torch.from_numpy(boxes)[None]
    union, smaller = overlaps(many, many)
    kept = greedy((union > 0.45) | (smaller > 0.8), torch.ones(1, len(boxes), dtype=torch.bool))
    assert torch.nonzero(kept[0])[:, 0].tolist() == wanted


def test_a_chain_of_rivals_is_undone_from_its_surest_end() -> None:
    count = 16
    rivals = torch.zeros(1, count, count, dtype=torch.bool)
    for index in range(count - 1):
        rivals[0, index, index + 1] = rivals[0, index + 1, index] = True
    kept = greedy(rivals, torch.ones(1, count, dtype=torch.bool))
    assert kept[0].tolist() == [index % 2 == 0 for index in range(count)]


def test_who_is_not_there_neither_stays_nor_beats() -> None:
    rivals = torch.ones(1, 2, 2, dtype=torch.bool)
    assert greedy(rivals, torch.tensor([[False, True]])).tolist() == [[False, True]]


@st.composite
def raw_maps(draw) -> np.ndarray:
    """(B, 78, N) with a few anchors that see something."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    points, _ = anchors(SIZE)
    count = draw(st.integers(1, 3))
    raw = rng.normal(0, 1, (count, 78, len(points))).astype(np.float32)
    raw[:, 64:70] -= 9
    for one in raw:
        for anchor in rng.choice(len(points), draw(st.integers(0, 30)), replace=False):
            one[64 + rng.integers(0, 6), anchor] = rng.uniform(-2, 4)
            one[rng.integers(1, 5) + np.arange(4) * BINS, anchor] += 6
            shape = np.array([-0.8, -0.3, 0.8, -0.3, 0.8, 0.3, -0.8, 0.3])
            one[70:, anchor] = shape * rng.uniform(0.5, 2) + rng.normal(0, 0.05, 8)
    return raw


@given(raw_maps())
@settings(deadline=None, max_examples=60)
def test_a_batch_is_decoded_as_its_pictures_are(raw) -> None:
    points, strides = (torch.from_numpy(array.copy()) for array in anchors(SIZE))
    plates, vehicles = decode(
        torch.from_numpy(raw), points, strides, torch.from_numpy(THRESHOLDS), (0.8, 0.45)
    )
    assert plates.shape == (len(raw), PLATES, 9)
    assert vehicles.shape == (len(raw), VEHICLES, 6)
    for one, some, others in zip(raw, plates.numpy(), vehicles.numpy(), strict=True):
        seen = decode_raw(one, SIZE, THRESHOLDS)
        is_plate = seen.classes == 0
        corners = reconcile(seen.corners[is_plate], seen.boxes[is_plate], 0.8)
        corners, scores = merge_plates(corners, seen.scores[is_plate])
        some = some[some[:, 8] > 0]
        np.testing.assert_allclose(some[:, 8], scores[:PLATES], atol=1e-5)
        np.testing.assert_allclose(
            some[:, :8].reshape(-1, 4, 2), corners[:PLATES], atol=1e-2, rtol=1e-4
        )
        boxes, sure = seen.boxes[~is_plate], seen.scores[~is_plate]
        kept = suppress(boxes, sure, 0.45, inside=0.8)
        others = others[others[:, 4] > 0]
        np.testing.assert_allclose(others[:, 4], sure[kept], atol=1e-5)
        np.testing.assert_allclose(others[:, :4], boxes[kept], atol=1e-2, rtol=1e-4)
        assert others[:, 5].astype(int).tolist() == seen.classes[~is_plate][kept].tolist()
