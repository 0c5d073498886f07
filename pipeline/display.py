"""Passages and hits as a person reads them in a terminal, one line each as they happen."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from pipeline.events import Summary
from pipeline.summary_words import Language, summary_sentence
from pipeline.types import Hit, MatchKind, Passage, PlateClass
from watchlist.grammar import display as dotted

PLATE_STYLES: Final = {
    PlateClass.BLUE: "bold white on #0b4ea2",
    PlateClass.YELLOW_SINGLE: "bold black on #f5c400",
    PlateClass.YELLOW_DOUBLE: "bold black on #f5c400",
    PlateClass.GREEN_SMALL: "bold black on #6fd08c",
    PlateClass.GREEN_LARGE: "bold black on #b8d432",
    PlateClass.COACH: "bold black on #f5c400",
    PlateClass.MOTORCYCLE: "bold black on #f5c400",
    PlateClass.TRAILER: "bold black on #f5c400",
    PlateClass.HK_MACAU: "bold white on #101010",
    PlateClass.EMBASSY: "bold white on #101010",
    PlateClass.CONSULATE: "bold white on #101010",
    PlateClass.TRACTOR: "bold white on #1d7a3a",
    PlateClass.POLICE: "bold black on #f2f2f2",
    PlateClass.WJ: "bold #b00020 on #f2f2f2",
    PlateClass.ARMY: "bold #b00020 on #f2f2f2",
    PlateClass.EMERGENCY: "bold #b00020 on #f2f2f2",
    PlateClass.TEMPORARY: "bold black on #cfe2f7",
}
"""Text and ground as on the plate itself."""

KIND_STYLES: Final = {
    MatchKind.EXACT: "bold white on #b3001b",
    MatchKind.POSSIBLE: "bold black on #ffb300",
    MatchKind.PARTIAL: "bold black on #80cbc4",
}
RETRACTED_STYLE: Final = "bold white on #5b2aa0"
_KIND_LABELS: Final = {
    MatchKind.EXACT: "▲ HIT",
    MatchKind.POSSIBLE: "△ POSSIBLE",
    MatchKind.PARTIAL: "◇ PARTIAL",
}
_REMEMBERED = 256
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


def percent(probability: float) -> str:
    """A probability for people, rounded down: what is not certain never shows as 100 %."""
    return f"{math.floor(1000 * probability) / 10:.1f} %"


def plate_text(text: str | None, plate_class: PlateClass | None) -> Text:
    """A plate in the colours of its class: ``辽A·12345``; what was not read says so."""
    if text is None:
        return Text("unreadable", style="italic yellow")
    style = PLATE_STYLES.get(plate_class, "bold reverse") if plate_class else "bold reverse"
    return Text(f" {text[:2]}·{text[2:]} ", style=style)


class RunDisplay:
    """Prints a run's passages and hits as rows under one heading.

    ``language``: of the sentence at the end.
    """

    def __init__(self, console: Console, language: Language = "en") -> None:
        self._console = console
        self._language = language
        self._headed = False
        self._plates: OrderedDict[str, str | None] = OrderedDict()  # last shown, by passage

    def passage(self, record: Passage) -> None:
        """One row for a passage, or for its newer revision; dim where only details changed."""
        if not self._headed:
            heading = [Text(name, style="bold") for name, _ in _COLUMNS]
            self._row(heading)
            self._headed = True
        vehicle = " ".join(
            part.value for part in (record.vehicle_colour, record.vehicle_class) if part
        )
        sure = "" if record.probability is None else percent(record.probability)
        detail = self._plates.pop(record.id, "") == record.plate  # the plate stands as it was
        self._plates[record.id] = record.plate
        if len(self._plates) > _REMEMBERED:
            self._plates.popitem(last=False)
        self._row(
            [
                Text(clock_time(record.start_s)),
                Text(record.camera),
                Text(record.lane or "–"),
                plate_text(record.plate, record.plate_class),
                Text(record.plate_class.value if record.plate_class else "–"),
                Text(sure),
                Text(str(record.reads)),
                Text(vehicle or "–"),
                Text("amended" if record.revision else "", style="dim" if detail else "yellow"),
            ],
            style="dim" if detail else "",
        )

    def hit(self, record: Hit) -> None:
        """The hit under its passage: kind, entry and what the officer is to do."""
        label, style = _KIND_LABELS[record.kind], KIND_STYLES[record.kind]
        entry, rests_on = record.entry, meaning(record)
        if record.kind is MatchKind.EXACT:
            wanted = plate_text(entry.plate, entry.plate_class or record.passage.plate_class)
        else:  # only what was read looks like a plate
            wanted = Text(f"wanted {dotted(entry.plate)}", style="bold")
            rests_on += "  "
        line = Text.assemble(
            "  ",
            ("↺ RETRACTED", RETRACTED_STYLE) if record.retracted else (f" {label} ", style),
            " ",
            wanted,
            f" {percent(record.probability)}  {rests_on}priority {entry.priority}  ",
            (entry.category, "bold"),
            f"  {entry.disposition}  [list v{record.list_version}] ",
            ("UNVERIFIED", "bold yellow"),
        )
        if record.late:
            passed = record.passage.ended_at.astimezone()
            line.append("  LATE", style="bold cyan")
            line.append(f": passed {record.passage.camera} at {passed:%Y-%m-%d %H:%M:%S}")
        if record.mismatches:
            line.append(f"  differs in: {', '.join(record.mismatches)}", style="bold magenta")
        self._console.print(line, soft_wrap=True)

    def summary(self, record: Summary) -> None:
        """What the run amounted to, in one sentence."""
        words = summary_sentence(record, self._language)
        self._console.print(f"\n{words}", style="bold", soft_wrap=True)

    def _row(self, cells: Sequence[Text], style: str = "") -> None:
        line = Text(style=style)
        for cell, (_, width) in zip(cells, _COLUMNS, strict=True):
            line.append_text(cell)
            line.append(" " * max(width - cell_len(cell.plain), 0) + "  ")
        line.rstrip()
        self._console.print(line, soft_wrap=True)


def meaning(hit: Hit) -> str:
    """In some words, what a hit that is not exact rests on; empty if it is exact."""
    match hit.kind:
        case MatchKind.EXACT:
            return ""
        case MatchKind.PARTIAL:
            return f"fits a pattern as {dotted(hit.reading)}" if hit.reading else "fits a pattern"
    if hit.passage.plate is None:
        return "one reading of a plate that was not read surely"
    if hit.passage.plate == hit.entry.plate:
        return "the plate is wanted, the vehicle differs"
    return f"likelier is {dotted(hit.passage.plate)}"


def clock_time(seconds: float) -> str:
    """Media time as ``m:ss.s``."""
    minutes, rest = divmod(max(seconds, 0.0), 60)
    return f"{int(minutes)}:{rest:04.1f}"
