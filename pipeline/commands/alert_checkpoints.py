"""``checkpoint alerts checkpoints``: what the alert service knows of every checkpoint."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.commands.alert_client import Connected, with_client
from pipeline.commands.alert_table import duration
from pipeline.events import checkpoint as checkpoint_event
from pipeline.status import CheckpointState, CheckpointStatus

_STYLES = {CheckpointState.ONLINE: "green", CheckpointState.SILENT: "bold red"}


@with_client
def checkpoints(
    connected: Connected,
    state: Annotated[
        list[CheckpointState] | None, typer.Option(help="Only in this state; may be repeated.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, for machines.")
    ] = False,
) -> None:
    """Print what the service knows of every checkpoint: heard of when, lag, list, problems."""
    found = connected.client.checkpoints(*(state or ()))
    if as_json:
        for status in found:
            print(json.dumps(checkpoint_event(status), ensure_ascii=False))
        return
    if not found:
        Console(stderr=True).print("no checkpoint has reported yet", style="dim")
        return
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("checkpoint", "state", "heard of", "lag", "waiting", "list", "problems"):
        table.add_column(name)
    now = datetime.now(UTC)
    for status in found:
        table.add_row(*_row(status, now))
    Console().print(table)


def show(status: CheckpointStatus, as_json: bool, console: Console) -> None:
    """Say that a checkpoint has gone silent or is back."""
    if as_json:
        print(json.dumps(checkpoint_event(status), ensure_ascii=False), flush=True)
        return
    style = _STYLES.get(status.state, "")
    last = f", last heard of at {status.last_seen_at:%H:%M:%S} UTC" if status.last_seen_at else ""
    told = f"checkpoint {status.checkpoint} is {status.state.value}{last}"
    console.print(Text(told, style))


def _row(status: CheckpointStatus, now: datetime) -> list[Text]:
    report = status.report
    seen = status.last_seen_at
    age = None if report is None or report.list_age_s is None else duration(report.list_age_s)
    version = None if report is None else report.list_version
    cells = [
        status.checkpoint,
        "never" if seen is None else f"{duration(max(0.0, (now - seen).total_seconds()))} ago",
        "" if status.lag_s is None else duration(status.lag_s),
        "" if report is None else str(report.waiting_hits),
        "unknown" if version is None else f"version {version}" + (f", {age} old" if age else ""),
        "; ".join(f"{name}: {text}" for name, text in report.problems.items()) if report else "",
    ]
    texts = [Text(cell) for cell in cells]  # not markup: others have written it
    return [texts[0], Text(status.state.value, _STYLES.get(status.state, "")), *texts[1:]]
