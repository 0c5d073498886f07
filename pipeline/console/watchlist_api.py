"""The watchlist for the page: looked through, drafted, approved, cancelled.

Roles, policy and records are those of the commands: ``pipeline/governed.py``. One difference: what
is added here is a draft that matches nothing until another person, an approver, answers for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from pipeline.console.context import (
    ApiError,
    context_of,
    invalid,
    not_found,
    origin_of,
    reading,
    session_of,
)
from pipeline.governed import APPROVERS, CANCELLERS, EDITORS, READERS, Acting
from pipeline.types import PlateClass, VehicleClass, VehicleColour, WatchlistEntry
from watchlist.approval import approve, approved
from watchlist.columns import COLUMNS, parse_fields
from watchlist.directory import Directory, ListedState, StillReading
from watchlist.drafts import Draft, make_draft
from watchlist.entry import EntryError, is_id
from watchlist.entry_history import EntryChange, history_of
from watchlist.neighbours import listed_neighbours
from watchlist.records import Cancellation
from watchlist.tables import cancelled_record, entry_record, version_record

FOLDER: Final = "console"
"""Below the data folder: what the console writes there for a while."""
_DRAFT: Final = "draft"
_PAGE: Final = 50
_LARGEST_PAGE: Final = 200
_LONGEST_QUERY: Final = 200


class Fields(BaseModel):
    """What a person has typed, by column."""

    model_config = ConfigDict(extra="forbid")
    fields: dict[str, str | list[str]]


class Approval(BaseModel):
    """``authoriser``: who answers for it, where the operating system's user acts for somebody."""

    model_config = ConfigDict(extra="forbid")
    authoriser: str = Field(default="", max_length=64)


class Why(BaseModel):
    """Why an entry is taken off the list, or a draft thrown away."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field(max_length=500)
    case: str = Field(default="", max_length=64)
    by: str = Field(default="", max_length=64)


def acting_of(request: Request) -> Acting:
    """The person who is logged in, at work on the watchlist."""
    context, session = context_of(request), session_of(request)
    return Acting(
        context.settings,
        session.person,
        context.audit(),
        context.clock,
        origin=f"{origin_of(request)} console",
        told={"session": session.id},
    )


@contextmanager
def fields_told() -> Iterator[None]:
    """What is wrong with an entry, told for each field."""
    try:
        yield
    except EntryError as error:
        wrong = error.by_field()
        field = next((name for name in wrong if name), None)
        raise ApiError(400, "invalid", str(error), field, more={"fields": wrong}) from None


def list_entries(request: Request) -> Response:
    """Entries that fit, the newest first; the drafts where ``state`` says so."""
    context, asked = context_of(request), request.query_params
    query, state = asked.get("query", "").strip(), asked.get("state", "")
    if len(query) > _LONGEST_QUERY:
        raise invalid(f"query: at most {_LONGEST_QUERY} characters", "query")
    if state not in ("", _DRAFT, *ListedState):
        raise invalid(f"state: one of {', '.join((_DRAFT, *ListedState))}", "state")
    limit = _limit(asked.get("limit"))
    now = context.clock.now()
    drafts = [one for one in context.watchlist.drafts.all() if _fits(one, query)]
    try:
        page = directory_of(request).page(
            query,
            ListedState(state) if state not in ("", _DRAFT) else None,
            after=asked.get("after") or None,
            limit=limit,
        )
    except StillReading as reading_it:
        progress = {"done": reading_it.done, "total": reading_it.total}
        return JSONResponse({"reading": progress})
    if state == _DRAFT:
        entries = [draft_record(draft, now) for draft in drafts]
    else:
        entries = [
            cancelled_record(one, now) if isinstance(one, Cancellation) else entry_record(one, now)
            for one in page.entries
        ]
    told = {"query": query or None, "state": state or None, "count": len(entries)}
    acting = acting_of(request)
    with acting.doing(
        "watchlist.list", "the list", roles=READERS, reason="", details=told, looking=True
    ):
        return JSONResponse(
            {
                "reading": None,
                "version": page.version,
                "age_s": round(context.watchlist.state().age_s, 1),
                "entries": entries,
                "counts": {**page.counts, _DRAFT: len(drafts)},
                "next": None if state == _DRAFT else page.after,
            }
        )


def terms(request: Request) -> Response:
    """What an entry's fields may be, and for how long an entry of each category may last."""
    session_of(request)
    settings = context_of(request).settings.watchlist
    return JSONResponse(
        {
            "categories": {
                name: days if days is not None else settings.entry_days
                for name, days in settings.categories.items()
            },
            "plate_classes": list(PlateClass),
            "vehicle_classes": list(VehicleClass),
            "vehicle_colours": list(VehicleColour),
            "checkpoint": context_of(request).settings.checkpoint,
        }
    )


