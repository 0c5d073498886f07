"""A throughput report on disk: JSON, plots of memory and queues over the run, and its profile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import plotting
from benchmarks.throughput import Report


def write(report: Report, record: dict[str, Any], folder: Path) -> None:
    """Write ``throughput.json`` and, where matplotlib is installed, ``memory.png``.

    With a profile also ``profile.png`` and ``stacks.txt``, which flame graph viewers take
    (speedscope, flamegraph.pl).
    """
    folder.mkdir(parents=True, exist_ok=True)
    series = [asdict(moment) for moment in report.series]
    text = json.dumps(record | {"series": series}, ensure_ascii=False, indent=1)
    (folder / "throughput.json").write_text(text + "\n", encoding="utf-8")
    if report.stacks is not None:
        lines = [f"{stack} {count}" for stack, count in sorted(report.stacks.items())]
        (folder / "stacks.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if (pyplot := plotting.pyplot()) is None:
        return

    figure, (memory, queue) = pyplot.subplots(2, 1, figsize=(8, 5), sharex=True)
    at_s = [moment.at_s for moment in report.series]
    memory.plot(at_s, [moment.rss_mib for moment in report.series])
    memory.set_ylabel("memory, MiB")
    memory.set_ylim(bottom=0)
    queue.plot(at_s, [moment.waiting_frames for moment in report.series])
    queue.set_ylabel("waiting frames")
    queue.set_xlabel("seconds")
    queue.set_ylim(bottom=0)
    for axes in (memory, queue):
        axes.grid(alpha=0.3)
    title = f"{report.settings.cameras} cameras, {report.settings.source.name}"
    if report.growth is not None:
        title += f": slope {report.growth.slope_mib_h:+.1f} MiB an hour"
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(folder / "memory.png", dpi=120)
    pyplot.close(figure)
    if (parts := report.profile) is not None:
        _plot_profile(pyplot, parts, folder / "profile.png")


def _plot_profile(pyplot: Any, parts: Mapping[str, float], path: Path) -> None:
    names = list(parts)[::-1]
    figure, axes = pyplot.subplots(figsize=(8, 0.8 + 0.28 * len(names)))
    bars = axes.barh(names, [100 * parts[name] for name in names])
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.set_xlabel("share of the processor time, %")
    axes.margins(x=0.1)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
