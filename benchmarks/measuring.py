"""What every benchmark needs: processor time, memory, quantiles, and what it was measured on."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

Progress: TypeAlias = Callable[[str, float], None]
"""Told what is measured, and which share of it is done."""

_PLACES: Final = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Machine:
    """What figures were measured on. ``load``: runnable processes in the minute before; where it
    is not far below 1, something else ran too. ``commit``: of this repository, ``+`` if changed."""

    cpu: str
    cores: int
    memory_gib: float
    load: float
    commit: str | None
    measured_at: str

    @classmethod
    def here(cls) -> Machine:
        """This machine, now."""
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return cls(
            cpu=_cpu_name(),
            cores=cores(),
            memory_gib=round(pages / 2**30, 1),
            load=round(os.getloadavg()[0], 2),
            commit=_commit(),
            measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )


class Cpu:
    """Processor time of this process, all its threads together, from now on."""

    def __init__(self) -> None:
        self._began_s, self._used_s = time.monotonic(), _used_s()

    def seconds(self) -> float:
        """Processor seconds used."""
        return _used_s() - self._used_s

    def cores(self) -> float:
        """How many cores were kept busy."""
        return self.seconds() / max(time.monotonic() - self._began_s, 1e-9)


THREADS: Final = {
    "camera-": "cameras",
    "recognition": "recognition",
    "delivery": "delivery",
    "publisher": "alerts",
    "alert-": "alerts",
    "sink-": "alerts",
    "MainThread": "bench",
}
"""The start of a thread's name, in a running pipeline → what the thread is for."""


class ThreadCpu:
    """Processor time of this process from now on, by what its threads are for.

    ``groups``: the start of a thread's name → its group. Python's other threads are ``rest``; what
    no Python thread has used is ``native``: threads that libraries started, the networks' above
    all. A thread that ends in the meantime counts as native.
    """

    def __init__(self, groups: Mapping[str, str]) -> None:
        self._groups = dict(groups)
        self._used_s, self._before = _used_s(), _thread_seconds()

    def shares(self) -> dict[str, float]:
        """Of the processor time used, the share of each group; they sum to 1."""
        whole_s = max(_used_s() - self._used_s, 1e-9)
        used: defaultdict[str, float] = defaultdict(float)
        for thread, seconds in _thread_seconds().items():
            used[self._group(thread.name)] += seconds - self._before.get(thread, 0.0)
        shares = {name: used[name] / whole_s for name in {*self._groups.values(), "rest"}}
        return shares | {"native": max(1.0 - sum(shares.values()), 0.0)}

    def _group(self, name: str) -> str:
        return next((to for start, to in self._groups.items() if name.startswith(start)), "rest")


def _thread_seconds() -> dict[threading.Thread, float]:
    """Processor seconds of each of Python's threads so far; none where the system does not say."""
    found = {}
    for thread in threading.enumerate():
        with suppress(OSError):  # it has ended this moment
            text = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text(encoding="ascii")
            found[thread] = int(text.split()[0]) / 1e9
    return found


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def rss_mib() -> float:
    """Memory of this process now, MiB; its greatest so far where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def quantiles_ms(seconds: Iterable[float]) -> dict[str, float | None]:
    """p50, p95 and p99 in milliseconds; None without values."""
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return {
        name: round(1000 * ordered[min(last, int(share * len(ordered)))], 1) if ordered else None
        for name, share in _PLACES.items()
    }


def rounded(value: Any) -> Any:
    """The same with four significant digits where a number is not whole."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if abs(value) < 1e4 else round(value)
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return value


def _used_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _cpu_name() -> str:
    try:
        import openvino

        return str(openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")).strip()
    except (ImportError, RuntimeError):
        return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The repository's commit, where this is run from one."""
    root = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "--short=10", "HEAD")
        return commit + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