def show(request: Request) -> Response:
    """One entry, cancelled entry or draft, with what became of it."""
    context = context_of(request)
    entry_id = _id(request)
    watchlist, now = context.watchlist, context.clock.now()
    record = _record(request, entry_id)
    with acting_of(request).doing(
        "watchlist.view", entry_id, roles=READERS, reason="", looking=True
    ):
        history = history_of(watchlist, entry_id)
        alike = [
            near for _, found in listed_neighbours(watchlist, [record["plate"]]) for near in found
        ]
        return JSONResponse(
            {
                "entry": record,
                "history": [_change(change) for change in history.changes],
                "complete": history.complete or record["status"] == _DRAFT,
                "neighbours": alike,
                "now": now.isoformat(),
            }
        )


@reading(Fields)
def add(request: Request, body: Fields) -> Response:
    """Draft an entry."""
    context, acting = context_of(request), acting_of(request)
    unknown = sorted(set(body.fields) - set(COLUMNS) | {"id"} & set(body.fields))
    if unknown:
        raise invalid(f"{unknown[0]}: is no field of an entry", unknown[0])
    now = context.clock.now()
    said = {
        name: ";".join(value) if isinstance(value, list) else value
        for name, value in body.fields.items()
    }
    with fields_told():
        draft = make_draft(parse_fields(said, now), now, acting.policy(), acting.person.name)
    entry = draft.entry
    with acting.doing(
        "watchlist.draft",
        entry.plate,
        roles=EDITORS,
        reason=entry.reason,
        case=entry.case_number,
        details=_audited(entry),
    ):
        found = listed_neighbours(context.watchlist, [entry.plate])
        alike = [near for _, plates in found for near in plates]
        context.watchlist.drafts.put(draft)
    return JSONResponse({"entry": draft_record(draft, now), "neighbours": alike}, 201)


@reading(Approval)
def approve_draft(request: Request, body: Approval) -> Response:
    """Answer for a draft: it goes on the list."""
    context, acting = context_of(request), acting_of(request)
    draft = _draft(request)
    with acting.doing(
        "watchlist.approve",
        draft.entry.plate,
        roles=APPROVERS,
        reason=draft.entry.reason,
        case=draft.entry.case_number,
        details=_audited(draft.entry) | {"drafted_by": draft.by, "for": body.authoriser or None},
    ):
        now = context.clock.now()
        with fields_told():
            entry = approved(draft, acting.for_whom(body.authoriser), now, acting.policy())
        change = approve(context.watchlist, entry)
    return JSONResponse({"entry": entry_record(entry, now), "version": change.version})


@reading(Why)
def discard_draft(request: Request, body: Why) -> Response:
    """Throw a draft away."""
    acting, draft = acting_of(request), _draft(request)
    with acting.doing(
        "watchlist.discard",
        draft.entry.plate,
        roles=CANCELLERS,
        reason=body.reason,
        case=body.case,
        details=_audited(draft.entry) | {"drafted_by": draft.by},
    ):
        if not context_of(request).watchlist.drafts.drop(draft.entry.id):
            raise not_found("there is no such draft any more")
    return Response(status_code=204)


