"""One governed entry of the watchlist: what it must say, and how it is written down.

An entry without reason, case, authoriser, disposition and expiry is refused: wrongful stops
come from entries that nobody answers for and that never end.
"""

from __future__ import annotations

import json
import secrets
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from pipeline.config import CATEGORIES, WatchlistSettings
from pipeline.errors import WatchlistError
from pipeline.types import PlateClass, VehicleClass, VehicleColour, WatchlistEntry
from watchlist.grammar import classify, display, is_legal, normalise
from watchlist.patterns import check_pattern, classes_of_pattern, is_pattern, one_spelling


class EntryError(WatchlistError):
    """An entry is refused; ``mistakes`` says for each field what is wrong."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = tuple(mistakes)

    def by_field(self) -> dict[str, str]:
        """The mistakes by field; what belongs to none stands under the empty name."""
        found: dict[str, str] = {}
        for mistake in self.mistakes:
            where, _, what = mistake.partition(": ")
            name = where.split(".")[0]
            if name not in WatchlistEntry.__slots__:
                name, what = "", mistake
            found[name] = f"{found[name]}; {what}" if name in found else what
        return found


@dataclass(frozen=True, slots=True)
class EntryPolicy:
    """What a deployment demands of its entries."""

    categories: frozenset[str] = frozenset(CATEGORIES)
    maximum: timedelta = timedelta(days=400)
    """Longest time from now to an entry's expiry."""
    maximum_by_category: Mapping[str, timedelta] = field(default_factory=dict)
    authorisers: frozenset[str] | None = None
    """Who may answer for an entry; None: anybody who is named."""

    @classmethod
    def of(cls, settings: WatchlistSettings, authorisers: frozenset[str] | None = None) -> Self:
        """What the configuration demands."""
        return cls(
            frozenset(settings.categories),
            timedelta(days=settings.entry_days),
            {
                name: timedelta(days=days)
                for name, days in settings.categories.items()
                if days is not None
            },
            authorisers,
        )

    def maximum_of(self, category: str) -> timedelta:
        """Longest time from now to the expiry of an entry of this category."""
        return self.maximum_by_category.get(category, self.maximum)


class EntryStatus(StrEnum):
    """Where an entry of the list stands at one moment."""

    PENDING = "pending"
    ACTIVE = "active"
    EXPIRED = "expired"


def status_of(entry: WatchlistEntry, now: datetime) -> EntryStatus:
    """Where ``entry`` stands at ``now``; only an active one ever matches."""
    if now >= entry.expires_at:
        return EntryStatus.EXPIRED
    return EntryStatus.ACTIVE if now >= entry.valid_from else EntryStatus.PENDING


@lru_cache(maxsize=1024)
def _clean(text: str) -> str:
    """Trim, compose (NFC), and refuse what cannot be seen or would reorder a line."""
    text = unicodedata.normalize("NFC", text).strip()
    if text.isprintable():  # nearly always, and quick to see
        return text
    for character in text:
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
            raise ValueError(f"holds a control character (U+{ord(character):04X}); remove it")
    return text


def _required(text: str) -> str:
    text = _clean(text)
    if not text:
        raise ValueError("must not be empty")
    return text


def _optional(text: str | None) -> str | None:
    return None if text is None else _clean(text) or None


def _plate(text: str) -> str:
    try:
        plate = one_spelling(normalise(text))
        if is_pattern(plate):
            check_pattern(plate)
            return plate
    except WatchlistError as error:
        raise ValueError(str(error).removeprefix("plate ")) from None
    if not is_legal(plate):
        raise ValueError(f"{display(plate[:32])!r} has the form of no plate; e.g. 辽A12345")
    return plate


def _place(text: str) -> str:
    text = _required(text)
    if ";" in text:
        raise ValueError("the name of a checkpoint holds no ';'")
    return text


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


_Name = Annotated[str, Field(max_length=64), AfterValidator(_required)]
_Text = Annotated[str, Field(max_length=500), AfterValidator(_required)]
_Utc = Annotated[AwareDatetime, AfterValidator(_utc)]


