"""How fast hits become alerts: from the moment a hit is due at a checkpoint, through the outbox on
its disk, the alert service and its store on the disk, to a subscriber that has it in hand.

Service, publisher and subscribers are processes of their own on this machine. The store is a
redis-server of our own, or a PostgreSQL that is named; either writes every hit to the disk before
it is acknowledged.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.alert_parts import BATCH, Json
from benchmarks.alert_report import Fan, Latency, Machine, Memory, Report, Settings, Sustained
from benchmarks.memory import slope_mib_h
from pipeline.errors import AlertServiceError

_PATIENCE_S: Final = 120.0
_WARM_S: Final = 1.0
"""At the begin of a measurement; its hits are published and not counted."""
_MEMORY_AT: Final = 1 / 3
"""Of the run: the memory then is compared with that at its end."""
_SYNCS: Final = 100
_SAMPLES: Final = 60

Progress = Callable[[str, float], None]
"""Told what is measured, and which share of it is done."""


def measure(settings: Settings, progress: Progress) -> Report:
    """Measure everything in a folder of its own, which is removed afterwards.

    Raises:
        AlertServiceError: a part has failed, or hits did not arrive.
        StoreUnavailable: the redis-server does not start.
    """
    with tempfile.TemporaryDirectory(prefix="checkpoint-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        progress("waiting for the disk", 0)
        load, sync_ms = os.getloadavg()[0], _sync_ms(folder)
        first = {"postgres_url": settings.postgres_url}
        service = stack.enter_context(_part("service", folder, first=first))
        target = service.said["address"]
        publisher = stack.enter_context(_part("publisher", folder, target))
        listeners = stack.enter_context(_part("subscribers", folder, target))
        bench = _Bench(settings, service, publisher, listeners, progress)
        return Report(
            machine=Machine(os.cpu_count() or 1, load, sync_ms, service.said["store"]),
            latency=bench.latency(),
            sustained=bench.sustained(),
            fan=bench.fan(),
            memory=bench.memory() if settings.minutes else None,
        )


class _Part:
    """One child process; ``said`` is what it answered at its start."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self.said = self.answer()

    def order(self, **what: object) -> None:
        """Have it do something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Json:
        """What it answers to the order before."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AlertServiceError("a part of the benchmark has ended; its log above says why")
        answer: Json = json.loads(line)
        return answer


