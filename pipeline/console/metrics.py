"""``GET /metrics``: what this process counts, for Prometheus; docs/figures.md lists it.

Read from what the modules count anyhow, at the moment of the request. No label holds a plate, a
person or anything else without bound: cameras, categories and files are those of the
configuration.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from pipeline.audit import AUDIT_FILE
from pipeline.audit_files import read_anchor
from pipeline.camera import CameraState, CameraStatus
from pipeline.clock import Clock
from pipeline.console.context import ConsoleContext, context_of, session_of
from pipeline.console.metrics_cluster import cluster_metrics
from pipeline.errors import CheckpointError
from pipeline.histogram import Distribution
from pipeline.meters import Counts
from pipeline.types import ReviewState
from pipeline.upward import program_version

_FOLDER_EVERY_S: Final = 600.0
_OTHER: Final = "other"
_Values: TypeAlias = Mapping[Any, float]
"""By the values of the labels, a tuple of texts."""


class ConsoleCollector(Collector):
    """Turns one process's counts into metrics; ``collect`` may be called from any thread."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context
        self._evidence = _Folder(context.settings.data_dir / "evidence", context.clock)

    def collect(self) -> Iterator[Metric]:
        """All metrics as they are now. What cannot be read is left out, and health says why."""
        context = self._context
        yield _one(
            "checkpoint_build_info",
            "Version of this Checkpoint.",
            1,
            {"version": program_version(), "checkpoint": context.settings.checkpoint},
        )
        counts = context.counts()
        yield from _cameras(context.cameras())
        yield from _recognition(counts)
        yield from self._alerts(counts)
        yield from _queues(counts)
        yield from self._watchlist()
        yield from self._data()
        yield from self._health()
        yield from cluster_metrics()

    def _alerts(self, counts: Counts) -> Iterator[Metric]:
        known = self._context.settings.watchlist.categories
        hits: dict[tuple[str, str], int] = {}
        for (kind, category), number in counts.hits.items():
            key = kind, category if category in known else _OTHER
            hits[key] = hits.get(key, 0) + number
        yield _counter(
            "checkpoint_hits",
            "Hits that were new to the alert service, by their first revision.",
            ("kind", "category"),
            hits,
        )
        latency = HistogramMetricFamily(
            "checkpoint_alert_latency_seconds",
            "From the last frame that a new alert rests on until the alert service has it.",
            labels=("checkpoint", "camera"),
        )
        for labels, distribution in counts.latencies.items():
            _add(latency, labels, distribution)
        yield latency
        if counts.alerts is not None:
            yield _gauge(
                "checkpoint_alerts",
                "Alerts that the service has ever taken, by the decision that stands.",
                ("state",),
                {(state,): counts.alerts.get(state, 0) for state in ReviewState},
            )
        for name, connected, what in (
            ("subscribers", counts.subscribers, "Followers of the alert feed"),
            ("publishers", counts.publishers, "Checkpoints that publish to the alert service"),
        ):
            if connected is not None:
                yield _one(f"checkpoint_feed_{name}", f"{what}, connected now.", connected)

    def _watchlist(self) -> Iterator[Metric]:
        try:
            state = self._context.watchlist.state()
        except CheckpointError:
            yield _one("checkpoint_watchlist_up", "Whether the watchlist can be read.", 0)
            return
        yield _one("checkpoint_watchlist_up", "Whether the watchlist can be read.", 1)
        yield _one("checkpoint_watchlist_version", "Version of the watchlist.", state.version)
        yield _one(
            "checkpoint_watchlist_age_seconds",
            "Since the list's last change or heartbeat.",
            state.age_s,
        )
        yield _one(
            "checkpoint_watchlist_entries",
            "Entries on the list, the expired ones too.",
            state.entries,
        )

    def _data(self) -> Iterator[Metric]:
        folder = self._context.settings.data_dir
        sizes = {
            (path.name,): sum(
                _size(path.with_name(path.name + end)) for end in ("", "-wal", "-shm")
            )
            for path in sorted(folder.glob("*.sqlite"))
        }
        yield _gauge(
            "checkpoint_database_bytes",
            "Size of a database in the data folder, with its log.",
            ("file",),
            sizes,
        )
        if (archive := self._context.archive) is not None:
            with suppress(CheckpointError):
                kept = archive.count()
                yield _one("checkpoint_passages_kept", "Passages in the archive.", kept)
        pictures, size = self._evidence.measure()
        yield _one("checkpoint_evidence_files", "Evidence files, every ten minutes.", pictures)
        yield _one("checkpoint_evidence_bytes", "Size of the evidence folder.", size)
        try:
            disk = shutil.disk_usage(folder)
        except OSError:
            pass
        else:
            yield _one("checkpoint_disk_size_bytes", "Size of the data folder's disk.", disk.total)
            yield _one("checkpoint_disk_free_bytes", "Free on the data folder's disk.", disk.free)
        try:
            anchor = read_anchor(folder / AUDIT_FILE)
        except (CheckpointError, OSError):
            anchor = None
        if anchor is not None:
            yield _counter(
                "checkpoint_audit_records",
                "Records that the audit log has ever taken.",
                (),
                {(): anchor.sequence},
            )

    def _health(self) -> Iterator[Metric]:
        problems = self._context.health.problems()
        yield _one("checkpoint_healthy", "1 while this process has no problem.", not problems)
        yield _gauge(
            "checkpoint_health_problem",
            "1 for each component that has a problem now.",
            ("component",),
            {(component,): 1 for component in problems},
        )


def show(request: Request) -> Response:
    """The metrics, in the format that the collector asks for; any token or session will do."""
    session_of(request)
    encode, kind = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(_registry(request)), headers={"Content-Type": kind})


