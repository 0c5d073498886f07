import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from detectors.postprocess import (
    anchors,
    corner_boxes,
    decode_raw,
    merge_plates,
    overlaps,
    reconcile,
    sigmoid,
    softmax,
    suppress,
)

CLASSES = 6
SIZE = (96, 64)


def blank_raw(size: tuple[int, int] = SIZE) -> np.ndarray:
    count = len(anchors(size)[0])
    raw = np.zeros((64 + CLASSES + 8, count), np.float32)
    raw[64 : 64 + CLASSES] = -20
    return raw


def put(raw: np.ndarray, anchor: int, name: int, reach: list[int], corners: np.ndarray) -> None:
    """Write one certain detection in the net's own terms."""
    raw[64 + name, anchor] = 6.0
    for edge, cells in enumerate(reach):
        raw[edge * 16 + cells, anchor] = 50.0
    points, strides = anchors(SIZE)
    relative = (corners / strides[anchor] - points[anchor] + 0.5) / 2
    raw[64 + CLASSES :, anchor] = relative.reshape(-1)


def test_anchor_points_cover_three_strides() -> None:
    points, strides = anchors(SIZE)
    assert len(points) == 12 * 8 + 6 * 4 + 3 * 2
    assert (points[0] * strides[0] == 4).all()
    assert (points[-1] * strides[-1] == [80, 48]).all()


def test_a_written_detection_is_decoded() -> None:
    raw = blank_raw()
    corners = np.float32([[20, 10], [60, 12], [60, 26], [20, 24]])
    put(raw, 29, 0, [2, 1, 3, 2], corners)
    put(raw, 100, 3, [1, 1, 1, 1], corners)
    found = decode_raw(raw, SIZE, np.full(CLASSES, 0.3, np.float32))
    assert found.classes.tolist() == [0, 3]
    np.testing.assert_allclose(found.corners[0], corners, atol=1e-3)
    points, strides = anchors(SIZE)
    centre = points[29] * strides[29]
    box = np.concatenate((centre - np.array([16, 8]), centre + np.array([24, 16])))
    np.testing.assert_allclose(found.boxes[0], box, atol=0.01)
    np.testing.assert_allclose(found.scores, sigmoid(np.float32([6, 6])))


def test_thresholds_are_per_class() -> None:
    raw = blank_raw()
    raw[64, 5], raw[65, 5] = 0.0, 0.4  # plate 0.5, car 0.6
    found = decode_raw(raw, SIZE, np.float32([0.3, 0.9, 0.9, 0.9, 0.9, 0.9]))
    assert found.classes.tolist() == [0]
    assert decode_raw(raw, SIZE, np.full(CLASSES, 0.95, np.float32)).classes.size == 0


boxes = st.lists(
    st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(1, 60), st.floats(1, 60)),
    min_size=1,
    max_size=20,
).map(lambda rows: np.float32([(x, y, x + w, y + h) for x, y, w, h in rows]))


@given(boxes, st.integers(0, 2**31 - 1), st.floats(0.1, 0.9))
def test_suppression_keeps_the_surest_and_no_overlap(
    found: np.ndarray, seed: int, limit: float
) -> None:
    scores = np.random.default_rng(seed).random(len(found)).astype(np.float32)
    kept = suppress(found, scores, limit)
    assert kept[0] == scores.argmax()
    assert (np.diff(scores[kept]) <= 0).all()
    union, _ = overlaps(found[kept], found[kept])
    assert (union[~np.eye(len(kept), dtype=bool)] <= limit + 1e-6).all()
    gone = [i for i in range(len(found)) if i not in set(kept.tolist())]
    if gone:  # every box that went had a surer neighbour that stayed
        union, _ = overlaps(found[gone], found[kept])
        surer = scores[kept][None] >= scores[gone][:, None]
        assert ((union > limit) & surer).any(axis=1).all()


@given(boxes)
def test_overlap_is_symmetric_and_one_with_itself(found: np.ndarray) -> None:
    union, smaller = overlaps(found, found)
    np.testing.assert_allclose(union, union.T, atol=1e-5)
    np.testing.assert_allclose(np.diag(union), 1, atol=1e-3)
    assert (union <= smaller + 1e-5).all()


def test_merged_corners_lie_between_their_candidates() -> None:
    quad = np.float32([[0, 0], [30, 0], [30, 10], [0, 10]])
    corners = np.stack([quad, quad + 1, quad + 200])
    merged, scores = merge_plates(corners, np.float32([0.8, 0.8, 0.5]))
    assert len(merged) == 2
    np.testing.assert_allclose(merged[0], quad + 0.5, atol=1e-4)
    np.testing.assert_allclose(scores, [0.8, 0.5])
    assert (corner_boxes(merged)[1] == [200, 200, 230, 210]).all()


def test_nothing_merges_to_nothing() -> None:
    merged, scores = merge_plates(np.zeros((0, 4, 2), np.float32), np.zeros(0, np.float32))
    assert merged.shape == (0, 4, 2)
    assert scores.size == 0


@settings(max_examples=50)
@given(arrays(np.float32, (4, 5), elements=st.floats(-50, 50, width=32)))
def test_softmax_sums_to_one(values: np.ndarray) -> None:
    np.testing.assert_allclose(softmax(values).sum(axis=-1), 1, rtol=1e-5)
    assert (sigmoid(values) >= 0).all()


@given(st.floats(-0.3, 0.3), st.floats(20, 200))
def test_corners_stretch_to_a_much_higher_box_only(slope: float, width: float) -> None:
    drop = slope * width
    quad = np.array([[0, 0], [width, drop], [width, drop + 30], [0, 30]], np.float32)
    (box,) = corner_boxes(quad[None])
    alike = box + np.array([-3, -0.4, 3, 0.4], np.float32)
    np.testing.assert_allclose(reconcile(quad[None], alike[None], 0.8)[0], quad, atol=1e-3)
    height = box[3] - box[1]
    higher = box + np.array([0, -0.3 * height, 0, 0.3 * height], np.float32)
    stretched = reconcile(quad[None], higher[None], 1.0)
    np.testing.assert_allclose(corner_boxes(stretched)[0], higher, atol=0.05)
    np.testing.assert_array_equal(stretched[0, :, 0], quad[:, 0])
