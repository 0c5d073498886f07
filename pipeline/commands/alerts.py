"""``checkpoint alerts``: watch, list and review alerts, as a client of the alert service."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pipeline import config
from pipeline.alerts.channel import dial_target
from pipeline.alerts.client import CheckpointClient
from pipeline.commands.alert_table import AlertTable
from pipeline.errors import ConfigError
from pipeline.types import Alert, MatchKind, ReviewState

DEFAULT_TARGET = "127.0.0.1:50051"

app = typer.Typer(no_args_is_help=True)

Target = Annotated[
    str | None,
    typer.Option(help=f"host:port of the alert service; default: --config's, or {DEFAULT_TARGET}."),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="Take address and certificates from this file.")
]
Ca = Annotated[Path | None, typer.Option(help="PEM of the service's authority: use TLS.")]
Cert = Annotated[Path | None, typer.Option(help="PEM of our own certificate.")]
Key = Annotated[Path | None, typer.Option(help="PEM of our own key.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]
Camera = Annotated[list[str] | None, typer.Option(help="Only this camera; may be repeated.")]
Kind = Annotated[list[MatchKind] | None, typer.Option(help="Only this kind; may be repeated.")]


class Decision(StrEnum):
    """What a reviewer may decide."""

    CONFIRM = "confirm"
    REJECT = "reject"


_STATES = {Decision.CONFIRM: ReviewState.CONFIRMED, Decision.REJECT: ReviewState.REJECTED}


@app.command()
def watch(
    target: Target = None,
    file: Config = None,
    after: Annotated[
        int | None, typer.Option(min=0, help="Start after this number (0: everything).")
    ] = None,
    as_json: AsJson = False,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many alerts.")] = None,
    camera: Camera = None,
    kind: Kind = None,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
) -> None:
    """Print alerts as they come, until Ctrl-C."""
    with _client(target, file, ca, cert, key) as client:
        table = None if as_json else AlertTable(Console())
        if table is not None:
            note = f"Alerts of {client.target}, as they come. Ctrl-C ends."
            Console(stderr=True).print(note, style="dim")
        alerts = client.subscribe(after, cameras=camera or (), kinds=kind or ())
        try:
            for number, alert in enumerate(alerts, start=1):
                _show(alert, table)
                if number == count:
                    break
        except KeyboardInterrupt:
            return


@app.command(name="list")
def list_alerts(
    target: Target = None,
    file: Config = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 20,
    review: Annotated[
        list[ReviewState] | None, typer.Option(help="Only in this state; may be repeated.")
    ] = None,
    as_json: AsJson = False,
    camera: Camera = None,
    kind: Kind = None,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
) -> None:
    """Print the most recent alerts, the latest last."""
    with _client(target, file, ca, cert, key) as client:
        alerts = client.list(limit, cameras=camera or (), kinds=kind or (), reviews=review or ())
    table = None if as_json else AlertTable(Console())
    for alert in reversed(alerts):
        _show(alert, table)
    if not alerts:
        Console(stderr=True).print("no alerts", style="dim")


@app.command()
def review(
    alert: Annotated[str, typer.Argument(metavar="ID", help="Id of the alert.")],
    decision: Annotated[Decision, typer.Argument(help="What you have found.")],
    reviewer: Annotated[str, typer.Option(help="Your name: the decision stands in it.")],
    note: Annotated[str, typer.Option(help="What you have to add.")] = "",
    target: Target = None,
    file: Config = None,
    as_json: AsJson = False,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
) -> None:
    """Confirm or reject an alert; the first decision stands."""
    with _client(target, file, ca, cert, key) as client:
        decided = client.review(alert, _STATES[decision], reviewer, note)
    _show(decided, None if as_json else AlertTable(Console()))


def alert_event(alert: Alert) -> dict[str, Any]:
    """One alert as a JSON object; unknown values are null."""
    hit, passage, entry = alert.hit, alert.hit.passage, alert.hit.entry
    return {
        "event": "alert",
        "sequence": alert.sequence,
        "id": alert.id,
        "revision": hit.revision,
        "occurred_at": hit.occurred_at.isoformat(),
        "received_at": alert.received_at.isoformat(),
        "checkpoint": hit.checkpoint,
        "camera": passage.camera,
        "lane": passage.lane,
        "passage": passage.id,
        "plate": passage.plate,
        "class": passage.plate_class.value if passage.plate_class else None,
        "vehicle": {
            "class": passage.vehicle_class.value if passage.vehicle_class else None,
            "colour": passage.vehicle_colour.value if passage.vehicle_colour else None,
        },
        "kind": hit.kind.value,
        "probability": round(hit.probability, 4),
        "reading": hit.reading,
        "retracted": hit.retracted,
        "late": hit.late,
        "passed_at": passage.ended_at.isoformat(),
        "mismatches": list(hit.mismatches),
        "entry": entry.id,
        "entry_plate": entry.plate,
        "category": entry.category,
        "priority": entry.priority,
        "disposition": entry.disposition,
        "list_version": hit.list_version,
        "list_age_s": round(hit.list_age_s, 1),
        "review": alert.review.value,
        "reviewer": alert.reviewer,
        "note": alert.review_note,
        "evidence": passage.evidence.path if passage.evidence else None,
        "evidence_sha256": passage.evidence.sha256 if passage.evidence else None,
    }


def _show(alert: Alert, table: AlertTable | None) -> None:
    if table is None:
        print(json.dumps(alert_event(alert), ensure_ascii=False), flush=True)
    else:
        table.add(alert)


def _client(
    target: str | None, file: Path | None, ca: Path | None, cert: Path | None, key: Path | None
) -> CheckpointClient:
    """A client after the options, or else the configuration, or else the default."""
    if file is not None:
        settings = config.load(file).alerts
        target = target or settings.target or dial_target(settings.listen)
        ca = ca or settings.target_ca
        if ca and settings.tls and not (cert or key):
            cert, key = settings.tls.certificate, settings.tls.key
        if settings.tls and not settings.target and ca is None:
            raise ConfigError(
                f"{file}: the service speaks TLS: name its authority as alerts.target_ca or --ca"
            )
    return CheckpointClient(target or DEFAULT_TARGET, ca, cert, key)