routes: Sequence[BaseRoute] = (Route("/metrics", show),)


def _registry(request: Request) -> CollectorRegistry:
    state = request.app.state
    found: CollectorRegistry | None = getattr(state, "registry", None)
    if found is None:
        found = CollectorRegistry(auto_describe=False)
        found.register(ConsoleCollector(context_of(request)))
        ProcessCollector(registry=found)
        state.registry = found
    return found


def _cameras(cameras: Sequence[CameraStatus]) -> Iterator[Metric]:
    yield _gauge(
        "checkpoint_camera_state",
        "1 for the state that a camera is in.",
        ("camera", "state"),
        {
            (one.camera, state.value): int(one.state is state)
            for one in cameras
            for state in CameraState
        },
    )
    totals: dict[str, tuple[str, _Values]] = {
        "frames_decoded": (
            "Frames that were decoded.",
            {(one.camera,): one.decoded for one in cameras},
        ),
        "frames_sampled": (
            "Frames that were taken for recognition.",
            {(one.camera,): one.sampled for one in cameras},
        ),
        "frames_broken": (
            "Frames that could not be decoded.",
            {(one.camera,): one.broken for one in cameras},
        ),
        "reconnects": (
            "How often a stream came back.",
            {(one.camera,): one.reconnects for one in cameras},
        ),
        "overlooked_seconds": (
            "For how long a vehicle could come and go unseen because frames were lost.",
            {(one.camera,): one.overlooked_s for one in cameras},
        ),
    }
    for name, (what, values) in totals.items():
        yield _counter(f"checkpoint_camera_{name}", what, ("camera",), values)
    for name, what, causes in (
        ("dropped", "Sampled frames that were lost", {one.camera: one.dropped for one in cameras}),
        (
            "skipped",
            "Frames left out because nothing was to be seen",
            {one.camera: one.skipped for one in cameras},
        ),
    ):
        yield _counter(
            f"checkpoint_camera_frames_{name}",
            f"{what}, by cause.",
            ("camera", "cause"),
            {(camera, cause): n for camera, by in causes.items() for cause, n in by.items()},
        )
    yield _gauge(
        "checkpoint_camera_frame_age_seconds",
        "Since the last frame of a camera.",
        ("camera",),
        {
            (one.camera,): one.last_frame_age_s
            for one in cameras
            if one.last_frame_age_s is not None
        },
    )


def _recognition(counts: Counts) -> Iterator[Metric]:
    yield _counter(
        "checkpoint_frames_recognised",
        "Frames that went through the nets.",
        ("camera",),
        {(camera,): number for camera, number in counts.recognised.items()},
    )
    batch = HistogramMetricFamily("checkpoint_batch_frames", "Frames recognised together.")
    if counts.batch_frames is not None:
        _add(batch, (), counts.batch_frames)
    yield batch
    stages = HistogramMetricFamily(
        "checkpoint_stage_seconds",
        "Time of a frame: to be decoded, to be taken, to be recognised, and all of it.",
        labels=("stage",),
    )
    for stage, distribution in counts.stages.items():
        _add(stages, (stage,), distribution)
    yield stages
    passages = counts.passages.items()
    for name, what, values in (
        ("passages", "Passages", {(one,): count.passages for one, count in passages}),
        (
            "passages_plate_found",
            "Passages on which a plate was found",
            {(one,): count.found for one, count in passages},
        ),
        (
            "passages_plate_read",
            "Passages whose plate was read",
            {(one,): count.read for one, count in passages},
        ),
    ):
        yield _counter(f"checkpoint_{name}", f"{what}, as first told.", ("camera",), values)


def _queues(counts: Counts) -> Iterator[Metric]:
    queues = counts.queues.items()
    for name, what, values in (
        ("depth", "What waits in a durable queue.", {n: one.depth for n, one in queues}),
        (
            "oldest_seconds",
            "For how long the oldest in a durable queue has waited; 0 for an empty one.",
            {n: one.oldest_s for n, one in queues},
        ),
        (
            "refused",
            "What was set aside because it can never be taken.",
            {n: one.refused for n, one in queues},
        ),
    ):
        known = {(queue,): value for queue, value in values.items() if value is not None}
        yield _gauge(f"checkpoint_queue_{name}", what, ("queue",), known)


class _Folder:
    """Files below a folder and their size in bytes, looked at now and again."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._lock = threading.Lock()
        self._found: tuple[int, int] | None = None
        self._at_s = 0.0

    def measure(self) -> tuple[int, int]:
        with self._lock:
            now_s = self._clock.monotonic()
            if self._found is None or now_s - self._at_s >= _FOLDER_EVERY_S:
                sizes = [_size(path) for path in self._path.glob("*/*")]
                self._found, self._at_s = (len(sizes), sum(sizes)), now_s
            return self._found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it has gone meanwhile
        return 0


def _one(name: str, what: str, value: float, labels: Mapping[str, str] | None = None) -> Metric:
    labels = labels or {}
    return _gauge(name, what, tuple(labels), {tuple(labels.values()): value})


def _gauge(name: str, what: str, labels: Iterable[str], values: _Values) -> Metric:
    family = GaugeMetricFamily(name, what, labels=tuple(labels))
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _counter(name: str, what: str, labels: Iterable[str], values: _Values) -> Metric:
    family = CounterMetricFamily(name, what, labels=tuple(labels))
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _add(family: HistogramMetricFamily, labels: Sequence[str], found: Distribution) -> None:
    ends = (*map(str, found.bounds), "+Inf")
    buckets = list(zip(ends, accumulate(found.counts), strict=True))
    family.add_metric(labels, buckets, found.total)
