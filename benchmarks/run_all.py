"""All benchmarks on the machine at hand: JSON, Markdown and plots in one folder.

    python -m benchmarks.run_all --quick --out DIR

Each benchmark is the command that a user would call, in a process of its own, so that one that
fails leaves the others standing: what was not measured is said to be so. Nothing else should run on
the machine meanwhile. ``--quick`` takes a few minutes, and its figures are rough.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress

from benchmarks import clips, run_report
from benchmarks.measuring import Machine
from pipeline.rtsp_server import available

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: cameras with the first clip, with each of the others, and for long and
    over RTSP; seconds of a step; clips by name."""

    cameras: tuple[int, ...]
    cameras_of_others: tuple[int, ...]
    steady: int
    seconds: int
    names: tuple[str, ...]
    savings: tuple[str, ...]
    match_entries: int
    long_s: int


PLANS: Final = {
    "quick": Plan(
        (1, 4, 12), (4,), 4, 15, ("busy_h264", "quiet_h264"), ("quiet_h264",), 100_000, 20
    ),
    "full": Plan(
        (1, 2, 4, 6, 8, 10, 12, 16, 24),
        (6, 8, 12),
        6,
        40,
        ("busy_h264", "quiet_h264", "busy_h265", "quiet_h265"),
        ("quiet_h264", "quiet_h265", "layers_h264", "busy_h264"),
        1_000_000,
        180,
    ),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One benchmark: its place in the results, and the command."""

    kind: str
    name: str
    command: tuple[str, ...]
    timeout_s: float


def steps(plan: Plan, folder: Path, extra: Sequence[Path], accuracy: Path | None) -> list[Step]:
    """Everything that is to be measured, in order; the clips lie in ``folder / "clips"``."""

    def step(kind: str, name: str, timeout_s: float, *arguments: object) -> Step:
        command = (sys.executable, "-m", "pipeline.cli", "bench", *map(str, arguments), "--json")
        return Step(kind, name, command, timeout_s)

    def load(source: Path, cameras: int, seconds: int) -> tuple[object, ...]:
        return ("--source", source, "--cameras", cameras, "--seconds", seconds)

    played = [folder / "clips" / f"{name}.mp4" for name in plan.names] + list(extra)
    replayed = [folder / "clips" / f"{name}.mp4" for name in plan.savings] + list(extra)
    first, seconds = played[0], plan.seconds
    limit_s = 3.0 * seconds + 180
    found = [
        step(
            "throughput",
            f"{source.stem}, {count}",
            limit_s,
            "throughput",
            *load(source, count, seconds),
        )
        for source in played
        for count in (plan.cameras if source == first else plan.cameras_of_others)
    ]
    found += [
        step("latency", f"{first.stem}, {count}", limit_s, "latency", *load(first, count, seconds))
        for count in plan.cameras[:: max(1, len(plan.cameras) // 4)]
    ]
    if available():
        rtsp = ("throughput", *load(first, plan.steady, seconds), "--rtsp")
        found.append(step("throughput_rtsp", first.stem, limit_s, *rtsp))
    found += [
        step("savings", source.stem, 900, "savings", "--source", source) for source in replayed
    ]
    steady = load(first, plan.steady, plan.long_s)
    long = ("throughput", *steady, "--profile", "--out", folder / "long")
    found.append(step("long", first.stem, 3.0 * plan.long_s + 180, *long))
    entries = plan.match_entries
    found.append(step("match", f"{entries} entries", 900, "match", "--entries", entries))
    found.append(step("alerts", "loopback", 900, "alerts", "--seconds", min(seconds, 30)))
    found.append(step("gpu", "device", 900, "gpu"))
    if accuracy is not None:
        found.append(step("accuracy", accuracy.name, 1800, "accuracy", accuracy, "--fold", "val"))
    return found


def run(step: Step, folder: Path) -> Json:
    """One benchmark's JSON, also kept in ``folder``; where it failed, what it said instead."""
    record: Json
    try:
        done = subprocess.run(
            step.command, capture_output=True, text=True, timeout=step.timeout_s, check=False
        )
        lines = done.stdout.strip().splitlines()
        if done.returncode == 0 and lines:
            result: Json = json.loads(lines[-1])
            record = {"result": result}
            if result.get("measured") is False:  # there is nothing here to measure it on
                record = {"not_measured": str(result.get("reason")).removeprefix("not measured: ")}
        else:
            record = {"not_measured": _last_line(done.stderr) or f"exit status {done.returncode}"}
    except subprocess.TimeoutExpired:
        record = {"not_measured": f"took more than {step.timeout_s:.0f} s"}
    except ValueError:
        record = {"not_measured": "gave no JSON"}
    record = {"kind": step.kind, "name": step.name} | record
    name = f"{step.kind} {step.name}".replace(", ", "_").replace(" ", "_")
    text = json.dumps(record, ensure_ascii=False, indent=1)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return record


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and measure; 1 where something was not measured."""
    parser = argparse.ArgumentParser(prog="run_all", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--quick", action="store_true", help="a few minutes, rough figures")
    parser.add_argument(
        "--source", type=Path, action="append", default=[], help="one more clip; may be repeated"
    )
    parser.add_argument("--accuracy", type=Path, help="labelled pictures, for bench accuracy")
    options = parser.parse_args(arguments)

    name = "quick" if options.quick else "full"
    plan, folder, err = PLANS[name], options.out, Console(stderr=True)
    parts = folder / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    machine = Machine.here()
    if machine.load > 0.5:
        err.print(f"load {machine.load:.1f}: something else runs here, and the figures will suffer")
    records: list[Json] = []
    with Progress(console=err, disable=not err.is_terminal) as progress:
        task = progress.add_task("making clips", total=1.0)
        wanted = tuple(dict.fromkeys(plan.names + plan.savings))
        clips.make(
            folder / "clips",
            wanted,
            lambda what, share: progress.update(
                task, description=f"making {what}", completed=share
            ),
        )
        todo = steps(plan, folder, options.source, options.accuracy)
        progress.update(task, total=len(todo), completed=0)
        for step in todo:
            progress.update(task, description=f"{step.kind}: {step.name}")
            records.append(run(step, parts))
            progress.advance(task)
    results = {"mode": name, "machine": asdict(machine), "records": records}
    text = json.dumps(results, ensure_ascii=False, indent=1)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    run_report.write(results, folder)
    failed = [record for record in records if "not_measured" in record]
    for record in failed:
        err.print(f"not measured: {record['kind']} {record['name']}: {record['not_measured']}")
    err.print(f"Results: {folder / 'results.md'}", highlight=False)
    return 1 if any(record["kind"] != "gpu" for record in failed) else 0


if __name__ == "__main__":
    raise SystemExit(main())