class EntryForm(BaseModel):
    """What an editor fills in. Refuses unknown fields; times must carry their zone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plate: Annotated[str, Field(max_length=64), AfterValidator(_plate)]
    category: _Name
    disposition: _Text
    reason: _Text
    case_number: _Name
    authoriser: _Name
    expires_at: _Utc
    priority: int = Field(default=2, ge=1, le=4)
    plate_class: PlateClass | None = None
    vehicle_class: VehicleClass | None = None
    vehicle_colour: VehicleColour | None = None
    requester: Annotated[str | None, Field(max_length=64), AfterValidator(_optional)] = None
    valid_from: _Utc | None = None
    audience: tuple[Annotated[str, Field(max_length=64), AfterValidator(_place)], ...] = ()
    source: Annotated[str | None, Field(max_length=64), AfterValidator(_optional)] = None

    @model_validator(mode="after")
    def _two_persons(self) -> EntryForm:
        if self.requester and same_person(self.requester, self.authoriser):
            raise ValueError("requester: must be another person than the authoriser")
        return self

    @model_validator(mode="after")
    def _class_fits_plate(self) -> EntryForm:
        if self.plate_class is None:
            return self
        possible = (classes_of_pattern if is_pattern(self.plate) else classify)(self.plate)
        if self.plate_class not in possible:
            names = ", ".join(sorted(possible))
            raise ValueError(f"plate_class: {display(self.plate)} can only be one of: {names}")
        return self


def make_entry(
    fields: Mapping[str, Any],
    now: datetime,
    policy: EntryPolicy | None = None,
    entry_id: str | None = None,
) -> WatchlistEntry:
    """Check the fields of ``EntryForm`` and make an entry of them.

    Raises:
        EntryError: it names each field that is missing or wrong, and why.
    """
    policy = policy or EntryPolicy()
    mistakes = []
    category = fields.get("category")
    if isinstance(category, str) and (name := category.strip()) and name not in policy.categories:
        known = ", ".join(sorted(policy.categories))
        mistakes.append(f"category: {name[:64]!r} is none of: {known}")
    try:
        form = EntryForm.model_validate(dict(fields))
    except ValidationError as error:
        raise EntryError([*_mistakes(error), *mistakes]) from None
    valid_from = form.valid_from or _utc(now)
    maximum = policy.maximum_of(form.category)
    if policy.authorisers is not None and form.authoriser not in policy.authorisers:
        mistakes.append(f"authoriser: {form.authoriser!r} has no valid token as approver")
    if form.expires_at <= now:
        mistakes.append(f"expires_at: {form.expires_at.isoformat()} is in the past")
    elif form.expires_at <= valid_from:
        mistakes.append("expires_at: must be after valid_from")
    elif form.expires_at - now > maximum:
        mistakes.append(f"expires_at: at most {maximum.days} days from now are allowed")
    if mistakes:
        raise EntryError(mistakes)
    return WatchlistEntry(
        id=entry_id or new_id(now),
        plate=form.plate,
        plate_class=form.plate_class,
        vehicle_class=form.vehicle_class,
        vehicle_colour=form.vehicle_colour,
        category=form.category,
        priority=form.priority,
        disposition=form.disposition,
        reason=form.reason,
        case_number=form.case_number,
        authoriser=form.authoriser,
        requester=form.requester,
        valid_from=valid_from,
        expires_at=form.expires_at,
        audience=form.audience,
        source=form.source,
    )


@lru_cache(maxsize=1024)
def same_person(one: str, other: str) -> bool:
    """Whether two names are written the same but for spaces and case."""
    return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()


def _mistakes(error: ValidationError) -> list[str]:
    lines = []
    for mistake in error.errors():
        where = ".".join(str(part) for part in mistake["loc"])
        what = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "missing":
            what = "is missing"
        elif mistake["type"] == "extra_forbidden":
            what = "is no field of an entry"
        lines.append(f"{where}: {what}" if where else what)
    return lines


_Member = TypeVar("_Member", bound=StrEnum)

_ID_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_TIME_DIGITS, _RANDOM_DIGITS = 9, 7
_RANDOM_LIMIT = 32**_RANDOM_DIGITS
_PAIRS = [one + other for one in _ID_DIGITS for other in _ID_DIGITS]
ID_LENGTH = _TIME_DIGITS + _RANDOM_DIGITS
_id_lock = threading.Lock()
_last_id = (0, 0)


def new_id(now: datetime) -> str:
    """A short identifier: 16 characters that sort by time, unique in this process and, by
    35 random bits for each millisecond, between processes. The same scheme as a ULID."""
    global _last_id
    milliseconds = int(now.timestamp() * 1000)
    with _id_lock:
        if milliseconds > _last_id[0]:
            # half of the range is left free, so that counting on never overflows in practice
            _last_id = (milliseconds, secrets.randbelow(_RANDOM_LIMIT // 2))
        elif _last_id[1] + 1 < _RANDOM_LIMIT:
            _last_id = (_last_id[0], _last_id[1] + 1)
        else:
            _last_id = (_last_id[0] + 1, secrets.randbelow(_RANDOM_LIMIT // 2))
        time_part, random_part = _last_id
    return _base32(time_part, _TIME_DIGITS) + _base32(random_part, _RANDOM_DIGITS)


def is_id(text: str) -> bool:
    """True if ``text`` has the form of an entry's identifier."""
    return len(text) == ID_LENGTH and all(character in _ID_DIGITS for character in text)


