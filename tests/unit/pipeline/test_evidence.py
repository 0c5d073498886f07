"""Evidence: the vehicle with its plate, no faces, and no disk that stops recognition."""

from pathlib import Path

import numpy as np

from pipeline.evidence import EvidenceStore, blurred, cut
from pipeline.health import Health
from pipeline.tracking import Sighting
from tests.support import scenes


def seen(x: float = 280, y: float = 200, with_vehicle: bool = True) -> Sighting:
    vehicle = scenes.car(x, y, 60) if with_vehicle else None
    return Sighting(scenes.plate(x, y, 60, scenes.read("辽A12345")), vehicle)


def test_the_cutting_holds_the_whole_vehicle_and_the_whole_plate() -> None:
    cutting = cut(scenes.frame(0.0), seen())
    assert cutting.image.shape[:2] == (187, 253)  # the vehicle's box, rounded outwards
    plate_top = 200 - 50
    assert cutting.glass_bottom == plate_top - round(1.2 * 60)


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
