"""``checkpoint bench capacity``: what 100, 1,000 or 10,000 cameras need, from measured costs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from benchmarks.capacity import Report

_ROWS = (
    ("nodes", "nodes", "{:,.0f}"),
    ("spare_nodes", "spare nodes", "{:,.0f}"),
    ("gpu_nodes", "or GPUs, spare ones among them", "{:,.0f}"),
    ("cameras_per_node", "cameras on a node", "{:,.0f}"),
    ("cores", "busy cores in all", "{:,.1f}"),
    ("memory_gib_per_node", "memory of a node, GiB", "{:,.1f}"),
    ("camera_gbit_s", "video in all, Gbit/s", "{:,.2f}"),
    ("node_gbit_s", "video into a node, Gbit/s", "{:,.2f}"),
    ("passages_s", "passages/s", "{:,.1f}"),
    ("redis_lookups_s", "plates looked up/s", "{:,.0f}"),
    ("redis_mbit_s", "to and from Redis, Mbit/s", "{:,.2f}"),
    ("redis_cores", "cores of Redis", "{:,.0f}"),
    ("hits_s", "hits/s", "{:,.2f}"),
    ("alert_mbit_s", "alerts, Mbit/s", "{:,.2f}"),
    ("storage_gb_day", "evidence and passages, GB a day", "{:,.0f}"),
    ("storage_gb_kept", "of them kept, GB", "{:,.0f}"),
    ("alerts_gb_kept", "alerts kept, GB", "{:,.1f}"),
    ("leader_messages_s", "the leader's messages/s", "{:,.0f}"),
    ("leader_mbit_s", "the leader's traffic, Mbit/s", "{:,.1f}"),
)


def capacity(
    measured: Annotated[
        list[Path],
        typer.Option(
            help="A result of 'bench throughput --json' or 'make bench'; may be repeated."
        ),
    ],
    cameras: Annotated[
        list[int] | None, typer.Option(min=1, help="How many cameras [100, 1,000 and 10,000].")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Data folder of a run: bytes are taken from its files.")
    ] = None,
    assume: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=NUMBER", help="Another assumption than the table's."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for capacity.json and a plot.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout instead of tables.")
    ] = False,
) -> None:
    """Say what many cameras need, from what few of them were measured to cost.

    The model is held against every measured run. Prices are yours to put in: the results are
    numbers of things that have one.
    """
    # Here, not above: the other commands start without the benchmarks.
    from benchmarks import capacity as bench
    from benchmarks import capacity_files, capacity_measured

    points = [point for path in measured for point in capacity_measured.read_points(path)]
    measured_bytes = capacity_measured.measured_bytes(data_dir) if data_dir is not None else {}
    given = _assumed(assume or [], bench.Assumptions().reasons())
    reasons = dict.fromkeys(measured_bytes, f"measured: {data_dir}") | dict.fromkeys(given, "given")
    report = bench.model(
        points,
        replace(bench.Assumptions(), **measured_bytes | given),
        tuple(cameras or bench.SIZES),
        reasons,
    )
    record = capacity_files.as_json(report)
    if as_json:
        print(json.dumps(record, ensure_ascii=False), flush=True)
    else:
        _print(report, Console())
    if out is not None:
        capacity_files.write(report, record, points, out)
        Console(stderr=True).print(f"Report: {out}", highlight=False, soft_wrap=True)


def _assumed(given: list[str], known: dict[str, str]) -> dict[str, Any]:
    """``NAME=NUMBER`` of each assumption that is another one here."""
    values: dict[str, Any] = {}
    for one in given:
        name, _, text = one.partition("=")
        if name not in known:
            raise ConfigError(f"--assume {one}: no such assumption; one of {', '.join(known)}")
        try:
            values[name] = float(text)
        except ValueError:
            raise ConfigError(f"--assume {one}: write NAME=NUMBER") from None
        if values[name] < 0 or (values[name] == 0 and name not in ("spare_share", "hit_share")):
            raise ConfigError(f"--assume {one}: must be above 0")
    return values


def _print(report: Report, console: Console) -> None:
    needs = Table(
        title="What so many cameras need; rates in the busiest hour",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    needs.add_column("cameras")
    for one in report.needs:
        needs.add_column(f"{one.cameras:,}", justify="right", no_wrap=True)
    for name, label, form in _ROWS:
        needs.add_row(label, *(form.format(getattr(one, name)) for one in report.needs))
    console.print(needs)
    parts = ", ".join(f"{part} {cores:.3f}" for part, cores in report.costs.part_cores.items())
    console.print(
        f"One camera keeps {report.costs.cores:.3f} cores busy: {parts}, "
        f"everything else {report.costs.other_cores:.3f}. Prices are yours: nodes x price, and so "
        "on.\n",
        highlight=False,
        soft_wrap=True,
    )
    checks = Table(
        title="The model beside what was measured; each run as the others foretell it",
        title_justify="left",
    )
    checks.box = box.SIMPLE_HEAD
    for heading in ("run", "cameras", "cores measured", "predicted", "error", ""):
        checks.add_column(heading, justify="left" if heading in ("run", "") else "right")
    for run in report.comparisons:
        said = "agrees" if run.agrees else "differs"
        checks.add_row(
            run.point,
            str(run.cameras),
            f"{run.measured_cores:.2f}",
            f"{run.predicted_cores:.2f}",
            "–" if run.error is None else f"{run.error:+.0%}",
            f"{said}, overloaded" if run.overloaded else said,
        )
    console.print(checks)
    assumed = Table(title="Assumptions (--assume NAME=NUMBER)", title_justify="left")
    assumed.box = box.SIMPLE_HEAD
    for heading in ("name", "value", "why"):
        assumed.add_column(heading, justify="right" if heading == "value" else "left")
    for name, why in report.reasons.items():
        assumed.add_row(name, f"{getattr(report.assumptions, name):g}", why)
    console.print(assumed)
