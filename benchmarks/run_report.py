"""The results of all benchmarks for people: Markdown, with the plots that belong to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import run_plots

Json = dict[str, Any]

PEERS = (
    ("NVIDIA DeepStream LPR, every frame", "T4", "14", "447", "not published"),
    ("Savant LPR, every frame", "RTX A4000", "not published", "307", "not published"),
    ("NVIDIA VSS, RT-DETR, 1080p30", "not named here", "50", "1,500", "901"),
)
"""As published by their makers, not measured here; benchmarks/README.md says what compares."""


def write(results: Json, folder: Path) -> None:
    """Write ``results.md`` and, where matplotlib is installed, the plots that it shows."""
    plots = run_plots.write(_by_clip(results["records"]), folder)
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
                f"{one['overlooked_s']:.1f}",
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
            "s overlooked",
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


def _long(records: Sequence[Json]) -> list[str]:
    lines = _throughput(records)
    for record in records:
        one = record["result"]
        if one["memory"] is not None:
            lines += ["", "![memory](long/memory.png)", ""]
            lines += _figures(
                f"Memory of {one['cameras']} cameras, MiB",
                {
                    "first third, median": one["memory"]["first_third_mib"],
                    "last third, median": one["memory"]["last_third_mib"],
                    "peak": one["memory"]["peak_mib"],
                    "slope after the first third, an hour": one["memory"]["slope_mib_h"],
                },
            )
        if one["profile"] is not None:
            lines += ["", "![profile](long/profile.png)", ""]
            parts = {part: f"{share:.1%}" for part, share in one["profile"].items()}
            lines += _figures("Where the processor time goes", parts)
    return lines


def _match(records: Sequence[Json]) -> list[str]:
    lines = []
    for record in records:
        one = record["result"]
        rows = [
            [
                f"{speed['plates']:,}",
                f"{speed['passages_per_s']:,.0f}",
                f"{speed['doubtful_per_s']:,.0f}",
                speed["cpu_us"],
                f"{speed['single_ms']['p50']} / {speed['single_ms']['p99']}",
            ]
            for speed in one["speeds"]
        ]
        lines += [
            f"{one['entries']:,} entries, {one['patterns']:,} patterns of {one['masks']} masks, "
            f"Redis {one['redis']}; {one['bytes_per_entry']} bytes an entry, "
            f"loaded in {one['load_s']} s.",
            "",
            *_table(
                [
                    "different plates",
                    "passages/s",
                    "doubtful ones/s",
                    "CPU us each",
                    "one alone ms, p50 / p99",
                ],
                rows,
            ),
        ]
    return lines


def _alerts(records: Sequence[Json]) -> list[str]:
    lines = []
    for record in records:
        one = record["result"]
        latency, sustained, fan = one["latency"], one["sustained"], one["fan"]
        lines += _figures(
            f"Alerts, {record['name']}, {one['machine']['store']}",
            {
                f"camera's hit to subscriber at {latency['rate']:.0f} hits/s with "
                f"{latency['picture_bytes'] / 1000:.0f} KB, ms p50 / p99": "{p50} / {p99}".format(
                    **latency["ms"]
                ),
                "hits/s that one service takes": f"{sustained['hits_per_s']:,}",
                f"alerts to {fan['subscribers']} subscribers, missing": f"{fan['alerts']:,}, "
                f"{fan['missing']}",
                "ms to the last of them, p50 / p99": "{p50} / {p99}".format(**fan["ms"]),
            },
        )
    return lines


def _accuracy(records: Sequence[Json]) -> list[str]:
    lines = []
    for record in records:
        one = record["result"]
        shares = {name: one[name] for name in ("found", "read", "class", "characters")}
        lines += _figures(
            f"{one['source']}, {one['pictures']} pictures, {one['plates']} plates",
            {
                name: f"{share['count']} of {share['of']}, {share['share']:.1%}"
                for name, share in shares.items()
                if share is not None and share["of"]
            },
        )
    return lines


def _gpu(records: Sequence[Json]) -> list[str]:
    return [
        line
        for record in records
        for line in _figures(record["name"], dict(_numbers(record["result"])))
    ]


def _figures(title: str, figures: Mapping[str, Any]) -> list[str]:
    return _table([title, ""], list(figures.items()))


def _numbers(result: Json, prefix: str = "") -> list[tuple[str, Any]]:
    """All figures of a result, by their path."""
    found: list[tuple[str, Any]] = []
    for key, value in result.items():
        if isinstance(value, dict):
            found += _numbers(value, f"{prefix}{key}, ")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append((f"{prefix}{key}".replace("_", " "), value))
    return found


_TABLES: tuple[tuple[str, str, Callable[[Sequence[Json]], list[str]]], ...] = (
    ("throughput", "Throughput, played from file", _throughput),
    ("throughput_rtsp", "Throughput, by RTSP", _throughput),
    ("latency", "Camera to hit, ms, p50 / p95", _latency),
    ("savings", "Savings", _savings),
    ("long", "A longer run", _long),
    ("match", "Matching", _match),
    ("alerts", "Alerts", _alerts),
    ("gpu", "GPU", _gpu),
    ("accuracy", "Accuracy", _accuracy),
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
