"""What many cameras need, from what few of them were measured to cost.

The measured side comes from ``bench throughput --json``: processor time for a decoded frame, a
detected frame and a read plate, how many of each a camera gives in a second, and how much the rest
of the path adds. That traffic is taken for the busiest hour: machines are sized by it. Everything
else is an assumption, with its reason, and can be set. Prices are left to the reader: every result
is a number of things that have one.

    cores of n cameras = n · (decoded/s · ms + detected/s · ms + read/s · ms) / 1000 / efficiency

It is linear, for cameras share nothing but the machine. :func:`compare` holds it against measured
points, each against what the others say of its traffic; a point at which frames were dropped for
want of time is one that the model must call full.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from pipeline.errors import InputError

SIZES: Final = (100, 1_000, 10_000)
_LOST_SHARE: Final = 0.02
"""Of the sampled frames: a run that dropped more was overloaded."""
_RATES: Final = {"decode": "decoded_s", "detect": "detected_s", "read": "reads_s"}


def _assumed(default: float, why: str) -> Any:
    return field(default=default, metadata={"why": why})


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What was not measured; ``why`` in each field's metadata says where it comes from."""

    node_cores: float = _assumed(32, "cores of one node")
    busy_share: float = _assumed(0.7, "of a node's cores that are kept busy in the busiest hour")
    spare_share: float = _assumed(0.1, "more nodes, at least one: one may die, one be maintained")
    base_mib: float = _assumed(500, "memory of a pipeline without cameras, if one run is measured")
    cameras_per_gpu: float = _assumed(100, "streams of 1080p25 on one GPU; a goal, see bench gpu")
    camera_mbit_s: float = _assumed(4.0, "1080p25 in H.264 at a usual quality")
    passages_per_day: float = _assumed(10_000, "of one camera: a busy lane")
    busiest_hour_share: float = _assumed(0.10, "of a day's passages")
    hit_share: float = _assumed(0.001, "of all passages meet an entry")
    evidence_bytes: float = _assumed(50_000, "a vehicle cut from 1080p, JPEG quality 85, manifest")
    record_bytes: float = _assumed(4_700, "a passage in a node's archive, with its indexes")
    readings: float = _assumed(4, "readings of a passage's plate that are looked up at once")
    lookup_bytes: float = _assumed(400, "to Redis and back for one passage, entries included")
    redis_lookups_s: float = _assumed(100_000, "passages matched in a second by one Redis core")
    hit_bytes: float = _assumed(54_000, "a hit over gRPC: evidence, passage and entry")
    alert_bytes: float = _assumed(60_000, "an alert in the store, with evidence and its indexes")
    subscribers: float = _assumed(10, "who get every alert")
    alerts_days: float = _assumed(180, "that a reviewed alert is kept, retention.alerts_days")
    passages_days: float = _assumed(1, "that a passage is kept, retention.passages_h")
    beats_s: float = _assumed(3, "orders and reports of one node in a second")
    report_bytes: float = _assumed(300, "orders and report for one camera, pickled")
    event_bytes: float = _assumed(4_000, "a passage to the leader, twice, without pictures")

    def reasons(self) -> dict[str, str]:
        """Why each of them is what it is."""
        return {one.name: str(one.metadata["why"]) for one in fields(self)}


@dataclass(frozen=True, slots=True)
class Point:
    """One run of ``bench throughput``.

    ``cpu_ms``: of a decoded frame, a detected frame and a read plate. ``reads_s``: plates read in a
    second. ``lost_share``: sampled frames that were dropped, of all. ``load``: of the machine
    before, by others.
    """

    name: str
    cameras: int
    machine_cores: float
    cores: float
    decoded_s: float
    detected_s: float
    reads_s: float
    passages_s: float
    rss_mib: float
    lost_share: float
    cpu_ms: Mapping[str, float]
    load: float = 0.0

    @property
    def parts_cores(self) -> dict[str, float]:
        """What decoding, detection and reading of as much would take alone."""
        return {
            part: getattr(self, rate) * self.cpu_ms.get(part, 0.0) / 1000
            for part, rate in _RATES.items()
        }

    @property
    def overloaded(self) -> bool:
        """Whether the machine had more frames than it could look at."""
        return self.lost_share > _LOST_SHARE


