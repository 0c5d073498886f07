"""A tracker per camera: which sightings are of one vehicle.

At a few frames a second a plate moves by several times its own width between two sightings, so
overlap of boxes says little, and the reading itself is the best witness: two sightings whose
readings contradict each other in many characters are two vehicles, however near they are. The
assignment is scipy's; the cost is ours, because box trackers do not know what was read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from scipy.optimize import linear_sum_assignment

from pipeline.types import (
    Box,
    PlateDetection,
    PlateRead,
    ReadPlate,
    Recognition,
    VehicleDetection,
)
from pipeline.voting import Vote, agreement

MAX_CONFLICTS = 1
"""Surely different characters that a misread may explain, where one frame follows the other.
After a gap it takes none: taxis of one fleet follow each other with plates almost alike."""
CONTINUOUS_FRAMES = 1.6
"""Up to so many sampling intervals, two sightings follow each other without a gap …"""
CONTINUOUS_S = 0.45
"""… and up to so many seconds: no two vehicles drive through one place so shortly after another."""
MAX_STEP_WIDTHS = 6.0
"""How far a plate may jump between two frames, in plate widths, when its motion is unknown."""
MAX_GROWTH = 1.8
"""By which factor a plate's width may change between two frames."""
SAME_PLACE = 0.4
"""Intersection over union from which two vehicles cannot both be there."""
MIN_OVERLAP = 0.15
"""Least intersection over union of two boxes of one vehicle that shows no plate."""
MOST_UNREAD = 2
"""A known plate that moves on smoothly is read again after so many sightings all the same."""
NEAR_WIDTHS = 3.0
"""Within so many plate widths another vehicle's plate would be a doubt whose this is."""
SMOOTH_WIDTHS = 0.6
"""How far off its predicted place a known plate may be, in plate widths."""
_FORBIDDEN = 1e6

Position: TypeAlias = tuple[float, float, float]  # centre x, y and width of a plate, pixels


@dataclass(frozen=True, slots=True, eq=False)
class KnownRead(PlateRead):
    """What is known of a plate, in place of a read: it adds nothing to the vote."""


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """One vehicle in one frame: its plate, its body, or both."""

    plate: ReadPlate | None
    vehicle: VehicleDetection | None

    @property
    def plate_position(self) -> Position | None:
        """Where the plate is."""
        return None if self.plate is None else self.position_of(self.plate.detection)

    @staticmethod
    def position_of(plate: PlateDetection) -> Position:
        """Where a detected plate is."""
        corners = plate.corners
        centre = corners.mean(axis=0)
        width = float(np.linalg.norm(corners[1] - corners[0]))
        return float(centre[0]), float(centre[1]), max(width, 1.0)


@dataclass(slots=True, eq=False)
class Track:
    """One vehicle over time. Owned by the tracker's thread; never leaves it."""

    number: int
    last_s: float
    vote: Vote = field(default_factory=Vote)
    plate_position: Position | None = None
    plate_seen_s: float = 0.0
    plate_velocity: tuple[float, float] | None = None  # plate widths per second, x and y
    vehicle_box: Box | None = None
    known: KnownRead | None = None
    """The vote as a read, once it is beyond doubt; kept by whoever judges the vote."""
    unread: int = 0
    """Sightings in a row whose plate was taken for the known one without being read."""

    def follow(self, sighting: Sighting, at_s: float) -> None:
        """Take over a sighting's position, motion and reading."""
        position = sighting.plate_position
        if position is not None and sighting.plate is not None:
            if self.plate_position is not None and at_s > self.plate_seen_s:
                elapsed = at_s - self.plate_seen_s
                scale = elapsed * position[2]
                self.plate_velocity = (
                    (position[0] - self.plate_position[0]) / scale,
                    (position[1] - self.plate_position[1]) / scale,
                )
            self.plate_position, self.plate_seen_s = position, at_s
            if isinstance(sighting.plate.read, KnownRead):
                self.unread += 1
            else:
                self.unread = 0
                self.vote += Vote.of(sighting.plate.read)
        if sighting.vehicle is not None:
            self.vehicle_box = sighting.vehicle.box
        self.last_s = at_s


