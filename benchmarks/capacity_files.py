"""A capacity report on disk: JSON, and a plot of what is needed over the number of cameras."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import plotting
from benchmarks.capacity import Point, Report, need


def as_json(report: Report) -> dict[str, Any]:
    """The report as one object."""
    assumptions = asdict(report.assumptions)
    return {
        "per_camera": {**asdict(report.costs), "cores": report.costs.cores},
        "assumptions": {
            name: {"value": assumptions[name], "why": why} for name, why in report.reasons.items()
        },
        "needs": [asdict(one) for one in report.needs],
        "measured": [asdict(one) for one in report.comparisons],
    }


def write(report: Report, record: dict[str, Any], points: Sequence[Point], folder: Path) -> None:
    """Write ``capacity.json`` and, where matplotlib is installed, ``capacity.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, ensure_ascii=False, indent=1)
    (folder / "capacity.json").write_text(text + "\n", encoding="utf-8")
    if (pyplot := plotting.pyplot()) is None:
        return

    figure, (small, large) = pyplot.subplots(1, 2, figsize=(10, 4))
    most = max([point.cameras for point in points] + [1])
    line = [0.0, 1.2 * most]
    small.plot(line, [n * report.costs.cores for n in line], label="model")
    for overloaded, marker, label in ((False, "o", "measured"), (True, "x", "overloaded")):
        chosen = [point for point in points if point.overloaded is overloaded]
        if chosen:
            xs, ys = [p.cameras for p in chosen], [p.cores for p in chosen]
            small.plot(xs, ys, marker, label=label)
    small.set(xlabel="cameras", ylabel="busy cores", title="measured")
    small.legend()
    sizes = [round(10 ** (1 + step / 8)) for step in range(25)]
    needs = [need(size, report.costs, report.assumptions) for size in sizes]
    large.loglog(sizes, [one.nodes + one.spare_nodes for one in needs], label="nodes, CPU")
    large.loglog(sizes, [one.gpu_nodes for one in needs], label="or GPUs")
    large.loglog(sizes, [one.camera_gbit_s for one in needs], label="video, Gbit/s")
    large.loglog(sizes, [one.storage_gb_day / 1000 for one in needs], label="storage, TB a day")
    large.set(xlabel="cameras", title="predicted")
    large.legend()
    for axes in (small, large):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(folder / "capacity.png", dpi=120)
    pyplot.close(figure)
