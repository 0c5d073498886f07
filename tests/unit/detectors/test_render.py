from pathlib import Path

import cv2
import numpy as np
import pytest

from detectors.decode import is_legal
from detectors.training.degrade import degrade, wear
from detectors.training.layouts import layout
from detectors.training.render import CLASS_WEIGHTS, Glyphs, random_plate, render_plate
from pipeline.types import ALPHABET, PROVINCES, PlateClass


@pytest.mark.parametrize("plate_class", list(CLASS_WEIGHTS))
def test_texts_are_legal_and_lie_inside_their_plate(plate_class: PlateClass) -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        text, name = random_plate(rng, plate_class)
        assert name is plate_class
        assert is_legal(text), text
        for variant in (0, 1):
            plan = layout(text, name, variant)
            assert "".join(cell.character for cell in plan.cells) == text
            for cell in plan.cells:
                assert 0 < cell.x < cell.x + cell.width < plan.width
                assert 0 < cell.y < cell.y + cell.height < plan.height


def test_a_row_fills_its_plate_symmetrically() -> None:
    for text, name in (("辽A12345", PlateClass.BLUE), ("辽AD12345", PlateClass.GREEN_SMALL)):
        plan = layout(text, name)
        last = plan.cells[-1]
        assert plan.width - (last.x + last.width) == pytest.approx(plan.cells[0].x, abs=0.01)


def test_provinces_come_evenly() -> None:
    rng = np.random.default_rng(1)
    seen = [random_plate(rng, PlateClass.BLUE)[0][0] for _ in range(6200)]
    counts = [seen.count(province) for province in PROVINCES]
    assert min(counts) > 130
    assert max(counts) < 280


@pytest.fixture(scope="module")
def glyphs(tmp_path_factory: pytest.TempPathFactory) -> Glyphs:
    """Bars in place of characters: enough to see where ink goes."""
    folder: Path = tmp_path_factory.mktemp("glyphs") / "characters"
    folder.mkdir()
    bar = np.full((90, 45), 255, np.uint8)
    bar[:, 15:30] = 0
    for character in ALPHABET[1:]:
        path = folder / f"140_{character}.jpg"
        cv2.imencode(".jpg", bar)[1].tofile(path)
    return Glyphs(folder.parent)


def test_a_rendered_plate_has_its_size_ground_and_ink(glyphs: Glyphs) -> None:
    image = render_plate("辽A12345", PlateClass.BLUE, glyphs, scale=2.0)
    assert image.shape == (280, 880, 3)
    assert image.dtype == np.uint8
    blue, _, red = image[30, 440]
    assert blue > 120 > red
    centre = round((15.5 + 22.5) * 2)
    assert image[140, centre].min() > 200
    again = render_plate("辽A12345", PlateClass.BLUE, glyphs, scale=2.0)
    assert (image == again).all()


def test_camera_effects_keep_the_shape(glyphs: Glyphs) -> None:
    rng = np.random.default_rng(0)
    plate = render_plate("辽AD12345", PlateClass.GREEN_SMALL, glyphs, rng, scale=0.5)
    for _ in range(60):
        out = degrade(wear(plate, rng), rng, 120.0)
        assert out.shape == plate.shape
        assert out.dtype == np.uint8


def test_an_empty_glyph_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no glyph pictures"):
        Glyphs(tmp_path)
