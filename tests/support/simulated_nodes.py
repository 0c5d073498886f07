"""Nodes of a cluster as a simulation in steps of a fifth of a second: no pictures, no processes.

Cameras see vehicles at given times. A node's camera does what the real one does: it tells a passage
when its reading is settled and again when the vehicle has left, through the real gate, and lets go
where the real lookout says. How well it sees is up to its eyes; see ``late_eyes.py`` for real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from pipeline.camera import CameraState, CameraStatus
from pipeline.cluster_records import CameraReport, Duty, NodeReport, NodeState, Order
from pipeline.config import CameraSettings
from pipeline.handover import Boundary, Gate
from pipeline.lookout import Lookout, OpenPassages, Terms
from pipeline.steering import NodeView, Steering
from pipeline.types import Passage
from tests.support.scenes import START

STEP_S = 0.2
CLOSE = 6  # steps without a sighting
_SETTLED = 3  # sightings


@dataclass(frozen=True)
class Vehicle:
    """In view from one step to another, both included.

    ``read``: whether its plate can be read, and ``read_from``: after how many steps.
    """

    plate: str
    first: int
    last: int
    read: bool = True
    read_from: int = 0


@dataclass
class _Open:
    vehicle: Vehicle
    id: str
    first: int
    last: int
    sightings: int = 0


@dataclass(frozen=True)
class Glance:
    """One frame that was looked at: how it is dated, and the passages that it gave."""

    at: datetime
    media_s: float
    empty: bool
    passages: list[Passage]


class Eyes(OpenPassages, Protocol):
    """How one node sees one camera."""

    def look(self, now: int, traffic: Sequence[Vehicle]) -> list[Glance]:
        """The frames that have been recognised by now, since the last time."""
        ...


class KeenEyes:
    """Every vehicle is seen and read at once."""

    def __init__(self, node: str, name: str) -> None:
        self._node, self._name = node, name
        self._open: dict[str, _Open] = {}

    @property
    def idle(self) -> bool:
        return not self._open

    def look(self, now: int, traffic: Sequence[Vehicle]) -> list[Glance]:
        told = []
        here = [vehicle for vehicle in traffic if vehicle.first <= now <= vehicle.last]
        for vehicle in here:
            if vehicle.plate not in self._open:
                identifier = f"{self._node}-{self._name}-{vehicle.plate}-{now}"
                self._open[vehicle.plate] = _Open(vehicle, identifier, now, now)
            seen = self._open[vehicle.plate]
            seen.last, seen.sightings = now, seen.sightings + 1
            if seen.sightings == _SETTLED:
                told.append(_passage(self._name, seen, closed=False))
        for plate in [p for p, seen in self._open.items() if now - seen.last > CLOSE]:
            told += self._closed(self._open.pop(plate))
        return [Glance(_at(now), now * STEP_S, not here, told)]

    def close(self, *, but_untold_at: datetime | None = None) -> list[Passage]:
        told = []
        for seen in self._open.values():
            if seen.sightings >= _SETTLED or _at(seen.last) != but_untold_at:
                told += self._closed(seen)
        self._open.clear()
        return told

    def _closed(self, seen: _Open) -> list[Passage]:
        return [_passage(self._name, seen, closed=True)] if seen.sightings >= 2 else []


@dataclass
class _Camera:
    order: Order
    gate: Gate
    begun: int
    standby: bool
    eyes: Eyes
    lookout: Lookout = field(default_factory=lambda: Lookout(CLOSE * STEP_S))
    boundary: Boundary | None = None
    finish_by: int | None = None


class SimulatedNode:
    """One node. ``connect``: steps that a camera takes until it streams."""

    def __init__(
        self,
        name: str,
        connect: int,
        handover_wait: int,
        eyes: Callable[[str, str], Eyes] = KeenEyes,
    ) -> None:
        self.name = name
        self.state = NodeState.READY
        self.cameras: dict[str, _Camera] = {}
        self.report = NodeReport(name, "run", "0")
        self._connect = connect
        self._wait = handover_wait
        self._eyes = eyes

    def step(
        self, now: int, orders: Sequence[Order], traffic: Mapping[str, Sequence[Vehicle]]
    ) -> list[Passage]:
        """Follow orders, look once, and report; the passages that are told."""
        told: list[Passage] = []
        ordered = {order.camera.name: order for order in orders}
        for name in [name for name in self.cameras if name not in ordered]:
            told += self._let_go(name, Terms(at_once=True))
            del self.cameras[name]
        for name, order in ordered.items():
            camera = self.cameras.get(name)
            again = camera and camera.boundary and order.duty is not Duty.FINISH
            if camera is None or again:
                holding = order.duty is Duty.STANDBY
                gate = Gate(holding=holding, boundary=order.after)
                eyes = self._eyes(self.name, name)
                self.cameras[name] = camera = _Camera(order, gate, now, holding, eyes)
                if order.duty is Duty.FINISH:
                    camera.boundary = Boundary()
            if order.duty is Duty.RUN and camera.standby:
                told += camera.gate.open(order.after)
                camera.standby = False
            camera.order = order
            if camera.boundary is None and now - camera.begun >= self._connect:
                told += self._look(camera, now, traffic[name])
            if order.duty is not Duty.FINISH:
                camera.finish_by = None
            elif camera.boundary is None:
                camera.finish_by = camera.finish_by or now + self._wait
                late = now - camera.finish_by
                terms = Terms(order.heir_since, late >= 0, late >= 3 * self._wait)
                told += self._let_go(name, terms)
        self.report = NodeReport(
            self.name, "run", "0", tuple(self._said(n, c, now) for n, c in self.cameras.items())
        )
        return told

    def die(self) -> None:
        """All that was in hand is lost."""
        self.cameras.clear()
        self.state = NodeState.LOST

    def _said(self, name: str, camera: _Camera, now: int) -> CameraReport:
        streams = now - camera.begun >= self._connect and camera.boundary is None
        state = CameraState.STREAMING if streams else CameraState.CONNECTING
        duty = Duty.STANDBY if camera.standby else Duty.RUN
        status = CameraStatus(name, "", state, START)
        looks_since = None if camera.boundary else camera.lookout.since
        return CameraReport(name, duty, status, camera.boundary, looks_since=looks_since)

    def _look(self, camera: _Camera, now: int, traffic: Sequence[Vehicle]) -> list[Passage]:
        told = []
        for glance in camera.eyes.look(now, traffic):
            camera.lookout.note(glance.at, glance.media_s, glance.empty)
            camera.lookout.closed(glance.passages)
            told += camera.gate.let_through(glance.passages)
        return told

    def _let_go(self, name: str, terms: Terms) -> list[Passage]:
        camera = self.cameras[name]
        if camera.boundary is not None:
            return []
        gone = camera.lookout.let_go(camera.eyes, terms)
        if gone is None:
            return []
        told, camera.boundary = gone
        return camera.gate.let_through(told)


class Road:
    """A whole cluster over its traffic."""

    def __init__(
        self,
        steering: Steering,
        nodes: Sequence[SimulatedNode],
        traffic: Mapping[str, Sequence[Vehicle]],
    ) -> None:
        self.steering = steering
        self.nodes = {node.name: node for node in nodes}
        self.traffic = traffic
        self.now = 0
        self.told: dict[str, list[Passage]] = {name: [] for name in traffic}

    def step(self) -> None:
        """A fifth of a second."""
        views = {
            name: NodeView(
                node.state, 4.0, node.report if node.state is not NodeState.LOST else None
            )
            for name, node in self.nodes.items()
        }
        orders = self.steering.step(self.now * STEP_S, views)
        for name, node in self.nodes.items():
            if node.state is NodeState.LOST:
                continue
            for passage in node.step(self.now, orders[name], self.traffic):
                self.told[passage.camera].append(passage)
                self.steering.told(passage)
        self.now += 1

    def readers(self, camera: str) -> list[str]:
        """The nodes that tell this camera's passages now."""
        return [
            name
            for name, node in self.nodes.items()
            for held in [node.cameras.get(camera)]
            if held and not held.standby and held.boundary is None
        ]


def camera(name: str, *, live: bool = True) -> CameraSettings:
    """A camera, or a file."""
    return CameraSettings(name=name, source=f"rtsp://192.0.2.1/{name}" if live else f"{name}.mp4")


def _at(step: int) -> datetime:
    return START + timedelta(seconds=step * STEP_S)


def _passage(camera: str, seen: _Open, *, closed: bool) -> Passage:
    return Passage(
        id=seen.id,
        revision=0,
        camera=camera,
        lane=None,
        direction=None,
        started_at=_at(seen.first),
        ended_at=_at(seen.last),
        start_s=seen.first * STEP_S,
        end_s=seen.last * STEP_S,
        plate=seen.vehicle.plate if seen.sightings >= _SETTLED else None,
        plate_class=None,
        probability=None,
        text_probabilities=(),
        char_probs=None,
        reads=seen.sightings,
        vehicle_class=None,
        vehicle_colour=None,
        evidence=None,
        closed=closed,
    )
