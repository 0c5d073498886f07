from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.errors import WatchlistError
from pipeline.types import PlateClass
from watchlist.entry import (
    EntryPolicy,
    EntryStatus,
    from_json,
    is_id,
    make_entry,
    new_id,
    status_of,
    to_json,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIELDS: dict[str, Any] = {
    "plate": " 辽a·12345",
    "category": "stolen",
    "disposition": "stop and identify",
    "reason": "reported stolen",
    "case_number": "C-2026-17",
    "authoriser": "Wang",
    "expires_at": NOW + timedelta(days=30),
}


def test_an_entry_with_everything_it_needs() -> None:
    entry = make_entry(FIELDS, NOW)
    assert entry.plate == "辽A12345"
    assert entry.valid_from == NOW
    assert entry.priority == 2
    assert is_id(entry.id)
    assert from_json(to_json(entry)) == entry


@pytest.mark.parametrize("field", list(FIELDS))
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(WatchlistError, match=f"{field}: is missing"):
        make_entry({name: value for name, value in FIELDS.items() if name != field}, NOW)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("plate", "辽A1234", "has the form of no plate"),
        ("plate", "辽А12345", "CYRILLIC"),
        ("category", "gossip", "is none of"),
        ("category", "  ", "must not be empty"),
        ("reason", "", "must not be empty"),
        ("reason", "a\x07b", "control character"),
        ("reason", "turned \u202e around", "control character"),
        ("reason", "x" * 501, "at most 500"),
        ("case_number", " ", "must not be empty"),
        ("authoriser", "", "must not be empty"),
        ("disposition", "", "must not be empty"),
        ("expires_at", NOW - timedelta(seconds=1), "is in the past"),
        ("expires_at", NOW, "is in the past"),
        ("expires_at", NOW + timedelta(days=401), "at most 400 days"),
        ("expires_at", datetime(2026, 4, 1), "timezone"),
        ("priority", 0, "greater than or equal to 1"),
        ("priority", 5, "less than or equal to 4"),
        ("plate_class", "police", "can only be one of"),
        ("plate_class", "purple", "Input should be"),
        ("vehicle_colour", "beige", "Input should be"),
        ("audience", ("north;south",), "holds no ';'"),
        ("requester", " wang ", "another person than the authoriser"),
        ("shoe_size", 43, "is no field of an entry"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object, said: str) -> None:
    with pytest.raises(WatchlistError, match=f"{field}.*{said}"):
        make_entry({**FIELDS, field: value}, NOW)


def test_all_mistakes_are_said_at_once() -> None:
    with pytest.raises(WatchlistError) as caught:
        make_entry({**FIELDS, "plate": "X", "category": "gossip", "reason": ""}, NOW)
    for field in ("plate", "category", "reason"):
        assert f"{field}:" in str(caught.value)


def test_expiry_must_follow_the_beginning() -> None:
    fields = {**FIELDS, "valid_from": NOW + timedelta(days=31)}
    with pytest.raises(WatchlistError, match="expires_at: must be after valid_from"):
        make_entry(fields, NOW)


def test_the_policy_sets_categories_and_maxima() -> None:
    policy = EntryPolicy(
        categories=frozenset({"stolen", "visit"}),
        maximum=timedelta(days=60),
        maximum_by_category={"visit": timedelta(days=1)},
    )
    assert make_entry(FIELDS, NOW, policy).category == "stolen"
    with pytest.raises(WatchlistError, match="at most 1 days"):
        make_entry({**FIELDS, "category": "visit"}, NOW, policy)


def test_a_class_that_fits_is_kept() -> None:
    entry = make_entry({**FIELDS, "plate_class": "yellow_double"}, NOW)
    assert entry.plate_class is PlateClass.YELLOW_DOUBLE


def test_status_follows_the_clock() -> None:
    entry = make_entry({**FIELDS, "valid_from": NOW + timedelta(hours=1)}, NOW)
    assert status_of(entry, NOW) is EntryStatus.PENDING
    assert status_of(entry, NOW + timedelta(hours=1)) is EntryStatus.ACTIVE
    assert status_of(entry, entry.expires_at) is EntryStatus.EXPIRED


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id":"x"}', "null", b"\xff"])
def test_a_damaged_record_is_said(text: str | bytes) -> None:
    with pytest.raises(WatchlistError, match="damaged"):
        from_json(text)


def test_a_record_of_a_later_version_can_be_read() -> None:
    entry = make_entry(FIELDS, NOW)
    later = to_json(entry).removesuffix("}") + ',"pattern":null}'
    assert from_json(later) == entry


def test_ids_are_unique_and_sort_by_time() -> None:
    later = NOW + timedelta(days=20_000)  # after every id that was drawn before
    ids = [new_id(later) for _ in range(5000)] + [new_id(later + timedelta(milliseconds=1))]
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
    assert all(is_id(one) for one in ids)
