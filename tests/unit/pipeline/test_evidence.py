"""Evidence: the vehicle with its plate, no faces, and no disk that stops recognition."""

import hashlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.config import CheckpointSettings
from pipeline.evidence import EvidenceStore, blurred, cut, people_blurred
from pipeline.evidence_manifest import beside, parse
from pipeline.health import Health
from pipeline.tracking import Sighting
from pipeline.types import Frame, VehicleClass, VehicleDetection
from tests.support import scenes


def seen(x: float = 280, y: float = 200, with_vehicle: bool = True) -> Sighting:
    vehicle = scenes.car(x, y, 60) if with_vehicle else None
    return Sighting(scenes.plate(x, y, 60, scenes.read("辽A12345")), vehicle)


def test_the_cutting_holds_the_whole_vehicle_and_the_whole_plate() -> None:
    cutting = cut(scenes.frame(0.0), seen())
    assert cutting.image.shape[:2] == (187, 253)  # the vehicle's box, rounded outwards
    plate_top = 200 - 50
    assert cutting.glass_bottom == plate_top - round(1.2 * 60)


def test_the_rear_window_of_a_low_view_is_glass_too() -> None:
    """The plate stands high on the boot, and the window begins right above it."""
    plate = scenes.plate(280, 200, 60, scenes.read("辽A12345"))
    car = VehicleDetection((220.0, 120.0, 400.0, 270.0), VehicleClass.CAR, 0.9)
    assert cut(scenes.frame(0.0), Sighting(plate, car)).glass_bottom == round(0.42 * 150)
    truck = replace(car, vehicle_class=VehicleClass.TRUCK)
    assert cut(scenes.frame(0.0), Sighting(plate, truck)).glass_bottom == 200 - 72 - 120
    close = replace(car, box=(220.0, 170.0, 400.0, 330.0))
    assert cut(scenes.frame(0.0), Sighting(plate, close)).glass_bottom == 200 - 12 - 170


def test_a_plate_at_the_border_is_cut_within_the_picture() -> None:
    cutting = cut(scenes.frame(0.0), seen(x=600, y=340, with_vehicle=False))
    height, width = cutting.image.shape[:2]
    assert 0 < height <= scenes.SIZE[0]
    assert 0 < width <= scenes.SIZE[1]


def test_the_cutting_is_a_copy() -> None:
    frame = scenes.frame(0.0)
    cutting = cut(frame, seen())
    frame.image[:] = 0
    assert cutting.image.min() > 0


def test_nothing_shows_above_the_glass_line_and_all_below_it() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
    result = blurred(image, 60)
    assert np.array_equal(result[60:], image[60:])
    assert result[:60].astype(float).std() < image[:60].astype(float).std() / 4
    assert np.array_equal(blurred(image, 0), image)


def test_a_disk_that_refuses_is_said_and_the_picture_kept(tmp_path: Path) -> None:
    blocked = tmp_path / "evidence"
    blocked.write_text("a file where the folder should be")
    health = Health()
    evidence = EvidenceStore(blocked, health).save("p", 0, cut(scenes.frame(0.0), seen()))
    assert evidence.jpeg.startswith(b"\xff\xd8")
    assert str(blocked) in health.problems()["evidence"]
    blocked.unlink()
    EvidenceStore(blocked, health).save("p", 0, cut(scenes.frame(0.0), seen()))
    assert health.problems() == {}


def test_the_plates_corners_are_kept_in_the_pictures_own_pixels(tmp_path: Path) -> None:
    sighting = seen()
    assert sighting.plate is not None
    cutting = cut(scenes.frame(0.0), sighting)
    evidence = EvidenceStore(tmp_path, Health()).save("p", 0, cutting)
    moved = sighting.plate.detection.corners - evidence.plate_corners
    assert np.allclose(moved, moved[0]), "moved as a whole"
    assert moved[0].tolist() == [184.0, 50.0], "by where the cutting begins in the frame"


def test_without_a_plate_there_are_no_corners() -> None:
    assert cut(scenes.frame(0.0), Sighting(None, scenes.car(280, 200, 60))).plate_corners is None


def noise(seed: int = 1) -> Frame:
    frame = scenes.frame(0.0)
    rng = np.random.default_rng(seed)
    frame.image[:] = rng.integers(0, 256, frame.image.shape, dtype=np.uint8)
    return frame


