from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PlateClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PLATE_CLASS_UNSPECIFIED: _ClassVar[PlateClass]
    PLATE_CLASS_BLUE: _ClassVar[PlateClass]
    PLATE_CLASS_YELLOW_SINGLE: _ClassVar[PlateClass]
    PLATE_CLASS_YELLOW_DOUBLE: _ClassVar[PlateClass]
    PLATE_CLASS_GREEN_SMALL: _ClassVar[PlateClass]
    PLATE_CLASS_GREEN_LARGE: _ClassVar[PlateClass]
    PLATE_CLASS_POLICE: _ClassVar[PlateClass]
    PLATE_CLASS_COACH: _ClassVar[PlateClass]
    PLATE_CLASS_HK_MACAU: _ClassVar[PlateClass]
    PLATE_CLASS_EMBASSY: _ClassVar[PlateClass]
    PLATE_CLASS_CONSULATE: _ClassVar[PlateClass]
    PLATE_CLASS_WJ: _ClassVar[PlateClass]
    PLATE_CLASS_ARMY: _ClassVar[PlateClass]
    PLATE_CLASS_MOTORCYCLE: _ClassVar[PlateClass]
    PLATE_CLASS_TRAILER: _ClassVar[PlateClass]
    PLATE_CLASS_TEMPORARY: _ClassVar[PlateClass]
    PLATE_CLASS_TRACTOR: _ClassVar[PlateClass]
    PLATE_CLASS_EMERGENCY: _ClassVar[PlateClass]
    PLATE_CLASS_OTHER: _ClassVar[PlateClass]

class VehicleClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VEHICLE_CLASS_UNSPECIFIED: _ClassVar[VehicleClass]
    VEHICLE_CLASS_CAR: _ClassVar[VehicleClass]
    VEHICLE_CLASS_VAN: _ClassVar[VehicleClass]
    VEHICLE_CLASS_BUS: _ClassVar[VehicleClass]
    VEHICLE_CLASS_TRUCK: _ClassVar[VehicleClass]
    VEHICLE_CLASS_MOTORCYCLE: _ClassVar[VehicleClass]
    VEHICLE_CLASS_OTHER: _ClassVar[VehicleClass]

