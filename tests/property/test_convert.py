"""domain → protobuf → bytes → protobuf → domain is the identity."""

from __future__ import annotations

import contextlib
import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from checkpoint.v1 import alerts_pb2 as pb
from pipeline import convert
from pipeline.convert_values import moment_to_pb
from pipeline.types import (
    ALPHABET,
    SLOTS,
    Alert,
    Direction,
    Evidence,
    Hit,
    MatchKind,
    NamedBy,
    Passage,
    PlateClass,
    ReviewState,
    VehicleClass,
    VehicleColour,
    WatchlistEntry,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBER = st.floats(allow_nan=False)
COUNT = st.integers(0, 2**32 - 1)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=8)), timezone(-timedelta(hours=3.5))])
TIME = st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1), timezones=ZONES)
DISTRIBUTION = arrays.arrays(
    np.float32, st.sampled_from([(SLOTS, len(ALPHABET)), (1, len(ALPHABET))]),
    elements=st.floats(0, 1, width=32),
)  # fmt: skip


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def member(kind: type[StrEnum]) -> st.SearchStrategy[Any]:
    return st.sampled_from(list(kind))


CORNERS = arrays.arrays(np.float32, (4, 2), elements=st.floats(-9e3, 9e3, width=32))
EVIDENCE = st.builds(
    Evidence,
    path=TEXT,
    sha256=TEXT,
    media_s=NUMBER,
    jpeg=st.binary(max_size=64),
    plate_corners=maybe(CORNERS),
)
PASSAGE = st.builds(
    Passage,
    id=TEXT,
    revision=COUNT,
    camera=TEXT,
    lane=maybe(TEXT),
    direction=maybe(member(Direction)),
    started_at=TIME,
    ended_at=TIME,
    start_s=NUMBER,
    end_s=NUMBER,
    plate=maybe(TEXT),
    plate_class=maybe(member(PlateClass)),
    probability=maybe(NUMBER),
    text_probabilities=st.lists(NUMBER, max_size=8).map(tuple),
    char_probs=maybe(DISTRIBUTION),
    reads=COUNT,
    vehicle_class=maybe(member(VehicleClass)),
    vehicle_colour=maybe(member(VehicleColour)),
    evidence=maybe(EVIDENCE),
    closed=st.booleans(),
    latency_s=maybe(NUMBER),
)
ENTRY = st.builds(
    WatchlistEntry,
    id=TEXT,
    plate=TEXT,
    plate_class=maybe(member(PlateClass)),
    vehicle_class=maybe(member(VehicleClass)),
    vehicle_colour=maybe(member(VehicleColour)),
    category=TEXT,
    priority=st.integers(1, 4),
    disposition=TEXT,
    reason=TEXT,
    case_number=TEXT,
    authoriser=TEXT,
    requester=maybe(TEXT),
    valid_from=TIME,
    expires_at=TIME,
    audience=st.lists(TEXT, max_size=3).map(tuple),
    source=maybe(TEXT),
)
HIT = st.builds(
    Hit,
    id=TEXT,
    revision=COUNT,
    checkpoint=TEXT,
    passage=PASSAGE,
    entry=ENTRY,
    kind=member(MatchKind),
    probability=NUMBER,
    list_version=st.integers(0, 2**64 - 1),
    list_age_s=NUMBER,
    occurred_at=TIME,
    mismatches=st.lists(TEXT, max_size=3).map(tuple),
    retracted=st.booleans(),
    reading=maybe(TEXT),
    late=st.booleans(),
)
ALERT = st.builds(
    Alert,
    sequence=st.integers(0, 2**64 - 1),
    hit=HIT,
    received_at=TIME,
    review=member(ReviewState),
    reviewer=maybe(TEXT),
    review_note=maybe(TEXT),
    reviewed_at=maybe(TIME),
    reviewer_named_by=maybe(member(NamedBy)),
    outcome=maybe(TEXT),
    escalated_at=maybe(TIME),
    escalated_by=maybe(TEXT),
    escalation_note=maybe(TEXT),
    escalation_named_by=maybe(member(NamedBy)),
)


def same(left: Any, right: Any) -> bool:
    """Deep equality: arrays by value, shape and dtype, times by instant."""
    if type(left) is not type(right):
        return False
    if dataclasses.is_dataclass(left):
        names = [field.name for field in dataclasses.fields(left)]
        return all(same(getattr(left, name), getattr(right, name)) for name in names)
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right)
    return bool(left == right)


@given(PASSAGE)
def test_passage(passage: Passage) -> None:
    assert same(convert.parse_passage(convert.serialise_passage(passage)), passage)


@given(HIT)
def test_hit(hit: Hit) -> None:
    outgoing = convert.publish_request(hit)
    assert outgoing[:2] == (hit.id, hit.revision)
    assert same(convert.hit_from_pb(convert.parse_publish_request(outgoing.payload).hit), hit)


@given(ALERT)
def test_alert(alert: Alert) -> None:
    message = pb.Alert.FromString(convert.alert_to_pb(alert).SerializeToString())
    assert same(convert.alert_from_pb(message), alert)


@given(HIT)
def test_serialising_is_deterministic(hit: Hit) -> None:
    assert convert.publish_request(hit) == convert.publish_request(hit)


@given(st.binary(max_size=200))
def test_garbage_is_a_value_error_or_a_message(payload: bytes) -> None:
    for parse in (convert.parse_passage, convert.parse_publish_request):
        with contextlib.suppress(ValueError):
            parse(payload)


@given(DISTRIBUTION, st.permutations(range(1, len(ALPHABET))))
def test_another_alphabet_is_mapped_by_character(values: Any, order: list[int]) -> None:
    theirs = pb.CharacterProbabilities(
        slots=values.shape[0],
        characters=values.shape[1],
        values=values[:, [0, *order]].tobytes(),
        alphabet="".join(ALPHABET[column] for column in order),
    )
    assert np.array_equal(convert.char_probs_from_pb(theirs), values)


def test_what_a_newer_sender_knows_becomes_the_nearest_known() -> None:
    passage = convert.passage_from_pb(
        pb.Passage(plate_class=99, vehicle_class=99, vehicle_colour=99, direction=99)  # type: ignore[arg-type]
    )
    assert passage.plate_class is PlateClass.OTHER
    assert passage.vehicle_class is VehicleClass.OTHER
    assert passage.vehicle_colour is None
    assert passage.direction is None


@pytest.mark.parametrize("kind", [0, 99])
def test_a_hit_without_a_known_kind_is_refused(kind: int) -> None:
    with pytest.raises(ValueError, match="kind"):
        convert.hit_from_pb(pb.Hit(kind=kind))  # type: ignore[arg-type]


def test_a_distribution_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        convert.char_probs_from_pb(pb.CharacterProbabilities(slots=8, characters=3, values=b"1"))


def test_a_time_without_its_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        moment_to_pb(datetime(2026, 1, 1))
