"""Passages as shown: masks that hide, files that no spreadsheet runs, places that come back."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive import KeptPassage, Place
from pipeline.console.passages_shown import MASK, masked, passages_csv, place_of, place_text
from tests.support import watchlists

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


@given(st.text("辽京ABCX0123456789", max_size=10))
def test_a_mask_keeps_the_province_and_the_last_two_at_most(plate: str) -> None:
    shown = masked(plate)
    assert len(shown) == len(plate)
    kept = [place for place, character in enumerate(shown) if character != MASK]
    assert set(kept) <= {0, len(plate) - 2, len(plate) - 1}
    assert all(shown[place] == plate[place] for place in kept)
    if len(plate) >= 7:
        assert len(kept) == 3


def test_a_plate_as_people_know_it() -> None:
    assert masked("辽A12345") == "辽••••45"
    assert masked("京AD12345") == "京•••••45"


@given(TEXT.filter(bool), st.none() | TEXT)
def test_no_cell_of_an_export_begins_as_a_formula_does(camera: str, lane: str | None) -> None:
    made = replace(watchlists.passage(), camera=camera, lane=lane)
    content, count = passages_csv([KeptPassage(1, made, True)], unmasked=False)
    assert count == 1
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert len(rows) == 2
    for cell in rows[1]:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"))
    assert "辽A12345" not in content.decode("utf-8-sig")


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)),
    st.integers(0, 2**62),
)
def test_a_place_comes_back_as_it_went(ended_at: datetime, row: int) -> None:
    assert place_of(place_text(Place(ended_at, row))) == Place(ended_at, row)


@pytest.mark.parametrize(
    "text", ["", ".", "1", "1.x", "x.1", "9" * 30 + ".1", "1." + "9" * 30, "1.-1"]
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the page before"):
        place_of(text)
