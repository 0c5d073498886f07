"""Where the processor time of a run goes, by part of the pipeline: py-spy's samples of Python's
threads, weighed with the time that the system counts for each thread.

A sample says only what a thread is in, not whether it runs: one that waits for the interpreter or
for a core looks busy. So samples divide the time of a group of threads among its parts, and never
say how much that time is. What native threads do is the networks' (see :class:`ThreadCpu`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

from benchmarks.measuring import THREADS
from pipeline.errors import InputError

Stacks: TypeAlias = Counter[str]
"""Samples by stack, as py-spy's raw format has it: thread and frames from the root, with ``;``."""

_RATE_HZ: Final = 50
_GRACE_S: Final = 30.0
_WAITING: Final = ("(threading.py", "OpenVinoNetwork.__call__ (", "(selectors.py")
_PARTS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "cameras": (
        ("VideoSource._decode (", "decoding"),
        ("VideoSource._drain (", "decoding"),
        ("VideoSource._bgr (", "conversion to BGR"),
        ("VideoSource._scaled (", "detector's small picture"),
        ("(pipeline/motion.py", "motion gate"),
        ("VideoSource.read (", "receiving packets"),
        ("(pipeline/ingest.py", "pace, counters, mailbox"),
    ),
    "recognition": (
        ("(detectors/colour.py", "colours, around the network"),
        ("Recogniser.colours (", "colours, around the network"),
        ("(detectors/scene.py", "detection, around the network"),
        ("(detectors/reader.py", "reading, around the network"),
        ("(detectors/recogniser.py", "reading, around the network"),
        ("(pipeline/evidence", "evidence"),
        ("(pipeline/tracking.py", "tracking, voting, passages"),
        ("(pipeline/voting.py", "tracking, voting, passages"),
        ("(pipeline/passage.py", "tracking, voting, passages"),
        ("(pipeline/outbox", "spool"),
        ("(pipeline/batching.py", "batching"),
        ("(pipeline/recognise.py", "batching"),
    ),
}
"""Of each group of threads: a frame's text → its part. The frame nearest to the leaf decides."""


def check() -> None:
    """Take one sample, so that what would fail later fails before anything is measured.

    Raises:
        InputError: py-spy is not installed, or may not look into this process.
    """
    _run("dump")


def record(seconds: float) -> Stacks:
    """Sample this process for so long. Raises as :func:`check` does."""
    with TemporaryDirectory(prefix="checkpoint-profile-") as folder:
        raw = Path(folder) / "stacks.txt"
        options = ["--threads", "--format", "raw", "--rate", str(_RATE_HZ)]
        options += ["--duration", str(max(round(seconds), 1)), "--output", str(raw)]
        _run("record", *options, seconds=seconds)
        return parsed(raw.read_text(encoding="utf-8"))


def _run(command: str, *options: str, seconds: float = 0.0) -> None:
    beside = Path(sys.executable).with_name("py-spy")
    program = str(beside) if beside.is_file() else shutil.which("py-spy")
    if program is None:
        raise InputError("--profile needs py-spy: pip install 'checkpoint-vehicles[bench]'")
    done = subprocess.run(
        [program, command, "--pid", str(os.getpid()), *options],
        capture_output=True,
        text=True,
        timeout=seconds + _GRACE_S,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(
            f"py-spy cannot look into this process ({said}); run the benchmark as root, or"
            " allow it: sysctl kernel.yama.ptrace_scope=0"
        )


def parsed(text: str) -> Stacks:
    """py-spy's raw format: a stack, a space and a count on each line."""
    stacks: Stacks = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        if stack and count.isdigit():
            stacks[stack] += int(count)
    return stacks


def parts(stacks: Stacks, cpu_threads: Mapping[str, float]) -> dict[str, float]:
    """The share of each part in the run's processor time, greatest first; they sum to as much as
    ``cpu_threads``, the share of each group of threads."""
    samples: dict[str, Counter[str]] = {group: Counter() for group in _PARTS}
    for stack, count in stacks.items():
        thread, *frames = stack.split(";")
        group = next((to for start, to in THREADS.items() if start in thread), None)
        if group not in samples or not frames or any(wait in frames[-1] for wait in _WAITING):
            continue
        samples[group][_part(group, frames)] += count
    shares: defaultdict[str, float] = defaultdict(float)
    for group, share in cpu_threads.items():
        of_group = samples.get(group)
        if of_group:
            for part, count in of_group.items():
                shares[part] += share * count / of_group.total()
        else:
            shares["networks" if group == "native" else group] += share
    return dict(sorted(shares.items(), key=lambda one: -one[1]))


def _part(group: str, frames: list[str]) -> str:
    for frame in reversed(frames):
        for text, part in _PARTS[group]:
            if text in frame:
                return part
    return f"{group}, the rest"