@dataclass(frozen=True, slots=True)
class Costs:
    """What one camera costs in its busiest time, from measured runs.

    ``part_cores``: of decoding, detection and reading alone; ``other_cores``: what the rest of the
    path adds. ``rss_mib``: of each camera, beside ``base_mib`` of the program itself.
    """

    part_cores: Mapping[str, float]
    other_cores: float
    base_mib: float
    rss_mib: float
    passages_s: float

    @property
    def cores(self) -> float:
        """All of it."""
        return sum(self.part_cores.values()) + self.other_cores


@dataclass(frozen=True, slots=True)
class Comparison:
    """A measured point beside what the model says of it.

    ``error``: predicted over measured cores, less 1; None for an overloaded point, of which nobody
    knows what it would have taken. ``agrees``: within the tolerance; for an overloaded point, that
    the model calls what others left of the machine full. ``foretold``: from other points alone.
    """

    point: str
    cameras: int
    measured_cores: float
    predicted_cores: float
    error: float | None
    overloaded: bool
    agrees: bool
    foretold: bool


@dataclass(frozen=True, slots=True)
class Need:
    """What so many cameras need. Rates are those of the busiest hour."""

    cameras: int
    cores: float
    nodes: int
    spare_nodes: int
    gpu_nodes: int
    cameras_per_node: int
    camera_gbit_s: float
    node_gbit_s: float
    memory_gib_per_node: float
    passages_s: float
    redis_lookups_s: float
    redis_mbit_s: float
    redis_cores: int
    hits_s: float
    alert_mbit_s: float
    storage_gb_day: float
    storage_gb_kept: float
    alerts_gb_kept: float
    leader_messages_s: float
    leader_mbit_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """Costs, assumptions with their reasons, needs, and how the model fits what was measured."""

    costs: Costs
    assumptions: Assumptions
    reasons: Mapping[str, str]
    needs: tuple[Need, ...]
    comparisons: tuple[Comparison, ...]


def model(
    points: Sequence[Point],
    assumptions: Assumptions,
    sizes: Sequence[int] = SIZES,
    reasons: Mapping[str, str] | None = None,
) -> Report:
    """What ``sizes`` cameras need, from measured points.

    ``reasons``: of assumptions that have another value than the default.

    Raises:
        InputError: no point can be used: the machine was overloaded in all of them.
    """
    costs = costs_of(points, assumptions.base_mib)
    return Report(
        costs,
        assumptions,
        assumptions.reasons() | dict(reasons or {}),
        tuple(need(cameras, costs, assumptions) for cameras in sizes),
        tuple(compare(points)),
    )


def costs_of(points: Sequence[Point], base_mib: float = 500.0) -> Costs:
    """What one camera costs: the points that were not overloaded, weighted by their cameras.

    Memory comes from all points, for it is bounded: from two sizes the line through them, from one
    what is over ``base_mib``.

    Raises:
        InputError: there is none.
    """
    used = [point for point in points if not point.overloaded]
    if not used:
        raise InputError(
            "no measured run can be used: in each of them the machine had more frames than it "
            "could look at; measure fewer cameras"
        )
    cameras = sum(point.cameras for point in used)
    parts = {part: sum(one.parts_cores[part] for one in used) / cameras for part in _RATES}
    cores = sum(point.cores for point in used) / cameras
    base_mib, rss_mib = _memory(points, base_mib)
    return Costs(
        part_cores=parts,
        other_cores=max(cores - sum(parts.values()), 0.0),
        base_mib=base_mib,
        rss_mib=rss_mib,
        passages_s=sum(point.passages_s for point in used) / cameras,
    )


