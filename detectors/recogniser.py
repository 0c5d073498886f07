"""The whole of recognition behind one object: pictures in, plates read and vehicles out.

    recogniser = load_recogniser()
    for plates, vehicles in recogniser.recognise([image]):
        ...

Everything runs in batches: one pass of the scene net for pictures of one input shape, one of the
reader for all plates of the batch, one of the colour net for all vehicles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from detectors.base import ColourClassifier, PlateReader, SceneDetector
from detectors.colour import ColourNet
from detectors.manifest import load_model
from detectors.preprocess import PLATE_SIZE, crop_box, rectify, resize_plate
from detectors.reader import ReaderOptions, SlotReader
from detectors.scene import SceneNet, SceneOptions
from pipeline.types import BLANK, ImageBgr, PlateRead, ReadPlate, VehicleDetection

BLANK_LIMIT = 0.5
"""From this probability of a blank first slot on, the reader sees no plate."""
SURE_PLATE = 0.75
"""A detection this sure stays, whatever the reader says."""

Recognised: TypeAlias = tuple[tuple[ReadPlate, ...], tuple[VehicleDetection, ...]]


@dataclass(frozen=True, slots=True)
class Recogniser:
    """A detector, a reader and a colour classifier, working together.

    ``version`` names the weights. Calls are safe from several threads; the networks run one
    batch at a time.
    """

    detector: SceneDetector
    reader: PlateReader
    colour: ColourClassifier | None = None
    version: str = "unversioned"
    close_up: SceneDetector | None = None

    def recognise(self, images: Sequence[ImageBgr]) -> list[Recognised]:
        """Plates with reads, and vehicles with colours, for each picture in order."""
        found = self.detector.detect(images)
        plates = [
            rectify(image, plate.corners)
            for image, detections in zip(images, found, strict=True)
            for plate in detections.plates
        ]
        reads = iter(self.reader.read(plates))
        vehicles = [
            crop_box(image, vehicle.box)
            for image, detections in zip(images, found, strict=True)
            for vehicle in detections.vehicles
        ]
        colours = iter(self.colour.colours(vehicles) if self.colour else [None] * len(vehicles))
        answers: list[Recognised] = []
        for detections in found:
            pairs = [ReadPlate(plate, next(reads)) for plate in detections.plates]
            answers.append(
                (
                    tuple(pair for pair in pairs if _plausible(pair)),
                    tuple(replace(v, colour=next(colours)) for v in detections.vehicles),
                )
            )
        return answers

    def read_crops(self, images: Sequence[ImageBgr]) -> list[PlateRead]:
        """Read pictures that are one plate already cut out, of any size.

        Each is read as it is and, where the detector finds the plate inside it (a margin, a
        tilt), once more straightened; the surer read counts.
        """
        candidates: list[ImageBgr] = [resize_plate(image) for image in images]
        owners = list(range(len(images)))
        detector = self.close_up or self.detector
        for index, detections in enumerate(detector.detect([_framed(i) for i in images])):
            if detections.plates:
                framed = _framed(images[index])
                candidates.append(rectify(framed, detections.plates[0].corners, PLATE_SIZE))
                owners.append(index)
        best: dict[int, PlateRead] = {}
        for owner, read in zip(owners, self.reader.read(candidates), strict=True):
            if owner not in best or read.probability > best[owner].probability:
                best[owner] = read
        return [best[index] for index in range(len(images))]


def _plausible(plate: ReadPlate) -> bool:
    """Whether detector and reader together still call it a plate.

    The reader learned to leave all slots blank on what is no plate. Where it does and the
    detector is not sure either, the detection is dropped; a sure detection stays, unread.
    """
    blank = float(plate.read.char_probs[0, BLANK])
    return blank < BLANK_LIMIT or plate.detection.confidence >= SURE_PLATE


def _framed(crop: ImageBgr) -> ImageBgr:
    """A crop with its own edge repeated around it: the detector wants surroundings."""
    edge = max(4, round(0.25 * min(crop.shape[:2])))
    framed = cv2.copyMakeBorder(crop, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
    return np.asarray(framed, np.uint8)


def load_recogniser(
    weights: Path | None = None,
    *,
    threads: int = 0,
    second_look: bool = False,
    scene: SceneOptions | None = None,
    scene_weights: Path | None = None,
) -> Recogniser:
    """A recogniser on the CPU from a weights folder, the shipped one if none is given.

    ``threads`` 0: all cores. ``second_look``: see :class:`detectors.scene.SceneOptions`.
    ``scene_weights``: a ``.pt`` of one's own that replaces the scene net, run by ultralytics.
    Raises WeightsError where weights are missing, altered or unusable.
    """
    from detectors.backends.openvino import OpenVinoNetwork

    options = scene or SceneOptions(second_look=second_look)
    reader_model = load_model("reader", weights)
    colour_model = load_model("colour", weights)
    detector: SceneDetector
    close_up: SceneDetector | None = None
    if scene_weights is not None:
        from detectors.backends.ultralytics import UltralyticsDetector

        detector = UltralyticsDetector(scene_weights)
        version = scene_weights.name
    else:
        scene_model = load_model("scene", weights)
        network = OpenVinoNetwork(scene_model.path, threads)
        detector = SceneNet(network, options)
        close_up = SceneNet(network, replace(options, side=256, second_look=False))
        version = scene_model.version
    reader = SlotReader(
        OpenVinoNetwork(reader_model.path, threads, "f32"),
        ReaderOptions(temperature=float(reader_model.details.get("temperature", 1.0))),
    )
    colour = ColourNet(
        OpenVinoNetwork(colour_model.path, threads, "f32"),
        float(colour_model.details.get("temperature", 1.0)),
    )
    return Recogniser(
        detector, reader, colour, f"scene {version}, reader {reader_model.version}", close_up
    )
