"""What this machine could do at most: each part of recognition run alone, over the same clip.

Each ceiling uses all cores: decoding by one thread for each of them, the networks as they are used
in the pipeline. ``cpu_ms`` is the processor time of one unit, which tells how much of a whole
run's time these parts account for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import av

from benchmarks.measuring import Cpu, Progress, cores
from detectors.base import Detections
from detectors.recogniser import Placed, Recogniser, enlarged
from pipeline.attention import Attention
from pipeline.config import SavingSettings
from pipeline.media import EndOfMedia, Sample
from pipeline.source import open_source
from pipeline.video import NO_DEBLOCKING

_SAMPLES = 24
_READ_BATCH = 16


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Units a second on all cores, and processor milliseconds of one: frames, frames, plates."""

    decode_only_fps: float
    detect_only_fps: float
    read_only_fps: float | None
    cpu_ms: dict[str, float]


def measure(
    clip: Path,
    recogniser: Recogniser,
    seconds: float,
    progress: Progress,
    *,
    sample_fps: float,
    batch: int,
    deblocks: bool = True,
) -> Ceilings:
    """Run each part alone for ``seconds``; ``deblocks``: whether decoding smooths blocks."""
    progress("decoding alone", 0.0)
    decoded, decode_ms = _decode(clip, seconds, deblocks)
    progress("detection alone", 0.33)
    samples = _samples(clip, recogniser, sample_fps)
    pictures = [sample.image if sample.small is None else sample.small for sample in samples]
    groups = [pictures[i : i + batch] for i in range(0, len(pictures), batch)]
    found: list[Detections] = [d for group in groups for d in recogniser.detector.detect(group)]
    detected, detect_ms = _repeat(groups, recogniser.detector.detect, seconds)
    progress("reading alone", 0.67)
    plates: list[Placed] = [
        (sample.image, plate.corners)
        for sample, picture, detections in zip(samples, pictures, found, strict=True)
        for plate in enlarged(detections, sample.image, picture).plates
    ]
    plate_groups = [plates[i : i + _READ_BATCH] for i in range(0, len(plates), _READ_BATCH)]
    read, read_ms = _repeat(plate_groups, recogniser.read, seconds) if plates else (None, 0.0)
    progress("reading alone", 1.0)
    cpu_ms = {"decode": decode_ms, "detect": detect_ms, "read": read_ms}
    return Ceilings(decoded, detected, read, cpu_ms)


def _decode(clip: Path, seconds: float, deblocks: bool) -> tuple[float, float]:
    """Frames a second decoded by one thread for each core, and processor ms of one."""
    counts = [0] * cores()
    until_s = time.monotonic() + seconds

    def decode(number: int) -> None:
        while True:
            with av.open(str(clip)) as container:
                stream = container.streams.video[0]
                stream.codec_context.thread_count = 1
                if not deblocks:
                    stream.codec_context.options = NO_DEBLOCKING
                for _ in container.decode(stream):
                    counts[number] += 1
                    if time.monotonic() > until_s:
                        return

    began_s, cpu = time.monotonic(), Cpu()
    threads = [threading.Thread(target=decode, args=(number,)) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    frames = sum(counts)
    return frames / (time.monotonic() - began_s), 1000 * cpu.seconds() / max(frames, 1)


def _repeat(
    groups: Sequence[Sequence[object]], work: Callable[..., object], seconds: float
) -> tuple[float, float]:
    """Units a second that ``work`` does of ``groups`` over and over, and processor ms of one."""
    for group in groups[:2]:
        work(group)
    count, cpu, began_s = 0, Cpu(), time.monotonic()
    for group in cycle(groups):
        work(group)
        count += len(group)
        if time.monotonic() - began_s > seconds:
            break
    return count / (time.monotonic() - began_s), 1000 * cpu.seconds() / count


def _samples(clip: Path, recogniser: Recogniser, sample_fps: float) -> list[Sample]:
    """Pictures from all over the clip, as the pipeline samples them."""
    savings = SavingSettings(motion_gate=False, light_decoding=False)
    attention = Attention(savings, 1.0, recogniser.input_side)
    source = open_source(str(clip), sample_fps=sample_fps, attention=attention)
    found: list[Sample] = []
    step = 1
    try:
        number = 0
        while True:
            sample = source.read()
            if sample is None:
                continue
            if number % step == 0:
                found.append(sample)
            number += 1
            if len(found) > 2 * _SAMPLES:  # thin out: they are to be from all of the clip
                found, step = found[::2], 2 * step
    except EndOfMedia:
        return found
    finally:
        source.close()