class Tracker:
    """Follows the vehicles of one camera.

    ``close_after_s``: a vehicle unseen for this long (media seconds) has left. ``interval_s``:
    from one sampled frame to the next.
    """

    def __init__(self, close_after_s: float, interval_s: float) -> None:
        self._close_after_s = close_after_s
        self._continuous_s = max(CONTINUOUS_FRAMES * interval_s, CONTINUOUS_S)
        self._tracks: list[Track] = []
        self._opened = 0

    def update(self, recognition: Recognition) -> tuple[list[tuple[Track, Sighting]], list[Track]]:
        """Assign the sightings of one frame to tracks, opening new ones where none fits.

        Returns:
            Each sighting with its track, and the tracks whose vehicles have left: unseen for
            ``close_after_s``, or replaced, because another vehicle now stands in their place.
        """
        at_s = recognition.frame.media_s
        gone = [track for track in self._tracks if at_s - track.last_s > self._close_after_s]
        self._tracks = [track for track in self._tracks if track not in gone]
        seen = sightings(recognition)
        assigned = self._assign(seen, at_s)
        unseen = [track for track in self._tracks if track not in assigned.values()]
        pairs = []
        for index, sighting in enumerate(seen):
            track = assigned.get(index)
            if track is None:
                self._opened += 1
                track = Track(self._opened, at_s)
                self._tracks.append(track)
                replaced = [old for old in unseen if _in_place_of(sighting, old)]
                unseen = [old for old in unseen if old not in replaced]
                gone += replaced
            track.follow(sighting, at_s)
            pairs.append((track, sighting))
        self._tracks = [track for track in self._tracks if track not in gone]
        return pairs, gone

    def known_read(self, plate: PlateDetection, at_s: float) -> KnownRead | None:
        """The reading of a plate that is plainly a known one seen again; else it must be read.

        Plainly: only one track can be there, its vehicle moves as it did, and it has not gone
        unread for ``MOST_UNREAD`` sightings. A vehicle that takes another's place so smoothly
        that it fits is found out by the next read.
        """
        position = Sighting.position_of(plate)
        near = [
            track
            for track in self._tracks
            if track.plate_position is not None
            and _distance(track, track.plate_position, position, at_s) <= NEAR_WIDTHS
        ]
        if len(near) != 1 or near[0].known is None or near[0].unread >= MOST_UNREAD:
            return None
        (track,) = near
        last, velocity = track.plate_position, track.plate_velocity
        if last is None or velocity is None or at_s - track.plate_seen_s > self._continuous_s:
            return None
        ahead = (at_s - track.plate_seen_s) * position[2]
        missed = math.hypot(
            position[0] - last[0] - velocity[0] * ahead, position[1] - last[1] - velocity[1] * ahead
        )
        smooth = missed <= SMOOTH_WIDTHS * position[2]
        return track.known if smooth and 1 / 1.3 <= position[2] / last[2] <= 1.3 else None

    @property
    def tracks(self) -> Sequence[Track]:
        """Those in view, or unseen for less than ``close_after_s``."""
        return self._tracks

    def close(self) -> list[Track]:
        """Remove and return every track: the source has ended."""
        gone, self._tracks = self._tracks, []
        return gone

    def _assign(self, seen: Sequence[Sighting], at_s: float) -> dict[int, Track]:
        if not seen or not self._tracks:
            return {}
        costs = np.array(
            [[cost(track, one, at_s, self._continuous_s) for one in seen] for track in self._tracks]
        )
        rows, columns = linear_sum_assignment(costs)
        return {
            int(column): self._tracks[int(row)]
            for row, column in zip(rows, columns, strict=True)
            if costs[row, column] < _FORBIDDEN
        }


