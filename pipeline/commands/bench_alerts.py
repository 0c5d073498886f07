"""``checkpoint bench alerts``: how fast hits become alerts, each of them on the disk first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

if TYPE_CHECKING:
    from benchmarks import alerts as bench


def alerts(
    seconds: Annotated[float, typer.Option(min=1.0, help="How long each part is measured.")] = 30.0,
    rate: Annotated[
        float, typer.Option(min=1.0, max=2_000.0, help="Hits a second with a picture.")
    ] = 200.0,
    picture_kb: Annotated[
        int, typer.Option(min=1, max=4_000, help="Size of the picture in kilobytes.")
    ] = 50,
    subscribers: Annotated[
        int, typer.Option(min=1, max=2_000, help="How many subscribe at once.")
    ] = 500,
    fan_rate: Annotated[
        float, typer.Option(min=0.1, max=200.0, help="Hits a second to all of them.")
    ] = 5.0,
    minutes: Annotated[
        float, typer.Option(min=0.0, max=1440.0, help="Then watch memory for so long; 0: not.")
    ] = 0.0,
    postgres_url: Annotated[
        str | None,
        typer.Option(
            envvar="CHECKPOINT_POSTGRES_URL",
            help="Keep alerts in this PostgreSQL, in a schema that is dropped afterwards, instead "
            "of a Redis of our own. A URL with a password belongs into the variable.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout instead of tables.")
    ] = False,
) -> None:
    """Measure the way of a hit from a checkpoint's outbox to subscribers, over loopback.

    Outbox and store wait for the disk before they answer, as they do in use. Service, publisher
    and subscribers are processes of their own; they end with the command.
    """
    # Here, not above: the other commands start without the benchmarks.
    from benchmarks import alerts as bench
    from benchmarks.measuring import rounded

    settings = bench.Settings(
        seconds=seconds,
        rate=rate,
        picture_bytes=1000 * picture_kb,
        subscribers=subscribers,
        fan_rate=fan_rate,
        minutes=minutes,
        postgres_url=postgres_url,
    )
    with _progress() as progress:
        report = bench.measure(settings, progress)
    if as_json:
        print(json.dumps(rounded(asdict(report)), ensure_ascii=False))
    else:
        _print(report, Console())


@contextmanager
def _progress() -> Iterator[bench.Progress]:
    """One bar on stderr for what is being measured; none where nobody watches."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)


def _print(report: bench.Report, console: Console) -> None:
    latency, sustained, fan = report.latency, report.sustained, report.fan
    table = Table(
        title="From the moment a hit is due to a subscriber that has it",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("")
    for heading in ("hits/s", "alerts", "p50 ms", "p95 ms", "p99 ms", "max ms"):
        table.add_column(heading, justify="right")
    picture = f"with a picture of {latency.picture_bytes // 1000} KB"
    table.add_row(picture, f"{latency.rate:g}", f"{latency.hits:,}", *_times(latency.ms))
    many = f"{fan.subscribers} subscribers at once"
    table.add_row(many, f"{fan.rate:g}", f"{fan.alerts:,}", *_times(fan.ms))
    console.print(table)
    grown = ", ".join(
        f"{name} {early:.0f} → {late:.0f}" for name, (early, late) in sustained.rss_mib.items()
    )
    console.print(
        f"As fast as they go, without pictures: {sustained.hits_per_s:,.0f} hits/s "
        f"over {sustained.hits:,} hits; {sustained.store_bytes_per_hit:,.0f} bytes in the store "
        "for each.\n"
        f"Memory in MiB after a third of that and at its end: {grown}; the service with all "
        f"subscribers {fan.service_rss_mib:.0f}.\n"
        f"Cores in use, with pictures: {_cores(latency.cpu_cores)};\n"
        f"  without: {_cores(sustained.cpu_cores)}; many: {_cores(fan.cpu_cores)}.\n"
        + (f"{fan.missing} alerts did not arrive in time.\n" if fan.missing else "")
        + _memory(report.memory)
        + f"Machine: {report.machine.cores} cores, load {report.machine.load:.1f} before; "
        f"the disk takes {report.machine.sync_ms['p50']:.1f} ms for a write "
        f"(p99 {report.machine.sync_ms['p99']:.1f}); {report.machine.store}.",
        highlight=False,
        soft_wrap=True,
    )


def _memory(memory: bench.Memory | None) -> str:
    if memory is None:
        return ""
    grown = ", ".join(
        f"{name} {values[len(values) // 3]:.0f} → {values[-1]:.0f} "
        f"({memory.growth_mib_per_hour[name]:+.1f} an hour)"
        for name, values in memory.rss_mib.items()
    )
    return f"Memory in MiB over {memory.at_s[-1] / 60:g} min at {memory.rate:g} hits/s: {grown}.\n"


def _times(ms: Mapping[str, float]) -> list[str]:
    return [f"{ms[name]:.1f}" for name in ("p50", "p95", "p99", "max")]


def _cores(used: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {cores:.2f}" for name, cores in used.items())
