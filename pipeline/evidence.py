"""Evidence: the picture that a hit is judged by, cut from the frame that carried the vote."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from pipeline.clock import Clock, SystemClock
from pipeline.evidence_manifest import PICTURE, Chain, Manifest, Origin, beside
from pipeline.health import Health
from pipeline.tracking import Sighting
from pipeline.types import Box, Corners, Evidence, Frame, ImageBgr, VehicleClass, VehicleDetection

UNBLURRED_FOLDER: Final = "evidence-unblurred"
"""Name of the folder of unblurred originals in its data folder; its owner alone may read it."""

_BLOCK: Final = 24  # glass is shrunk and enlarged again by this at least: no face survives it
_BLOCKS_ACROSS: Final = 30  # of a vehicle's width at most: a face has three of them, not more
_GLASS_SHARE: Final = 0.55  # of a vehicle's height, from above: where people may be seen
_WINDOW_SHARE: Final = 0.42  # … and where a car's windows end, seen from as low as they are
_LOW: Final = (VehicleClass.CAR, VehicleClass.VAN)
_SAME_VEHICLE: Final = 0.6  # detections that overlap this far are two of one vehicle
_MODE: Final = 0o600  # of what is not for everybody who may read evidence

Pixels = tuple[int, int, int, int]
"""x1, y1, x2, y2 in whole pixels, the latter two excluded."""


@dataclass(frozen=True, slots=True, eq=False)
class Cutting:
    """A vehicle cut out of its frame, kept until a passage needs it as evidence.

    ``image``: (H, W, 3) uint8 BGR, a copy. ``glass_bottom``: rows above this one may show
    people; so may ``others``, the upper parts of other vehicles. ``plate_corners`` are pixels of
    ``image``, None where no plate was seen.
    """

    image: ImageBgr
    glass_bottom: int
    media_s: float
    captured_at: datetime
    camera: str = ""
    frame: int = 0
    plate_corners: Corners | None = None
    others: tuple[Pixels, ...] = field(default=())


def cut(frame: Frame, sighting: Sighting, vehicles: Sequence[VehicleDetection] = ()) -> Cutting:
    """Cut the vehicle with its plate; around a plate alone, what a car of its size would fill.

    ``vehicles``: all of the frame; those beside the one that is cut are blurred as well.
    """
    height, width = frame.image.shape[:2]
    plate: Box | None = sighting.plate.detection.box if sighting.plate else None
    plate_width = plate[2] - plate[0] if plate else 0.0
    boxes = [sighting.vehicle.box] if sighting.vehicle else []
    if plate:
        boxes.append((plate[0] - 12, plate[1] - 12, plate[2] + 12, plate[3] + 12))
        if not sighting.vehicle:
            left, right = plate[0] - 1.8 * plate_width, plate[2] + 1.8 * plate_width
            boxes.append((left, plate[1] - 3.2 * plate_width, right, plate[3] + plate_width))
    x1, y1 = (max(int(min(box[i] for box in boxes)), 0) for i in (0, 1))
    x2 = min(int(max(box[2] for box in boxes)) + 1, width)
    y2 = min(int(max(box[3] for box in boxes)) + 1, height)
    glass = y1 + _GLASS_SHARE * (y2 - y1)
    if plate:
        glass = plate[1] - 1.2 * plate_width
        if sighting.vehicle and sighting.vehicle.vehicle_class in _LOW:
            top, bottom = sighting.vehicle.box[1], sighting.vehicle.box[3]
            window = top + _WINDOW_SHARE * (bottom - top)
            glass = max(glass, min(window, plate[1] - 0.2 * plate_width))
    corners = None
    if sighting.plate:
        offset = np.array([x1, y1], np.float32)
        corners = np.asarray(sighting.plate.detection.corners - offset, np.float32)
    return Cutting(
        frame.image[y1:y2, x1:x2].copy(),
        min(max(int(glass) - y1, 0), y2 - y1),
        frame.media_s,
        frame.captured_at,
        frame.camera,
        frame.sequence,
        corners,
        _glass_of_others(sighting, vehicles, (x1, y1, x2, y2)),
    )


class EvidenceStore:
    """Evidence pictures as JPEG files with their manifests, one folder a day. One thread owns it.

    Args:
        root: folder for the pictures, made when missing.
        health: told when the disk refuses a picture, and when it takes one again.
        quality: JPEG quality, 30 to 100.
        blur_occupants: blur where people may be seen.
        originals: folder for the unblurred pictures; None: they are not kept.
        origin: what the manifests say of this process.
        list_version: the list's version as it was seen last, without asking anyone.
        clock: for the time of saving.
    """

    def __init__(
        self,
        root: Path,
        health: Health,
        quality: int = 85,
        blur_occupants: bool = True,
        *,
        originals: Path | None = None,
        origin: Origin | None = None,
        list_version: Callable[[], int | None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        self._root = root
        self._health = health
        self._quality = quality
        self._blur = blur_occupants
        self._originals = originals if blur_occupants else None
        self._origin = origin or Origin()
        self._list_version = list_version
        self._clock = clock or SystemClock()
        self._chain = Chain(root)

    def save(self, passage_id: str, revision: int, cutting: Cutting) -> Evidence:
        """Write one picture with its manifest. Where the disk refuses it, it still travels with
        its hit."""
        image = people_blurred(cutting) if self._blur else cutting.image
        jpeg = self._encoded(image)
        name = f"{passage_id}-{revision}{PICTURE}"
        path = Path(cutting.captured_at.strftime("%Y-%m-%d")) / name
        digest = hashlib.sha256(jpeg).hexdigest()
        problem = None
        try:
            original = self._keep_original(path, cutting)
            self._write(path, jpeg, digest, original, passage_id, revision, cutting)
        except OSError as error:
            problem = (
                f"evidence cannot be written to {error.filename or self._root}: {error.strerror}; "
                "free the disk or name another data_dir"
            )
            self._take_back(path)
        self._health.report("evidence", problem)
        return Evidence(path.as_posix(), digest, cutting.media_s, jpeg, cutting.plate_corners)

    def _encoded(self, image: ImageBgr) -> bytes:
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self._quality])
        return encoded.tobytes()

    def _keep_original(self, path: Path, cutting: Cutting) -> str | None:
        """Write the unblurred picture, where that is wanted; its SHA-256."""
        if self._originals is None:
            return None
        jpeg = self._encoded(cutting.image)
        target = self._originals / path
        target.parent.mkdir(parents=True, exist_ok=True)
        self._originals.chmod(0o700)
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE), "wb") as file:
            file.write(jpeg)
        return hashlib.sha256(jpeg).hexdigest()

    def _write(
        self,
        path: Path,
        jpeg: bytes,
        digest: str,
        original: str | None,
        passage_id: str,
        revision: int,
        cutting: Cutting,
    ) -> None:
        """The picture first, then its manifest: where there is a manifest its picture is whole."""
        target = self._root / path
        try:
            target.write_bytes(jpeg)
        except FileNotFoundError:  # the first of its day
            target.parent.mkdir(parents=True, exist_ok=True)
            self._chain.reopen()
            target.write_bytes(jpeg)
        corners = cutting.plate_corners
        manifest = Manifest(
            passage=passage_id,
            revision=revision,
            path=path.as_posix(),
            sha256=digest,
            size=len(jpeg),
            blurred=self._blur,
            plate_corners=None if corners is None else _rounded(corners),
            original_sha256=original,
            captured_at=cutting.captured_at,
            media_s=cutting.media_s,
            camera=cutting.camera,
            frame=cutting.frame,
            saved_at=self._clock.now(),
            list_version=self._list_version(),
            origin=self._origin,
            chain=self._chain.next(),
        )
        content = manifest.to_json()
        beside(target).write_bytes(content)
        self._chain.written(manifest, content)

    def _take_back(self, path: Path) -> None:
        """Leave no half of a picture behind."""
        folders = (self._root, self._originals) if self._originals else (self._root,)
        for folder in folders:
            for file in (folder / path, beside(folder / path)):
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)


def people_blurred(cutting: Cutting) -> ImageBgr:
    """The picture without the people that it may show: in this vehicle and in those beside it."""
    image = blurred(cutting.image, cutting.glass_bottom)
    if not cutting.others:
        return image
    image = image.copy() if image is cutting.image else image
    for x1, y1, x2, y2 in cutting.others:
        image[y1:y2, x1:x2] = _coarse(image[y1:y2, x1:x2])
    if cutting.plate_corners is not None:  # a vehicle beside it must not take the plate away
        low = np.floor(cutting.plate_corners.min(axis=0)).astype(int)
        high = np.ceil(cutting.plate_corners.max(axis=0)).astype(int) + 1
        x1, y1 = max(int(low[0]), 0), max(int(low[1]), 0)
        x2, y2 = max(int(high[0]), 0), max(int(high[1]), 0)
        image[y1:y2, x1:x2] = cutting.image[y1:y2, x1:x2]
    return image


def blurred(image: ImageBgr, rows: int) -> ImageBgr:
    """A copy of ``image`` whose first ``rows`` rows show no detail."""
    if rows < 2:
        return image
    result: ImageBgr = image.copy()
    result[:rows] = _coarse(result[:rows])
    return result


def _coarse(part: ImageBgr) -> ImageBgr:
    """The same without detail. Blocks grow with the picture: a sharper camera shows no more."""
    height, width = part.shape[:2]
    block = max(_BLOCK, width // _BLOCKS_ACROSS)
    size = (max(width // block, 1), max(height // block, 1))
    step = block // 6  # a few rows and columns tell a block's colour as well as all of them
    sampled = np.ascontiguousarray(part[::step, ::step])
    small = cv2.resize(sampled, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _glass_of_others(
    sighting: Sighting, vehicles: Sequence[VehicleDetection], area: Pixels
) -> tuple[Pixels, ...]:
    """Upper parts of the other vehicles within ``area``, in its own pixels."""
    own = sighting.vehicle
    found = []
    for other in vehicles:
        if other is own or (own is not None and _overlap(own.box, other.box) > _SAME_VEHICLE):
            continue
        if (box := _glass(other.box, area)) is not None:
            found.append((box[0] - area[0], box[1] - area[1], box[2] - area[0], box[3] - area[1]))
    return tuple(found)


def _glass(vehicle: Box, area: Pixels) -> Pixels | None:
    """What of a vehicle's upper part lies in ``area``; None for nothing to speak of."""
    bottom = vehicle[1] + _GLASS_SHARE * (vehicle[3] - vehicle[1])
    x1, y1 = max(int(vehicle[0]), area[0]), max(int(vehicle[1]), area[1])
    x2, y2 = min(int(vehicle[2]) + 1, area[2]), min(int(bottom), area[3])
    return (x1, y1, x2, y2) if x2 - x1 > 1 and y2 - y1 > 1 else None


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)


def _rounded(corners: Corners) -> tuple[tuple[float, float], ...]:
    """Tenths of a pixel are enough to cut a plate out."""
    return tuple((round(float(x), 1), round(float(y), 1)) for x, y in corners)
