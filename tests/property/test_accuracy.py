"""Label parsers, matching, intervals, calibration and alignment hold for anything."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy.confusion import align, distance
from benchmarks.accuracy.matching import LEAST_OVERLAP, match
from benchmarks.accuracy.names import (
    CCPD_ISSUERS,
    CCPD_PROVINCES,
    CCPD_SERIAL,
    CcpdName,
    parse_ccpd,
    parse_plates,
)
from benchmarks.accuracy.statistics import BINS, SURE, Share, calibrate
from detectors.postprocess import overlaps
from pipeline.types import LETTERS, PROVINCES

pixels = st.integers(0, 4000)
points = st.tuples(pixels, pixels)
texts = st.text("辽皖A18BD0", max_size=9)


@st.composite
def ccpd_names(draw: st.DrawFn) -> CcpdName:
    x, y = draw(points)
    box = ((x, y), (x + draw(st.integers(1, 900)), y + draw(st.integers(1, 900))))
    serial = draw(st.text(CCPD_SERIAL, min_size=5, max_size=6))
    text = draw(st.sampled_from(CCPD_PROVINCES)) + draw(st.sampled_from(CCPD_ISSUERS)) + serial
    corners = draw(st.tuples(points, points, points, points))
    return CcpdName(text, box, corners)


def spelled(name: CcpdName) -> str:
    """The file name that CCPD gives to this label."""

    def listed(*listed_points: tuple[int, int]) -> str:
        return "_".join(f"{x}&{y}" for x, y in listed_points)

    tl, tr, br, bl = name.corners
    province, issuer, *serial = name.text
    indices = [CCPD_PROVINCES.index(province), CCPD_ISSUERS.index(issuer)]
    indices += [CCPD_SERIAL.index(character) for character in serial]
    plate = "_".join(map(str, indices))
    return f"025-95_113-{listed(*name.box)}-{listed(br, bl, tl, tr)}-{plate}-37-15"


@given(ccpd_names())
def test_ccpd_names_round_trip(name: CcpdName) -> None:
    assert parse_ccpd(spelled(name)) == name


@given(st.text())
def test_no_name_breaks_the_parsers(stem: str) -> None:
    parse_ccpd(stem)
    parse_plates(stem)


plates = st.builds(
    lambda province, issuer, digits: f"{province}{issuer}{digits:05}",
    st.sampled_from(PROVINCES),
    st.sampled_from(LETTERS),
    st.integers(0, 99999),
)


@given(plates, st.sampled_from(["", "_2", " (3)", "-1", "_gate"]), st.booleans())
def test_a_named_plate_is_read_whatever_follows_it(plate: str, tail: str, dotted: bool) -> None:
    shown = f"{plate[:2]}·{plate[2:]}" if dotted else plate
    assert parse_plates(shown + tail) == (plate,)


edges = st.floats(0, 500, width=32)
boxes = st.builds(
    lambda x, y, w, h: (x, y, x + w, y + h),
    edges,
    edges,
    st.floats(1, 200, width=32),
    st.floats(1, 200, width=32),
)


@given(st.lists(boxes, max_size=6), st.lists(boxes, max_size=6))
def test_matching_is_one_to_one_and_only_of_what_overlaps(annotated: list, found: list) -> None:
    chosen = match(annotated, found)
    taken = [index for index in chosen if index is not None]
    assert len(chosen) == len(annotated)
    assert len(set(taken)) == len(taken)
    if annotated and found:
        union, _ = overlaps(np.asarray(annotated, np.float32), np.asarray(found, np.float32))
        for row, index in enumerate(chosen):
            if index is not None:
                assert union[row, index] >= LEAST_OVERLAP
            else:  # nothing that is still free would have met it
                free = [k for k in range(len(found)) if k not in taken]
                assert not free or union[row, free].max() < LEAST_OVERLAP


@given(st.lists(boxes, max_size=5, unique=True))
def test_a_box_meets_itself(annotated: list) -> None:
    chosen = match(annotated, annotated)
    assert None not in chosen
    assert [annotated[index] for index in chosen if index is not None] == annotated


@given(st.integers(0, 300), st.integers(1, 300))
def test_an_interval_holds_its_share_and_narrows_with_more(count: int, of: int) -> None:
    share = Share(min(count, of), of)
    low, high = share.interval()
    assert 0 <= low <= share.value + 1e-12
    assert share.value - 1e-12 <= high <= 1
    low_of_more, high_of_more = Share(share.count * 4, of * 4).interval()
    assert high_of_more - low_of_more < high - low


reads = st.lists(st.tuples(st.floats(0.05, 1), st.booleans()), max_size=400)


@given(reads, st.randoms())
def test_calibration_is_of_the_reads_and_not_of_their_order(listed: list, random) -> None:
    held = calibrate([p for p, _ in listed], [right for _, right in listed])
    assert sum(b.right.of for b in held.bins) == len(listed)
    assert sum(b.right.count for b in held.bins) == held.right.count
    assert len(held.bins) <= BINS
    assert held.sure.of == sum(p >= SURE for p, _ in listed)
    means = [b.mean_probability for b in held.bins]
    assert means == sorted(means)
    if listed:
        assert held.error is not None
        gap = abs(held.mean_probability - held.right.count / held.right.of)
        assert gap - 1e-9 <= held.error <= 1  # bins can only add to the overall gap
    shuffled = random.sample(listed, len(listed))
    again = calibrate([p for p, _ in shuffled], [right for _, right in shuffled])
    assert math.isclose(again.error or 0, held.error or 0, abs_tol=1e-9)


@given(texts, texts)
def test_an_alignment_keeps_both_texts(truth: str, read: str) -> None:
    pairs = align(truth, read)
    assert "".join(a for a, _ in pairs) == truth
    assert "".join(b for _, b in pairs) == read
    assert all(a or b for a, b in pairs)
    assert abs(len(truth) - len(read)) <= distance(truth, read) <= max(len(truth), len(read))


@given(texts)
def test_a_text_is_no_distance_from_itself(text: str) -> None:
    assert distance(text, text) == 0


@given(texts, st.integers(0, 8), st.sampled_from("沪Z"))
def test_one_character_too_many_is_one_mistake(text: str, at: int, more: str) -> None:
    longer = text[:at] + more + text[at:]
    assert distance(text, longer) == 1
    assert ("", more) in align(text, longer)