class VehicleColour(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VEHICLE_COLOUR_UNSPECIFIED: _ClassVar[VehicleColour]
    VEHICLE_COLOUR_BLACK: _ClassVar[VehicleColour]
    VEHICLE_COLOUR_WHITE: _ClassVar[VehicleColour]
    VEHICLE_COLOUR_SILVER: _ClassVar[VehicleColour]
    VEHICLE_COLOUR_RED: _ClassVar[VehicleColour]
    VEHICLE_COLOUR_BLUE: _ClassVar[VehicleColour]
    VEHICLE_COLOUR_GREEN: _ClassVar[VehicleColour]
    VEHICLE_COLOUR_YELLOW: _ClassVar[VehicleColour]
    VEHICLE_COLOUR_BROWN: _ClassVar[VehicleColour]
    VEHICLE_COLOUR_PINK: _ClassVar[VehicleColour]

class Direction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIRECTION_UNSPECIFIED: _ClassVar[Direction]
    DIRECTION_APPROACHING: _ClassVar[Direction]
    DIRECTION_LEAVING: _ClassVar[Direction]

class MatchKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MATCH_KIND_UNSPECIFIED: _ClassVar[MatchKind]
    MATCH_KIND_EXACT: _ClassVar[MatchKind]
    MATCH_KIND_POSSIBLE: _ClassVar[MatchKind]
    MATCH_KIND_PARTIAL: _ClassVar[MatchKind]

class ReviewState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REVIEW_STATE_UNSPECIFIED: _ClassVar[ReviewState]
    REVIEW_STATE_UNVERIFIED: _ClassVar[ReviewState]
    REVIEW_STATE_CONFIRMED: _ClassVar[ReviewState]
    REVIEW_STATE_REJECTED: _ClassVar[ReviewState]

class NamedBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NAMED_BY_UNSPECIFIED: _ClassVar[NamedBy]
    NAMED_BY_TOKEN: _ClassVar[NamedBy]
    NAMED_BY_CERTIFICATE: _ClassVar[NamedBy]
    NAMED_BY_REQUEST: _ClassVar[NamedBy]
    NAMED_BY_SERVICE: _ClassVar[NamedBy]

class HistoryKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HISTORY_KIND_UNSPECIFIED: _ClassVar[HistoryKind]
    HISTORY_KIND_HIT: _ClassVar[HistoryKind]
    HISTORY_KIND_REVIEW: _ClassVar[HistoryKind]
    HISTORY_KIND_DOCUMENT: _ClassVar[HistoryKind]
    HISTORY_KIND_ESCALATION: _ClassVar[HistoryKind]
    HISTORY_KIND_WITHDRAWAL: _ClassVar[HistoryKind]

class CheckpointState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHECKPOINT_STATE_UNSPECIFIED: _ClassVar[CheckpointState]
    CHECKPOINT_STATE_EXPECTED: _ClassVar[CheckpointState]
    CHECKPOINT_STATE_ONLINE: _ClassVar[CheckpointState]
    CHECKPOINT_STATE_SILENT: _ClassVar[CheckpointState]
PLATE_CLASS_UNSPECIFIED: PlateClass
PLATE_CLASS_BLUE: PlateClass
PLATE_CLASS_YELLOW_SINGLE: PlateClass
PLATE_CLASS_YELLOW_DOUBLE: PlateClass
PLATE_CLASS_GREEN_SMALL: PlateClass
PLATE_CLASS_GREEN_LARGE: PlateClass
PLATE_CLASS_POLICE: PlateClass
PLATE_CLASS_COACH: PlateClass
PLATE_CLASS_HK_MACAU: PlateClass
PLATE_CLASS_EMBASSY: PlateClass
PLATE_CLASS_CONSULATE: PlateClass
PLATE_CLASS_WJ: PlateClass
PLATE_CLASS_ARMY: PlateClass
PLATE_CLASS_MOTORCYCLE: PlateClass
PLATE_CLASS_TRAILER: PlateClass
PLATE_CLASS_TEMPORARY: PlateClass
PLATE_CLASS_TRACTOR: PlateClass
PLATE_CLASS_EMERGENCY: PlateClass
PLATE_CLASS_OTHER: PlateClass
VEHICLE_CLASS_UNSPECIFIED: VehicleClass
VEHICLE_CLASS_CAR: VehicleClass
VEHICLE_CLASS_VAN: VehicleClass
VEHICLE_CLASS_BUS: VehicleClass
VEHICLE_CLASS_TRUCK: VehicleClass
VEHICLE_CLASS_MOTORCYCLE: VehicleClass
VEHICLE_CLASS_OTHER: VehicleClass
VEHICLE_COLOUR_UNSPECIFIED: VehicleColour
VEHICLE_COLOUR_BLACK: VehicleColour
VEHICLE_COLOUR_WHITE: VehicleColour
VEHICLE_COLOUR_SILVER: VehicleColour
VEHICLE_COLOUR_RED: VehicleColour
VEHICLE_COLOUR_BLUE: VehicleColour
VEHICLE_COLOUR_GREEN: VehicleColour
VEHICLE_COLOUR_YELLOW: VehicleColour
VEHICLE_COLOUR_BROWN: VehicleColour
VEHICLE_COLOUR_PINK: VehicleColour
DIRECTION_UNSPECIFIED: Direction
DIRECTION_APPROACHING: Direction
DIRECTION_LEAVING: Direction
MATCH_KIND_UNSPECIFIED: MatchKind
MATCH_KIND_EXACT: MatchKind
MATCH_KIND_POSSIBLE: MatchKind
MATCH_KIND_PARTIAL: MatchKind
REVIEW_STATE_UNSPECIFIED: ReviewState
REVIEW_STATE_UNVERIFIED: ReviewState
REVIEW_STATE_CONFIRMED: ReviewState
REVIEW_STATE_REJECTED: ReviewState
NAMED_BY_UNSPECIFIED: NamedBy
NAMED_BY_TOKEN: NamedBy
NAMED_BY_CERTIFICATE: NamedBy
NAMED_BY_REQUEST: NamedBy
NAMED_BY_SERVICE: NamedBy
HISTORY_KIND_UNSPECIFIED: HistoryKind
HISTORY_KIND_HIT: HistoryKind
HISTORY_KIND_REVIEW: HistoryKind
HISTORY_KIND_DOCUMENT: HistoryKind
HISTORY_KIND_ESCALATION: HistoryKind
HISTORY_KIND_WITHDRAWAL: HistoryKind
CHECKPOINT_STATE_UNSPECIFIED: CheckpointState
CHECKPOINT_STATE_EXPECTED: CheckpointState
CHECKPOINT_STATE_ONLINE: CheckpointState
CHECKPOINT_STATE_SILENT: CheckpointState

class CharacterProbabilities(_message.Message):
    __slots__ = ("slots", "characters", "values", "alphabet")
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    ALPHABET_FIELD_NUMBER: _ClassVar[int]
    slots: int
    characters: int
    values: bytes
    alphabet: str
    def __init__(self, slots: _Optional[int] = ..., characters: _Optional[int] = ..., values: _Optional[bytes] = ..., alphabet: _Optional[str] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ("path", "sha256", "media_s", "jpeg", "plate_corners")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    MEDIA_S_FIELD_NUMBER: _ClassVar[int]
    JPEG_FIELD_NUMBER: _ClassVar[int]
    PLATE_CORNERS_FIELD_NUMBER: _ClassVar[int]
    path: str
    sha256: str
    media_s: float
    jpeg: bytes
    plate_corners: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, path: _Optional[str] = ..., sha256: _Optional[str] = ..., media_s: _Optional[float] = ..., jpeg: _Optional[bytes] = ..., plate_corners: _Optional[_Iterable[float]] = ...) -> None: ...

class Passage(_message.Message):
    __slots__ = ("id", "revision", "camera", "lane", "direction", "started_at", "ended_at", "start_s", "end_s", "plate", "plate_class", "probability", "text_probabilities", "char_probs", "reads", "vehicle_class", "vehicle_colour", "evidence", "closed", "latency_s")
    ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    PLATE_FIELD_NUMBER: _ClassVar[int]
    PLATE_CLASS_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    TEXT_PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    CHAR_PROBS_FIELD_NUMBER: _ClassVar[int]
    READS_FIELD_NUMBER: _ClassVar[int]
    VEHICLE_CLASS_FIELD_NUMBER: _ClassVar[int]
    VEHICLE_COLOUR_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    LATENCY_S_FIELD_NUMBER: _ClassVar[int]
    id: str
    revision: int
    camera: str
    lane: str
    direction: Direction
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    start_s: float
    end_s: float
    plate: str
    plate_class: PlateClass
    probability: float
    text_probabilities: _containers.RepeatedScalarFieldContainer[float]
    char_probs: CharacterProbabilities
    reads: int
    vehicle_class: VehicleClass
    vehicle_colour: VehicleColour
    evidence: Evidence
    closed: bool
    latency_s: float
    def __init__(self, id: _Optional[str] = ..., revision: _Optional[int] = ..., camera: _Optional[str] = ..., lane: _Optional[str] = ..., direction: _Optional[_Union[Direction, str]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_s: _Optional[float] = ..., end_s: _Optional[float] = ..., plate: _Optional[str] = ..., plate_class: _Optional[_Union[PlateClass, str]] = ..., probability: _Optional[float] = ..., text_probabilities: _Optional[_Iterable[float]] = ..., char_probs: _Optional[_Union[CharacterProbabilities, _Mapping]] = ..., reads: _Optional[int] = ..., vehicle_class: _Optional[_Union[VehicleClass, str]] = ..., vehicle_colour: _Optional[_Union[VehicleColour, str]] = ..., evidence: _Optional[_Union[Evidence, _Mapping]] = ..., closed: bool = ..., latency_s: _Optional[float] = ...) -> None: ...

class WatchlistEntry(_message.Message):
    __slots__ = ("id", "plate", "plate_class", "vehicle_class", "vehicle_colour", "category", "priority", "disposition", "reason", "case_number", "authoriser", "requester", "valid_from", "expires_at", "audience", "source")
    ID_FIELD_NUMBER: _ClassVar[int]
    PLATE_FIELD_NUMBER: _ClassVar[int]
    PLATE_CLASS_FIELD_NUMBER: _ClassVar[int]
    VEHICLE_CLASS_FIELD_NUMBER: _ClassVar[int]
    VEHICLE_COLOUR_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DISPOSITION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CASE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    AUTHORISER_FIELD_NUMBER: _ClassVar[int]
    REQUESTER_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    id: str
    plate: str
    plate_class: PlateClass
    vehicle_class: VehicleClass
    vehicle_colour: VehicleColour
    category: str
    priority: int
    disposition: str
    reason: str
    case_number: str
    authoriser: str
    requester: str
    valid_from: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    audience: _containers.RepeatedScalarFieldContainer[str]
    source: str
    def __init__(self, id: _Optional[str] = ..., plate: _Optional[str] = ..., plate_class: _Optional[_Union[PlateClass, str]] = ..., vehicle_class: _Optional[_Union[VehicleClass, str]] = ..., vehicle_colour: _Optional[_Union[VehicleColour, str]] = ..., category: _Optional[str] = ..., priority: _Optional[int] = ..., disposition: _Optional[str] = ..., reason: _Optional[str] = ..., case_number: _Optional[str] = ..., authoriser: _Optional[str] = ..., requester: _Optional[str] = ..., valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., audience: _Optional[_Iterable[str]] = ..., source: _Optional[str] = ...) -> None: ...

class Hit(_message.Message):
    __slots__ = ("id", "revision", "checkpoint", "passage", "entry", "kind", "probability", "list_version", "list_age_s", "occurred_at", "mismatches", "retracted", "reading", "late")
    ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    PASSAGE_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    LIST_VERSION_FIELD_NUMBER: _ClassVar[int]
    LIST_AGE_S_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    MISMATCHES_FIELD_NUMBER: _ClassVar[int]
    RETRACTED_FIELD_NUMBER: _ClassVar[int]
    READING_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    id: str
    revision: int
    checkpoint: str
    passage: Passage
    entry: WatchlistEntry
    kind: MatchKind
    probability: float
    list_version: int
    list_age_s: float
    occurred_at: _timestamp_pb2.Timestamp
    mismatches: _containers.RepeatedScalarFieldContainer[str]
    retracted: bool
    reading: str
    late: bool
    def __init__(self, id: _Optional[str] = ..., revision: _Optional[int] = ..., checkpoint: _Optional[str] = ..., passage: _Optional[_Union[Passage, _Mapping]] = ..., entry: _Optional[_Union[WatchlistEntry, _Mapping]] = ..., kind: _Optional[_Union[MatchKind, str]] = ..., probability: _Optional[float] = ..., list_version: _Optional[int] = ..., list_age_s: _Optional[float] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., mismatches: _Optional[_Iterable[str]] = ..., retracted: bool = ..., reading: _Optional[str] = ..., late: bool = ...) -> None: ...

class Alert(_message.Message):
    __slots__ = ("sequence", "hit", "received_at", "review", "reviewer", "review_note", "reviewed_at", "reviewer_named_by", "outcome", "escalated_at", "escalated_by", "escalation_note", "escalation_named_by")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    HIT_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    REVIEW_FIELD_NUMBER: _ClassVar[int]
    REVIEWER_FIELD_NUMBER: _ClassVar[int]
    REVIEW_NOTE_FIELD_NUMBER: _ClassVar[int]
    REVIEWED_AT_FIELD_NUMBER: _ClassVar[int]
    REVIEWER_NAMED_BY_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ESCALATED_AT_FIELD_NUMBER: _ClassVar[int]
    ESCALATED_BY_FIELD_NUMBER: _ClassVar[int]
    ESCALATION_NOTE_FIELD_NUMBER: _ClassVar[int]
    ESCALATION_NAMED_BY_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    hit: Hit
    received_at: _timestamp_pb2.Timestamp
    review: ReviewState
    reviewer: str
    review_note: str
    reviewed_at: _timestamp_pb2.Timestamp
    reviewer_named_by: NamedBy
    outcome: str
    escalated_at: _timestamp_pb2.Timestamp
    escalated_by: str
    escalation_note: str
    escalation_named_by: NamedBy
    def __init__(self, sequence: _Optional[int] = ..., hit: _Optional[_Union[Hit, _Mapping]] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., review: _Optional[_Union[ReviewState, str]] = ..., reviewer: _Optional[str] = ..., review_note: _Optional[str] = ..., reviewed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reviewer_named_by: _Optional[_Union[NamedBy, str]] = ..., outcome: _Optional[str] = ..., escalated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., escalated_by: _Optional[str] = ..., escalation_note: _Optional[str] = ..., escalation_named_by: _Optional[_Union[NamedBy, str]] = ...) -> None: ...

class Review(_message.Message):
    __slots__ = ("state", "reviewer", "note", "reviewed_at", "revision", "named_by", "outcome")
    STATE_FIELD_NUMBER: _ClassVar[int]
    REVIEWER_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    REVIEWED_AT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    NAMED_BY_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    state: ReviewState
    reviewer: str
    note: str
    reviewed_at: _timestamp_pb2.Timestamp
    revision: int
    named_by: NamedBy
    outcome: str
    def __init__(self, state: _Optional[_Union[ReviewState, str]] = ..., reviewer: _Optional[str] = ..., note: _Optional[str] = ..., reviewed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revision: _Optional[int] = ..., named_by: _Optional[_Union[NamedBy, str]] = ..., outcome: _Optional[str] = ...) -> None: ...

class HistoryEvent(_message.Message):
    __slots__ = ("at", "kind", "revision", "sequence", "person", "named_by", "decision", "note", "outcome", "hit")
    AT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    NAMED_BY_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    HIT_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    kind: HistoryKind
    revision: int
    sequence: int
    person: str
    named_by: NamedBy
    decision: ReviewState
    note: str
    outcome: str
    hit: Hit
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[_Union[HistoryKind, str]] = ..., revision: _Optional[int] = ..., sequence: _Optional[int] = ..., person: _Optional[str] = ..., named_by: _Optional[_Union[NamedBy, str]] = ..., decision: _Optional[_Union[ReviewState, str]] = ..., note: _Optional[str] = ..., outcome: _Optional[str] = ..., hit: _Optional[_Union[Hit, _Mapping]] = ...) -> None: ...

class PublishRequest(_message.Message):
    __slots__ = ("hit", "more")
    HIT_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    hit: Hit
    more: _containers.RepeatedCompositeFieldContainer[Hit]
    def __init__(self, hit: _Optional[_Union[Hit, _Mapping]] = ..., more: _Optional[_Iterable[_Union[Hit, _Mapping]]] = ...) -> None: ...

class PublishResponse(_message.Message):
    __slots__ = ("hit_id", "revision", "sequence", "duplicate", "refusal", "more")
    HIT_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    hit_id: str
    revision: int
    sequence: int
    duplicate: bool
    refusal: Refusal
    more: _containers.RepeatedCompositeFieldContainer[PublishResponse]
    def __init__(self, hit_id: _Optional[str] = ..., revision: _Optional[int] = ..., sequence: _Optional[int] = ..., duplicate: bool = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ..., more: _Optional[_Iterable[_Union[PublishResponse, _Mapping]]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("field", "message")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    field: str
    message: str
    def __init__(self, field: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("after_sequence", "feed_id", "checkpoints", "cameras", "kinds", "categories", "max_priority", "include_evidence", "include_reviews", "include_escalations", "include_checkpoints")
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FEED_ID_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    CAMERAS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    MAX_PRIORITY_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_REVIEWS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ESCALATIONS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    after_sequence: int
    feed_id: str
    checkpoints: _containers.RepeatedScalarFieldContainer[str]
    cameras: _containers.RepeatedScalarFieldContainer[str]
    kinds: _containers.RepeatedScalarFieldContainer[MatchKind]
    categories: _containers.RepeatedScalarFieldContainer[str]
    max_priority: int
    include_evidence: bool
    include_reviews: bool
    include_escalations: bool
    include_checkpoints: bool
    def __init__(self, after_sequence: _Optional[int] = ..., feed_id: _Optional[str] = ..., checkpoints: _Optional[_Iterable[str]] = ..., cameras: _Optional[_Iterable[str]] = ..., kinds: _Optional[_Iterable[_Union[MatchKind, str]]] = ..., categories: _Optional[_Iterable[str]] = ..., max_priority: _Optional[int] = ..., include_evidence: bool = ..., include_reviews: bool = ..., include_escalations: bool = ..., include_checkpoints: bool = ...) -> None: ...

class SubscribeResponse(_message.Message):
    __slots__ = ("cursor", "alert", "reviewed", "escalated", "checkpoint")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    ALERT_FIELD_NUMBER: _ClassVar[int]
    REVIEWED_FIELD_NUMBER: _ClassVar[int]
    ESCALATED_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    cursor: Cursor
    alert: Alert
    reviewed: Alert
    escalated: Alert
    checkpoint: CheckpointEvent
    def __init__(self, cursor: _Optional[_Union[Cursor, _Mapping]] = ..., alert: _Optional[_Union[Alert, _Mapping]] = ..., reviewed: _Optional[_Union[Alert, _Mapping]] = ..., escalated: _Optional[_Union[Alert, _Mapping]] = ..., checkpoint: _Optional[_Union[CheckpointEvent, _Mapping]] = ...) -> None: ...

class Cursor(_message.Message):
    __slots__ = ("sequence", "feed_id")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FEED_ID_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    feed_id: str
    def __init__(self, sequence: _Optional[int] = ..., feed_id: _Optional[str] = ...) -> None: ...

class ListAlertsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "checkpoints", "cameras", "kinds", "reviews", "categories", "max_priority", "escalated_only")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    CAMERAS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    REVIEWS_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    MAX_PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ESCALATED_ONLY_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    checkpoints: _containers.RepeatedScalarFieldContainer[str]
    cameras: _containers.RepeatedScalarFieldContainer[str]
    kinds: _containers.RepeatedScalarFieldContainer[MatchKind]
    reviews: _containers.RepeatedScalarFieldContainer[ReviewState]
    categories: _containers.RepeatedScalarFieldContainer[str]
    max_priority: int
    escalated_only: bool
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., checkpoints: _Optional[_Iterable[str]] = ..., cameras: _Optional[_Iterable[str]] = ..., kinds: _Optional[_Iterable[_Union[MatchKind, str]]] = ..., reviews: _Optional[_Iterable[_Union[ReviewState, str]]] = ..., categories: _Optional[_Iterable[str]] = ..., max_priority: _Optional[int] = ..., escalated_only: bool = ...) -> None: ...

class ListAlertsResponse(_message.Message):
    __slots__ = ("alerts", "next_page_token", "cursor")
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    alerts: _containers.RepeatedCompositeFieldContainer[Alert]
    next_page_token: str
    cursor: Cursor
    def __init__(self, alerts: _Optional[_Iterable[_Union[Alert, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., cursor: _Optional[_Union[Cursor, _Mapping]] = ...) -> None: ...

class GetAlertRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetAlertResponse(_message.Message):
    __slots__ = ("alert", "reviews", "history")
    ALERT_FIELD_NUMBER: _ClassVar[int]
    REVIEWS_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    alert: Alert
    reviews: _containers.RepeatedCompositeFieldContainer[Review]
    history: _containers.RepeatedCompositeFieldContainer[HistoryEvent]
    def __init__(self, alert: _Optional[_Union[Alert, _Mapping]] = ..., reviews: _Optional[_Iterable[_Union[Review, _Mapping]]] = ..., history: _Optional[_Iterable[_Union[HistoryEvent, _Mapping]]] = ...) -> None: ...

class ReviewAlertRequest(_message.Message):
    __slots__ = ("id", "decision", "reviewer", "note", "seen_revision", "outcome")
    ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REVIEWER_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    SEEN_REVISION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    id: str
    decision: ReviewState
    reviewer: str
    note: str
    seen_revision: int
    outcome: str
    def __init__(self, id: _Optional[str] = ..., decision: _Optional[_Union[ReviewState, str]] = ..., reviewer: _Optional[str] = ..., note: _Optional[str] = ..., seen_revision: _Optional[int] = ..., outcome: _Optional[str] = ...) -> None: ...

class ReviewAlertResponse(_message.Message):
    __slots__ = ("alert",)
    ALERT_FIELD_NUMBER: _ClassVar[int]
    alert: Alert
    def __init__(self, alert: _Optional[_Union[Alert, _Mapping]] = ...) -> None: ...

class EscalateAlertRequest(_message.Message):
    __slots__ = ("id", "note", "person")
    ID_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    id: str
    note: str
    person: str
    def __init__(self, id: _Optional[str] = ..., note: _Optional[str] = ..., person: _Optional[str] = ...) -> None: ...

class EscalateAlertResponse(_message.Message):
    __slots__ = ("alert",)
    ALERT_FIELD_NUMBER: _ClassVar[int]
    alert: Alert
    def __init__(self, alert: _Optional[_Union[Alert, _Mapping]] = ...) -> None: ...

class GetStatsRequest(_message.Message):
    __slots__ = ("since", "checkpoints")
    SINCE_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    since: _timestamp_pb2.Timestamp
    checkpoints: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., checkpoints: _Optional[_Iterable[str]] = ...) -> None: ...

class GetStatsResponse(_message.Message):
    __slots__ = ("since", "until", "alerts", "unverified", "confirmed", "rejected", "escalated", "retracted", "by_category", "by_kind", "by_checkpoint", "by_priority", "by_outcome", "median_review_s", "oldest_unverified_s", "complete", "subscribers", "publishers")
    class ByCategoryEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class ByKindEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class ByCheckpointEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class ByPriorityEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    class ByOutcomeEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    UNVERIFIED_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    ESCALATED_FIELD_NUMBER: _ClassVar[int]
    RETRACTED_FIELD_NUMBER: _ClassVar[int]
    BY_CATEGORY_FIELD_NUMBER: _ClassVar[int]
    BY_KIND_FIELD_NUMBER: _ClassVar[int]
    BY_CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    BY_PRIORITY_FIELD_NUMBER: _ClassVar[int]
    BY_OUTCOME_FIELD_NUMBER: _ClassVar[int]
    MEDIAN_REVIEW_S_FIELD_NUMBER: _ClassVar[int]
    OLDEST_UNVERIFIED_S_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBERS_FIELD_NUMBER: _ClassVar[int]
    PUBLISHERS_FIELD_NUMBER: _ClassVar[int]
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    alerts: int
    unverified: int
    confirmed: int
    rejected: int
    escalated: int
    retracted: int
    by_category: _containers.ScalarMap[str, int]
    by_kind: _containers.ScalarMap[str, int]
    by_checkpoint: _containers.ScalarMap[str, int]
    by_priority: _containers.ScalarMap[int, int]
    by_outcome: _containers.ScalarMap[str, int]
    median_review_s: float
    oldest_unverified_s: float
    complete: bool
    subscribers: int
    publishers: int
    def __init__(self, since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., alerts: _Optional[int] = ..., unverified: _Optional[int] = ..., confirmed: _Optional[int] = ..., rejected: _Optional[int] = ..., escalated: _Optional[int] = ..., retracted: _Optional[int] = ..., by_category: _Optional[_Mapping[str, int]] = ..., by_kind: _Optional[_Mapping[str, int]] = ..., by_checkpoint: _Optional[_Mapping[str, int]] = ..., by_priority: _Optional[_Mapping[int, int]] = ..., by_outcome: _Optional[_Mapping[str, int]] = ..., median_review_s: _Optional[float] = ..., oldest_unverified_s: _Optional[float] = ..., complete: bool = ..., subscribers: _Optional[int] = ..., publishers: _Optional[int] = ...) -> None: ...

class GetEvidenceRequest(_message.Message):
    __slots__ = ("id", "revision")
    ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    id: str
    revision: int
    def __init__(self, id: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class GetEvidenceResponse(_message.Message):
    __slots__ = ("piece", "sha256", "total_bytes")
    PIECE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    piece: bytes
    sha256: str
    total_bytes: int
    def __init__(self, piece: _Optional[bytes] = ..., sha256: _Optional[str] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("component", "message")
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    component: str
    message: str
    def __init__(self, component: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class CheckpointReport(_message.Message):
    __slots__ = ("checkpoint", "reported_at", "started_at", "version", "waiting_hits", "oldest_waiting_s", "list_version", "list_age_s", "problems")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    REPORTED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    WAITING_HITS_FIELD_NUMBER: _ClassVar[int]
    OLDEST_WAITING_S_FIELD_NUMBER: _ClassVar[int]
    LIST_VERSION_FIELD_NUMBER: _ClassVar[int]
    LIST_AGE_S_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    checkpoint: str
    reported_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    version: str
    waiting_hits: int
    oldest_waiting_s: float
    list_version: int
    list_age_s: float
    problems: _containers.RepeatedCompositeFieldContainer[Problem]
    def __init__(self, checkpoint: _Optional[str] = ..., reported_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[str] = ..., waiting_hits: _Optional[int] = ..., oldest_waiting_s: _Optional[float] = ..., list_version: _Optional[int] = ..., list_age_s: _Optional[float] = ..., problems: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ...) -> None: ...

class CheckpointStatus(_message.Message):
    __slots__ = ("checkpoint", "state", "since", "last_seen_at", "lag_s", "clock_ahead_s", "report")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_AT_FIELD_NUMBER: _ClassVar[int]
    LAG_S_FIELD_NUMBER: _ClassVar[int]
    CLOCK_AHEAD_S_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: str
    state: CheckpointState
    since: _timestamp_pb2.Timestamp
    last_seen_at: _timestamp_pb2.Timestamp
    lag_s: float
    clock_ahead_s: float
    report: CheckpointReport
    def __init__(self, checkpoint: _Optional[str] = ..., state: _Optional[_Union[CheckpointState, str]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_seen_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., lag_s: _Optional[float] = ..., clock_ahead_s: _Optional[float] = ..., report: _Optional[_Union[CheckpointReport, _Mapping]] = ...) -> None: ...

class CheckpointEvent(_message.Message):
    __slots__ = ("sequence", "status")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    status: CheckpointStatus
    def __init__(self, sequence: _Optional[int] = ..., status: _Optional[_Union[CheckpointStatus, _Mapping]] = ...) -> None: ...

class ReportStatusRequest(_message.Message):
    __slots__ = ("report",)
    REPORT_FIELD_NUMBER: _ClassVar[int]
    report: CheckpointReport
    def __init__(self, report: _Optional[_Union[CheckpointReport, _Mapping]] = ...) -> None: ...

class ReportStatusResponse(_message.Message):
    __slots__ = ("received_at",)
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    received_at: _timestamp_pb2.Timestamp
    def __init__(self, received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListCheckpointsRequest(_message.Message):
    __slots__ = ("states",)
    STATES_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedScalarFieldContainer[CheckpointState]
    def __init__(self, states: _Optional[_Iterable[_Union[CheckpointState, str]]] = ...) -> None: ...

class ListCheckpointsResponse(_message.Message):
    __slots__ = ("checkpoints",)
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    checkpoints: _containers.RepeatedCompositeFieldContainer[CheckpointStatus]
    def __init__(self, checkpoints: _Optional[_Iterable[_Union[CheckpointStatus, _Mapping]]] = ...) -> None: ...
