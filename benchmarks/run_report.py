"""The results of all benchmarks for people: Markdown, and plots over the number of cameras."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]

PEERS = (
    ("NVIDIA DeepStream LPR, every frame", "T4", "14", "447", "not published"),
    ("Savant LPR, every frame", "RTX A4000", "not published", "307", "not published"),
    ("NVIDIA VSS, RT-DETR, 1080p30", "not named here", "50", "1,500", "901"),
)
"""As published by their makers, not measured here; benchmarks/README.md says what compares."""


def write(results: Json, folder: Path) -> None:
    """Write ``results.md`` and, where matplotlib is installed, the plots that it shows."""
    plots = _plots(_by_clip(results["records"]), folder)
    (folder / "results.md").write_text(markdown(results, plots), encoding="utf-8")


def markdown(results: Json, plots: Sequence[str] = ()) -> str:
    """All results as tables. What was not measured says so."""
    machine, records = results["machine"], results["records"]
    lines = [
        "# Results",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB; commit "
        f"{machine['commit'] or 'unknown'}; {machine['measured_at']}; load before "
        f"{machine['load']}; {results['mode']} run.",
        "",
    ]
    lines += [f"![{name.removesuffix('.png')}]({name})\n" for name in plots]
    lines += ["## Beside published figures", "", *_peers(records), ""]
    for kind, title, table in _TABLES:
        chosen = [record for record in records if record["kind"] == kind]
        lines += [f"## {title}", ""]
        measured = [record for record in chosen if "result" in record]
        lines += table(measured) if measured else []
        lines += [
            f"- {record['name']}: not measured ({record['not_measured']})"
            for record in chosen
            if "result" not in record
        ]
        lines += [] if chosen else ["not measured"]
        lines.append("")
    return "\n".join(lines)


def carried(records: Sequence[Json]) -> dict[str, Json]:
    """For each clip, the result of the largest number of cameras that the machine carries.

    It carries them where it keeps pace with what they send, loses no more than a hundredth of the
    sampled frames, and, where the truth is known, no passage.
    """
    best: dict[str, Json] = {}
    for clip, found in _by_clip(records).items():
        for one in found:
            sampled = one["seconds"] * (one["recognised_fps"] + one["still_fps"])
            lost = sum(one["dropped"].values())
            keeps_pace = one["decoded_fps"] + one["light_fps"] >= 0.98 * one["expected_fps"]
            if keeps_pace and lost <= 0.01 * (sampled + lost) and one["shown"] == one["right"]:
                best[clip] = one
    return best


def _peers(records: Sequence[Json]) -> list[str]:
    """What this machine carries, and what others have published of theirs."""
    rows: list[Sequence[Any]] = [
        [
            f"Checkpoint, {clip}",
            "this machine",
            one["cameras"],
            f"{one['decoded_fps'] + one['light_fps']:.0f} taken, "
            f"{one['recognised_fps'] + one['still_fps']:.0f} sampled, "
            f"{one['recognised_fps']:.0f} recognised",
            "–" if one["frame_ms"]["p95"] is None else f"{one['frame_ms']['p95']:.0f}",
        ]
        for clip, one in carried(records).items()
    ]
    if not rows:
        rows = [["Checkpoint", "this machine", "not measured", "not measured", "not measured"]]
    return _table(
        ["what", "hardware", "streams", "frames a second, in all", "p95 ms"], [*rows, *PEERS]
    )


def _throughput(records: Sequence[Json]) -> list[str]:
    rows = []
    for record in records:
        one = record["result"]
        lost = sum(one["dropped"].values())
        passages = "–" if one["shown"] is None else f"{one['right']} of {one['shown']}"
        ceiling = one["ceiling"]
        rows.append(
            [
                f"{one['source']}{' by RTSP' if one['rtsp'] else ''}",
                one["cameras"],
                f"{one['decoded_fps']:.0f} of {one['expected_fps']:.0f}",
                f"{one['recognised_fps']:.1f}",
                f"{one['still_fps']:.1f}",
                lost,
                passages,
                _pair(one["latency_ms"]),
                _pair(one["frame_ms"]),
                f"{one['cpu_cores']:.2f}",
                f"{one['efficiency']:.0%}",
                f"{one['rss_mib']:.0f}",
                f"{ceiling['decode_only_fps']:.0f} / {ceiling['detect_only_fps']:.0f}",
            ]
        )
    return _table(
        [
            "clip",
            "cameras",
            "decoded/s",
            "recognised/s",
            "still/s",
            "frames lost",
            "passages right",
            "settled ms, p50 / p95",
            "frame ms, p50 / p95",
            "cores",
            "efficiency",
            "MiB",
            "ceilings decode / detect",
        ],
        rows,
    )


def _latency(records: Sequence[Json]) -> list[str]:
    stages = list(records[0]["result"]["ms"])
    rows = [
        [record["name"], record["result"]["hits"], record["result"]["missing"]]
        + [_pair(record["result"]["ms"][stage]) for stage in stages]
        for record in records
    ]
    return _table(["clip, cameras", "hits", "missing", *stages], rows)


def _savings(records: Sequence[Json]) -> list[str]:
    rows = []
    for record in records:
        whole = sum(record["result"]["rows"][0]["cpu_s"].values())
        for row in record["result"]["rows"]:
            used = sum(row["cpu_s"].values())
            rows.append(
                [
                    record["name"],
                    row["name"],
                    f"{used:.1f}",
                    f"{1 - used / whole:.0%}",
                    row["decoded"],
                    row["looked_at"],
                    row["read"],
                    "–" if row["right"] is None else f"{row['right']} of {row['of']}",
                ]
            )
    headings = ["clip", "saving", "CPU s", "saved", "decoded", "looked at", "read", "right"]
    return _table(headings, rows)


def _as_json(records: Sequence[Json]) -> list[str]:
    return [
        f"- {record['name']}: see `parts/{record['kind']}_…json`: "
        + ", ".join(f"{key} {value}" for key, value in _numbers(record["result"]))
        for record in records
    ]


def _numbers(result: Json, prefix: str = "") -> list[tuple[str, Any]]:
    """The leading figures of a result, by their path."""
    found: list[tuple[str, Any]] = []
    for key, value in result.items():
        if isinstance(value, dict):
            found += _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append((f"{prefix}{key}", value))
    return found[:16]


_TABLES: tuple[tuple[str, str, Callable[[Sequence[Json]], list[str]]], ...] = (
    ("throughput", "Throughput, played from file", _throughput),
    ("throughput_rtsp", "Throughput, by RTSP", _throughput),
    ("latency", "Camera to hit, ms, p50 / p95", _latency),
    ("savings", "Savings", _savings),
    ("soak", "A long run", _throughput),
    ("match", "Matching", _as_json),
    ("alerts", "Alerts", _as_json),
    ("gpu", "GPU", _as_json),
    ("accuracy", "Accuracy", _as_json),
)


def _pair(ms: Json) -> str:
    return " / ".join("–" if ms[name] is None else f"{ms[name]:.0f}" for name in ("p50", "p95"))


def _table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [headings, ["---"] * len(headings), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]


def _by_clip(records: Sequence[Json]) -> dict[str, list[Json]]:
    """Throughput results of each clip, by the number of cameras."""
    clips: dict[str, list[Json]] = defaultdict(list)
    for record in records:
        if record["kind"] == "throughput" and "result" in record:
            clips[record["result"]["source"]].append(record["result"])
    return {
        clip: sorted(found, key=lambda one: int(one["cameras"])) for clip, found in clips.items()
    }


def _plots(clips: dict[str, list[Json]], folder: Path) -> list[str]:
    """Plots of throughput and latency over the number of cameras; their names."""
    if not clips:
        return []
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("Agg")
    from matplotlib import pyplot

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
