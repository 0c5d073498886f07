"""Alerts for the page: list, details, pictures, and what a person decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from checkpoint.v1 import alerts_pb2 as pb
from pipeline import events
from pipeline.console.context import ANY_ROLE, ApiError, body_of, invalid, not_found, require_role
from pipeline.console.link import link_of
from pipeline.convert import alert_from_pb, hit_from_pb
from pipeline.convert_history import history_from_pb
from pipeline.convert_values import match_kind_to_pb, review_state_to_pb
from pipeline.evidence_plate import plate_picture
from pipeline.readings import readings_of
from pipeline.types import Alert, HistoryEvent, Hit, MatchKind, ReviewState, WatchlistEntry

K = TypeVar("K", MatchKind, ReviewState)

_PAGE: Final = 50
_LARGEST_PAGE: Final = 500
_TOLD_OTHERWISE: Final = (
    "event",
    "class",
    "evidence",
    "evidence_sha256",
    "reviewer",
    "reviewed_at",
    "named_by",
    "note",
    "outcome",
    "escalated_at",
    "escalated_by",
    "escalation_note",
)
_LEAST_READING: Final = 0.005
_MOST_READINGS: Final = 8


class Decision(BaseModel):
    """What a person decides. The alert service checks what each text may be."""

    model_config = ConfigDict(extra="forbid")
    decision: Literal["confirmed", "rejected"]
    note: str = Field(default="", max_length=8_000)
    outcome: str = Field(default="", max_length=1_000)
    seen_revision: int | None = Field(default=None, ge=0, lt=2**32)


class Escalation(BaseModel):
    """Why an alert is sent up."""

    model_config = ConfigDict(extra="forbid")
    note: str = Field(default="", max_length=8_000)


def alert_json(alert: Alert) -> dict[str, Any]:
    """One alert as the page gets it; unknown values are null."""
    hit, passage = alert.hit, alert.hit.passage
    said = events.alert(alert)
    for name in _TOLD_OTHERWISE:
        del said[name]
    return {
        **said,
        "plate_class": _value(passage.plate_class),
        "plate_probability": _rounded(passage.probability),
        "char_probabilities": [round(one, 4) for one in passage.text_probabilities],
        "direction": _value(passage.direction),
        "reads": passage.reads,
        "started_at": passage.started_at.isoformat(),
        "entry": entry_json(hit.entry),
        "has_picture": passage.evidence is not None,
        "review": {
            "state": alert.review.value,
            "reviewer": alert.reviewer,
            "note": alert.review_note,
            "outcome": alert.outcome,
            "at": _iso(alert.reviewed_at),
            "named_by": _value(alert.reviewer_named_by),
        },
        "escalated": None
        if alert.escalated_at is None
        else {
            "at": alert.escalated_at.isoformat(),
            "by": alert.escalated_by,
            "note": alert.escalation_note,
        },
    }


def entry_json(entry: WatchlistEntry) -> dict[str, Any]:
    """An entry of the watchlist, as it was when it was met."""
    return {
        "id": entry.id,
        "plate": entry.plate,
        "plate_class": _value(entry.plate_class),
        "vehicle_class": _value(entry.vehicle_class),
        "vehicle_colour": _value(entry.vehicle_colour),
        "category": entry.category,
        "priority": entry.priority,
        "disposition": entry.disposition,
        "reason": entry.reason,
        "case_number": entry.case_number,
        "authoriser": entry.authoriser,
        "requester": entry.requester,
        "valid_from": entry.valid_from.isoformat(),
        "expires_at": entry.expires_at.isoformat(),
        "audience": list(entry.audience),
        "source": entry.source,
    }


async def list_alerts(request: Request) -> Response:
    """The most recent alerts, and where the feed stood before they were read."""
    require_role(request, *ANY_ROLE)
    query = request.query_params
    message = pb.ListAlertsRequest(
        page_size=_number(query.get("limit"), "limit", _PAGE, 1, _LARGEST_PAGE),
        page_token=query.get("page_token", ""),
        checkpoints=_several(request, "checkpoints"),
        cameras=_several(request, "cameras"),
        kinds=[match_kind_to_pb(one) for one in _members(request, "kinds", MatchKind)],
        reviews=[review_state_to_pb(one) for one in _members(request, "reviews", ReviewState)],
        categories=_several(request, "categories"),
        max_priority=_number(query.get("max_priority"), "max_priority", 0, 0, 4),
        escalated_only=query.get("escalated", "").lower() in ("1", "true"),
    )
    found = await link_of(request).call(request, "ListAlerts", message)
    return await run_in_threadpool(_listed, found)


def _listed(found: pb.ListAlertsResponse) -> Response:
    """A page of alerts, which may be 500: in a thread, so that nobody else waits."""
    return JSONResponse(
        {
            "alerts": [alert_json(alert_from_pb(one)) for one in found.alerts],
            "next_page_token": found.next_page_token or None,
            "feed": {"sequence": found.cursor.sequence, "feed_id": found.cursor.feed_id},
        }
    )


async def get_alert(request: Request) -> Response:
    """One alert with its history and the other readings of its plate."""
    require_role(request, *ANY_ROLE)
    found = await _found(request)
    alert = alert_from_pb(found.alert)
    return JSONResponse(
        {
            "alert": alert_json(alert),
            "history": [_history_json(history_from_pb(one)) for one in found.history],
            "alternatives": _alternatives(alert.hit),
            "evidence": _evidence_json(found.history, alert),
        }
    )


async def picture(request: Request) -> Response:
    """The evidence picture; ``revision``: of the hit, else the latest that has one."""
    require_role(request, *ANY_ROLE)
    jpeg = await link_of(request).picture(request, _id(request), _revision(request))
    return _jpeg(jpeg)


async def plate(request: Request) -> Response:
    """The plate, cut out of the evidence picture and enlarged."""
    require_role(request, *ANY_ROLE)
    found = await _found(request)
    wanted = _revision(request)
    pictured = [
        (hit, corners)
        for hit in _pictured(found.history, alert_from_pb(found.alert))
        if hit.passage.evidence is not None
        and (corners := hit.passage.evidence.plate_corners) is not None
        and wanted in (None, hit.revision)
    ]
    if not pictured:
        raise not_found("the plate's place in the picture is not known")
    hit, corners = pictured[0]
    jpeg = await link_of(request).picture(request, hit.id, hit.revision)
    try:
        return _jpeg(await run_in_threadpool(plate_picture, jpeg, corners))
    except ValueError as error:
        raise not_found(f"the plate cannot be cut out: {error}") from None


async def review(request: Request) -> Response:
    """Confirm or reject."""
    require_role(request, *ANY_ROLE)
    body = await body_of(request, Decision)
    message = pb.ReviewAlertRequest(
        id=_id(request),
        decision=review_state_to_pb(ReviewState(body.decision)),
        note=body.note,
        outcome=body.outcome,
        seen_revision=body.seen_revision,
    )
    return await _decided(request, "ReviewAlert", message)


async def withdraw(request: Request) -> Response:
    """Take one's own decision back, within the time that the alert service grants."""
    require_role(request, *ANY_ROLE)
    decision = review_state_to_pb(ReviewState.UNVERIFIED)
    message = pb.ReviewAlertRequest(id=_id(request), decision=decision)
    return await _decided(request, "ReviewAlert", message)


