"""What goes into the alert store and comes out of it. Hits are opaque bytes here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class EventKind(StrEnum):
    """What an entry of the feed tells."""

    HIT = "hit"
    REVIEW = "review"


class Durability(StrEnum):
    """How the store knows that Redis has written to the disk."""

    ALWAYS = "always"
    WAITAOF = "waitaof"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class NewHit:
    """A hit to store; ``hit`` is opaque and holds no JPEG."""

    id: str
    revision: int
    hit: bytes = field(repr=False)
    jpeg: bytes = field(repr=False)
    received_us: int


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a hit; ``duplicate`` where it had been stored before."""

    sequence: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class StoredReview:
    """A decision; ``reviewed_us`` is microseconds since 1970, UTC."""

    state: str
    reviewer: str
    note: str | None
    reviewed_us: int
    revision: int | None = None


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert, or one event of the feed about it."""

    sequence: int
    id: str
    hit: bytes = field(repr=False)
    received_us: int
    review: StoredReview | None
    kind: EventKind = EventKind.HIT


@dataclass(frozen=True, slots=True)
class Feed:
    """Which feed this is, and its last sequence number."""

    id: str
    last: int


class ReviewRefusal(StrEnum):
    """Why a decision was not taken."""

    UNKNOWN = "unknown"
    DECIDED = "decided"
    AMENDED = "amended"


class ReviewRefusedError(Exception):
    """A decision was not taken; ``standing`` is the one that stands, if there is one."""

    def __init__(
        self, why: ReviewRefusal, standing: StoredReview | None, revision: int | None
    ) -> None:
        super().__init__(why.value)
        self.why = why
        self.standing = standing
        self.revision = revision
