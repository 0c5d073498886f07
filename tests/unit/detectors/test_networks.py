"""Detector, reader and facade over networks that are written by hand."""

from pathlib import Path

import numpy as np
import pytest

from detectors.base import Detections
from detectors.colour import ColourNet
from detectors.postprocess import anchors
from detectors.reader import ReaderOptions, SlotReader
from detectors.recogniser import Recogniser
from detectors.scene import SceneNet, SceneOptions
from pipeline.errors import WeightsError
from pipeline.types import (
    ALPHABET,
    SLOTS,
    PlateClass,
    PlateDetection,
    VehicleClass,
    VehicleColour,
    VehicleDetection,
)


class OneVehicle:
    """A scene network that sees one car at the anchor of the brightest pixel."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        self.shapes.append(batch.shape)
        size = (batch.shape[2], batch.shape[1])
        points, strides = anchors(size)
        raw = np.zeros((len(batch), 78, len(points)), np.float32)
        raw[:, 64:70] = -20
        for row, image in enumerate(batch):
            y, x = np.unravel_index(image[..., 0].argmax(), image.shape[:2])
            fine = points[strides[:, 0] == 8] * 8
            nearest = int(np.abs(fine - [x, y]).sum(axis=1).argmin())
            raw[row, 65, nearest] = 5
            raw[row, [2, 18, 34, 50], nearest] = 40  # two cells each way
        return [raw]


def spot(width: int, height: int, x: int, y: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[y - 4 : y + 5, x - 4 : x + 5] = 255
    return image


def test_pictures_of_one_shape_share_a_batch_and_keep_their_order() -> None:
    network = OneVehicle()
    images = [spot(640, 384, 100, 100), spot(384, 640, 200, 500), spot(640, 384, 500, 300)]
    found = SceneNet(network).detect(images)
    assert sorted(shape[0] for shape in network.shapes) == [1, 2]
    for detections, (x, y) in zip(found, [(100, 100), (200, 500), (500, 300)], strict=True):
        (vehicle,) = detections.vehicles
        assert vehicle.vehicle_class is VehicleClass.CAR
        assert abs((vehicle.box[0] + vehicle.box[2]) / 2 - x) < 10
        assert abs((vehicle.box[1] + vehicle.box[3]) / 2 - y) < 10


def test_batches_are_no_larger_than_asked() -> None:
    network = OneVehicle()
    SceneNet(network, SceneOptions(batch=2)).detect([spot(640, 384, 50, 50)] * 5)
    assert [shape[0] for shape in network.shapes] == [2, 2, 1]


def test_a_second_look_is_taken_only_without_plates() -> None:
    network = OneVehicle()
    SceneNet(network, SceneOptions(second_look=True)).detect([spot(1920, 1080, 900, 500)])
    assert [shape[1:3] for shape in network.shapes] == [
        (384, 640),
        (736, 1280),
        (192, 320),
        (96, 160),
    ]


def test_no_pictures_no_detections() -> None:
    assert SceneNet(OneVehicle()).detect([]) == []


class Writes:
    """A reader network that writes one text on every plate."""

    def __init__(self, text: str, kind: PlateClass) -> None:
        self.text, self.kind = text, kind

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        assert batch.shape[1:] == (48, 168, 3)
        logits = np.zeros((len(batch), SLOTS, len(ALPHABET)), np.float32)
        for slot in range(SLOTS):
            character = self.text[slot] if slot < len(self.text) else ""
            logits[:, slot, ALPHABET.index(character)] = 12
        classes = np.zeros((len(batch), len(PlateClass)), np.float32)
        classes[:, list(PlateClass).index(self.kind)] = 9
        return [logits, classes]


def test_reads_carry_the_whole_distribution() -> None:
    reader = SlotReader(
        Writes("苏B1234警", PlateClass.POLICE), ReaderOptions(temperature=2.0, batch=2)
    )
    reads = reader.read([np.zeros((30, 90, 3), np.uint8)] * 3)
    assert [read.text for read in reads] == ["苏B1234警"] * 3
    assert reads[0].plate_class is PlateClass.POLICE
    assert reads[0].char_probs.shape == (SLOTS, len(ALPHABET))
    np.testing.assert_allclose(reads[0].char_probs.sum(axis=1), 1, rtol=1e-5)
    assert reads[0].probability == pytest.approx(np.prod(reads[0].text_probabilities))
    assert SlotReader(Writes("苏B1234警", PlateClass.POLICE)).read([]) == []


class Fixed:
    def __init__(self, plates: int, vehicles: int) -> None:
        quad = np.float32([[10, 10], [60, 10], [60, 26], [10, 26]])
        self.detections = Detections(
            tuple(PlateDetection(quad, 0.9) for _ in range(plates)),
            tuple(VehicleDetection((5, 5, 70, 60), VehicleClass.BUS, 0.8) for _ in range(vehicles)),
        )

    def detect(self, images):
        return [self.detections for _ in images]


class Red:
    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        logits = np.zeros((len(batch), len(VehicleColour)), np.float32)
        logits[:, list(VehicleColour).index(VehicleColour.RED)] = 5
        return [logits]


def test_the_facade_brings_reads_and_colours_home() -> None:
    reader = SlotReader(Writes("辽A12345", PlateClass.BLUE))
    facade = Recogniser(Fixed(2, 3), reader, ColourNet(Red()))
    answers = facade.recognise([np.zeros((80, 90, 3), np.uint8)] * 2)
    for plates, vehicles in answers:
        assert [plate.read.text for plate in plates] == ["辽A12345"] * 2
        assert [vehicle.colour for vehicle in vehicles] == [VehicleColour.RED] * 3
    assert facade.recognise([]) == []
    assert [r.text for r in facade.read_crops([np.zeros((24, 94, 3), np.uint8)])] == ["辽A12345"]
    assert facade.read_crops([]) == []


def test_an_unsure_colour_is_left_open() -> None:
    class Unsure:
        def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
            return [np.zeros((len(batch), len(VehicleColour)), np.float32)]

    assert ColourNet(Unsure()).colours([np.zeros((9, 9, 3), np.uint8)]) == [None]


def test_black_is_not_answered_in_a_dim_picture() -> None:
    class Black:
        def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
            logits = np.zeros((len(batch), len(VehicleColour)), np.float32)
            logits[:, list(VehicleColour).index(VehicleColour.BLACK)] = 9
            return [logits]

    dim, lit = np.full((40, 40, 3), 30, np.uint8), np.full((40, 40, 3), 110, np.uint8)
    assert ColourNet(Black()).colours([dim, lit]) == [None, VehicleColour.BLACK]


def test_weights_of_ones_own_need_their_file(tmp_path: Path) -> None:
    from detectors.backends.ultralytics import UltralyticsDetector

    with pytest.raises(WeightsError, match="no such file"):
        UltralyticsDetector(tmp_path / "mine.pt")
