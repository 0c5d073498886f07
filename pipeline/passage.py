"""Passages: what one camera's tracks amount to.

A passage is emitted when its reading is settled, again with the next revision when a later
frame changes what was said, and a last time when the vehicle has left.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import cv2
import numpy as np

from detectors.decode import decode
from pipeline.clock import Clock
from pipeline.config import CameraSettings, LaneSettings, PassageSettings
from pipeline.evidence import Cutting, EvidenceStore, cut
from pipeline.tracking import KnownRead, Sighting, Track, Tracker
from pipeline.types import (
    Frame,
    Passage,
    PlateClass,
    PlateDetection,
    PlateRead,
    Present,
    Recognition,
    VehicleClass,
    VehicleColour,
)
from pipeline.voting import Vote

_CUTTINGS = 4  # pictures kept for one vehicle: one for each of the texts that lead
_COLOUR_SIGHTINGS = 3
_COLOUR_SHARE = 0.6
_KNOWN_READS = 3  # agreeing ones, from which a plate need not be read each time …
_KNOWN_PROBABILITY = 0.98  # … where their vote is as sure as this
_PATIENCE_S = 3.0  # for a vehicle to be read; afterwards nothing new is expected of it
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Candidate:
    """A vehicle on its way to being a passage. Owned by the camera's builder."""

    id: str
    start_s: float
    started_at: datetime
    end_s: float
    ended_at: datetime
    arrived_s: float
    lanes: Counter[LaneSettings] = field(default_factory=Counter)
    classes: Counter[VehicleClass] = field(default_factory=Counter)
    colours: Counter[VehicleColour] = field(default_factory=Counter)
    cuttings: dict[str | None, tuple[float, Cutting]] = field(default_factory=dict)
    whole_sightings: int = 0
    vote_before: Vote = field(default_factory=Vote)
    emitted: Passage | None = None


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What the vote says now."""

    plate: str | None
    probability: float | None
    text_probabilities: tuple[float, ...]
    settled: bool


class PassageBuilder:
    """Turns one camera's recognitions into passages. Owned by one thread.

    Args:
        camera: the camera with its lanes.
        settings: when a passage is settled and closed.
        evidence: where the pictures go.
        clock: for the latency from a frame's arrival to its passage.
        new_id: makes a passage's identifier.
        skips_known: a plate whose vote is beyond doubt need not be read each time.
    """

    def __init__(
        self,
        camera: CameraSettings,
        settings: PassageSettings,
        evidence: EvidenceStore,
        clock: Clock,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        *,
        skips_known: bool = False,
    ) -> None:
        self._camera = camera
        self._settings = settings
        self._evidence = evidence
        self._clock = clock
        self._new_id = new_id
        self._skips_known = skips_known
        self._tracker = Tracker(settings.close_after_s, 1.0 / camera.sample_fps)
        self._candidates: dict[int, _Candidate] = {}
        self._left: dict[str, _Candidate] = {}  # by plate: who may come back
        self.seen: tuple[datetime, float] | None = None
        """When the latest frame was taken, and its media second; None before the first."""

    @property
    def idle(self) -> bool:
        """Whether no vehicle is in view, or was a moment ago."""
        return not self._candidates

    def update(self, recognition: Recognition) -> list[Passage]:
        """Take one frame's recognition; return the passages that it settles, amends or closes."""
        frame = recognition.frame
        self.seen = (frame.captured_at, frame.media_s)
        passages = []
        pairs, departed = self._tracker.update(recognition)
        for track in departed:
            passages += self._close(track)
        for track, sighting in pairs:
            if track.number not in self._candidates:
                self._candidates[track.number] = self._opened(frame)
            verdict = self._verdict(track)
            self._note(self._candidates[track.number], recognition, sighting)
            candidate = self._candidates[track.number]
            if verdict.settled:
                candidate = self._taken_up_again(track, candidate, verdict)
                self._candidates[track.number] = candidate
            passages += self._emit_if_settled(track, candidate, verdict)
            self._note_known(track, verdict)
        return passages

    def known_read(self, plate: PlateDetection, at_s: float) -> PlateRead | None:
        """The reading of a plate that need not be read; see :meth:`Tracker.known_read`."""
        return self._tracker.known_read(plate, at_s)

    def in_view(self, at_s: float) -> Present:
        """Vehicles in view, or a moment ago.

        One that nothing could be read of for long is not waited for: it stands there for good.
        """
        known = {track.number for track in self._tracker.tracks if track.known is not None}
        waited_for = {
            number: candidate
            for number, candidate in self._candidates.items()
            if at_s - candidate.start_s <= _PATIENCE_S
        }
        return Present(
            len(self._candidates),
            unsettled=sum(one.emitted is None for one in waited_for.values()),
            doubtful=len(waited_for.keys() - known),
        )

    def close(self, *, but_untold_at: datetime | None = None) -> list[Passage]:
        """The source has ended: close every passage.

        ``but_untold_at``: except those that were never told and were still seen then; another node
        tells them.
        """
        tracks = self._tracker.close()
        for track in list(tracks):
            candidate = self._candidates[track.number]
            if candidate.emitted is None and candidate.ended_at == but_untold_at:
                del self._candidates[track.number]
                tracks.remove(track)
        return [passage for track in tracks for passage in self._close(track)]

    def _opened(self, frame: Frame) -> _Candidate:
        at_s, at = frame.media_s, frame.captured_at
        return _Candidate(self._new_id(), at_s, at, at_s, at, frame.arrived_s)

    def _note(self, candidate: _Candidate, recognition: Recognition, sighting: Sighting) -> None:
        frame = recognition.frame
        candidate.end_s, candidate.ended_at = frame.media_s, frame.captured_at
        candidate.arrived_s = frame.arrived_s
        lane = self._lane(frame, sighting)
        if lane is not None:
            candidate.lanes[lane] += 1
        height, width = frame.image.shape[:2]
        if sighting.vehicle is not None:
            vehicle = sighting.vehicle
            candidate.classes[vehicle.vehicle_class] += 1
            if vehicle.colour is not None:
                candidate.colours[vehicle.colour] += 1
            x1, y1, x2, y2 = vehicle.box
            inside = x1 > 2 and y1 > 2 and x2 < width - 2 and y2 < height - 2
            if inside and x2 - x1 > 0.12 * width:
                candidate.whole_sightings += 1
        if sighting.plate is not None and isinstance(sighting.plate.read, KnownRead):
            return  # not read here: no evidence of what it says
        text, score = None, 0.0
        if sighting.plate is not None:
            read = sighting.plate.read
            text = read.text
            score = read.probability if text else sighting.plate.detection.confidence
            if sighting.vehicle is not None:
                score += 0.05  # of two equal reads, the picture that shows the vehicle
        elif sighting.vehicle is not None:
            score = sighting.vehicle.confidence
        best = candidate.cuttings.get(text)
        if best is None or score > best[0]:
            candidate.cuttings[text] = (
                score,
                cut(frame, sighting, recognition.vehicles),
            )
            if len(candidate.cuttings) > _CUTTINGS:
                del candidate.cuttings[
                    min(candidate.cuttings, key=lambda t: candidate.cuttings[t][0])
                ]

    def _verdict(self, track: Track) -> _Verdict:
        if track.vote.reads == 0:
            return _Verdict(None, None, (), settled=False)
        decoded = decode(track.vote.char_probs)
        if decoded.text is None:
            return _Verdict(None, None, (), settled=False)
        probability = track.vote.honest(decoded.text, decoded.probability)
        if probability < self._settings.readable_probability:
            return _Verdict(None, None, (), settled=False)
        agreeing = track.vote.best_reads.get(decoded.text, (0, 0.0))[0]
        settled = (
            probability >= self._settings.settled_probability
            and agreeing >= self._settings.settled_reads
        )
        return _Verdict(decoded.text, probability, decoded.text_probabilities, settled)

    def _note_known(self, track: Track, verdict: _Verdict) -> None:
        """Once a vote is beyond doubt, its track's plate is known; while not, it is read."""
        agreeing, _ = track.vote.best_reads.get(verdict.plate or "", (0, 0.0))
        sure = (verdict.probability or 0.0) >= _KNOWN_PROBABILITY
        if not (self._skips_known and verdict.settled and sure and agreeing >= _KNOWN_READS):
            track.known = None
        elif track.known is None or track.unread == 0:
            vote = track.vote
            track.known = KnownRead(
                verdict.plate,
                vote.plate_class,
                verdict.probability or 0.0,
                verdict.text_probabilities,
                vote.char_probs,
                vote.class_probs,
            )

    def _taken_up_again(self, track: Track, candidate: _Candidate, verdict: _Verdict) -> _Candidate:
        """The passage that left a moment ago with this very plate, if there is one."""
        if candidate.emitted is not None or verdict.plate is None:
            return candidate
        earlier = self._left.pop(verdict.plate, None)
        if earlier is None:
            return candidate
        if candidate.start_s - earlier.end_s > self._settings.reopen_within_s:
            return candidate
        track.vote += earlier.vote_before
        earlier.end_s, earlier.ended_at = candidate.end_s, candidate.ended_at
        earlier.arrived_s = candidate.arrived_s
        earlier.cuttings = candidate.cuttings
        return earlier

    def _emit_if_settled(
        self, track: Track, candidate: _Candidate, verdict: _Verdict
    ) -> list[Passage]:
        if not verdict.settled:
            return []
        before = candidate.emitted
        if before is not None and before.plate == verdict.plate:
            return []
        return [self._emit(track, candidate, verdict, closed=False)]

    def _close(self, track: Track) -> list[Passage]:
        candidate = self._candidates.pop(track.number)
        verdict = self._verdict(track)
        before = candidate.emitted
        if before is None and not self._counts(track, candidate, verdict):
            return []
        if before is None:  # a glimpse: too short to settle while it was in view
            candidate = self._taken_up_again(track, candidate, verdict)
            before, verdict = candidate.emitted, self._verdict(track)
        if before is not None and verdict.plate is None:
            verdict = _Verdict(before.plate, before.probability, before.text_probabilities, True)
        passage = self._emit(track, candidate, verdict, closed=True)
        horizon = candidate.end_s - self._settings.reopen_within_s
        self._left = {plate: left for plate, left in self._left.items() if left.end_s >= horizon}
        candidate.cuttings.clear()
        candidate.vote_before = track.vote
        if passage.plate is not None:
            self._left[passage.plate] = candidate
        return [passage]

    def _counts(self, track: Track, candidate: _Candidate, verdict: _Verdict) -> bool:
        """Whether a vehicle whose reading never settled was seen well enough to be a passage.

        A glimpse counts if its reading is sure; else it takes some frames, in which the plate, or
        the whole vehicle, was seen.
        """
        if verdict.plate and (verdict.probability or 0) >= self._settings.settled_probability:
            return True
        seen = track.vote.reads if track.vote.reads else candidate.whole_sightings
        return seen >= self._settings.unread_sightings

    def _emit(
        self, track: Track, candidate: _Candidate, verdict: _Verdict, *, closed: bool
    ) -> Passage:
        before = candidate.emitted
        lane = _likeliest(candidate.lanes)
        direction = (lane.direction if lane else None) or self._camera.direction
        plate_class: PlateClass | None = track.vote.plate_class if verdict.plate else None
        content = (
            verdict.plate,
            plate_class,
            lane.name if lane else None,
            direction,
            _likeliest(candidate.classes),
            _agreed(candidate.colours, closed),
        )
        changed = before is None or content != (
            before.plate,
            before.plate_class,
            before.lane,
            before.direction,
            before.vehicle_class,
            before.vehicle_colour,
        )
        revision = 0 if before is None else before.revision + (1 if changed else 0)
        if before is not None and before.plate == verdict.plate and before.evidence is not None:
            evidence = before.evidence
        else:
            _, cutting = candidate.cuttings.get(verdict.plate) or max(
                candidate.cuttings.values(), key=lambda scored: scored[0]
            )
            evidence = self._evidence.save(candidate.id, revision, cutting)
        passage = Passage(
            id=candidate.id,
            revision=revision,
            camera=self._camera.name,
            lane=content[2],
            direction=direction,
            started_at=candidate.started_at,
            ended_at=candidate.ended_at,
            start_s=candidate.start_s,
            end_s=candidate.end_s,
            plate=verdict.plate,
            plate_class=plate_class,
            probability=verdict.probability,
            text_probabilities=verdict.text_probabilities,
            char_probs=track.vote.char_probs if track.vote.reads else None,
            reads=track.vote.reads,
            vehicle_class=content[4],
            vehicle_colour=content[5],
            evidence=evidence,
            closed=closed,
            latency_s=self._clock.monotonic() - candidate.arrived_s,
        )
        candidate.emitted = passage
        return passage

    def _lane(self, frame: Frame, sighting: Sighting) -> LaneSettings | None:
        if not self._camera.lanes:
            return None
        height, width = frame.image.shape[:2]
        if sighting.plate is not None:
            x, y = (float(value) for value in sighting.plate.detection.corners.mean(axis=0))
        elif sighting.vehicle is not None:
            x = (sighting.vehicle.box[0] + sighting.vehicle.box[2]) / 2
            y = sighting.vehicle.box[3]
        else:
            return None
        for lane in self._camera.lanes:
            polygon = np.array(lane.polygon, dtype=np.float32)
            if cv2.pointPolygonTest(polygon, (x / width, y / height), False) >= 0:
                return lane
        return None


def _agreed(counts: Counter[T], closed: bool) -> T | None:
    """What most sightings say; while the vehicle is in view, only after some of them.

    A colour told too early would differ from a watchlist entry's for no reason.
    """
    likeliest = _likeliest(counts)
    if likeliest is None or (counts.total() < _COLOUR_SIGHTINGS and not closed):
        return None
    return likeliest if counts[likeliest] >= _COLOUR_SHARE * counts.total() else None


def _likeliest(counts: Counter[T]) -> T | None:
    return counts.most_common(1)[0][0] if counts else None