@lru_cache(maxsize=64)
def _base32(value: int, digits: int) -> str:
    if digits > 2:  # the part before the last two digits stays the same for a while
        return _base32(value >> 10, digits - 2) + _PAIRS[value & 1023]
    return _PAIRS[value & 1023][2 - digits :]


_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def to_json(entry: WatchlistEntry) -> str:
    """One line of JSON; times in ISO 8601, UTC. Fields that say nothing are left out."""
    record: dict[str, Any] = {
        "id": entry.id,
        "plate": entry.plate,
        "plate_class": entry.plate_class,
        "vehicle_class": entry.vehicle_class,
        "vehicle_colour": entry.vehicle_colour,
        "category": entry.category,
        "priority": entry.priority,
        "disposition": entry.disposition,
        "reason": entry.reason,
        "case_number": entry.case_number,
        "authoriser": entry.authoriser,
        "requester": entry.requester,
        "valid_from": iso(entry.valid_from),
        "expires_at": iso(entry.expires_at),
        "audience": list(entry.audience) or None,
        "source": entry.source,
    }
    return _compact({key: value for key, value in record.items() if value is not None})


def from_json(text: str | bytes) -> WatchlistEntry:
    """Read what ``to_json`` wrote. Keys of a later version are passed over.

    Raises:
        WatchlistError: the record is damaged.
    """
    try:
        record = json.loads(text)
        return WatchlistEntry(
            id=record["id"],
            plate=record["plate"],
            plate_class=_member(PlateClass, record.get("plate_class")),
            vehicle_class=_member(VehicleClass, record.get("vehicle_class")),
            vehicle_colour=_member(VehicleColour, record.get("vehicle_colour")),
            category=record["category"],
            priority=record["priority"],
            disposition=record["disposition"],
            reason=record["reason"],
            case_number=record["case_number"],
            authoriser=record["authoriser"],
            requester=record.get("requester"),
            valid_from=datetime.fromisoformat(record["valid_from"]),
            expires_at=datetime.fromisoformat(record["expires_at"]),
            audience=tuple(record.get("audience") or ()),
            source=record.get("source"),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        shown = text[:60].decode(errors="replace") if isinstance(text, bytes) else text[:60]
        raise WatchlistError(f"damaged watchlist record {shown!r}: {error}") from error


def _member(kind: type[_Member], value: str | None) -> _Member | None:
    return None if value is None else kind(value)


@lru_cache(maxsize=1024)
def iso(moment: datetime) -> str:
    """A moment in ISO 8601, UTC: ``2026-12-31T16:00:00+00:00``."""
    return moment.astimezone(UTC).isoformat()
