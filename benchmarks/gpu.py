"""What an NVIDIA GPU does: decoding, detection and reading, each alone and all together.

    checkpoint bench gpu --json
    python -m benchmarks.gpu --out gpu.json

The second needs no more than torch, ultralytics, av, OpenCV and structlog to be installed.
Without a GPU nothing is measured, and the record says so. ``--device cpu`` runs the same code on
CPU tensors: a check of the code, whose figures say nothing of a GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import clips
from benchmarks.measuring import Machine, Progress, rounded
from detectors.device.choice import device_problem, packages_problem
from pipeline.errors import ConfigError, InputError, WeightsError

CLIP_S = 8.0
"""Length of the clip that is made where none is named."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured.

    ``device``: ``auto``, ``cuda:N``, or ``cpu`` for a check. ``source``: the clip; None: one of
    1080p25 is made. ``seconds``: how long each part takes. ``streams``: decoders at once for the
    highest rate. ``cameras``: how many play the clip at its own pace, for latency. ``batch``:
    pictures in one; None: as in use.
    """

    device: str = "auto"
    source: Path | None = None
    seconds: float = 10.0
    streams: int = 24
    cameras: int = 100
    batch: int | None = None


def measure(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Everything that is measured, as one JSON object.

    Raises:
        InputError: the clip is no video. ConfigError: a check lacks the packages that it needs.
    """
    record: dict[str, Any] = {"machine": asdict(Machine.here()), "measured": False}
    if settings.device == "cpu":
        if (problem := packages_problem()) is not None:
            raise ConfigError(f"--device cpu {problem}")
    elif (problem := device_problem(settings.device)) is not None:
        return record | {"reason": f"not measured: no NVIDIA GPU that can be used ({problem})"}
    from benchmarks import gpu_parts as parts

    device = "cuda:0" if settings.device in ("auto", "cuda") else settings.device
    with _clip(settings.source, progress) as clip:
        bench = parts.GpuBench(clip, device, settings.batch)
        record |= {"measured": device != "cpu", "device": bench.described()}
        if device == "cpu":
            record["reason"] = "not measured: a check of the code on CPU tensors"
        progress("comparing", 0.1)
        record["agreement"] = bench.agreement()
        progress("from the device's memory", 0.2)
        record["from_memory"] = bench.from_memory(settings.seconds)
        progress("decoding", 0.4)
        record["decoding"] = bench.decoding(settings.seconds, settings.streams)
        progress("decoding, detection and reading", 0.6)
        record["end_to_end"] = bench.end_to_end(settings.seconds, settings.streams)
        progress(f"{settings.cameras} cameras", 0.8)
        record["cameras"] = bench.paced(settings.seconds, settings.cameras)
    decoded = record["decoding"]["frames_per_s"]
    record["end_to_end"]["share_of_decoding"] = record["end_to_end"]["frames_per_s"] / decoded
    result: dict[str, Any] = rounded(record)
    return result


@contextmanager
def _clip(source: Path | None, progress: Progress) -> Iterator[Path]:
    if source is not None:
        if not source.is_file():
            raise InputError(f"{source}: no such file; name a video file")
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="checkpoint-gpu-") as folder:
        made = clips.make(
            Path(folder),
            ("busy_h264",),
            lambda _, done: progress("making a clip", 0.1 * done),
            CLIP_S,
        )
        yield made["busy_h264"]


def lines(record: dict[str, Any]) -> list[str]:
    """The record in words, for people."""
    if "device" not in record:
        return [record["reason"]]
    device, memory, decoding = record["device"], record["from_memory"], record["decoding"]
    end, cameras, agreement = record["end_to_end"], record["cameras"], record["agreement"]
    nvdec = "NVDEC" if device["nvdec"] else "the CPU"
    said = [] if record["measured"] else [record["reason"]]
    return [
        *said,
        f"{device['name']}, torch {device['torch']}; pictures of "
        f"{device['picture'][0]} x {device['picture'][1]}, decoded by {nvdec}, "
        f"looked at as {device['input'][0]} x {device['input'][1]}",
        f"{agreement['same_text']} of {agreement['plates']} plates get the same text as "
        f"on the CPU, corners at most {agreement['corners_px']} px apart",
        f"from the device's memory: {memory['frames_per_s']:,} frames/s detected and read "
        f"({memory['plates_per_frame']} plates in each); {memory['detect_only_frames_per_s']:,} "
        f"detected alone; {memory['read_only_plates_per_s']:,} plates/s read alone",
        f"decoding alone: {decoding['frames_per_s']:,} frames/s by {decoding['streams']} streams, "
        f"{decoding['kept_frames_per_s']:,} when each is kept",
        f"end to end: {end['frames_per_s']:,} frames/s, {end['share_of_decoding']:.0%} of decoding "
        "alone",
        f"{cameras['cameras']} cameras of {cameras['fps']:g} frames/s: {cameras['frames_per_s']:,} "
        f"of {cameras['expected_frames_per_s']:,} frames/s recognised; from frame to read p50 "
        f"{cameras['latency_ms']['p50']} ms, p95 {cameras['latency_ms']['p95']} ms",
    ]


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, measure, and print one JSON object."""
    parser = argparse.ArgumentParser(prog="gpu", description=(__doc__ or "").split("\n")[0])
    add, default = parser.add_argument, Settings()
    add("--device", default=default.device, help="auto, cuda:N, or cpu for a check")
    add("--source", type=Path, help="the clip; one of 1080p25 is made where none is named")
    add("--seconds", type=float, default=default.seconds, help="how long each part takes")
    add("--streams", type=int, default=default.streams, help="decoders at once")
    add("--cameras", type=int, default=default.cameras, help="cameras at their own pace")
    add("--batch", type=int, help="pictures in a batch")
    add("--out", type=Path, help="file for the JSON; without it: stdout")
    given = vars(parser.parse_args(arguments))
    out = given.pop("out")
    try:
        record = measure(Settings(**given), lambda what, _: print(what, file=sys.stderr))
    except (ConfigError, InputError, WeightsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    text = json.dumps(record, ensure_ascii=False)
    if out is None:
        print(text)
    else:
        out.write_text(text + "\n", encoding="utf-8")
    print("\n".join(lines(record)), file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