def _memory(points: Sequence[Point], base_mib: float) -> tuple[float, float]:
    """Of the program, and of each camera, MiB."""
    smallest = min(points, key=lambda point: point.cameras)
    largest = max(points, key=lambda point: point.cameras)
    if smallest.cameras == largest.cameras:
        base_mib = min(base_mib, largest.rss_mib)
        return base_mib, (largest.rss_mib - base_mib) / largest.cameras
    each = (largest.rss_mib - smallest.rss_mib) / (largest.cameras - smallest.cameras)
    each = max(each, 0.0)
    return max(largest.rss_mib - each * largest.cameras, 0.0), each


def compare(points: Sequence[Point], tolerance: float = 0.25) -> list[Comparison]:
    """Hold the model against every measured point: where there are others, as they foretell it.

    Raises:
        InputError: the machine was overloaded in all of them.
    """
    used = [point for point in points if not point.overloaded]
    comparisons = []
    for point in points:
        others = [one for one in used if one is not point]
        if point.overloaded:
            predicted, error = point.cameras * costs_of(used).cores, None
            agrees = predicted >= (1 - tolerance) * max(point.machine_cores - point.load, 0.0)
        else:
            predicted = _cores_at(point, others or used)
            error = predicted / point.cores - 1 if point.cores else math.inf
            agrees = abs(error) <= tolerance
        comparisons.append(
            Comparison(
                point.name,
                point.cameras,
                point.cores,
                predicted,
                error,
                point.overloaded,
                agrees,
                bool(others),
            )
        )
    return comparisons


def _cores_at(point: Point, known: Sequence[Point]) -> float:
    """What ``point``'s traffic takes at the costs of the ``known`` ones.

    Traffic is no part of the model: half a minute of a road has more vehicles than another.
    """
    parts = {part: sum(one.parts_cores[part] for one in known) for part in _RATES}
    done = {part: sum(getattr(one, rate) for one in known) for part, rate in _RATES.items()}
    alone = sum(
        getattr(point, rate) * parts[part] / done[part] if done[part] else 0.0
        for part, rate in _RATES.items()
    )
    whole = sum(parts.values())
    return alone * sum(one.cores for one in known) / whole if whole else 0.0


def need(cameras: int, costs: Costs, given: Assumptions) -> Need:
    """What ``cameras`` cameras need."""
    cores = cameras * costs.cores
    per_node = max(int(given.node_cores * given.busy_share / costs.cores + 1e-9), 1)
    nodes = math.ceil(cameras / per_node)
    gpu_nodes = math.ceil(cameras / given.cameras_per_gpu)
    on_node = math.ceil(cameras / nodes)
    day = cameras * given.passages_per_day
    passages_s = day * given.busiest_hour_share / 3600
    hits_s = passages_s * given.hit_share
    kept = given.evidence_bytes + given.record_bytes
    copies = 1 + given.subscribers
    spare = _spare(nodes, given)
    messages = (nodes + spare) * given.beats_s
    return Need(
        cameras=cameras,
        cores=cores,
        nodes=nodes,
        spare_nodes=spare,
        gpu_nodes=gpu_nodes + _spare(gpu_nodes, given),
        cameras_per_node=on_node,
        camera_gbit_s=cameras * given.camera_mbit_s / 1000,
        node_gbit_s=on_node * given.camera_mbit_s / 1000,
        memory_gib_per_node=(costs.base_mib + on_node * costs.rss_mib) / 1024,
        passages_s=passages_s,
        redis_lookups_s=passages_s * given.readings,
        redis_mbit_s=passages_s * given.lookup_bytes * 8 / 1e6,
        redis_cores=math.ceil(passages_s / given.redis_lookups_s),
        hits_s=hits_s,
        alert_mbit_s=hits_s * given.hit_bytes * copies * 8 / 1e6,
        storage_gb_day=day * kept / 1e9,
        storage_gb_kept=day * kept * given.passages_days / 1e9,
        alerts_gb_kept=day * given.hit_share * given.alert_bytes * given.alerts_days / 1e9,
        leader_messages_s=messages,
        leader_mbit_s=8e-6
        * (given.beats_s * cameras * given.report_bytes + passages_s * given.event_bytes),
    )


def _spare(nodes: int, given: Assumptions) -> int:
    return max(math.ceil(nodes * given.spare_share), 1) if given.spare_share else 0
