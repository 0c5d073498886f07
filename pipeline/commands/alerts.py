"""``checkpoint alerts``: watch, list, review and escalate alerts, as a client of the service."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pipeline.commands.alert_checkpoints import checkpoints
from pipeline.commands.alert_client import Connected, with_client
from pipeline.commands.alert_options import AsJson, Camera, Category, Checkpoint, Kind, Priority
from pipeline.commands.alert_table import AlertTable, duration, show_alert
from pipeline.commands.alert_watch import watch
from pipeline.events import alert as alert_event
from pipeline.types import AlertStats, HistoryEvent, HistoryKind, ReviewState

app = typer.Typer(no_args_is_help=True)
app.command()(watch)
app.command()(checkpoints)

AlertId = Annotated[str, typer.Argument(metavar="ID", help="Id of the alert.")]
Reviewer = Annotated[
    str,
    typer.Option(help="Your name, where no token says it; default: your user name."),
]


class Decision(StrEnum):
    """What a reviewer may decide."""

    CONFIRM = "confirm"
    REJECT = "reject"
    WITHDRAW = "withdraw"


_STATES = {
    Decision.CONFIRM: ReviewState.CONFIRMED,
    Decision.REJECT: ReviewState.REJECTED,
    Decision.WITHDRAW: ReviewState.UNVERIFIED,
}


@app.command(name="list")
@with_client
def list_alerts(
    connected: Connected,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 20,
    review: Annotated[
        list[ReviewState] | None, typer.Option(help="Only in this state; may be repeated.")
    ] = None,
    as_json: AsJson = False,
    checkpoint: Checkpoint = None,
    camera: Camera = None,
    kind: Kind = None,
    category: Category = None,
    priority: Priority = 0,
    escalated: Annotated[bool, typer.Option("--escalated", help="Only escalated ones.")] = False,
) -> None:
    """Print the most recent alerts, the latest last."""
    alerts = connected.client.list(
        limit,
        checkpoints=checkpoint or (),
        cameras=camera or (),
        kinds=kind or (),
        reviews=review or (),
        categories=category or (),
        max_priority=priority,
        escalated_only=escalated,
    )
    table = None if as_json else AlertTable(Console())
    for alert in reversed(alerts):
        show_alert(alert, table)
    if not alerts:
        Console(stderr=True).print("no alerts", style="dim")


@app.command()
@with_client
def show(connected: Connected, alert: AlertId, as_json: AsJson = False) -> None:
    """Print one alert and everything that happened to it."""
    found = connected.client.get(alert)
    history = connected.client.history(alert)
    if as_json:
        events = [_history_event(event) for event in history]
        print(json.dumps({**alert_event(found), "history": events}, ensure_ascii=False))
        return
    AlertTable(Console()).add(found)
    table = Table("when", "what", "who", "said")
    for event in history:
        table.add_row(*_history_row(event))
    Console().print(table)


@app.command()
@with_client
def review(
    connected: Connected,
    alert: AlertId,
    decision: Annotated[
        Decision,
        typer.Argument(help="What you have found; withdraw takes it back, within seconds."),
    ],
    reviewer: Reviewer = "",
    note: Annotated[str, typer.Option(help="What you have to add.")] = "",
    outcome: Annotated[
        str, typer.Option(help="What came of it, e.g. stopped; can be added later.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Confirm or reject an alert; the first decision stands."""
    decided = connected.client.review(
        alert, _STATES[decision], reviewer or connected.person, note, outcome=outcome
    )
    show_alert(decided, None if as_json else AlertTable(Console()))


@app.command()
@with_client
def escalate(
    connected: Connected,
    alert: AlertId,
    reviewer: Reviewer = "",
    note: Annotated[str, typer.Option(help="Why.")] = "",
    as_json: AsJson = False,
) -> None:
    """Send an alert that nobody has reviewed up to whoever watches for escalations."""
    escalated = connected.client.escalate(alert, reviewer or connected.person, note)
    show_alert(escalated, None if as_json else AlertTable(Console()))


@app.command()
@with_client
def stats(
    connected: Connected,
    hours: Annotated[float, typer.Option(min=0.1, help="Of the last so many hours.")] = 24.0,
    checkpoint: Checkpoint = None,
    as_json: AsJson = False,
) -> None:
    """Count alerts, and what became of them."""
    since = datetime.now(UTC) - timedelta(hours=hours)
    counted = connected.client.stats(since, checkpoints=checkpoint or ())
    if as_json:
        print(json.dumps(dataclasses.asdict(counted), ensure_ascii=False, default=_iso))
        return
    table = Table("what", "alerts", title=f"The last {hours:g} h")
    for what, number in _stats_rows(counted):
        table.add_row(what, number)
    Console().print(table)


def _history_event(event: HistoryEvent) -> dict[str, Any]:
    return {
        "at": event.at.isoformat(),
        "kind": event.kind.value,
        "revision": event.revision,
        "sequence": event.sequence,
        "person": event.person,
        "named_by": event.named_by.value if event.named_by else None,
        "decision": event.decision.value if event.decision else None,
        "note": event.note,
        "outcome": event.outcome,
        "plate": event.hit.passage.plate if event.hit else None,
        "match": event.hit.kind.value if event.hit else None,
        "retracted": event.hit.retracted if event.hit else None,
    }


def _history_row(event: HistoryEvent) -> tuple[str, str, str, str]:
    what = event.decision.value if event.decision else event.kind.value
    said = [one for one in (event.note, event.outcome and f"outcome: {event.outcome}") if one]
    if event.hit is not None:
        what = f"revision {event.revision}"
        said = [event.hit.kind.value, event.hit.passage.plate or "unread"]
        said += ["retracted"] if event.hit.retracted else []
    if event.kind is HistoryKind.WITHDRAWAL:
        what = "taken back"
    who = event.person or ""
    if event.named_by:
        who += f" (by {event.named_by.value})"
    return f"{event.at.astimezone():%Y-%m-%d %H:%M:%S}", what, who, "; ".join(said)


def _stats_rows(counted: AlertStats) -> list[tuple[str, str]]:
    rows = [("all" if counted.complete else "the latest (there are more)", str(counted.alerts))]
    for name in ("unverified", "confirmed", "rejected", "escalated", "retracted"):
        rows.append((name, str(getattr(counted, name))))
    for name in ("category", "kind", "checkpoint", "priority", "outcome"):
        for value, number in sorted(getattr(counted, f"by_{name}").items()):
            rows.append((f"{name}: {value}", str(number)))
    if counted.median_review_s is not None:
        rows.append(("median time to a review", duration(counted.median_review_s)))
    if counted.oldest_unverified_s is not None:
        rows.append(("oldest unverified", duration(counted.oldest_unverified_s)))
    rows.append(("subscribers now", str(counted.subscribers)))
    return rows


def _iso(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
