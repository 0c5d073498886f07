"""The report for people: as Markdown, and as tables in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.accuracy.report import FALSE_PER, Breakdown, Report, Row
from benchmarks.accuracy.statistics import SURE, Share

SHOWN_CONFUSIONS = 20
SHOWN_FAILURES = 20
NONE = "∅"
"""Stands for no character in a confusion."""
GOOD, FAIR = 0.95, 0.90
"""Shares from which a figure is shown green, and yellow: the targets by day and by night."""


def headline(report: Report) -> list[tuple[str, Share, str]]:
    """The figures that come first: name, share, and what to know about it."""
    sure = report.calibration.sure
    lines: list[tuple[str, Share, str]] = []
    if report.plates:
        if report.found is not None:
            lines.append(("found", report.found, "of the annotated plates"))
        lines.append(
            (
                "read",
                report.read,
                "exactly right" if report.found is None else "exactly right, found or not",
            )
        )
        lines.append(("characters", report.characters, "right in the texts read"))
        if report.plate_class.of:
            lines.append(("plate class", report.plate_class, "right where the label tells"))
        part = Share(sure.of, report.calibration.right.of).percent()
        lines.append((f"sure (≥ {SURE:g})", sure, f"right; {part} of reads"))
    return lines


def sentences(report: Report) -> list[str]:
    """What does not fit a table of shares, each a sentence."""
    said = []
    calibration, false = report.calibration, report.false_plates
    if calibration.error is not None and calibration.mean_probability is not None:
        count = len(calibration.bins)
        bins = f"{count} bins" if count != 1 else "1 bin"
        said.append(
            f"Mean probability {calibration.mean_probability:.3f}, right "
            f"{calibration.right.percent()} of {calibration.right.of} reads; expected calibration "
            f"error {calibration.error:.3f} ({bins} of equal mass)."
        )
    rate = false.rate()
    if rate is not None:
        said.append(
            f"False plates: {false.texts} given a text ({false.sure} of them sure) in "
            f"{false.pictures} completely annotated pictures, {rate:.1f} per {FALSE_PER}; "
            f"{false.unread} more left without a text."
        )
    if report.timing is not None:
        t = report.timing
        said.append(
            f"Time of one picture, decoding left out: median {t.median_ms:.0f} ms, 90 % within "
            f"{t.p90_ms:.0f} ms ({t.pictures} pictures, {t.cpu}, {t.cores} cores)."
        )
    return said


def failures(messages: Sequence[str]) -> str:
    """What could not be measured, a line each, the first ones only."""
    more = len(messages) - SHOWN_FAILURES
    lines = [*messages[:SHOWN_FAILURES], *([f"… and {more} more like these"] if more > 0 else [])]
    return "\n".join(lines)


def _subject(report: Report) -> str:
    parts = [report.form, *([f"fold {report.fold}"] if report.fold else [])]
    return f"{report.source} ({', '.join(parts)})"


def _counts(report: Report) -> str:
    counted = f"{report.pictures} pictures"
    if report.plates:
        counted += f", {report.plates} plates, {report.read.of} of them with a text"
    return counted


def _confusion_items(report: Report) -> list[tuple[str, str, int]]:
    return [
        (c.truth or NONE, c.read or NONE, c.count) for c in report.confusions[:SHOWN_CONFUSIONS]
    ]


# --- terminal ------------------------------------------------------------------------------


def print_report(report: Report, console: Console) -> None:
    """Print the report's tables."""
    console.print(Text(f"\n{_subject(report)}", style="bold"), soft_wrap=True)
    console.print(Text(report.recogniser, style="dim"))
    console.print(Text(f"{_counts(report)}\n", style="dim"))
    if report.plates:
        table = _table("", "share", "95 % interval", "count", "")
        for name, share, note in headline(report):
            table.add_row(f"[bold]{name}[/bold]", _shown(share), share.range(), _of(share), note)
        console.print(table)
        console.print()
    for breakdown in report.breakdowns:
        console.print(_breakdown_table(breakdown))
        console.print(f"[dim]{breakdown.note}[/dim]\n", highlight=False)
    if items := _confusion_items(report):
        console.print("[bold]Confusions[/bold] (plate → read)")
        shown = (f"{a}\u00a0→\u00a0{b}\u00a0[dim]×{count}[/dim]" for a, b, count in items)
        console.print("   ".join(shown), highlight=False)
        console.print()
    for sentence in sentences(report):
        console.print(sentence, highlight=False)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if 0 < index < 4 else "left")
    return table


