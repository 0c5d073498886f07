"""The report as plots. Needs matplotlib, which the extra ``bench`` installs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, PercentFormatter

from benchmarks.accuracy import lettering, sheet
from benchmarks.accuracy.lettering import Lettering
from benchmarks.accuracy.report import Report, Row
from benchmarks.accuracy.statistics import SURE

INK, GREY, FAINT = "#1b2430", "#7a8594", "#e3e7ec"
ACCENT, WRONG = "#1f5fbf", "#c62828"
DPI = 130
SHOWN_CONFUSIONS = 20
ENOUGH = 10
"""Groups of so many plates set the scale."""
MANY = 30
"""Figures that rest on fewer plates are drawn grey."""
_STYLE: dict[str, Any] = {
    "font.size": 13,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 15,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "savefig.facecolor": "white",
    "text.parse_math": False,
}

Draw = Callable[[Report, Lettering], Figure]


def write(report: Report, folder: Path, font: Path | None = None) -> list[tuple[str, str]]:
    """Draw every plot that has something to show; file names and captions.

    Raises:
        ConfigError: ``font`` cannot be used.
    """
    letters = lettering.find(font)
    drawn: list[tuple[str, str]] = []
    wanted: tuple[tuple[str, str, bool, Draw], ...] = (
        ("shares.png", "Found and read, by group", bool(report.breakdowns), shares),
        ("reliability.png", "Reliability", bool(report.calibration.bins), reliability),
        ("confusions.png", "Confused characters", bool(report.confusions), confused),
        ("worst.png", "The worst cases", bool(report.worst), sheet.worst),
    )
    style: Any = {**_STYLE, "font.family": letters.families}
    with mpl.rc_context(style):
        for name, caption, something, draw in wanted:
            (folder / name).unlink(missing_ok=True)  # of an earlier run
            if something:
                draw(report, letters).savefig(folder / name, dpi=DPI)
                drawn.append((name, caption))
    return drawn


def shares(report: Report, letters: Lettering) -> Figure:
    """Found and read of each group with intervals, breakdown below breakdown.

    The scale begins where the groups with enough plates begin; what lies lower is drawn as an
    arrow at its edge.
    """
    lines = sum(len(b.shown()) + 1.7 for b in report.breakdowns)
    height = 0.36 * lines + 1.8
    figure = Figure(figsize=(11, height))
    axis = figure.add_axes((0.32, 0.85 / height, 0.47, 1 - 1.6 / height))
    counted = [row.read for b in report.breakdowns for row in b.shown() if row.read.of]
    lows = [read.interval()[0] for read in counted if read.of >= ENOUGH]
    least = min(0.9, max(0.0, int(10 * min(lows, default=0.0)) / 10))
    names: dict[float, str] = {}
    y = 0.0
    for breakdown in report.breakdowns:
        y += 1.0
        _beside(axis, y, -0.017, f"by {breakdown.name}", fontweight="bold")
        for row in breakdown.shown():
            y += 1.0
            names[y] = _short(letters.text(row.label))
            _group(axis, y, row, least)
        y += 0.7
    axis.set_yticks(list(names), list(names.values()))
    axis.set_ylim(y + 0.2, 0.4)
    axis.set_xlim(least, 1.0)
    axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axis.tick_params(length=0)
    axis.grid(axis="x", color=FAINT, lw=1)
    axis.set_axisbelow(True)
    axis.spines[["left", "bottom"]].set_visible(False)
    overall = f"Read {report.read.percent()} ({report.read.range()}) of {report.read.of} plates"
    key = "dot: read, with its 95 % interval"
    if report.found is not None:
        overall += f"     Found {report.found.percent()} of {report.found.of}"
        key += "     ring: found"
    key += f"     grey: fewer than {MANY} plates"
    figure.text(0.02, 1 - 0.2 / height, overall, va="top", fontsize=18, fontweight="bold")
    figure.text(0.5, 0.2 / height, key, ha="center", fontsize=12, color=GREY)
    return figure


def _group(axis: Axes, y: float, row: Row, least: float) -> None:
    """One group's ring, dot, interval and figures."""
    if row.found is not None and row.found.value is not None and row.found.value >= least:
        (ring,) = axis.plot(row.found.value, y, "o", ms=12, mec=GREY, clip_on=False, zorder=2)
        ring.set(markerfacecolor="none", markeredgewidth=1.6)
    if row.read.value is None:
        return
    low, high = row.read.interval()
    axis.plot([low, high], [y, y], color=ACCENT, lw=4, alpha=0.3, zorder=1)
    inside = row.read.value >= least
    axis.plot(
        max(row.read.value, least),
        y,
        "o" if inside else "<",
        ms=8,
        color=ACCENT,
        zorder=3,
        clip_on=False,
    )
    colour = INK if row.read.of >= MANY else GREY
    _beside(axis, y, 1.17, row.read.percent(), color=colour)
    _beside(axis, y, 1.43, f"{row.read.count} of {row.read.of}", color=colour)


