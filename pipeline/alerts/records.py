"""What goes into the alert store and comes out of it. Hits are opaque bytes here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pipeline.types import NamedBy

LONGEST_ID: Final = 200
"""Characters of an id or a name."""
STANDING_FIELDS: Final = (
    "review",
    "reviewer",
    "review_note",
    "reviewed_us",
    "reviewer_named_by",
    "outcome",
    "escalated_by",
    "escalation_note",
    "escalated_us",
    "escalation_named_by",
)
"""Fields of an alert's hash that hold the decision and the escalation that stand."""


class EventKind(StrEnum):
    """What an entry of the feed tells."""

    HIT = "hit"
    REVIEW = "review"
    ESCALATION = "escalation"
    CHECKPOINT = "checkpoint"


class Act(StrEnum):
    """What a person, or time, has done to an alert."""

    REVIEW = "review"
    DOCUMENT = "document"
    ESCALATION = "escalation"
    WITHDRAWAL = "withdrawal"


class Durability(StrEnum):
    """How a store knows that its server has written to the disk."""

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
class StoredReview:
    """A decision; ``reviewed_us`` is microseconds since 1970, UTC."""

    state: str
    reviewer: str
    note: str | None
    reviewed_us: int
    revision: int | None = None
    named_by: NamedBy | None = None
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class StoredEscalation:
    """An alert was sent up; ``escalated_us`` is microseconds since 1970, UTC."""

    person: str
    note: str | None
    escalated_us: int
    named_by: NamedBy | None = None


@dataclass(frozen=True, slots=True)
class StoredAct:
    """One entry of an alert's history; ``at_us`` is microseconds since 1970, UTC."""

    act: Act
    person: str
    named_by: NamedBy | None
    at_us: int
    revision: int
    sequence: int
    state: str | None = None
    note: str | None = None
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class StoredRevision:
    """One revision of a hit, as it was stored."""

    revision: int
    sequence: int
    hit: bytes = field(repr=False)
    received_us: int


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a hit; ``duplicate`` where it had been stored before.

    ``review`` is the decision that already stands, where an earlier revision was reviewed; so with
    ``escalation``.
    """

    sequence: int
    duplicate: bool
    review: StoredReview | None = None
    escalation: StoredEscalation | None = None


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert, or one event of the feed about it."""

    sequence: int
    id: str
    hit: bytes = field(repr=False)
    received_us: int
    review: StoredReview | None
    kind: EventKind = EventKind.HIT
    escalation: StoredEscalation | None = None


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """What is known of a checkpoint; ``status`` is opaque. ``seen_us``: 0 if it never was."""

    name: str
    state: str
    seen_us: int
    status: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoredChange:
    """An event of the feed: a checkpoint's state has changed; ``status`` is opaque."""

    sequence: int
    name: str
    status: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoredPage:
    """Events of the feed in order; ``last`` is the number of the last that was looked at.

    ``more`` where the page was full: there may be events beyond ``last``.
    """

    events: list[StoredAlert | StoredChange]
    last: int
    more: bool


@dataclass(frozen=True, slots=True)
class Feed:
    """Which feed this is, and its last sequence number."""

    id: str
    last: int


class ReviewRefusal(StrEnum):
    """Why a decision or escalation was not taken."""

    UNKNOWN = "unknown"
    DECIDED = "decided"
    AMENDED = "amended"
    ESCALATED = "escalated"


class ReviewRefusedError(Exception):
    """A decision or escalation was not taken.

    ``standing``: the decision that stands, or the escalation that came first.
    """

    def __init__(
        self,
        why: ReviewRefusal,
        standing: StoredReview | StoredEscalation | None = None,
        revision: int | None = None,
    ) -> None:
        super().__init__(why.value)
        self.why = why
        self.standing = standing
        self.revision = revision
