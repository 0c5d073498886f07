"""Enumerations and moments to protobuf's and back; see ``convert.py``."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.timestamp_pb2 import Timestamp

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.types import (
    Direction,
    MatchKind,
    NamedBy,
    PlateClass,
    ReviewState,
    VehicleClass,
    VehicleColour,
)

E = TypeVar("E", bound=StrEnum)

_UNSPECIFIED = 0


def review_state_to_pb(state: ReviewState) -> str:
    """The state's name in the .proto, which a message takes for its number."""
    return f"REVIEW_STATE_{state.name}"


def review_state_from_pb(number: int) -> ReviewState | None:
    """Convert one review state; None for UNSPECIFIED and what is unknown."""
    return enum_member(pb.ReviewState, "REVIEW_STATE", ReviewState, number)


def match_kind_to_pb(kind: MatchKind) -> str:
    """The kind's name in the .proto, which a message takes for its number."""
    return f"MATCH_KIND_{kind.name}"


def match_kind_from_pb(number: int) -> MatchKind | None:
    """Convert one kind of match; None for UNSPECIFIED and what is unknown."""
    return enum_member(pb.MatchKind, "MATCH_KIND", MatchKind, number)


def named_by_from_pb(number: int) -> NamedBy | None:
    """Convert how a person is known; None for UNSPECIFIED and what is unknown."""
    return enum_member(pb.NamedBy, "NAMED_BY", NamedBy, number)


def timestamp_from_us(microseconds: int) -> Timestamp:
    """Microseconds since 1970 (UTC) as a Timestamp."""
    return Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)


def enum_name(prefix: str, member: StrEnum | None) -> str | None:
    """The value's name in the .proto, which a message takes for its number; None stays unset."""
    return None if member is None else f"{prefix}_{member.name}"


def enum_member(wrapper: EnumTypeWrapper, prefix: str, kind: type[E], number: int) -> E | None:
    """The member numbered ``number``; None for 0 and for what this version does not know."""
    value = wrapper.DESCRIPTOR.values_by_number.get(number)
    if value is None or number == _UNSPECIFIED:
        return None
    return kind[value.name.removeprefix(prefix + "_")]


def direction_from_pb(number: int) -> Direction | None:
    """Convert one direction; None for UNSPECIFIED and what is unknown."""
    return enum_member(pb.Direction, "DIRECTION", Direction, number)


def plate_class_from_pb(number: int) -> PlateClass | None:
    """Convert one class of plates; OTHER for what is unknown."""
    known = enum_member(pb.PlateClass, "PLATE_CLASS", PlateClass, number)
    return PlateClass.OTHER if known is None and number else known


def vehicle_class_from_pb(number: int) -> VehicleClass | None:
    """Convert one class of vehicles; OTHER for what is unknown."""
    known = enum_member(pb.VehicleClass, "VEHICLE_CLASS", VehicleClass, number)
    return VehicleClass.OTHER if known is None and number else known


def vehicle_colour_from_pb(number: int) -> VehicleColour | None:
    """Convert one colour; None for UNSPECIFIED and what is unknown."""
    return enum_member(pb.VehicleColour, "VEHICLE_COLOUR", VehicleColour, number)


def moment_to_pb(moment: datetime) -> Timestamp:
    """Convert one moment.

    Raises:
        ValueError: it does not say its time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()}: a time without its zone")
    stamp = Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp


def moment_from_pb(stamp: Timestamp) -> datetime:
    """Convert one moment, UTC."""
    return stamp.ToDatetime(tzinfo=UTC)
