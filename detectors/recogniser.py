"""The whole of recognition behind one object: pictures in, plates read and vehicles out.

    recogniser = load_recogniser()
    for plates, vehicles in recogniser.recognise([image]):
        ...

Everything runs in batches: one pass of the scene net for pictures of one input shape, one of the
reader for all plates of the batch, one of the colour net for all vehicles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import cv2
import numpy as np

from detectors.base import (
    ColourClassifier,
    Detections,
    Margin,
    PlateReader,
    SceneDetector,
    View,
    ViewReader,
)
from detectors.colour import PIXELS, SIDE, ColourNet
from detectors.device.choice import choose_device
from detectors.manifest import load_model
from detectors.preprocess import PLATE_MARGIN, crop_box, rectify
from detectors.reader import ReaderOptions, SlotReader, average
from detectors.scene import SceneNet, SceneOptions
from pipeline.errors import ConfigError
from pipeline.types import (
    BLANK,
    Box,
    Corners,
    ImageBgr,
    PlateDetection,
    PlateRead,
    ReadPlate,
    VehicleColour,
    VehicleDetection,
)

VIDEO_SIZES = 4
"""Sizes of pictures, as cameras have them, for which the scene net is compiled of its own."""
BLANK_LIMIT = 0.5
"""From this probability of a blank first slot on, the reader sees no plate."""
SURE_PLATE = 0.8
"""A detection this sure stays, whatever the reader says."""

CLEAR = 0.7
"""A read less likely than this is repeated with :data:`MARGINS`."""
MARGINS = ((0.0, 0.0), (0.06, 0.13), (0.1, 0.2))
"""Shares of width and height kept around a plate's corners, as in ``rectify``."""
CROP_MARGINS = ((0.0, 0.0), (0.03, 0.06), (0.1, 0.2))

Placed: TypeAlias = tuple[ImageBgr, Corners]
Known: TypeAlias = Callable[[int, PlateDetection], PlateRead | None]
"""Index of a picture and a plate in it → its reading, where that needs no more looks."""
Recognised: TypeAlias = tuple[tuple[ReadPlate, ...], tuple[VehicleDetection, ...]]


