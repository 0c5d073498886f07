"""Recognitions made by hand: what a perfect detector and reader would say of a drive past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from pipeline.types import (
    ALPHABET,
    SLOTS,
    Frame,
    PlateClass,
    PlateDetection,
    PlateRead,
    ReadPlate,
    Recognition,
    VehicleClass,
    VehicleColour,
    VehicleDetection,
)

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
SIZE = (360, 640)


def frame(at_s: float, camera: str = "gate", shade: int = 90) -> Frame:
    image = np.full((*SIZE, 3), shade, dtype=np.uint8)
    at = START + timedelta(seconds=at_s)
    return Frame(camera, round(at_s * 25), at, at_s, at_s, image)


def read(
    text: str | None, sure: float = 0.99, char_errors: dict[int, str] | None = None
) -> PlateRead:
    """A read in which every character has probability ``sure``.

    ``char_errors``: slot → the character that the reader takes for the likeliest there.
    """
    shown = list(text or "")
    for slot, character in (char_errors or {}).items():
        shown[slot] = character
    probs = np.full((SLOTS, len(ALPHABET)), (1 - sure) / (len(ALPHABET) - 1), dtype=np.float32)
    if text is None:
        probs[:] = 1 / len(ALPHABET)
    else:
        for slot in range(SLOTS):
            probs[slot, ALPHABET.index(shown[slot]) if slot < len(shown) else 0] = sure
    classes = np.full(len(PlateClass), 0.1 / len(PlateClass), dtype=np.float32)
    classes[0] += 0.9
    said = "".join(shown) or None
    count = len(shown)
    return PlateRead(said, PlateClass.BLUE, sure**count, (sure,) * count, probs, classes)


def plate(x: float, y: float, width: float, reading: PlateRead) -> ReadPlate:
    height = width * 140 / 440
    corners = np.array(
        [[x, y], [x + width, y], [x + width, y + height], [x, y + height]], dtype=np.float32
    )
    return ReadPlate(PlateDetection(corners, 0.9), reading)


def car(
    x: float,
    y: float,
    width: float,
    kind: VehicleClass = VehicleClass.CAR,
    colour: VehicleColour | None = None,
) -> VehicleDetection:
    """A vehicle around a plate at ``x``, ``y`` of that ``width``."""
    box = (x - 1.6 * width, y - 2.5 * width, x + 2.6 * width, y + 0.6 * width)
    return VehicleDetection(box, kind, 0.8, colour)


def drive_past(
    text: str,
    start_s: float,
    seconds: float = 1.0,
    fps: float = 5.0,
    x: float = 280.0,
    with_vehicle: bool = True,
    sure: float = 0.97,
) -> list[Recognition]:
    """One vehicle coming nearer in one lane."""
    recognitions = []
    for index in range(round(seconds * fps)):
        at_s = start_s + index / fps
        width = 50.0 + 8 * index
        y = 150.0 + 25 * index
        plates = (plate(x, y, width, read(text, sure)),)
        vehicles = (car(x, y, width),) if with_vehicle else ()
        recognitions.append(Recognition(frame(at_s), plates, vehicles))
    return recognitions


def merge(*streams: list[Recognition]) -> list[Recognition]:
    """Several drives past the same camera at once, in order of time."""
    by_time: dict[int, list[Recognition]] = {}
    for stream in streams:
        for one in stream:
            by_time.setdefault(round(one.frame.media_s * 1000), []).append(one)
    merged = []
    for _, group in sorted(by_time.items()):
        plates = tuple(plate for one in group for plate in one.plates)
        vehicles = tuple(vehicle for one in group for vehicle in one.vehicles)
        merged.append(Recognition(group[0].frame, plates, vehicles))
    return merged
