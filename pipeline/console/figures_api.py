"""Figures for the console: ``GET /api/figures?from=&to=&bucket=hour|day``.

They hold no plate and no person, so that looking at them is not audited; whoever is logged in may.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from pipeline.console.context import ConsoleContext, context_of, invalid, session_of
from pipeline.console.figures import Bucket, Figures, Tally, figures, starts_of, total
from pipeline.rollup import FIGURES_FILE, AlertHour, Rollup

_LONGEST: Final = {Bucket.HOUR: timedelta(days=32), Bucket.DAY: timedelta(days=1100)}
_DEFAULT: Final = {Bucket.HOUR: timedelta(days=2), Bucket.DAY: timedelta(days=30)}


def show(request: Request) -> Response:
    """Counts and rates of each camera and of all, one for each bucket and for the whole time."""
    session_of(request)
    context = context_of(request)
    asked = request.query_params
    try:
        bucket = Bucket(asked.get("bucket", Bucket.HOUR))
    except ValueError:
        raise invalid(f"bucket: one of {', '.join(Bucket)}", "bucket") from None
    until = _moment(asked.get("to"), "to") or context.clock.now()
    since = _moment(asked.get("from"), "from") or until - _DEFAULT[bucket]
    if since >= until:
        raise invalid("from: must be before to", "from")
    if until - since > _LONGEST[bucket]:
        days = _LONGEST[bucket].days
        raise invalid(f"from: at most {days} days at once by {bucket.value}", "from")
    starts = starts_of(since, until, bucket)
    first, last = starts[0], starts[-1]
    passages = context.archive.hours(first, last) if context.archive else []
    alerts = _alert_hours(context, first, last)
    found = figures(passages, alerts, starts, bucket, context.settings.checkpoint)
    return JSONResponse({"from": first.isoformat(), "to": last.isoformat(), **_json(found)})


routes: Sequence[BaseRoute] = (Route("/api/figures", show),)


def _alert_hours(context: ConsoleContext, since: datetime, until: datetime) -> list[AlertHour]:
    path = context.settings.data_dir / FIGURES_FILE
    if not path.exists():
        return []
    with closing(Rollup(path, context.clock)) as rollup:
        return rollup.hours(since, until)


def _json(found: Figures) -> dict[str, Any]:
    of_all = found.of_all()
    return {
        "bucket": found.bucket.value,
        "starts": [start.isoformat() for start in found.starts],
        "cameras": [
            {"camera": None, **_series(of_all)},
            *({"camera": name, **_series(tallies)} for name, tallies in found.cameras.items()),
        ],
    }


def _series(tallies: Sequence[Tally]) -> dict[str, Any]:
    rows = [_figures(tally) for tally in tallies]
    columns = {name: [row[name] for row in rows] for name in _figures(Tally())}
    return {"series": columns, "total": _figures(total(tallies))}


def _figures(tally: Tally) -> dict[str, int | float | None]:
    return {
        "passages": tally.passages,
        "found": tally.found,
        "read": tally.read,
        "read_rate": tally.read_rate,
        "capture_rate": tally.capture_rate,
        "alerts": tally.alerts,
        "confirmed": tally.confirmed,
        "rejected": tally.rejected,
        "precision": tally.precision,
        "measured": len(tally.latencies_s),
        "latency_p50_s": tally.latency_s(0.5),
        "latency_p95_s": tally.latency_s(0.95),
    }


def _moment(text: str | None, field: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"{field}: write a time as 2026-12-31T16:00:00Z", field) from None
    return moment if moment.tzinfo else moment.astimezone()