def sightings(recognition: Recognition) -> list[Sighting]:
    """Pair the plates of a frame with the vehicles that bear them.

    A plate belongs to the smallest vehicle whose box holds its centre; a vehicle bears at most
    one plate, one that can be read before one that cannot. What cannot be read on a vehicle that
    bears a plate already is lettering, not another vehicle.
    """
    bearer: dict[int, ReadPlate] = {}
    alone: list[ReadPlate] = []
    for plate in sorted(
        recognition.plates, key=lambda one: (one.read.text is None, -one.detection.confidence)
    ):
        x, y = (float(value) for value in plate.detection.corners.mean(axis=0))
        holders = [
            index for index, vehicle in enumerate(recognition.vehicles) if _holds(vehicle.box, x, y)
        ]
        free = [index for index in holders if index not in bearer]
        if free:
            bearer[min(free, key=lambda index: _area(recognition.vehicles[index].box))] = plate
        elif plate.read.text is not None or not holders:
            alone.append(plate)
    paired = [
        Sighting(bearer.get(index), vehicle) for index, vehicle in enumerate(recognition.vehicles)
    ]
    return paired + [Sighting(plate, None) for plate in alone]


def cost(track: Track, sighting: Sighting, at_s: float, continuous_s: float) -> float:
    """How unlikely it is that ``sighting`` continues ``track``: 0 is certain, 1e6 impossible.

    ``continuous_s``: seconds up to which two sightings follow each other without a gap.
    """
    position = sighting.plate_position
    if sighting.plate is not None and position is not None and track.plate_position is not None:
        conflicts, overlap = agreement(track.vote.char_probs, sighting.plate.read.char_probs)
        continuous = at_s - track.plate_seen_s <= continuous_s
        if conflicts > (MAX_CONFLICTS if continuous else 0):
            return _FORBIDDEN
        moved = _distance(track, track.plate_position, position, at_s)
        growth = abs(math.log(position[2] / track.plate_position[2]))
        reach = MAX_STEP_WIDTHS * (2.0 if conflicts == 0 and overlap > 0.8 else 1.0)
        if moved > reach or growth > math.log(MAX_GROWTH) * max(1.0, at_s - track.plate_seen_s):
            return _FORBIDDEN
        return moved / reach + growth + (1.0 - overlap)
    if sighting.vehicle is not None and track.vehicle_box is not None:
        overlap = intersection_over_union(sighting.vehicle.box, track.vehicle_box)
        return 2.0 - overlap if overlap >= MIN_OVERLAP else _FORBIDDEN
    if position is not None and track.vehicle_box is not None:
        inside = _holds(track.vehicle_box, position[0], position[1])
        return 2.5 if inside else _FORBIDDEN
    if sighting.vehicle is not None and track.plate_position is not None:
        inside = _holds(sighting.vehicle.box, track.plate_position[0], track.plate_position[1])
        return 2.5 if inside else _FORBIDDEN
    return _FORBIDDEN


def _in_place_of(sighting: Sighting, track: Track) -> bool:
    """Whether a newly seen vehicle stands where ``track``'s vehicle would still have to be."""
    if sighting.vehicle is None or sighting.plate is None or track.vehicle_box is None:
        return False
    return intersection_over_union(sighting.vehicle.box, track.vehicle_box) >= SAME_PLACE


def intersection_over_union(one: Box, other: Box) -> float:
    """Overlap of two boxes, 0 to 1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (_area(one) + _area(other) - shared)


def _distance(track: Track, last: Position, position: Position, at_s: float) -> float:
    """From where the track is expected to where a plate was seen, in plate widths."""
    x, y, _ = last
    elapsed = at_s - track.plate_seen_s
    straight = math.hypot(position[0] - x, position[1] - y) / position[2]
    if track.plate_velocity is None:
        return straight
    ahead = elapsed * position[2]
    predicted = math.hypot(
        position[0] - x - track.plate_velocity[0] * ahead,
        position[1] - y - track.plate_velocity[1] * ahead,
    )
    return min(straight, predicted / position[2])


def _holds(box: Box, x: float, y: float) -> bool:
    margin_x, margin_y = 0.05 * (box[2] - box[0]), 0.05 * (box[3] - box[1])
    return (
        box[0] - margin_x <= x <= box[2] + margin_x and box[1] - margin_y <= y <= box[3] + margin_y
    )


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