def _breakdown_table(breakdown: Breakdown) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(f"[bold not dim]{breakdown.name}[/bold not dim]", min_width=16)
    found = any(row.found is not None for row in breakdown.rows)
    for name in ("plates", *(("found",) if found else ()), "read", "95 % interval", "count"):
        table.add_column(name, justify="right")
    for row in breakdown.shown():
        cells = [row.label, str(row.plates)]
        if found:
            cells.append(row.found.percent() if row.found else "–")
        table.add_row(*cells, _shown(row.read), row.read.range(), _of(row.read))
    return table


def _shown(share: Share) -> Text:
    if share.value is None:
        return Text("–")
    colour = "green" if share.value >= GOOD else "yellow" if share.value >= FAIR else "red"
    return Text(share.percent(), style=f"bold {colour}")


def _of(share: Share) -> str:
    return f"{share.count}/{share.of}"


# --- Markdown ------------------------------------------------------------------------------


def as_markdown(report: Report, plots: Sequence[tuple[str, str]], missing: str | None) -> str:
    """The report as Markdown; ``plots``: file name and caption; ``missing``: why there are none."""
    return "\n".join(_markdown(report, plots, missing)) + "\n"


def _markdown(
    report: Report, plots: Sequence[tuple[str, str]], missing: str | None
) -> Iterator[str]:
    yield "# Accuracy\n"
    yield f"- pictures: {_subject(report)}"
    yield f"- recogniser: {report.recogniser}"
    yield f"- {_counts(report)}; texts that count: {report.texts}\n"
    if report.plates:
        yield "| | share | 95 % interval | count | |\n|---|---|---|---|---|"
        for name, share, note in headline(report):
            yield f"| **{name}** | {share.percent()} | {share.range()} | {_of(share)} | {note} |"
        yield ""
    yield from (f"{sentence}\n" for sentence in sentences(report))
    if missing:
        yield f"*{missing}*\n"
    for file, caption in plots:
        yield f"![{caption}]({file})\n"
    for breakdown in report.breakdowns:
        yield f"## By {breakdown.name}\n\n{breakdown.note[0].upper() + breakdown.note[1:]}.\n"
        yield "| | plates | found | read | 95 % interval | count |\n|---|---|---|---|---|---|"
        for row in breakdown.shown():
            yield _markdown_row(row)
        yield ""
    if items := _confusion_items(report):
        yield f"## Confusions\n\nPlate → read; {NONE} stands for no character.\n"
        yield "| plate | read | count |\n|---|---|---|"
        yield from (f"| {a} | {b} | {count} |" for a, b, count in items)
        yield ""
    if report.failures:
        yield "## Left out\n"
        yield f"```\n{failures(report.failures)}\n```\n"
    yield "## How it is counted\n"
    yield (
        "*Found*: a detection's box overlaps the annotated box with IoU ≥ 0.5; where the label has "
        "no box, any plate was found. *Read*: the text is exactly right, over all annotated plates "
        "with a text, found or not. Intervals are Wilson score intervals at 95 %. A read's "
        "probability is that of its whole text. Plates whose property a label does not tell are "
        "left out of that table."
    )


def _markdown_row(row: Row) -> str:
    found = "–" if row.found is None else row.found.percent()
    return (
        f"| {row.label} | {row.plates} | {found} | {row.read.percent()} | {row.read.range()} | "
        f"{_of(row.read)} |"
    )
