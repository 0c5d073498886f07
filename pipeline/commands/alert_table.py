"""Alerts for an operator's eyes: a table that grows row by row, and works in a pipe too."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.display import KIND_STYLES, RETRACTED_STYLE, meaning, percent, plate_text
from pipeline.events import alert as alert_event
from pipeline.types import Alert, Hit, MatchKind, NamedBy, ReviewState
from watchlist.patterns import is_pattern

_PRIORITY_STYLES: Final = {
    1: "bold white on #b3001b",
    2: "bold #221a00 on #ffbf47",
    3: "",
    4: "dim",
}
_REVIEW_STYLES: Final = {
    ReviewState.UNVERIFIED: "bold #221a00 on #ffd54f",
    ReviewState.CONFIRMED: "bold white on #23712e",
    ReviewState.REJECTED: "bold white on #616161",
}
"""As in the console's ``style.css``."""
_KIND_SHAPES: Final = {MatchKind.EXACT: "▲", MatchKind.POSSIBLE: "△", MatchKind.PARTIAL: "◇"}
"""As in the console, so that kinds are told apart without their colours."""
_OLD_LIST_S: Final = 300.0
_WIDE: Final = (
    ("time", 10),
    ("camera / lane", 16),
    ("plate", 11),
    ("match", 20),
    ("prio", 4),
    ("wanted for / what to do", 24),
    ("state", 16),
)
_NARROW: Final = (
    ("time / camera", 14),
    ("plate", 11),
    ("match", 16),
    ("wanted / to do", 18),
    ("state", 14),
)
_WIDE_FROM: Final = sum(width + 1 for _, width in _WIDE)


class AlertTable:
    """Prints each alert at once, below one heading."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun = False

    def add(self, alert: Alert) -> None:
        """Print one alert."""
        if not self._begun:
            self._begun = True
            self._console.print(heading_row(self._console.width))
        self._console.print(alert_row(alert, self._console.width))
        self._console.print(Text(f"id {alert.id}\n", style="dim"), soft_wrap=True)


def show_alert(alert: Alert, table: AlertTable | None) -> None:
    """Print one alert: into its table, or, without one, as a JSON object."""
    if table is None:
        print(json.dumps(alert_event(alert), ensure_ascii=False), flush=True)
    else:
        table.add(alert)


def heading_row(width: int) -> RenderableType:
    """Names of the columns that a terminal of this width has room for, and a line below them."""
    columns = _columns(width)
    names = tuple(Text(name, style="bold dim") for name, _ in columns)
    line = Text("─" * min(sum(size + 1 for _, size in columns), width), style="dim")
    return Group(_row(columns, names), line)


def alert_row(alert: Alert, width: int, now: datetime | None = None) -> RenderableType:
    """One alert in a terminal of this width; with ``now`` it says how long ago it was."""
    columns = _columns(width)
    return _row(columns, _cells(alert, now) if columns is _WIDE else _narrow_cells(alert, now))


def _columns(width: int) -> tuple[tuple[str, int], ...]:
    return _WIDE if width >= _WIDE_FROM else _NARROW


def _row(columns: tuple[tuple[str, int], ...], cells: tuple[Text, ...]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    for _, width in columns:
        table.add_column(width=width, overflow="fold")
    table.add_row(*cells)
    return table


def duration(seconds: float) -> str:
    """An age for people: 12 s, 3 min, 5 h, 2 d."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _cells(alert: Alert, now: datetime | None) -> tuple[Text, ...]:
    entry = alert.hit.entry
    wanted = Text(entry.category, style="bold")
    wanted.append(f"\n{entry.disposition}", style="not bold")
    return (
        _when(alert, now),
        _where(alert.hit),
        _plate(alert.hit),
        _match(alert.hit, " "),
        _priority(entry.priority),
        wanted,
        _state(alert),
    )


def _narrow_cells(alert: Alert, now: datetime | None) -> tuple[Text, ...]:
    entry = alert.hit.entry
    wanted = _priority(entry.priority)
    wanted.append(f" {entry.category}", style="bold default on default")
    wanted.append(f"\n{entry.disposition}", style="not bold default on default")
    return (
        Text("\n").join((_when(alert, now), _where(alert.hit))),
        _plate(alert.hit),
        _match(alert.hit, "\n"),
        wanted,
        _state(alert),
    )


