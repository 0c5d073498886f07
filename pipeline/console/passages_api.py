"""Passages for the page: search and export within the retention, each with reason and case.

Searching takes viewer, editor or approver and shows plates masked; an approver may see them as
they are, and may export. What is given out is recorded before: what was asked for, how many were
found, and of a file its SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC
from http import HTTPStatus
from typing import Annotated, Any, Final, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from pipeline.archive import KeptPassage, PassageArchive, PassageFilter
from pipeline.config import AccessRole
from pipeline.console.context import (
    ApiError,
    Session,
    audited,
    context_of,
    not_found,
    reading,
    require_role,
)
from pipeline.console.passages_shown import passage_json, passages_csv, place_of, place_text
from pipeline.console.searches import Search, new_search_id, searches_of
from pipeline.errors import WatchlistError
from pipeline.types import PlateClass, VehicleClass, VehicleColour
from watchlist.grammar import is_legal, normalise
from watchlist.patterns import is_pattern, one_spelling

SEARCHERS: Final = (AccessRole.VIEWER, AccessRole.EDITOR, AccessRole.APPROVER)
UNMASKERS: Final = (AccessRole.APPROVER,)
"""Who sees plates as they are, exports, and sees unblurred pictures."""

MOST_EXPORTED: Final = 20_000
_PAGE: Final = 500  # of an export

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class Because(BaseModel):
    """Why something is looked at: it goes to the audit log."""

    model_config = ConfigDict(extra="forbid")
    reason: Words
    case_number: Annotated[Words, Field(max_length=100)]


class Wanted(Because):
    """What is searched for; None and empty: any. Times are those of a passage's end."""

    plate: Annotated[str, Field(max_length=64)] | None = None
    camera: Annotated[str, Field(max_length=200)] | None = None
    since: AwareDatetime | None = Field(default=None, alias="from")
    until: AwareDatetime | None = Field(default=None, alias="to")
    plate_class: PlateClass | None = None
    vehicle_class: VehicleClass | None = None
    colour: VehicleColour | None = None
    with_hit: bool | None = None
    unmasked: bool = False

    @field_validator("plate")
    @classmethod
    def _plate_or_pattern(cls, plate: str | None) -> str | None:
        if plate is None or not plate.strip():
            return None
        try:
            text = normalise(plate)
        except WatchlistError as error:
            raise ValueError(str(error).removeprefix("plate ")) from None
        if is_pattern(text):
            return one_spelling(text)
        if not is_legal(text):
            raise ValueError(
                "is no whole plate; write ? for a character that is not known and * for any "
                "number of them, e.g. 辽A?2* or *345"
            )
        return text

    @field_validator("camera")
    @classmethod
    def _some_camera(cls, camera: str | None) -> str | None:
        return (camera or "").strip() or None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.since and self.until and self.since >= self.until:
            raise ValueError("to: must be after from")
        return self

    def filters(self) -> PassageFilter:
        """As the archive takes it."""
        return PassageFilter(
            plate=self.plate,
            cameras=(self.camera,) if self.camera else (),
            since=self.since,
            until=self.until,
            plate_class=self.plate_class,
            vehicle_class=self.vehicle_class,
            vehicle_colour=self.colour,
            with_hit=self.with_hit,
        )

    def said(self) -> dict[str, object]:
        """What was asked for, as the audit log keeps it."""
        names = {"reason", "case_number", "plate", "after", "limit"}
        return self.model_dump(mode="json", exclude=names, exclude_none=True, by_alias=True)


class WantedPage(Wanted):
    """One page of a search; ``after``: what the page before gave as ``next``."""

    after: str | None = None
    limit: int = Field(default=50, ge=1, le=200)

    @field_validator("after")
    @classmethod
    def _a_place(cls, after: str | None) -> str | None:
        if after is not None:
            place_of(after)
        return after


def archive_of(request: Request) -> PassageArchive:
    """The passages of this process.

    Raises:
        ApiError: 404, it keeps none.
    """
    archive = context_of(request).archive
    if archive is None:
        raise not_found("no passages are kept here; search at the checkpoint that saw the vehicle")
    return archive


