"""The records that travel through the pipeline.

All records are frozen; only frozen records cross threads. Arrays carry their shape, dtype
and colour order in the field's comment. Wall-clock times are timezone-aware UTC; ages and
durations are seconds. This module imports nothing of ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

ImageBgr: TypeAlias = NDArray[np.uint8]  # (H, W, 3), BGR
Corners: TypeAlias = NDArray[
    np.float32
]  # (4, 2) x, y in pixels: the plate's own top-left, clockwise
CharProbs: TypeAlias = NDArray[np.float32]  # (SLOTS, len(ALPHABET)), each row sums to 1
Box: TypeAlias = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels

PROVINCES = "京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新"
DIGITS = "0123456789"
LETTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"  # no I anywhere; O only as an issuing letter
SUFFIXES = "使领警学挂港澳应急"
BLANK = 0
"""Column of a character distribution that means: no character in this slot."""
ALPHABET: tuple[str, ...] = ("", *PROVINCES, *DIGITS, *LETTERS, *SUFFIXES)
SLOTS = 8
"""Slots of a character distribution: the longest legal plate has eight characters. A shorter
plate leaves the last slots blank; a double-row plate is read top row first."""


class PlateClass(StrEnum):
    """Plate classes after GA 36-2018."""

    BLUE = "blue"
    YELLOW_SINGLE = "yellow_single"
    YELLOW_DOUBLE = "yellow_double"
    GREEN_SMALL = "green_small"
    GREEN_LARGE = "green_large"
    POLICE = "police"
    COACH = "coach"
    HK_MACAU = "hk_macau"
    EMBASSY = "embassy"
    CONSULATE = "consulate"
    WJ = "wj"
    ARMY = "army"
    MOTORCYCLE = "motorcycle"
    TRAILER = "trailer"
    TEMPORARY = "temporary"
    TRACTOR = "tractor"
    EMERGENCY = "emergency"
    OTHER = "other"


class VehicleClass(StrEnum):
    """Vehicle classes that the detector tells apart."""

    CAR = "car"
    VAN = "van"
    BUS = "bus"
    TRUCK = "truck"
    MOTORCYCLE = "motorcycle"
    OTHER = "other"


class VehicleColour(StrEnum):
    """Body colours that the colour classifier tells apart."""

    BLACK = "black"
    WHITE = "white"
    SILVER = "silver"
    RED = "red"
    BLUE = "blue"
    GREEN = "green"
    YELLOW = "yellow"
    BROWN = "brown"
    PINK = "pink"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One sampled picture of one camera.

    ``media_s`` is the position in the medium (the stream's own clock, starting at 0 for a
    file); ``arrived_s`` is the monotonic second at which it reached this machine, ``ready_s`` that
    at which it was decoded. ``small``: the same picture at the detector's size, where it was made.
    """

    camera: str
    sequence: int
    captured_at: datetime
    media_s: float
    arrived_s: float
    image: ImageBgr = field(repr=False)
    live: bool = False
    small: ImageBgr | None = field(default=None, repr=False)
    ready_s: float = 0.0


@dataclass(frozen=True, slots=True)
class VehicleDetection:
    """One vehicle in one picture; ``colour`` is None where the classifier is not sure."""

    box: Box
    vehicle_class: VehicleClass
    confidence: float
    colour: VehicleColour | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PlateDetection:
    """One plate in one picture, by its four corners."""

    corners: Corners
    confidence: float

    @property
    def box(self) -> Box:
        """Axis-aligned box around the corners, pixels."""
        low, high = self.corners.min(axis=0), self.corners.max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])


@dataclass(frozen=True, slots=True, eq=False)
class PlateRead:
    """What the reader saw on one plate: the whole distribution, and its likeliest legal text.

    ``text`` is None where no legal text is likely enough to be called a read. ``probability``
    is that of the whole text, the product of ``text_probabilities``.
    """

    text: str | None
    plate_class: PlateClass
    probability: float
    text_probabilities: tuple[float, ...]
    char_probs: CharProbs = field(repr=False)
    class_probs: NDArray[np.float32] = field(repr=False)  # (len(PlateClass),)


@dataclass(frozen=True, slots=True, eq=False)
class ReadPlate:
    """A detected plate together with its read."""

    detection: PlateDetection
    read: PlateRead


class Present(NamedTuple):
    """How many vehicles are in view of a camera, or were a moment ago: all of them, those that
    still want to be read, and those whose reading is not beyond doubt."""

    vehicles: int = 0
    unsettled: int = 0
    doubtful: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Recognition:
    """Everything recognised in one frame."""

    frame: Frame
    plates: tuple[ReadPlate, ...]
    vehicles: tuple[VehicleDetection, ...]