def _beside(axis: Axes, y: float, x: float, text: str, **style: Any) -> None:
    """Text at a row, right-aligned at a share ``x`` of the axes' width."""
    place = axis.get_yaxis_transform()
    axis.text(x, y, text, transform=place, ha="right", va="center", clip_on=False, **style)


def reliability(report: Report, letters: Lettering) -> Figure:
    """Share right against probability: the whole range, and its upper end."""
    calibration = report.calibration
    figure = Figure(figsize=(12, 6.6), layout="constrained")
    means = [b.mean_probability for b in calibration.bins]
    # The upper end begins where it still holds most bins.
    zoom = next(low for low in (0.95, 0.9, 0.8, 0.5, 0.0) if np.mean(np.array(means) >= low) > 0.6)
    for axis, low in zip(figure.subplots(1, 2), (0.0, zoom), strict=True):
        axis.plot([0, 1], [0, 1], color=GREY, lw=1.2, ls=(0, (4, 4)), zorder=1)
        for b in calibration.bins:
            bottom, top = b.right.interval()
            axis.plot([b.mean_probability] * 2, [bottom, top], color=ACCENT, lw=4, alpha=0.3)
            share = b.right.count / b.right.of
            axis.plot(b.mean_probability, share, "o", ms=9, color=ACCENT, mec="white", zorder=3)
        axis.set_xlim(low, 1 + (1 - low) * 0.03)
        axis.set_ylim(low, 1 + (1 - low) * 0.03)
        axis.set_aspect("equal")
        axis.grid(color=FAINT)
        axis.set_axisbelow(True)
        axis.set_xlabel("probability of the read")
        for scale in (axis.xaxis, axis.yaxis):
            scale.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
            scale.set_major_locator(MultipleLocator((1 - low) / 5))
        axis.set_title("all reads" if axis is figure.axes[0] else f"from {100 * low:.0f} %")
    whole = figure.axes[0]
    whole.set_ylabel("share that is right")
    whole.annotate("too modest", (0.04, 0.95), color=GREY)
    whole.annotate("too sure", (0.96, 0.03), color=GREY, ha="right")
    sure, error = calibration.sure, calibration.error or 0.0
    figure.suptitle(
        f"Expected calibration error {error:.3f}  ·  of {sure.of} reads from {SURE:g} on, "
        f"{sure.count} are right",
        x=0.02,
        ha="left",
        fontsize=17,
        fontweight="bold",
    )
    figure.supxlabel(
        f"{calibration.right.of} reads in {len(means)} bins of equal mass, with 95 % intervals",
        fontsize=12,
        color=GREY,
    )
    return figure


def confused(report: Report, letters: Lettering) -> Figure:
    """The most frequent confusions as bars."""
    shown = report.confusions[:SHOWN_CONFUSIONS]
    figure = Figure(figsize=(9, 0.36 * len(shown) + 1.3), layout="constrained")
    axis = figure.subplots()
    places = range(len(shown))[::-1]
    axis.barh(list(places), [c.count for c in shown], color=ACCENT, height=0.62)
    names = [f"{_character(c.truth, letters)} → {_character(c.read, letters)}" for c in shown]
    axis.set_yticks(list(places), names, fontsize=15)
    for place, c in zip(places, shown, strict=True):
        axis.annotate(
            str(c.count), (c.count, place), (6, 0), textcoords="offset points", va="center"
        )
    axis.set_xlim(0, 1.12 * shown[0].count)
    axis.set_xticks([])
    axis.tick_params(axis="y", length=0)
    axis.spines[["left", "bottom"]].set_visible(False)
    wrong = sum(c.count for c in report.confusions)
    figure.suptitle(
        f"{wrong} confused characters: plate → read",
        x=0.02,
        ha="left",
        fontsize=17,
        fontweight="bold",
    )
    return figure


def _character(character: str, letters: Lettering) -> str:
    return letters.text(character) if character else "nothing"


def _short(name: str, most: int = 34) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