@dataclass(frozen=True, slots=True)
class Recogniser:
    """A detector, a reader and a colour classifier, working together.

    ``version`` names the weights, ``batch`` is how many pictures suit it at once. Calls are safe
    from several threads; the networks run one batch at a time.
    """

    detector: SceneDetector
    reader: PlateReader
    colour: ColourClassifier | None = None
    version: str = "unversioned"
    close_up: SceneDetector | None = None
    batch: int = 4

    @property
    def device(self) -> str:
        """Where it runs: ``cpu``, or a GPU as torch names it."""
        return "cpu"

    @property
    def input_side(self) -> int | None:
        """Longer side of the pictures that detection works on; None where others may not scale."""
        return self.detector.options.side if isinstance(self.detector, SceneNet) else None

    def recognise(
        self,
        images: Sequence[ImageBgr],
        small: Sequence[ImageBgr | None] | None = None,
        known: Known | None = None,
    ) -> list[Recognised]:
        """Plates with reads, and vehicles with colours, for each picture in order.

        ``small``: the same pictures at :attr:`input_side`, where they have been made; plates are
        found in them and read in ``images``. ``known``: see :meth:`complete`.
        """
        looked_at = [
            image if less is None else less
            for image, less in zip(images, small or [None] * len(images), strict=True)
        ]
        found = [
            one if image is less else enlarged(one, image, less)
            for one, image, less in zip(
                self.detector.detect(looked_at), images, looked_at, strict=True
            )
        ]
        return self.complete(images, found, known, small)

    def complete(
        self,
        images: Sequence[ImageBgr],
        found: Sequence[Detections],
        known: Known | None = None,
        small: Sequence[ImageBgr | None] | None = None,
    ) -> list[Recognised]:
        """Read the plates that were found in ``images``, and tell the colours of the vehicles.

        ``known`` says what a plate's reading is where that is known already: it is not read.
        ``small``: the same pictures smaller, where they have been made; enough for most colours.
        """
        before = [
            [known(index, plate) if known else None for plate in detections.plates]
            for index, detections in enumerate(found)
        ]
        plates = [
            (image, plate.corners)
            for image, detections, reads in zip(images, found, before, strict=True)
            for plate, read in zip(detections.plates, reads, strict=True)
            if read is None
        ]
        fresh = iter(self.read(plates))
        vehicles = [
            _for_colour(image, less, vehicle.box)
            for image, less, detections in zip(
                images, small or [None] * len(images), found, strict=True
            )
            for vehicle in detections.vehicles
        ]
        colours = iter(self.colours(vehicles))
        answers: list[Recognised] = []
        for detections, reads in zip(found, before, strict=True):
            pairs = [
                ReadPlate(plate, read or next(fresh))
                for plate, read in zip(detections.plates, reads, strict=True)
            ]
            answers.append(
                (
                    tuple(pair for pair in pairs if _plausible(pair)),
                    tuple(replace(v, colour=next(colours)) for v in detections.vehicles),
                )
            )
        return answers

    def read_crops(self, images: Sequence[ImageBgr]) -> list[PlateRead]:
        """Read pictures that are one plate already cut out, of any size.

        Each is read with narrower and wider margins at once and, where the detector finds the
        plate inside it (surroundings, a tilt), once more straightened; the surer read counts.
        """
        whole = [(image, _outline(image)) for image in images]
        owners = list(range(len(images)))
        framed = [_framed(image) for image in images]
        for index, detections in enumerate((self.close_up or self.detector).detect(framed)):
            if detections.plates:
                whole.append((framed[index], detections.plates[0].corners))
                owners.append(index)
        best: dict[int, PlateRead] = {}
        for owner, read in zip(owners, self._read_views(whole, CROP_MARGINS), strict=True):
            if owner not in best or read.probability > best[owner].probability:
                best[owner] = read
        return [best[index] for index in range(len(images))]

    def read(self, plates: Sequence[Placed]) -> list[PlateRead]:
        """Read plates once, and those that were not clear again with other margins."""
        reads = self._read_each([(image, corners, PLATE_MARGIN) for image, corners in plates])
        unclear = [i for i, read in enumerate(reads) if read.probability < CLEAR]
        again = self._read_views([plates[i] for i in unclear], MARGINS)
        for index, read in zip(unclear, again, strict=True):
            reads[index] = average([reads[index], read, read, read])
        return reads

    def colours(self, vehicles: Sequence[tuple[ImageBgr, Box]]) -> list[VehicleColour | None]:
        """Body colours of vehicles where they stand in their pictures."""
        if self.colour is None or not vehicles:
            return [None] * len(vehicles)
        return self.colour.colours([crop_box(image, box, PIXELS) for image, box in vehicles])

    def _read_views(self, plates: Sequence[Placed], margins: Sequence[Margin]) -> list[PlateRead]:
        reads = self._read_each([(i, c, margin) for i, c in plates for margin in margins])
        return [average(reads[k : k + len(margins)]) for k in range(0, len(reads), len(margins))]

    def _read_each(self, views: Sequence[View]) -> list[PlateRead]:
        if isinstance(self.reader, ViewReader):
            return self.reader.read_views(views)
        return self.reader.read([rectify(i, c, margin=margin) for i, c, margin in views])


def enlarged(found: Detections, image: ImageBgr, small: ImageBgr) -> Detections:
    """What was found in ``small``, in the pixels of ``image``, which shows the same."""
    scale = np.array([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]], np.float32)
    x, y = (float(factor) for factor in scale)
    return Detections(
        tuple(
            PlateDetection(np.asarray(plate.corners * scale, np.float32), plate.confidence)
            for plate in found.plates
        ),
        tuple(
            replace(one, box=(one.box[0] * x, one.box[1] * y, one.box[2] * x, one.box[3] * y))
            for one in found.vehicles
        ),
    )