async def escalate(request: Request) -> Response:
    """Send an alert up that nobody has reviewed."""
    require_role(request, *ANY_ROLE)
    body = await body_of(request, Escalation)
    message = pb.EscalateAlertRequest(id=_id(request), note=body.note)
    return await _decided(request, "EscalateAlert", message)


async def _decided(request: Request, method: str, message: Any) -> Response:
    """The alert as it then stands; where another was first, as that one left it."""
    link = link_of(request)
    try:
        answer = await link.call(request, method, message)
    except ApiError as error:
        if error.status == 409:
            found = await _found(request)
            error.more["alert"] = alert_json(alert_from_pb(found.alert))
        raise
    return JSONResponse({"alert": alert_json(alert_from_pb(answer.alert))})


async def _found(request: Request) -> Any:
    return await link_of(request).call(request, "GetAlert", pb.GetAlertRequest(id=_id(request)))


def _alternatives(hit: Hit) -> list[dict[str, Any]]:
    """What the plate may say, the voted text first."""
    (likely,) = readings_of([hit.passage], _LEAST_READING, _MOST_READINGS)
    return [{"plate": one.text, "probability": round(one.probability, 4)} for one in likely]


def _pictured(history: Iterable[pb.HistoryEvent], alert: Alert) -> list[Hit]:
    """The hits that carry a picture, the latest revision first."""
    hits = {event.hit.revision: event.hit for event in history if event.HasField("hit")}
    found = {revision: hit_from_pb(hit) for revision, hit in hits.items()}
    found.setdefault(alert.hit.revision, alert.hit)
    pictured = [hit for hit in found.values() if hit.passage.evidence is not None]
    return sorted(pictured, key=lambda hit: hit.revision, reverse=True)


