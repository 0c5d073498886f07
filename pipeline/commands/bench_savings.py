"""``checkpoint bench savings``: what each saving saves, and which passages it costs."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from detectors.recogniser import load_recogniser
from pipeline import logs
from pipeline.commands.bench_throughput import progress_bar

if TYPE_CHECKING:
    from benchmarks import savings as bench


def savings(
    source: Annotated[Path, typer.Option(help="The clip; its truth lies beside it as .json.")],
    fps: Annotated[
        float, typer.Option(min=0.1, max=60.0, help="Frames sampled from it in a second.")
    ] = 5.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout instead of a table.")
    ] = False,
) -> None:
    """Replay a clip without any saving, with each by itself, and as it comes.

    Each replay goes frame by frame in one thread: passages are the same on every run, and only
    the processor's time differs.
    """
    # Here, not above: the other commands start without the benchmarks.
    from benchmarks import measuring
    from benchmarks import savings as bench

    logs.configure(logging.WARNING)
    machine = measuring.Machine.here()
    with progress_bar() as progress:
        rows = bench.measure(source, load_recogniser(), progress=progress, sample_fps=fps)
    if as_json:
        record = measuring.rounded(bench.as_json(source, fps, machine, rows))
        print(json.dumps(record, ensure_ascii=False), flush=True)
    else:
        _print(source, rows, Console())


def _print(source: Path, rows: list[bench.Row], console: Console) -> None:
    table = Table(title=source.name, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in (
        "saving",
        "CPU s",
        "saved",
        "decoded",
        "looked at",
        "plates read",
        "passages",
        "right",
    ):
        table.add_column(heading, justify="left" if heading == "saving" else "right")
    before_s = sum(rows[0].cpu_s.values())
    for row in rows:
        used_s = sum(row.cpu_s.values())
        table.add_row(
            row.name,
            f"{used_s:.1f}",
            f"{1 - used_s / before_s:.0%}",
            str(row.decoded),
            str(row.looked_at),
            str(row.read),
            str(row.passages),
            "–" if row.right is None else f"{row.right} of {row.of}",
        )
    console.print(table)