class Direction(StrEnum):
    """Way of travel relative to the camera."""

    APPROACHING = "approaching"
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """The picture that carried a passage's vote.

    ``path`` is relative to the evidence folder; ``sha256`` is that of the JPEG file, in hex.
    ``plate_corners`` are the plate's in that picture, None where none was seen or its place was
    not kept.
    """

    path: str
    sha256: str
    media_s: float
    jpeg: bytes = field(repr=False)
    plate_corners: Corners | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """One vehicle through one camera's view, as known at one revision.

    A passage whose plate is missing or unreadable is a passage too: ``plate`` is None then.
    ``start_s`` and ``end_s`` are media seconds. ``char_probs`` is the fused distribution over
    all reads, None where nothing was read.
    """

    id: str
    revision: int
    camera: str
    lane: str | None
    direction: Direction | None
    started_at: datetime
    ended_at: datetime
    start_s: float
    end_s: float
    plate: str | None
    plate_class: PlateClass | None
    probability: float | None
    text_probabilities: tuple[float, ...]
    char_probs: CharProbs | None = field(repr=False)
    reads: int
    vehicle_class: VehicleClass | None
    vehicle_colour: VehicleColour | None
    evidence: Evidence | None
    closed: bool
    latency_s: float | None = None
    """From the arrival of the frame that settled the reading to this revision, seconds."""


class MatchKind(StrEnum):
    """How a passage met a watchlist entry."""

    EXACT = "exact"
    POSSIBLE = "possible"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class WatchlistEntry:
    """One governed entry of the watchlist. ``priority`` runs from 1 (act now) to 4 (note)."""

    id: str
    plate: str
    plate_class: PlateClass | None
    vehicle_class: VehicleClass | None
    vehicle_colour: VehicleColour | None
    category: str
    priority: int
    disposition: str
    reason: str
    case_number: str
    authoriser: str
    requester: str | None
    valid_from: datetime
    expires_at: datetime
    audience: tuple[str, ...] = ()
    source: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """A passage that met an entry.

    ``id`` is the same for the same passage and entry whatever the revision; ``retracted`` says
    that a later revision of the passage no longer meets the entry. ``probability`` is that the
    passage's plate is the entry's, or fits it; ``reading`` is the (likeliest) reading that does.
    ``mismatches`` names the attributes in which entry and passage disagree. ``late`` says that
    the entry came after the passage, which was matched again because it was still kept.
    """

    id: str
    revision: int
    checkpoint: str
    passage: Passage
    entry: WatchlistEntry
    kind: MatchKind
    probability: float
    list_version: int
    list_age_s: float
    occurred_at: datetime
    mismatches: tuple[str, ...] = ()
    retracted: bool = False
    reading: str | None = None
    late: bool = False


class ReviewState(StrEnum):
    """What a named person has said of an alert."""

    UNVERIFIED = "unverified"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"


class NamedBy(StrEnum):
    """How the alert service knows a person's name."""

    TOKEN = "token"  # noqa: S105 (no token)
    CERTIFICATE = "certificate"
    REQUEST = "request"
    """The request alone said so, over loopback: nobody has checked it."""
    SERVICE = "service"
    """The service acted by itself."""


class HistoryKind(StrEnum):
    """What happened to an alert."""

    HIT = "hit"
    REVIEW = "review"
    DOCUMENT = "document"
    ESCALATION = "escalation"
    WITHDRAWAL = "withdrawal"


@dataclass(frozen=True, slots=True, eq=False)
class Alert:
    """A hit as the alert service keeps it; ``sequence`` is the feed's cursor.

    ``outcome`` is what came of it, in the reviewer's words. ``escalated_by`` is ``checkpoint``
    where the service escalated it by itself.
    """

    sequence: int
    hit: Hit
    received_at: datetime
    review: ReviewState = ReviewState.UNVERIFIED
    reviewer: str | None = None
    review_note: str | None = None
    reviewed_at: datetime | None = None
    reviewer_named_by: NamedBy | None = None
    outcome: str | None = None
    escalated_at: datetime | None = None
    escalated_by: str | None = None
    escalation_note: str | None = None
    escalation_named_by: NamedBy | None = None

    @property
    def id(self) -> str:
        """The alert's identifier: that of its hit."""
        return self.hit.id


@dataclass(frozen=True, slots=True, eq=False)
class HistoryEvent:
    """One thing that happened to an alert; ``hit`` (without its JPEG) where one was stored."""

    at: datetime
    kind: HistoryKind
    revision: int
    sequence: int
    person: str | None = None
    named_by: NamedBy | None = None
    decision: ReviewState | None = None
    note: str | None = None
    outcome: str | None = None
    hit: Hit | None = None


@dataclass(frozen=True, slots=True)
class AlertStats:
    """Counts of the alerts of a period, each at its latest revision; times in seconds.

    ``complete`` is False where there were more alerts than the service counts at once.
    """

    since: datetime
    until: datetime
    alerts: int
    unverified: int
    confirmed: int
    rejected: int
    escalated: int
    retracted: int
    by_category: dict[str, int]
    by_kind: dict[str, int]
    by_checkpoint: dict[str, int]
    by_priority: dict[int, int]
    by_outcome: dict[str, int]
    median_review_s: float | None
    oldest_unverified_s: float | None
    complete: bool
    subscribers: int
    publishers: int
