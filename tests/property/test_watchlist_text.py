"""Plates, entries and lists as text: what is written comes back."""

from __future__ import annotations

import io
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import CATEGORIES
from pipeline.errors import WatchlistError
from pipeline.types import (
    ALPHABET,
    PROVINCES,
    PlateClass,
    VehicleClass,
    VehicleColour,
    WatchlistEntry,
)
from watchlist.columns import COLUMNS
from watchlist.entry import from_json, make_entry, new_id, to_json
from watchlist.grammar import classify, display, is_legal, normalise
from watchlist.sheets import guard, read_rows, unguard, write_csv

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SERIAL = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"

digits = st.text("0123456789", min_size=5, max_size=5)
provinces, letters = st.sampled_from(PROVINCES), st.sampled_from("ABCDEFGHJKLMNPQRSTUVWXYZ")
energies = st.sampled_from("DF")
plates = st.one_of(
    st.builds(lambda p, a, d: f"{p}{a}{d}", provinces, letters, digits),
    st.builds(
        lambda p, a, d, e: f"{p}{a}{e}{d}", provinces, letters, digits, st.sampled_from("DF")
    ),
    st.builds(lambda p, a, d: f"{p}{a}{d[:4]}警", provinces, letters, digits),
    st.builds(lambda d: f"{d}1使", digits),
    st.builds(lambda d: f"WJ{d}", digits),
    st.builds(lambda p, d: f"{p}X{d[:4]}应急", provinces, digits),
)
words = st.text(
    st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=1, max_size=40
).filter(lambda text: text.strip())
names = words.map(lambda text: text.replace(";", ","))
moments = st.datetimes(
    min_value=datetime(2020, 1, 1),
    max_value=datetime(2027, 3, 1),
    timezones=st.just(UTC),
)


@st.composite
def entries(draw: st.DrawFn) -> WatchlistEntry:
    plate = draw(plates)
    fields = {
        "plate": plate,
        "category": draw(st.sampled_from(CATEGORIES)),
        "priority": draw(st.integers(1, 4)),
        "disposition": draw(words),
        "reason": draw(words),
        "case_number": draw(words),
        "authoriser": "authoriser",
        "requester": draw(st.none() | words.map(lambda text: f"r {text}")),
        "expires_at": NOW + timedelta(seconds=draw(st.integers(1, 34_000_000))),
        "valid_from": draw(moments.filter(lambda moment: moment <= NOW)),
        "plate_class": draw(st.none() | st.sampled_from(sorted(classify(plate)))),
        "vehicle_class": draw(st.none() | st.sampled_from(VehicleClass)),
        "vehicle_colour": draw(st.none() | st.sampled_from(VehicleColour)),
        "audience": tuple(draw(st.lists(names, max_size=3))),
        "source": draw(st.none() | words),
    }
    return make_entry(fields, NOW)


@given(st.text(max_size=12) | st.text([*ALPHABET[1:], *"·- \u3000．ａ０А"], max_size=12))
def test_normalising_is_idempotent(text: str) -> None:
    try:
        once = normalise(text)
    except WatchlistError:
        return
    assert normalise(once) == once


@given(plates, st.integers(0, 8), st.sampled_from("·-  ・\u3000—"))
def test_every_way_to_write_a_plate_is_one_plate(plate: str, at: int, separator: str) -> None:
    wide = "".join(chr(ord(c) + 0xFEE0) if c.isascii() else c for c in plate)
    for written in (
        plate[:at] + separator + plate[at:],
        plate.lower(),
        wide,
        display(plate),
        f" {plate} ",
    ):
        assert normalise(written) == plate


@given(plates)
def test_a_legal_plate_has_a_class_and_is_normal(plate: str) -> None:
    assert is_legal(plate)
    assert classify(plate)
    assert normalise(plate) == plate


@given(st.text(ALPHABET[1:], max_size=9))
def test_legal_means_a_class(text: str) -> None:
    assert is_legal(text) == bool(classify(text))


@given(entries())
def test_json_gives_the_entry_back(entry: WatchlistEntry) -> None:
    line = to_json(entry)
    assert "\n" not in line
    assert from_json(line) == entry
    assert from_json(line.encode()) == entry


@given(st.text(max_size=20))
def test_guarding_gives_the_cell_back(cell: str) -> None:
    assert unguard(guard(cell)) == cell
    assert not guard(cell).startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"))


@given(st.lists(entries(), max_size=5), st.sampled_from(["utf-8-sig", "gb18030"]))
def test_csv_gives_the_list_back(listed: list[WatchlistEntry], encoding: str) -> None:
    out = io.StringIO()
    assert write_csv(listed, out) == len(listed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.csv"
        path.write_bytes(out.getvalue().encode(encoding))
        rows = list(read_rows(path, NOW))
    assert [row.refusal for row in rows] == [None] * len(listed)
    back = []
    for row in rows:
        fields = dict(row.fields)
        back.append(make_entry(fields, NOW, entry_id=str(fields.pop("id"))))
    assert back == listed


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=50))
def test_ids_sort_in_the_order_they_were_drawn(steps: list[int]) -> None:
    moment, ids = NOW + timedelta(days=3650), []
    for step in steps:
        moment += timedelta(milliseconds=step)
        ids.append(new_id(moment))
    assert len(set(ids)) == len(ids)
    assert sorted(ids) == ids or ids[0] < ids[-1]


def test_every_field_of_an_entry_has_a_column() -> None:
    assert set(COLUMNS) == set(WatchlistEntry.__slots__)


@pytest.mark.parametrize("plate_class", PlateClass)
def test_every_class_has_a_plate(plate_class: PlateClass) -> None:
    samples = ["辽A12345", "辽AD12345", "辽A12345D", "辽A1234警", "辽A1234学", "辽A1234挂"]
    samples += ["粤Z1234港", "224578使", "沪22478领", "WJ12345", "VA12345", "辽X1234应急"]
    assert any(plate_class in classify(sample) for sample in samples)
