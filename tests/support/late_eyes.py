"""How an overloaded node sees a camera: late, few of the frames, and by a clock that is off.

The passages are made by the real builder, from frames as a perfect detector would see them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any, cast

import numpy as np

from pipeline.clock import ManualClock
from pipeline.config import CameraSettings, PassageSettings
from pipeline.evidence import EvidenceStore
from pipeline.passage import PassageBuilder
from pipeline.types import Frame, Passage, Recognition
from tests.support.scenes import SIZE, START, car, plate, read
from tests.support.simulated_nodes import STEP_S, Glance, Vehicle

_LANES_X = (60.0, 260.0, 460.0)
_IMAGE = np.full((*SIZE, 3), 90, dtype=np.uint8)


@dataclass(frozen=True)
class Sight:
    """``lag``: steps from a frame to its recognition. ``drops``: whether a frame is never looked
    at. ``off_s``: by how much its dates are off. ``reads``: whether plates can be read."""

    lag: int = 0
    drops: Callable[[int], bool] = lambda frame: False
    off_s: float = 0.0
    reads: bool = True


class LateEyes:
    """The real builder behind what this node gets to see."""

    def __init__(self, node: str, name: str, sight: Sight) -> None:
        numbers = count(1)
        self._sight = sight
        self._name = name
        self._next: int | None = None
        self._builder = PassageBuilder(
            CameraSettings(name=name, source="rtsp://192.0.2.1/x"),
            PassageSettings(),
            cast(EvidenceStore, _NoPictures()),
            ManualClock(),
            new_id=lambda: f"{node}-{name}-{next(numbers)}",
        )

    @property
    def idle(self) -> bool:
        return self._builder.idle

    def look(self, now: int, traffic: Sequence[Vehicle]) -> list[Glance]:
        if self._next is None:
            self._next = now
        glances = []
        while self._next + self._sight.lag <= now:
            if not self._sight.drops(self._next):
                glances.append(self._glance(self._next, traffic))
            self._next += 1
        return glances

    def close(self, *, but_untold_at: datetime | None = None) -> list[Passage]:
        return self._builder.close(but_untold_at=but_untold_at)

    def _glance(self, step: int, traffic: Sequence[Vehicle]) -> Glance:
        here = [vehicle for vehicle in traffic if vehicle.first <= step <= vehicle.last]
        media_s = step * STEP_S
        at = START + timedelta(seconds=media_s + self._sight.off_s)
        frame = Frame(self._name, step, at, media_s, media_s, _IMAGE)
        plates, vehicles = [], []
        for vehicle in here:
            age = step - vehicle.first
            x, y, width = _LANES_X[_lane(vehicle)], 80.0 + 5 * age, 50.0 + age
            readable = self._sight.reads and vehicle.read and age >= vehicle.read_from
            shown = vehicle.plate if readable else None
            plates.append(plate(x, y, width, read(shown, 0.97)))
            vehicles.append(car(x, y, width))
        scene = Recognition(frame, tuple(plates), tuple(vehicles))
        passages = self._builder.update(scene)
        return Glance(at, media_s, not here, passages)


def _lane(vehicle: Vehicle) -> int:
    return int(vehicle.plate[-1]) % len(_LANES_X)


class _NoPictures:
    def save(self, *_: Any) -> None:
        return None