def may_unmask(session: Session) -> bool:
    """Whether this person may see plates as they are."""
    return bool(session.person.roles & set(UNMASKERS))


def require_unmasker(request: Request, action: str, subject: str, because: Because) -> Session:
    """The session, where its person may see what is masked; that one may not is recorded, too.

    Raises:
        ApiError: 403.
    """
    try:
        return require_role(request, *UNMASKERS)
    except ApiError as error:
        if error.status == HTTPStatus.FORBIDDEN:
            audited(
                request,
                f"{action}.refused",
                subject,
                {"message": str(error)},
                reason=because.reason,
                case=because.case_number,
            )
        raise


def options(request: Request) -> Response:
    """What the search form offers, and what this person may."""
    session = require_role(request, *SEARCHERS)
    context = context_of(request)
    kept = context.archive is not None
    return JSONResponse(
        {
            "available": kept,
            "cameras": [camera.name for camera in context.settings.cameras],
            "may_unmask": may_unmask(session),
            "may_export": may_unmask(session),
            "keeps_unblurred": context.settings.keep_unblurred,
            "most_exported": MOST_EXPORTED,
            "passages_h": context.settings.retention.passages_h,
            "hits_days": context.settings.retention.hits_days,
        }
    )


def search(request: Request, wanted: WantedPage) -> Response:
    """One page of what was found, the latest first."""
    session = require_role(request, *SEARCHERS)
    subject = wanted.plate or "any plate"
    if wanted.unmasked:
        require_unmasker(request, "passages.search", subject, wanted)
    archive, filters = archive_of(request), wanted.filters()
    before = place_of(wanted.after) if wanted.after else None
    total = archive.count(filters)
    found = archive.search(filters, before=before, limit=wanted.limit + 1)
    page, more = found[: wanted.limit], len(found) > wanted.limit
    made = Search(
        new_search_id(),
        wanted.reason,
        wanted.case_number,
        frozenset(kept.passage.id for kept in page),
        wanted.unmasked,
    )
    audited(
        request,
        "passages.search",
        subject,
        {
            **wanted.said(),
            "search": made.id,
            "count": total,
            "shown": len(page),
            "further_page": wanted.after is not None,
        },
        reason=wanted.reason,
        case=wanted.case_number,
    )
    searches_of(request).add(session.id, made)
    answer: dict[str, Any] = {
        "search": made.id,
        "total": total,
        "masked": not wanted.unmasked,
        "passages": [passage_json(kept, unmasked=wanted.unmasked) for kept in page],
        "next": place_text(page[-1].place) if more else None,
    }
    return JSONResponse(answer)


def export(request: Request, wanted: Wanted) -> Response:
    """All that was found, as a CSV file."""
    subject = wanted.plate or "any plate"
    require_unmasker(request, "passages.export", subject, wanted)
    archive, filters = archive_of(request), wanted.filters()
    total = archive.count(filters)
    if total > MOST_EXPORTED:
        raise ApiError(
            409,
            "too_many",
            f"{total} passages were found and at most {MOST_EXPORTED} are exported at once; "
            "name a shorter time, a camera or a plate",
        )
    content, count = passages_csv(_all(archive, filters), unmasked=wanted.unmasked)
    digest = hashlib.sha256(content).hexdigest()
    audited(
        request,
        "passages.export",
        subject,
        {**wanted.said(), "count": count, "sha256": digest, "bytes": len(content)},
        reason=wanted.reason,
        case=wanted.case_number,
    )
    stamp = context_of(request).clock.now().astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return Response(
        content,
        media_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="passages-{stamp}.csv"',
            "X-Checkpoint-Count": str(count),
            "X-Checkpoint-SHA256": digest,
        },
    )


def _all(archive: PassageArchive, filters: PassageFilter) -> Iterator[KeptPassage]:
    before = None
    left = MOST_EXPORTED
    while left > 0 and (page := archive.search(filters, before=before, limit=min(_PAGE, left))):
        yield from page
        before, left = page[-1].place, left - len(page)


routes: Sequence[BaseRoute] = (
    Route("/api/passages", options),
    Route("/api/passages/search", reading(WantedPage)(search), methods=["POST"]),
    Route("/api/passages/export", reading(Wanted)(export), methods=["POST"]),
)
