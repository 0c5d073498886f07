"""Throughput and latency over the number of cameras, as plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import plotting

Json = dict[str, Any]


def write(clips: Mapping[str, Sequence[Json]], folder: Path) -> list[str]:
    """Draw them of each clip's results into ``folder``; their names, none without matplotlib."""
    if not clips:
        return []
    if (pyplot := plotting.pyplot()) is None:
        return []

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4))
    for clip, found in clips.items():
        cameras = [one["cameras"] for one in found]
        axes[0].plot(cameras, [one["decoded_fps"] for one in found], marker="o", label=clip)
        axes[1].plot(cameras, [one["recognised_fps"] for one in found], marker="o", label=clip)
    longest = max(clips.values(), key=len)
    sent = [one["expected_fps"] for one in longest]
    axes[0].plot([one["cameras"] for one in longest], sent, "k:", label="sent by the cameras")
    for axis, title in zip(
        axes, ("frames decoded a second", "frames recognised a second"), strict=True
    ):
        axis.set(xlabel="cameras", title=title, ylim=(0, None))
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(folder / "throughput.png", dpi=120)
    pyplot.close(figure)

    figure, axis = pyplot.subplots(figsize=(7, 4))
    for number, (clip, found) in enumerate(clips.items()):
        for place, style in (("p50", "--"), ("p95", "-")):
            known = [one for one in found if one["frame_ms"][place] is not None]
            axis.plot(
                [one["cameras"] for one in known],
                [one["frame_ms"][place] for one in known],
                style,
                color=f"C{number}",
                marker="o",
                label=f"{clip}, {place}",
            )
    axis.set(xlabel="cameras", title="frame to reads, ms", ylim=(0, None))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(folder / "latency.png", dpi=120)
    pyplot.close(figure)
    return ["throughput.png", "latency.png"]
