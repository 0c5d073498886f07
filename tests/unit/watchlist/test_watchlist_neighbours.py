from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.types import PROVINCES
from watchlist.grammar import is_legal
from watchlist.neighbours import neighbours


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("辽A88123", "辽A8B123"),
        ("辽A22123", "辽AZ2123"),
        ("辽A00123", "辽AD0123"),
        ("辽A00123", "辽A0Q123"),
        ("辽A55123", "辽A5S123"),
        ("辽A33123", "辽A37123"),
        ("辽A33123", "辽A38123"),
        ("辽A71000", "辽A11000"),
        ("津A12345", "沪A12345"),
        ("京AD12345", "京A012345"),
        ("京A12345", "琼A12345"),
        ("辽A1234警", "辽A7234警"),
    ],
)
def test_what_is_easily_taken_for_one_another(one: str, other: str) -> None:
    assert (other in neighbours(one)) == is_legal(other)
    assert (one in neighbours(other)) == is_legal(one)


def test_what_is_not() -> None:
    found = set(neighbours("辽A12345"))
    assert "辽A12346" not in found
    assert "辽A12345" not in found
    assert "辽A72345" in found
    assert not [plate for plate in found if not plate.startswith("辽A")]
    assert set(neighbours("辽A?23??")) <= {"辽A?23??"}  # a pattern is no plate


@given(
    st.sampled_from(PROVINCES),
    st.sampled_from("ABCDEFGHJK"),
    st.text("0123456789ABCDEFGHJKLMNPQRSTUVWXYZ", min_size=5, max_size=6),
)
def test_neighbours_are_legal_and_mutual(province: str, letter: str, serial: str) -> None:
    plate = f"{province}{letter}{serial}"
    if not is_legal(plate):
        return
    for other in neighbours(plate):
        assert is_legal(other)
        assert plate in neighbours(other)
        assert sum(a != b for a, b in zip(plate, other, strict=True)) == 1