@reading(Why)
def cancel(request: Request, body: Why) -> Response:
    """Take an entry off the list; it no longer matches once this is answered."""
    context, acting = context_of(request), acting_of(request)
    entry_id, who = _id(request), acting.for_whom(body.by)
    with acting.doing(
        "watchlist.cancel",
        entry_id,
        roles=CANCELLERS,
        reason=body.reason,
        case=body.case,
        details={"for": who},
    ):
        gone = context.watchlist.cancel(entry_id, reason=body.reason, by=who, case=body.case)
    return JSONResponse({"entry": cancelled_record(gone, context.clock.now())})


routes: Sequence[BaseRoute] = (
    Route("/api/watchlist", list_entries),
    Route("/api/watchlist", add, methods=["POST"]),
    Route("/api/watchlist/terms", terms),
    Route("/api/watchlist/entries/{entry_id}", show),
    Route("/api/watchlist/{entry_id}/approve", approve_draft, methods=["POST"]),
    Route("/api/watchlist/{entry_id}/discard", discard_draft, methods=["POST"]),
    Route("/api/watchlist/{entry_id}/cancel", cancel, methods=["POST"]),
)


def directory_of(request: Request) -> Directory:
    """The console's directory of the list, made at the first question."""
    state, context = request.app.state, context_of(request)
    found: Directory | None = getattr(state, "directory", None)
    if found is None:
        folder = context.settings.data_dir / FOLDER
        found = state.directory = Directory(context.watchlist, folder, context.clock)
    return found


def draft_record(draft: Draft, now: Any) -> dict[str, Any]:
    """A draft as the page gets it."""
    drafted = {"by": draft.by, "at": draft.at.isoformat()}
    record = {**entry_record(draft.entry, now), "status": _DRAFT, "drafted": drafted}
    return record | {"authoriser": None, "expired": now >= draft.entry.expires_at}


def _record(request: Request, entry_id: str) -> dict[str, Any]:
    context = context_of(request)
    watchlist, now = context.watchlist, context.clock.now()
    if (entry := watchlist.get(entry_id)) is not None:
        return entry_record(entry, now)
    if (gone := watchlist.cancellation(entry_id)) is not None:
        return cancelled_record(gone, now)
    return draft_record(_draft(request), now)


def _draft(request: Request) -> Draft:
    draft = context_of(request).watchlist.drafts.get(_id(request))
    if draft is None:
        raise not_found("there is no such entry; it was approved, discarded or deleted meanwhile")
    return draft


def _id(request: Request) -> str:
    entry_id = str(request.path_params["entry_id"]).strip().upper()
    if not is_id(entry_id):
        raise not_found(f"{entry_id[:40]!r} is no identifier of an entry")
    return entry_id


def _limit(text: str | None) -> int:
    try:
        limit = int(text or _PAGE)
    except ValueError:
        raise invalid("limit: must be a number", "limit") from None
    if not 1 <= limit <= _LARGEST_PAGE:
        raise invalid(f"limit: must lie between 1 and {_LARGEST_PAGE}", "limit")
    return limit


def _fits(draft: Draft, query: str) -> bool:
    entry = draft.entry
    words = (entry.plate, entry.id, entry.category, entry.case_number, draft.by)
    wanted = "".join(query.split()).lower()
    return not wanted or any(wanted in "".join(word.split()).lower() for word in words)


def _change(change: EntryChange) -> dict[str, Any]:
    """One version as the entry's history tells it."""
    told = version_record(change.version)
    if change.version.changed > 1:
        told["changed_with_it"] = change.version.changed - 1
    before, after = change.before, change.after
    return {
        **told,
        "kind": "added" if before is None else "cancelled" if after is None else "changed",
        "fields": {
            name: {"before": _text(getattr(before, name)), "after": _text(getattr(after, name))}
            for name in change.fields
        },
    }


def _text(value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    return value if value is None or isinstance(value, int) else str(value)


def _audited(entry: WatchlistEntry) -> dict[str, object]:
    return {
        "entry": entry.id,
        "category": entry.category,
        "requester": entry.requester,
        "expires_at": entry.expires_at.isoformat(),
    }
