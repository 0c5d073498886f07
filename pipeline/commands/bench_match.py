"""``checkpoint bench match``: how fast passages are matched, whatever the list's length."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from pipeline.errors import ConfigError
from pipeline.types import MatchKind

if TYPE_CHECKING:
    from benchmarks import match as bench


def match(
    entries: Annotated[
        int, typer.Option(min=2_000, max=20_000_000, help="Entries on the list in the end.")
    ] = 1_000_000,
    patterns: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="How many of them are patterns.")
    ] = 10_000,
    masks: Annotated[int, typer.Option(min=1, help="How many masks the patterns have.")] = 200,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each speed is measured.")] = 5.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout instead of tables.")
    ] = False,
) -> None:
    """Measure matching over a list of a thousand, a hundred thousand and a million plates.

    The list is made up and lies in a Redis of its own, which ends with the command. What was
    matched is compared with a search of the whole list; exit status 1 if that finds otherwise.
    """
    # Here, not above: the other commands start without the benchmarks.
    from benchmarks import match as bench
    from benchmarks.measuring import rounded

    if masks > bench.MOST_MASKS:
        raise ConfigError(f"--masks: at most {bench.MOST_MASKS}")
    if patterns > entries - 1_000:
        raise ConfigError("--patterns: leave at least 1000 of --entries for plates")
    with _progress() as progress:
        report = bench.measure(
            entries=entries, patterns=patterns, masks=masks, seconds=seconds, progress=progress
        )
    if as_json:
        print(json.dumps(rounded(asdict(report)), ensure_ascii=False))
    else:
        _print(report, bench.BATCH, Console())


@contextmanager
def _progress() -> Iterator[bench.Progress]:
    """One bar on stderr for what is being done; none where nobody watches."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda what, done, total: bar.update(
            task, description=what, completed=done, total=total
        )


def _print(report: bench.Report, batch: int, console: Console) -> None:
    table = Table(
        title=f"Matching, in batches of {batch} and one by one, over a list with "
        f"{report.patterns:,} patterns of {report.masks} masks",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    kinds = [kind.value for kind in MatchKind]
    for heading in ("plates", "passages/s", "doubtful/s", "CPU µs", "p50 ms", "p99 ms", *kinds):
        table.add_column(heading, justify="right", no_wrap=True)
    for speed in report.speeds:
        table.add_row(
            f"{speed.plates:,}",
            f"{speed.passages_per_s:,.0f}",
            f"{speed.doubtful_per_s:,.0f}",
            f"{speed.cpu_us:.1f}",
            f"{speed.single_ms['p50']:.2f}",
            f"{speed.single_ms['p99']:.2f}",
            *(f"{speed.hits.get(kind, 0):,}" for kind in kinds),
        )
    console.print(table)
    first, later = report.reload_ms
    console.print(
        f"The hits are of {report.speeds[0].passages:,} passages; for {report.checked} of them a "
        "search of the whole list found the same. doubtful/s: where all have two characters in "
        "doubt; CPU µs: of this process, for one passage; ms: one passage at a time.\n"
        f"Redis {report.redis}: {report.bytes_per_entry:.0f} bytes for each entry, "
        f"{report.history_bytes:.0f} of them to take the changes back; "
        f"{report.entries:,} entries loaded in {report.load_s:.0f} s.\n"
        f"All patterns read anew: {first:.0f} ms the first time, {later:.0f} ms when one changed.",
        highlight=False,
        soft_wrap=True,
    )