def _for_colour(image: ImageBgr, small: ImageBgr | None, box: Box) -> tuple[ImageBgr, Box]:
    """The smaller picture, where the vehicle in ``box`` (of ``image``) is large enough in it; and
    the vehicle's box there."""
    if small is None:
        return image, box
    x, y = small.shape[1] / image.shape[1], small.shape[0] / image.shape[0]
    less = (box[0] * x, box[1] * y, box[2] * x, box[3] * y)
    return (small, less) if min(less[2] - less[0], less[3] - less[1]) >= SIDE else (image, box)


def _outline(image: ImageBgr) -> Corners:
    height, width = image.shape[:2]
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)


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
    device: str = "cpu",
    threads: int = 0,
    second_look: bool = False,
    scene: SceneOptions | None = None,
    scene_weights: Path | None = None,
    reader: Literal["openvino", "paddleocr"] = "openvino",
    reader_model: Path | None = None,
) -> Recogniser:
    """A recogniser from a weights folder, the shipped one if none is given.

    ``device``: see :func:`detectors.device.choice.choose_device`; on a GPU everything but the
    colours runs with torch. ``threads`` 0: all cores. ``second_look``: see
    :class:`detectors.scene.SceneOptions`.
    ``scene_weights``: a ``.pt`` of one's own that replaces the scene net, run by ultralytics.
    ``reader``: what runs the shipped reader on the CPU; ``reader_model``: a PP-OCR model folder
    that PaddleOCR runs instead of it. Both keep recognition on the CPU where device is ``auto``.
    Raises WeightsError where weights are missing, altered or unusable, ConfigError where the
    device cannot be used.
    """
    from detectors.backends.openvino import OpenVinoNetwork, cores

    options = scene or SceneOptions(second_look=second_look)
    colour_model = load_model("colour", weights)
    colour = ColourNet(
        OpenVinoNetwork(colour_model.path, threads, "f32"),
        float(colour_model.details.get("temperature", 1.0)),
    )
    if reader == "paddleocr":
        if device.startswith("cuda"):
            raise ConfigError(f"device {device}: PaddleOCR reads on the CPU; leave one of them out")
        device = "cpu"
    place = choose_device(device)
    if place is not None:
        from detectors.device.recogniser import load_device_recogniser

        return load_device_recogniser(
            place, weights, colour=colour, scene=options, scene_weights=scene_weights
        )
    plate_reader, reader_version = _load_reader(weights, threads, reader, reader_model)
    detector: SceneDetector
    close_up: SceneDetector | None = None
    if scene_weights is not None:
        from detectors.backends.ultralytics import UltralyticsDetector

        detector = UltralyticsDetector(scene_weights)
        version = scene_weights.name
    else:
        scene_model = load_model("scene", weights)
        # second looks are for single pictures, which all threads share
        network = OpenVinoNetwork(
            scene_model.path, threads, together=options.second_look, own_sizes=VIDEO_SIZES
        )
        detector = SceneNet(network, options)
        close_up = SceneNet(network, replace(options, side=256, second_look=False))
        version = scene_model.version
    version = f"scene {version}, reader {reader_version}"
    # each thread has a picture, and the next one is there when it is through
    batch = 2 * (threads or cores())
    return Recogniser(detector, plate_reader, colour, version, close_up, batch)


def _load_reader(
    weights: Path | None,
    threads: int,
    reader: Literal["openvino", "paddleocr"],
    reader_model: Path | None,
) -> tuple[PlateReader, str]:
    """The reader and its version; see :func:`load_recogniser`."""
    if reader == "paddleocr":
        from detectors.backends.paddleocr import PaddleReader

        if reader_model is not None:
            return PaddleReader(reader_model, threads), reader_model.resolve().name
        exported = load_model("reader_ppocr", weights)
        return PaddleReader(exported.path.parent, threads), exported.version
    from detectors.backends.openvino import OpenVinoNetwork

    model = load_model("reader", weights)
    options = ReaderOptions(temperature=float(model.details.get("temperature", 1.0)))
    return SlotReader(OpenVinoNetwork(model.path, threads), options), model.version