def test_people_in_a_vehicle_beside_it_are_blurred_too_and_the_plate_is_not() -> None:
    frame, sighting = noise(), seen()
    assert sighting.plate is not None
    x, y = 380, 290  # nearer and to the right: its glass lies below our glass line
    other = scenes.car(x, y, 80)
    cutting = cut(frame, sighting, [sighting.vehicle, other] if sighting.vehicle else [])
    assert len(cutting.others) == 1, "the vehicle itself is none of the others"
    x1, y1, x2, y2 = cutting.others[0]
    result = people_blurred(cutting)
    plate = sighting.plate.detection.box
    inside = cutting.image.copy()
    assert not np.array_equal(result[y1:y2, x1:x2], inside[y1:y2, x1:x2])
    corners = cutting.plate_corners
    assert corners is not None
    left, top = corners.min(axis=0).astype(int)
    right, bottom = corners.max(axis=0).astype(int)
    assert x1 < right, "the other one reaches over the plate"
    assert y2 > top
    assert np.array_equal(result[top:bottom, left:right], inside[top:bottom, left:right])
    assert plate[2] - plate[0] == right - left


def test_two_detections_of_one_vehicle_are_one_vehicle() -> None:
    sighting = seen()
    assert sighting.vehicle is not None
    x1, y1, x2, y2 = sighting.vehicle.box
    again = replace(sighting.vehicle, box=(x1 + 6, y1 + 6, x2 - 6, y2))
    assert cut(noise(), sighting, [sighting.vehicle, again]).others == ()


def test_a_sharper_camera_shows_no_more_of_a_face() -> None:
    """However many pixels a vehicle has: so many patches across, and no more."""
    for scale in (1, 4):
        image = np.zeros((200 * scale, 700 * scale, 3), np.uint8)
        image[:, :: 2 * scale] = 255  # stripes as fine as a face's features
        rest = blurred(image, 200 * scale).astype(float)
        assert rest.std(axis=1).max() < 20


def test_where_people_are_wanted_nothing_is_blurred_or_kept_twice(tmp_path: Path) -> None:
    store = EvidenceStore(
        tmp_path / "evidence", Health(), 95, False, originals=tmp_path / "originals"
    )
    cutting = cut(noise(), seen())
    evidence = store.save("p", 0, cutting)
    shown = cv2.imdecode(np.frombuffer(evidence.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown[: cutting.glass_bottom].std() > 30
    assert not (tmp_path / "originals").exists()


def test_the_unblurred_picture_is_kept_where_wanted_for_its_owner_alone(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path / "evidence", Health(), originals=tmp_path / "originals")
    evidence = store.save("p", 0, cut(noise(), seen()))
    original = tmp_path / "originals" / evidence.path
    assert original.read_bytes() != evidence.jpeg
    assert original.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "originals").stat().st_mode & 0o777 == 0o700
    manifest = parse(beside(tmp_path / "evidence" / evidence.path).read_bytes())
    assert manifest.original_sha256 == hashlib.sha256(original.read_bytes()).hexdigest()


def test_a_full_disk_leaves_no_half_of_a_picture(tmp_path: Path) -> None:
    health = Health()
    store = EvidenceStore(tmp_path / "evidence", health)
    first = store.save("p", 0, cut(scenes.frame(0.0), seen()))
    day = (tmp_path / "evidence" / first.path).parent
    (day / "q-0.json").mkdir()  # the manifest cannot be written there
    evidence = store.save("q", 0, cut(scenes.frame(0.0), seen()))
    assert evidence.jpeg
    assert "q-0.json" in health.problems()["evidence"]
    assert not (tmp_path / "evidence" / evidence.path).exists()
    (day / "q-0.json").rmdir()
    store.save("r", 0, cut(scenes.frame(0.0), seen()))
    assert health.problems() == {}
    last = parse(beside(day / "r-0.jpg").read_bytes())
    before = beside(tmp_path / "evidence" / first.path).read_bytes()
    assert last.chain.sequence == 2, "what was not written has no place in the chain"
    assert last.chain.previous == hashlib.sha256(before).hexdigest()


def test_originals_are_kept_only_of_what_is_blurred() -> None:
    assert CheckpointSettings().keep_unblurred is False
    with pytest.raises(ValidationError, match="keep_unblurred"):
        CheckpointSettings(keep_unblurred=True, blur_occupants=False)