def _evidence_json(history: Iterable[pb.HistoryEvent], alert: Alert) -> dict[str, Any] | None:
    for hit in _pictured(history, alert):
        evidence = hit.passage.evidence
        if evidence is not None:
            base = f"/api/alerts/{quote(hit.id, safe='')}"
            of = f"?revision={hit.revision}"
            known = evidence.plate_corners is not None
            return {
                "url": f"{base}/picture{of}",
                "plate_url": f"{base}/plate{of}" if known else None,
                "sha256": evidence.sha256,
            }
    return None


def _history_json(event: HistoryEvent) -> dict[str, Any]:
    hit = event.hit
    return {
        "at": event.at.isoformat(),
        "kind": event.kind.value,
        "revision": event.revision,
        "sequence": event.sequence,
        "person": event.person,
        "named_by": _value(event.named_by),
        "decision": _value(event.decision),
        "note": event.note,
        "outcome": event.outcome,
        "plate": hit.passage.plate if hit else None,
        "match": hit.kind.value if hit else None,
        "probability": _rounded(hit.probability) if hit else None,
        "retracted": hit.retracted if hit else None,
    }


def _jpeg(jpeg: bytes) -> Response:
    return Response(jpeg, media_type="image/jpeg", headers={"Content-Disposition": "inline"})


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _revision(request: Request) -> int | None:
    said = request.query_params.get("revision")
    return None if not said else _number(said, "revision", 0, 0, 2**32 - 1)


def _number(said: str | None, name: str, otherwise: int, least: int, most: int) -> int:
    if not said:
        return otherwise
    if not said.isdecimal() or not said.isascii() or len(said) > 10:
        raise invalid(f"{name}: must be a whole number", name)
    if not least <= int(said) <= most:
        raise invalid(f"{name}: must be from {least} to {most}", name)
    return int(said)


def _several(request: Request, name: str) -> list[str]:
    """A parameter that may be repeated, or hold several values with commas between them."""
    said = request.query_params.getlist(name)
    return [part for one in said for part in one.split(",") if part]


def _members(request: Request, name: str, kind: type[K]) -> list[K]:
    try:
        return [kind(one) for one in _several(request, name)]
    except ValueError:
        known = ", ".join(one.value for one in kind)
        raise invalid(f"{name}: must be of {known}", name) from None


def _value(member: Any) -> str | None:
    return None if member is None else str(member.value)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


routes: Final[Sequence[BaseRoute]] = (
    Route("/api/alerts", list_alerts),
    Route("/api/alerts/{id}", get_alert),
    Route("/api/alerts/{id}/picture", picture),
    Route("/api/alerts/{id}/plate", plate),
    Route("/api/alerts/{id}/review", review, methods=["POST"]),
    Route("/api/alerts/{id}/review", withdraw, methods=["DELETE"]),
    Route("/api/alerts/{id}/escalate", escalate, methods=["POST"]),
)
