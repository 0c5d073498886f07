"""Passages and hits as a person reads them in a terminal, one line each as they happen."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from pipeline.events import Summary
from pipeline.types import Hit, MatchKind, Passage, PlateClass

_STYLES = {
    PlateClass.BLUE: "bold white on #1040b0",
    PlateClass.YELLOW_SINGLE: "bold black on #ffc000",
    PlateClass.YELLOW_DOUBLE: "bold black on #ffc000",
    PlateClass.COACH: "bold black on #ffc000",
    PlateClass.TRAILER: "bold black on #ffc000",
    PlateClass.MOTORCYCLE: "bold black on #ffc000",
    PlateClass.GREEN_SMALL: "bold black on #7fd49a",
    PlateClass.GREEN_LARGE: "bold black on #b5d45a",
    PlateClass.TRACTOR: "bold white on #107040",
    PlateClass.HK_MACAU: "bold white on black",
    PlateClass.EMBASSY: "bold white on black",
    PlateClass.CONSULATE: "bold white on black",
}
_KINDS = {
    MatchKind.EXACT: ("▲ HIT", "bold white on red"),
    MatchKind.POSSIBLE: ("△ POSSIBLE", "bold black on yellow"),
    MatchKind.PARTIAL: ("◇ PARTIAL", "bold black on cyan"),
}
_COLUMNS = (
    ("time", 7),
    ("camera", 12),
    ("lane", 6),
    ("plate", 12),
    ("class", 14),
    ("sure", 7),
    ("reads", 5),
    ("vehicle", 16),
    ("", 9),
)


def plate_badge(plate: str | None, plate_class: PlateClass | None) -> Text:
    """A plate in its class's colours: ``辽A·12345``."""
    if plate is None:
        return Text("unreadable", style="dim italic")
    style = _STYLES.get(plate_class or PlateClass.OTHER, "bold black on white")
    shown = f"{plate[:2]}·{plate[2:]}" if len(plate) in (7, 8) else plate
    return Text(f" {shown} ", style=style)


class RunDisplay:
    """Prints a run's passages and hits as rows under one heading."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._headed = False

    def passage(self, record: Passage) -> None:
        """One row for a passage, or for its newer revision."""
        if not self._headed:
            heading = [Text(name, style="bold") for name, _ in _COLUMNS]
            self._row(heading)
            self._headed = True
        vehicle = " ".join(
            part.value for part in (record.vehicle_colour, record.vehicle_class) if part
        )
        sure = "" if record.probability is None else f"{100 * record.probability:.1f} %"
        self._row(
            [
                Text(clock_time(record.start_s)),
                Text(record.camera),
                Text(record.lane or "–"),
                plate_badge(record.plate, record.plate_class),
                Text(record.plate_class.value if record.plate_class else "–"),
                Text(sure),
                Text(str(record.reads)),
                Text(vehicle or "–"),
                Text("amended" if record.revision else "", style="yellow"),
            ]
        )

    def hit(self, record: Hit) -> None:
        """The hit under its passage: kind, entry and what the officer is to do."""
        label, style = _KINDS[record.kind]
        entry = record.entry
        line = Text.assemble(
            "  ",
            ("↺ RETRACTED" if record.retracted else f" {label} ", style),
            " ",
            plate_badge(entry.plate, entry.plate_class or record.passage.plate_class),
            f" {100 * record.probability:.1f} %  priority {entry.priority}  ",
            (entry.category, "bold"),
            f"  {entry.disposition}  [list v{record.list_version}] ",
            ("UNVERIFIED", "bold yellow"),
        )
        if record.mismatches:
            line.append(f"  differs in: {', '.join(record.mismatches)}", style="bold magenta")
        self._console.print(line, soft_wrap=True)

    def summary(self, record: Summary) -> None:
        """What the run amounted to, in one sentence."""
        lost = sum(record.dropped.values())
        dropped = "none dropped" if not lost else f"dropped: {json.dumps(dict(record.dropped))}"
        self._console.print(
            f"\n{record.passages} passages and {record.hits} hits in {record.wall_s:.1f} s; "
            f"{record.decoded} frames decoded, {record.recognised} recognised, {dropped}.",
            style="bold",
            soft_wrap=True,
        )

    def _row(self, cells: Sequence[Text]) -> None:
        line = Text()
        for cell, (_, width) in zip(cells, _COLUMNS, strict=True):
            line.append_text(cell)
            line.append(" " * max(width - cell_len(cell.plain), 0) + "  ")
        line.rstrip()
        self._console.print(line, soft_wrap=True)


def clock_time(seconds: float) -> str:
    """Media time as ``m:ss.s``."""
    minutes, rest = divmod(max(seconds, 0.0), 60)
    return f"{int(minutes)}:{rest:04.1f}"
