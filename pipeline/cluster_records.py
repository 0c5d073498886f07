"""What the leader of a cluster and its nodes tell each other, and what is told of it. No Ray.

Pictures are in none of these records: an evidence picture goes up with its hit, from the node that
has it to the alert service.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from pipeline.camera import CameraStatus
from pipeline.config import CameraSettings
from pipeline.handover import Boundary
from pipeline.types import Hit, Passage, PlateClass


class Duty(StrEnum):
    """What a node does with a camera."""

    RUN = "run"
    STANDBY = "standby"
    """Read it, and hold its passages back: another node still tells them."""
    FINISH = "finish"
    """Let it go when no vehicle is in view, or soon all the same."""


@dataclass(frozen=True, slots=True)
class Order:
    """What one node is to do with one camera.

    ``after``: what an earlier node has told of it. ``heir_since``: where it is finished, since when
    the next node looks at it; None where none does.
    """

    camera: CameraSettings = field(repr=False)
    duty: Duty
    after: Boundary | None = None
    heir_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Orders:
    """Everything that one node is to do. Orders replace those before them.

    ``received``: up to which number the leader has the node's events.
    """

    cameras: tuple[Order, ...] = ()
    received: int = 0


@dataclass(frozen=True, slots=True)
class CameraReport:
    """One camera on one node.

    ``boundary``: it has let go there; ``ended``: of a file, for good. ``looks_since``: its frames
    were looked at without a gap since then; None where none was.
    """

    camera: str
    duty: Duty
    status: CameraStatus
    boundary: Boundary | None = None
    ended: bool = False
    looks_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """What a node has amounted to since its pipeline started."""

    decoded: int = 0
    recognised: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    passages: int = 0
    hits: int = 0
    overlooked_s: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.decoded + other.decoded,
            self.recognised + other.recognised,
            dict(Counter(self.dropped) + Counter(other.dropped)),
            dict(Counter(self.skipped) + Counter(other.skipped)),
            self.passages + other.passages,
            self.hits + other.hits,
            self.overlooked_s + other.overlooked_s,
        )


@dataclass(frozen=True, slots=True)
class NodeReport:
    """A node in its own words; ``run`` is new whenever its pipeline starts.

    ``events``: passages and hits, numbered from 1, that the leader may not have yet; without
    pictures. ``events_lost``: told to nobody, because the leader was away for too long; they
    were delivered all the same. ``waiting_passages`` are not matched yet, ``waiting_hits`` not
    acknowledged by the alert service; both lie on the node's disk. ``failure``: its pipeline has
    ended.
    """

    node: str
    run: str
    version: str
    cameras: tuple[CameraReport, ...] = ()
    events: tuple[tuple[int, Passage | Hit], ...] = field(default=(), repr=False)
    events_lost: int = 0
    waiting_passages: int = 0
    waiting_hits: int = 0
    tally: Tally = Tally()
    problems: Mapping[str, str] = field(default_factory=dict)
    failure: str | None = None


class NodeState(StrEnum):
    """What the leader knows of a node."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    """It is giving its cameras away, and delivers what it has."""
    DRAINED = "drained"
    """It has no camera and nothing undelivered: it can be taken down."""
    SILENT = "silent"
    """It does not answer; its cameras are read elsewhere."""
    LOST = "lost"
    """It is gone; its cameras are read elsewhere."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node. ``load``: weight of its cameras over its capacity."""

    node: str
    state: NodeState
    capacity: float
    load: float = 0.0
    cameras: tuple[str, ...] = ()
    heard_s_ago: float | None = None
    waiting_passages: int = 0
    waiting_hits: int = 0
    restarts: int = 0
    tally: Tally = Tally()
    problems: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LastPassage:
    """Who passed a camera last."""

    plate: str | None
    plate_class: PlateClass | None
    at: datetime


@dataclass(frozen=True, slots=True)
class CameraPlace:
    """Where a camera is read. ``node`` None: nowhere now. ``moving_to``: the node that is to.

    ``unwatched_s``: seconds for which nobody looked, in all; ``gap_s``: those until now, 0 where
    somebody looks. ``status``: as a node said last. ``last_passage``: without anything but that.
    """

    camera: str
    node: str | None
    moving_to: str | None = None
    moves: int = 0
    unwatched_s: float = 0.0
    status: CameraStatus | None = None
    gap_s: float = 0.0
    last_passage: LastPassage | None = None


@dataclass(frozen=True, slots=True)
class ClusterState:
    """A whole cluster at one moment, in the order of names."""

    at: datetime
    nodes: tuple[NodeStatus, ...] = ()
    cameras: tuple[CameraPlace, ...] = ()

    @property
    def unplaced(self) -> int:
        """Cameras that nobody reads now."""
        return sum(place.node is None for place in self.cameras)

    def without_passages(self) -> ClusterState:
        """The same for whoever reaches the cluster: who passed is for the console's users alone."""
        cameras = tuple(replace(place, last_passage=None) for place in self.cameras)
        return replace(self, cameras=cameras)


_current: list[ClusterState] = []


def publish(state: ClusterState | None) -> None:
    """Let :func:`current` tell this from now on; None: this process leads no cluster."""
    _current[:] = [] if state is None else [state]


def current() -> ClusterState | None:
    """The cluster that this process leads, as it was a moment ago; None where it leads none."""
    return next(iter(_current), None)