@contextmanager
def _part(*arguments: object, first: Json | None = None) -> Iterator[_Part]:
    command = [sys.executable, "-m", "benchmarks.alert_parts", *map(str, arguments)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    if first is not None:  # by its input, which nobody else sees
        assert process.stdin is not None
        process.stdin.write(json.dumps(first) + "\n")
        process.stdin.flush()
    try:
        yield _Part(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


class _Bench:
    """The measurements, one after the other over the same parts."""

    def __init__(
        self,
        settings: Settings,
        service: _Part,
        publisher: _Part,
        listeners: _Part,
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._service, self._publisher, self._listeners = service, publisher, listeners
        self._progress = progress
        self._pids = {
            "publisher": publisher.pid,
            "service": service.pid,
            "subscribers": listeners.pid,
        }
        if "pid" in service.said:  # PostgreSQL has many processes, or is elsewhere
            self._pids["redis"] = service.said["pid"]

    def latency(self) -> Latency:
        """At a rate, with pictures all the way."""
        settings = self._settings
        what = f"{settings.rate:.0f} hits/s with a picture of {settings.picture_bytes // 1000} KB"
        self._subscribe(evidence=True)
        cpu = _Cpu(self._pids)
        put = self._put(what, rate=settings.rate, picture_bytes=settings.picture_bytes)
        cores = cpu.cores()
        ages = self._seen(put)["ages_ms"][int(_WARM_S * settings.rate) :]
        return Latency(len(ages), settings.rate, settings.picture_bytes, _quantiles(ages), cores)

    def sustained(self) -> Sustained:
        """As fast as they go, without pictures."""
        self._subscribe(evidence=False)
        before = self._stored()
        cpu = _Cpu(self._pids)
        early: dict[str, float] = {}

        def look(share: float) -> None:
            if share >= _MEMORY_AT and not early:
                early.update(self._rss())

        put = self._put("as fast as they go, without pictures", rate=0, picture_bytes=0, look=look)
        cores, late, stored = cpu.cores(), self._rss(), self._stored()
        arrived = self._seen(put)["arrived_s"]
        counted = [moment for moment in arrived if moment >= arrived[0] + _WARM_S]
        return Sustained(
            hits=put,
            hits_per_s=(len(counted) - 1) / (counted[-1] - counted[0]),
            cpu_cores=cores,
            rss_mib={name: (early[name], late[name]) for name in late},
            store_bytes_per_hit=(stored - before) / put,
        )

    def fan(self) -> Fan:
        """Many subscribers at once."""
        settings = self._settings
        what = f"{settings.fan_rate:g} hits/s to {settings.subscribers} subscribers"
        self._progress(what, 0)
        seconds = settings.seconds
        alerts = max(1, int(settings.fan_rate * seconds))
        self._listeners.order(
            do="many", count=settings.subscribers, alerts=alerts, timeout_s=seconds + _PATIENCE_S
        )
        self._listeners.answer()
        cpu = _Cpu(self._pids)
        self._put(what, rate=settings.fan_rate, picture_bytes=0, count=alerts)
        cores, rss = cpu.cores(), self._rss()["service"]
        seen = self._listeners.answer()
        return Fan(
            subscribers=settings.subscribers,
            rate=settings.fan_rate,
            alerts=len(seen["ages_ms"]),
            missing=seen["missing"],
            ms=_quantiles(seen["ages_ms"]),
            cpu_cores=cores,
            service_rss_mib=rss,
        )

    def memory(self) -> Memory:
        """For a long time at a rate that it can bear."""
        settings = self._settings
        seconds = 60 * settings.minutes
        self._subscribe(evidence=False)
        at_s: list[float] = []
        rss: dict[str, list[float]] = {}

        def look(share: float) -> None:
            if share < len(at_s) / _SAMPLES and share < 1:
                return
            at_s.append(share * seconds)
            for name, mib in self._rss().items():
                rss.setdefault(name, []).append(mib)

        what = f"memory over {settings.minutes:g} min at {settings.rate:g} hits/s"
        put = self._put(what, rate=settings.rate, picture_bytes=0, look=look, seconds=seconds)
        self._seen(put)
        late = [place for place, moment in enumerate(at_s) if moment >= _MEMORY_AT * seconds]
        growth = {
            name: slope_mib_h([(at_s[place], values[place]) for place in late])
            for name, values in rss.items()
        }
        return Memory(settings.rate, put, at_s, rss, growth)

    def _subscribe(self, *, evidence: bool) -> None:
        self._listeners.order(do="one", evidence=evidence)
        self._listeners.answer()

    def _put(
        self,
        what: str,
        *,
        rate: float,
        picture_bytes: int,
        count: int = 0,
        look: Callable[[float], None] = lambda share: None,
        seconds: float | None = None,
    ) -> int:
        """Have hits put, and say how it goes; how many were."""
        if seconds is None:
            seconds = self._settings.seconds if count else self._settings.seconds + _WARM_S
        self._publisher.order(
            do="put",
            count=count,
            rate=rate,
            seconds=2 * seconds if count else seconds,
            picture_bytes=picture_bytes,
        )
        began_s = time.monotonic()
        while (share := (time.monotonic() - began_s) / seconds) < 1:
            self._progress(what, share)
            look(share)
            time.sleep(min(0.2, seconds / 20))
        look(1.0)
        answer = self._publisher.answer()
        if answer["waiting"]:
            raise AlertServiceError(f"{answer['waiting']} hits still wait in the outbox")
        return int(answer["put"])

    def _seen(self, count: int) -> Mapping[str, Sequence[float]]:
        self._listeners.order(do="seen", count=count, timeout_s=_PATIENCE_S)
        seen = self._listeners.answer()
        if len(seen["arrived_s"]) != count:
            raise AlertServiceError(f"{len(seen['arrived_s'])} of {count} alerts have arrived")
        return seen

    def _stored(self) -> int:
        self._service.order(do="memory")
        return int(self._service.answer()["memory"])

    def _rss(self) -> dict[str, float]:
        page_mib = os.sysconf("SC_PAGE_SIZE") / 2**20
        return {
            name: int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page_mib
            for name, pid in self._pids.items()
            if name != "redis"  # keeps the alerts: grows by design, see store_bytes_per_hit
        }


class _Cpu:
    """Processor time of the parts from now on."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._began_s = time.monotonic()
        self._before = self._used_s()

    def cores(self) -> dict[str, float]:
        """How many cores each part has kept busy since."""
        passed_s = time.monotonic() - self._began_s
        used = self._used_s()
        return {name: (used[name] - self._before[name]) / passed_s for name in used}

    def _used_s(self) -> dict[str, float]:
        ticks_s = os.sysconf("SC_CLK_TCK")
        used = {}
        for name, pid in self._pids.items():
            fields: list[Any] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            used[name] = (int(fields[11]) + int(fields[12])) / ticks_s
        return used


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    places = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    last = len(ordered) - 1
    return {name: ordered[min(last, int(share * len(ordered)))] for name, share in places.items()}


def _sync_ms(folder: Path) -> dict[str, float]:
    """How long this disk takes, so that the figures can be read."""
    took = []
    with (folder / "sync").open("ab", buffering=0) as file:
        for _ in range(_SYNCS):
            began_s = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            took.append(1000 * (time.perf_counter() - began_s))
    return _quantiles(took)


__all__ = [
    "BATCH",
    "Fan",
    "Latency",
    "Machine",
    "Memory",
    "Report",
    "Settings",
    "Sustained",
    "measure",
]
