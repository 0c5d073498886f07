"""``checkpoint bench latency``: from the camera to a subscriber that has the hit, by stage."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from pipeline import logs
from pipeline.commands.bench_throughput import (
    Cameras,
    Rtsp,
    SampleFps,
    Seconds,
    Source,
    progress_bar,
)

if TYPE_CHECKING:
    from benchmarks import latency as bench

_SAYS = {
    "decode": "frame arrived → decoded",
    "wait": "→ taken into a batch",
    "recognise": "→ plates read",
    "settle": "arrived → passage settled",
    "match": "→ hit on the disk",
    "publish": "→ alert at the subscriber",
    "total": "camera to hit",
    "in_view": "vehicle first seen → alert",
}


def latency(
    source: Source,
    cameras: Cameras = 1,
    seconds: Seconds = 60.0,
    fps: SampleFps = 5.0,
    rtsp: Rtsp = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout instead of a table.")
    ] = False,
) -> None:
    """Measure how long after a frame's arrival its hit is in a subscriber's hands.

    All plates of the clip are wanted; cameras, recognition, watchlist, outbox, alert service and
    subscriber are the real ones, over loopback.
    """
    # Here, not above: the other commands start without the benchmarks.
    from benchmarks import latency as bench
    from benchmarks import measuring

    logs.configure(logging.WARNING)
    settings = bench.Settings(source, cameras=cameras, seconds=seconds, fps=fps, rtsp=rtsp)
    with progress_bar() as progress:
        report = bench.measure(settings, progress)
    if as_json:
        record = measuring.rounded(bench.as_json(report))
        print(json.dumps(record, ensure_ascii=False), flush=True)
    else:
        _print(report, Console())


def _print(report: bench.Report, console: Console) -> None:
    settings = report.settings
    table = Table(
        title=f"{settings.cameras} cameras play {settings.source.name}"
        f" {'by RTSP' if settings.rtsp else 'from its file'}, {report.hits} hits",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for heading in ("", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(heading, justify="left" if not heading else "right")
    for stage, ms in report.ms.items():
        times = [f"{at:.0f}" if at is not None else "–" for at in ms.values()]
        table.add_row(_SAYS[stage], *times, end_section=stage in ("recognise", "publish"))
    console.print(table)
    if report.missing:
        console.print(f"{report.missing} hits did not arrive in time.")
    console.print(
        f"{report.machine.cpu}, {report.machine.cores} cores, load {report.machine.load:.1f} "
        "before.",
        highlight=False,
        soft_wrap=True,
    )
