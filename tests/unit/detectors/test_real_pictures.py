"""The shipped weights on real photographs of the val fold; skipped where there are none."""

import cv2
import numpy as np
import pytest

from detectors.postprocess import overlaps
from pipeline.types import VehicleClass


def read(data_folder, row) -> np.ndarray:
    image = cv2.imread(str(data_folder / row["image"]))
    assert image is not None
    return image


@pytest.fixture(scope="module")
def sample(data_folder, val_rows):
    rows = [r for r in val_rows("frames") if r["set"] == "pku" and r["plates"]][::4]
    return rows, [read(data_folder, row) for row in rows]


@pytest.fixture(scope="module")
def answers(recogniser, sample):
    return recogniser.recognise(sample[1])


def test_checkpoint_plates_are_found_and_read(sample, answers) -> None:
    total = found = texts = right = 0
    for row, (plates, _) in zip(sample[0], answers, strict=True):
        for wanted in row["plates"]:
            total += 1
            boxes = np.float32([plate.detection.box for plate in plates]).reshape(-1, 4)
            union, _ = overlaps(np.float32([wanted["box"]]), boxes)
            hit = union.size > 0 and union.max() >= 0.5
            found += hit
            if wanted.get("text"):
                texts += 1
                right += hit and plates[int(union.argmax())].read.text == wanted["text"]
    assert total > 40
    assert found / total >= 0.95
    assert right / texts >= 0.90


def test_a_batch_and_single_pictures_agree(recogniser, sample, answers) -> None:
    for image, (plates, vehicles) in list(zip(sample[1], answers, strict=True))[:4]:
        ((alone, vehicles_alone),) = recogniser.recognise([image])
        assert [p.read.text for p in alone] == [p.read.text for p in plates]
        assert len(vehicles) == len(vehicles_alone)
        for mine, theirs in zip(alone, plates, strict=True):
            assert np.abs(mine.detection.corners - theirs.detection.corners).max() < 3


def test_checkpoint_vehicles_are_boxed(sample, answers) -> None:
    with_vehicle = sum(bool(vehicles) for _, vehicles in answers)
    assert with_vehicle / len(answers) >= 0.9
    for _, vehicles in answers:
        for vehicle in vehicles:
            assert vehicle.vehicle_class in set(VehicleClass)
            assert 0 < vehicle.confidence <= 1


def test_crops_are_read(recogniser, data_folder, val_rows) -> None:
    rows = [r for r in val_rows("crops") if r["text_source"] != "model"][::4]
    reads = recogniser.read_crops([read(data_folder, row) for row in rows])
    right = sum(r.text == row["text"] for r, row in zip(reads, rows, strict=True))
    assert right / len(rows) >= 0.9


def test_false_plates_are_rarely_read(recogniser, data_folder) -> None:
    paths = sorted((data_folder / "not_plates").iterdir())[::8]
    reads = recogniser.reader.read([cv2.imread(str(path)) for path in paths])
    assert sum(read.text is not None and read.probability > 0.5 for read in reads) <= 0.02 * len(
        reads
    )


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (300, 5), (24, 94), (2000, 3000)])
def test_pictures_of_any_size_are_survived(recogniser, shape) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    ((plates, vehicles),) = recogniser.recognise([image])
    assert isinstance(plates, tuple)
    assert isinstance(vehicles, tuple)
    assert len(recogniser.read_crops([image])) == 1


def test_a_probability_is_the_product_of_its_characters(answers) -> None:
    for plates, _ in answers:
        for plate in plates:
            assert plate.read.char_probs.sum(axis=1) == pytest.approx(np.ones(8), abs=1e-4)
            if plate.read.text:
                product = float(np.prod(plate.read.text_probabilities))
                assert plate.read.probability == pytest.approx(product, rel=1e-5)
