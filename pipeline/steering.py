"""What a cluster's nodes are to do now: a pure function of what they report, and of time. No Ray.

A camera has an owner, the node whose passages of it count, and while it moves an heir::

    owner runs ──▶ heir stands by ──▶ heir looks: owner finishes ──▶ owner has let go: heir runs

A file cannot be read by two nodes as one stream: there the owner finishes first. Where an owner is
lost, its heir runs at once, or another node does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import structlog

from pipeline.camera import CameraState
from pipeline.cluster_records import (
    CameraPlace,
    CameraReport,
    Duty,
    LastPassage,
    NodeReport,
    NodeState,
    Order,
)
from pipeline.config import CameraSettings, ClusterSettings
from pipeline.handover import Boundary, later
from pipeline.placement import place
from pipeline.source import is_live
from pipeline.types import Passage

_PLATES = 64  # told last: more than are ever in one view
_STAYS_S = 300.0  # a camera that could not be read elsewhere
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NodeView:
    """What the leader knows of a node.

    ``report``: the latest of its present run, ``silent_s`` old; None before the first.
    """

    state: NodeState
    capacity: float
    report: NodeReport | None = None
    silent_s: float = 0.0

    @property
    def gone(self) -> bool:
        """Whether nothing can be expected of it."""
        return self.state in (NodeState.SILENT, NodeState.LOST, NodeState.STARTING)


@dataclass(slots=True)
class _Course:
    """One camera on its way. Owned by the steering."""

    camera: CameraSettings
    live: bool
    owner: str | None = None
    heir: str | None = None
    finishing: bool = False
    moving_since_s: float = 0.0
    stays_until_s: float = 0.0
    after: Boundary | None = None
    ended: bool = False
    moves: int = 0
    was_watched: bool = False
    unwatched_s: float = 0.0
    gap_s: float = 0.0
    status: CameraReport | None = None
    plates: deque[tuple[str, datetime]] = field(default_factory=lambda: deque(maxlen=_PLATES))
    told_at: datetime | None = None
    told_s: float | None = None
    last: LastPassage | None = None


class Steering:
    """Where every camera is read. Owned by one thread.

    Args:
        cameras: all of them; their names differ.
        settings: of the cluster.
        reopen_within_s: a plate seen again within it is of the same passage.
        once: file sources are read once, to their end.
    """

    def __init__(
        self,
        cameras: Sequence[CameraSettings],
        settings: ClusterSettings,
        reopen_within_s: float,
        *,
        once: bool = False,
    ) -> None:
        self._settings = settings
        self._reopen = timedelta(seconds=reopen_within_s)
        self._once = once
        self._courses = {camera.name: _Course(camera, is_live(camera.source)) for camera in cameras}
        self._began_s: float | None = None
        self._before_s = 0.0
        self._reports: dict[str, Mapping[str, CameraReport]] = {}
        self._placed: tuple[Mapping[str, float], Mapping[str, str], dict[str, str]] | None = None
        self.began = False
        """Whether any camera has had a node yet."""

    def told(self, passage: Passage) -> None:
        """A passage has reached the leader: no other node is to tell it again."""
        course = self._courses.get(passage.camera)
        if course is None:
            return
        if course.last is None or course.last.at <= passage.ended_at:
            course.last = LastPassage(passage.plate, passage.plate_class, passage.ended_at)
        if passage.plate is not None:
            course.plates.append((passage.plate, passage.ended_at))
        if passage.closed:
            course.told_at = max(course.told_at or passage.ended_at, passage.ended_at)
            course.told_s = max(course.told_s or 0.0, passage.end_s)

    def step(self, now_s: float, nodes: Mapping[str, NodeView]) -> dict[str, tuple[Order, ...]]:
        """Take note of what the nodes report; what each of them is to do from now on.

        Args:
            now_s: monotonic seconds.
            nodes: all that are known, with their latest reports.
        """
        if self._began_s is None:
            self._began_s = self._before_s = now_s
        self._reports = {
            name: {one.camera: one for one in view.report.cameras}
            for name, view in nodes.items()
            if view.report is not None
        }
        for course in self._courses.values():
            if not course.ended:
                self._observe(course, nodes, now_s)
        if not self._awaits_nodes(nodes, now_s):
            self._place(nodes, now_s)
        self._before_s = now_s
        orders: dict[str, list[Order]] = {node: [] for node in nodes}
        for course in self._courses.values():
            for node, order in self._orders(course):
                orders[node].append(order)
        return {node: tuple(given) for node, given in orders.items()}

    def ended(self) -> bool:
        """Whether every camera was a file that is at its end."""
        return all(course.ended for course in self._courses.values())

    def places(self) -> tuple[CameraPlace, ...]:
        """Where every camera is, in the order of names."""
        return tuple(
            CameraPlace(
                name,
                course.owner,
                course.heir,
                course.moves,
                round(course.unwatched_s, 2),
                course.status.status if course.status else None,
                round(course.gap_s, 2),
                course.last,
            )
            for name, course in sorted(self._courses.items())
        )

    def by_node(self) -> dict[str, tuple[str, ...]]:
        """The cameras that each node reads, is to read, or still lets go, in the order of names."""
        found: dict[str, list[str]] = {}
        for name, course in sorted(self._courses.items()):
            if not course.ended:
                for node in {course.owner, course.heir} - {None}:
                    found.setdefault(str(node), []).append(name)
        return {node: tuple(cameras) for node, cameras in found.items()}

    def weight(self, camera: str) -> float:
        """A camera's weight."""
        return self._courses[camera].camera.weight

    def _observe(self, course: _Course, nodes: Mapping[str, NodeView], now_s: float) -> None:
        """Where the camera is now, by what its nodes say."""
        name = course.camera.name
        if course.heir is not None and _is_gone(course.heir, nodes):
            course.heir, course.finishing = None, False  # nobody looks: the owner goes on
        if course.owner is not None and _is_gone(course.owner, nodes):
            _log.warning("camera has lost its node", camera=name, node=course.owner)
            if course.was_watched and not course.gap_s:  # nobody has looked since it was heard
                silent_s = nodes[course.owner].silent_s if course.owner in nodes else 0.0
                course.gap_s, course.unwatched_s = silent_s, course.unwatched_s + silent_s
            self._succeed(course, course.heir, self._boundary_of_lost(course))
        report = self._report(course.owner, name)
        if report is not None:
            course.status = report
            if report.ended and (self._once or not course.live):
                course.ended, course.heir = True, None
                return
            if report.boundary is not None and course.finishing:
                self._succeed(course, course.heir, self._boundary_after(course, report.boundary))
                report = None
        heir = self._report(course.heir, name)
        if course.heir is not None and not course.finishing:
            waited_s = now_s - course.moving_since_s
            streams = _looks(heir)
            late = waited_s > self._settings.handover_wait_s
            if late and not streams and nodes[course.owner or ""].state is NodeState.READY:
                _log.warning(
                    "camera stays: not read elsewhere in time", camera=name, to=course.heir
                )
                course.heir, course.stays_until_s = None, now_s + _STAYS_S
            else:  # of a node that is drained it goes even so: it may let in one client only
                course.finishing = streams or late
        self._count_gap(course, report, now_s)

    def _count_gap(self, course: _Course, report: CameraReport | None, now_s: float) -> None:
        """For how long nobody has looked; a heir that streams looks already."""
        watched = report is not None and report.status.state is CameraState.STREAMING
        if watched:
            if course.gap_s > 1.0:
                _log.warning(
                    "camera is watched again",
                    camera=course.camera.name,
                    node=course.owner,
                    unwatched_s=round(course.gap_s, 1),
                )
            course.was_watched, course.gap_s = True, 0.0
        elif course.was_watched:
            course.gap_s += now_s - self._before_s
            course.unwatched_s += now_s - self._before_s

    def _succeed(self, course: _Course, node: str | None, after: Boundary | None) -> None:
        course.owner, course.heir, course.after = node, None, after
        course.finishing = False
        course.moves += 1

    def _boundary_after(self, course: _Course, boundary: Boundary) -> Boundary | None:
        """What the next node is told of the end of the one before."""
        if course.live:
            return self._with_plates(course, replace(boundary, media_s=None))
        return _furthest(course.after, replace(boundary, at=None)) if self._once else None

    def _boundary_of_lost(self, course: _Course) -> Boundary | None:
        """The same where the node before cannot say: what has reached us was told."""
        if course.live:
            return self._with_plates(course, Boundary(at=course.told_at))
        reached = self._once and course.told_s is not None
        return _furthest(course.after, Boundary(media_s=course.told_s)) if reached else course.after

    def _with_plates(self, course: _Course, boundary: Boundary) -> Boundary:
        boundary = _furthest(course.after, boundary)
        last = max((seen for _, seen in course.plates), default=None)
        if last is None:
            return boundary
        horizon, until = last - self._reopen, last + self._reopen
        plates = tuple({plate for plate, seen in course.plates if seen >= horizon})
        return replace(boundary, plates=plates, plates_until=until)

    def _awaits_nodes(self, nodes: Mapping[str, NodeView], now_s: float) -> bool:
        """At the start, wait for those that are just starting: else all would move at once."""
        if self.began:
            return False
        starting = any(view.state is NodeState.STARTING for view in nodes.values())
        patience_s = self._settings.start_timeout_s / 3
        return starting and (self._began_s is None or now_s - self._began_s < patience_s)

    def _place(self, nodes: Mapping[str, NodeView], now_s: float) -> None:
        usable = {
            name: view.capacity for name, view in nodes.items() if view.state is NodeState.READY
        }
        courses = [course for course in self._courses.values() if not course.ended]
        current = {course.camera.name: course.heir or course.owner for course in courses}
        wanted = self._wanted(
            courses, usable, {camera: node for camera, node in current.items() if node is not None}
        )
        moving = sum(course.heir is not None for course in courses)
        for course in courses:
            name = course.camera.name
            node = wanted.get(name)
            if node is None:
                continue
            if course.owner is None:
                course.owner, course.heir, course.finishing = node, None, False
                self.began = True
                _log.info("camera is read", camera=name, node=node)
            elif course.heir is None and node == course.owner:
                course.finishing = False
            elif course.heir is None and moving < self._settings.moves_at_once:
                if now_s < course.stays_until_s and course.owner in usable:
                    continue
                moving += 1
                course.heir, course.moving_since_s = node, now_s
                course.finishing = course.finishing or not course.live
                _log.info("camera moves", camera=name, to=node, node=course.owner)

    def _wanted(
        self, courses: Sequence[_Course], usable: Mapping[str, float], current: Mapping[str, str]
    ) -> dict[str, str]:
        """The node of each camera; worked out anew only where something has changed."""
        if self._placed is None or self._placed[:2] != (usable, current):
            weights = {course.camera.name: course.camera.weight for course in courses}
            placed = place(weights, usable, current, self._settings.tolerance)
            self._placed = usable, current, placed
        return self._placed[2]

    def _report(self, node: str | None, camera: str) -> CameraReport | None:
        """What a node says of a camera; None where it says nothing of it yet."""
        return self._reports.get(node, {}).get(camera) if node is not None else None

    def _orders(self, course: _Course) -> list[tuple[str, Order]]:
        if course.owner is None or course.ended:
            return []
        duty = Duty.FINISH if course.finishing else Duty.RUN
        order = Order(course.camera, duty, course.after, self._heir_since(course))
        orders = [(course.owner, order)]
        if course.heir is not None and course.live:
            orders.append((course.heir, Order(course.camera, Duty.STANDBY)))
        return orders

    def _heir_since(self, course: _Course) -> datetime | None:
        """Since when the next node looks. A file it will read from its beginning."""
        if not course.finishing or course.heir is None:
            return None
        if not course.live:
            return datetime.min.replace(tzinfo=UTC) if self._once else None
        heir = self._report(course.heir, course.camera.name)
        return heir.looks_since if _looks(heir) and heir is not None else None


def _furthest(before: Boundary | None, boundary: Boundary) -> Boundary:
    """A node's border; that of the node before it where it has not come as far as that yet."""
    if before is None:
        return boundary
    at, media_s = before.at, before.media_s
    behind = at is not None and (boundary.at is None or boundary.at < at)
    behind |= media_s is not None and (boundary.media_s is None or boundary.media_s < media_s)
    return (later(before, boundary) or boundary) if behind else boundary


def _looks(heir: CameraReport | None) -> bool:
    """Whether a node looks at a camera: it comes, and its frames are recognised."""
    return (
        heir is not None
        and heir.status.state is CameraState.STREAMING
        and heir.looks_since is not None
    )


def _is_gone(node: str, nodes: Mapping[str, NodeView]) -> bool:
    view = nodes.get(node)
    return view is None or view.gone