def _when(alert: Alert, now: datetime | None) -> Text:
    local = alert.hit.occurred_at.astimezone()
    cell = Text(f"{local:%H:%M:%S}")
    age_s = None if now is None else max((now - alert.hit.occurred_at).total_seconds(), 0.0)
    third = f"#{alert.sequence}" if age_s is None else f"{duration(age_s)} ago"
    cell.append(f"\n{local:%Y-%m-%d}\n{third}", style="dim")
    return cell


def _where(hit: Hit) -> Text:
    cell = Text(hit.passage.camera, style="bold")
    cell.append(f"\nlane {hit.passage.lane or '?'}", style="not bold")
    cell.append(f"\n{hit.checkpoint}", style="dim not bold")
    return cell


def _priority(priority: int) -> Text:
    return Text(f" {priority} ", style=_PRIORITY_STYLES.get(priority, ""))


def _plate(hit: Hit) -> Text:
    passage, entry = hit.passage, hit.entry
    cell = plate_text(passage.plate, passage.plate_class)
    if is_pattern(entry.plate):
        cell.append("\n≈ wanted:\n ", style="not bold #e65100 on default")
        cell.append(entry.plate, style="not bold default on default")
    elif entry.plate != passage.plate:
        cell.append("\n≠ wanted:\n ", style="not bold #e65100 on default")
        cell.append_text(_differences(entry.plate, passage.plate or ""))
    elif passage.vehicle_class or passage.vehicle_colour:
        seen = (passage.vehicle_colour, passage.vehicle_class)
        cell.append(
            "\n" + " ".join(part.value for part in seen if part),
            style="dim not bold default on default",
        )
    return cell


def _differences(wanted: str, seen: str) -> Text:
    """The plate looked for, with what the reading has otherwise called out."""
    cell = Text(style="not bold default on default")
    for place, character in enumerate(wanted):
        same = place < len(seen) and seen[place] == character
        cell.append(character, style="" if same else "bold underline #e65100")
    return cell


def _match(hit: Hit, before_percent: str) -> Text:
    label = f" {_KIND_SHAPES[hit.kind]} {hit.kind.value.upper()} "
    cell = Text(label, style=KIND_STYLES[hit.kind])
    cell.append(f"{before_percent}{percent(hit.probability)}", style="bold default on default")
    if rests_on := meaning(hit):
        cell.append(f"\n{rests_on}", style="not bold default on default")
    for name in hit.mismatches:
        seen, wanted = getattr(hit.passage, name, None), getattr(hit.entry, name, None)
        told = f"seen {seen}, wanted {wanted}" if seen and wanted else name
        cell.append(f"\n✗ {told.replace('_', ' ')}", style="bold #e65100 on default")
    return cell


def _state(alert: Alert) -> Text:
    hit = alert.hit
    cell = Text()
    if hit.retracted:
        cell.append(" RETRACTED ", style=RETRACTED_STYLE)
        cell.append("\n")
    if hit.late:
        ago_s = (hit.occurred_at - hit.passage.ended_at).total_seconds()
        cell.append(" LATE ", style="bold black on #80deea")
        cell.append(f"\npassed {duration(max(ago_s, 0.0))} before\n")
    cell.append(f" {alert.review.value.upper()} ", style=_REVIEW_STYLES[alert.review])
    if alert.reviewer:
        unchecked = " (name unchecked)" if alert.reviewer_named_by is NamedBy.REQUEST else ""
        cell.append(f"\nby {alert.reviewer}{unchecked}")
    if alert.review_note:
        cell.append(f"\n{alert.review_note}", style="italic")
    if alert.outcome:
        cell.append(f"\n{alert.outcome}", style="bold")
    if alert.escalated_by:
        cell.append("\n")
        cell.append(" ESCALATED ", style="bold white on #e65100")
        cell.append(f"\nby {alert.escalated_by}")
    old = hit.list_age_s > _OLD_LIST_S
    cell.append(f"\nlist {duration(hit.list_age_s)} old", style="bold #e65100" if old else "dim")
    return cell
