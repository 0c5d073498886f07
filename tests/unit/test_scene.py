"""Scenes with known truth: geometry, determinism, and the clip that ships."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from benchmarks.scene import (
    Kind,
    Renderer,
    Scene,
    Vehicle,
    demo_scene,
    plate_corners,
    random_scene,
    render,
    scene_seconds,
    truth,
)
from benchmarks.scene_mesh import Sheet, build_mesh
from benchmarks.scene_model import START_M
from benchmarks.scene_shapes import Profile
from benchmarks.scene_view import Camera
from detectors.training.render import Glyphs
from pipeline.types import PROVINCES, PlateClass, VehicleColour

ASSETS = Path(__file__).parents[2] / "pipeline" / "demo_assets"
S = "[0-9A-HJ-NP-Z]"
ORDINARY = re.compile(rf"[{PROVINCES}][A-HJ-Z](?=(?:[0-9]*[A-HJ-NP-Z]){{0,2}}[0-9]*$){S}{{5}}")
NEW_ENERGY = re.compile(rf"[{PROVINCES}][A-HJ-NP-Z][A-HJK]{S}[0-9]{{4}}")


def vehicle(kind: Kind = Kind.SALOON, front_m: float = 15.0) -> Vehicle:
    """A vehicle whose front is ``front_m`` away at time 0."""
    green = kind is Kind.ELECTRIC
    return Vehicle(
        kind,
        VehicleColour.WHITE,
        "辽AD12345" if green else "辽A12345",
        PlateClass.GREEN_SMALL if green else PlateClass.BLUE,
        "1",
        -(START_M - front_m) / 10,
        10.0,
    )


@pytest.fixture(scope="module")
def glyphs(tmp_path_factory: pytest.TempPathFactory) -> Glyphs:
    """Stand-in glyphs: a plain block with a hole for every character that a test draws."""
    folder = tmp_path_factory.mktemp("glyphs") / "characters"
    folder.mkdir()
    picture = np.full((180, 90), 255, np.uint8)
    picture[10:-10, 10:-10] = 0
    picture[60:100, 35:55] = 255
    encoded = cv2.imencode(".jpg", picture)[1]
    for family in ("140", "green"):
        for character in "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ" + PROVINCES:
            encoded.tofile(folder / f"{family}_{character}.jpg")
    return Glyphs(folder.parent)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("front_m", [32.0, 20.0, 11.0])
def test_plate_lies_inside_its_vehicle(kind: Kind, front_m: float) -> None:
    subject = vehicle(kind, front_m)
    profile = Profile(subject.shape.profile)
    mesh = build_mesh(kind, subject.shape, profile, Sheet(subject.shape, profile))
    camera = Camera()
    body, _ = camera.project(mesh.vertices + np.float32([subject.x_m, 0, subject.front_m(0)]))
    corners, _ = camera.project(subject.plate_corners_m(0))
    assert (corners > body.min(axis=0)).all()
    assert (corners < body.max(axis=0)).all()


@pytest.mark.parametrize("kind", [Kind.SALOON, Kind.ELECTRIC])
def test_plate_has_its_size_in_millimetres(kind: Kind) -> None:
    corners = vehicle(kind).plate_corners_m(0) * 1000
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    width = 480 if kind is Kind.ELECTRIC else 440
    np.testing.assert_allclose(sides, [width, 140.5, width, 140.5], atol=0.6)


def test_plate_grows_from_45_to_150_pixels() -> None:
    subject = vehicle(front_m=START_M)
    widths = [
        float(np.linalg.norm(corners[1] - corners[0]))
        for index in range(600)
        if (corners := plate_corners(Scene(1, (subject,)), subject, index / 100)) is not None
    ]
    assert widths == sorted(widths)
    assert 40 < widths[0] < 50
    assert widths[-1] > 145


def test_projection_and_ground_are_inverse() -> None:
    camera = Camera()
    points = np.float32([[-1.5, 0, 12], [0, 0, 20], [2, 0, 35]])
    pixels, _ = camera.project(points)
    np.testing.assert_allclose(camera.ground(pixels), points[:, [0, 2]], atol=1e-2)


def test_corners_run_clockwise_from_the_top_left() -> None:
    subject = vehicle()
    corners = plate_corners(Scene(1, (subject,)), subject, 0)
    assert corners is not None
    assert cv2.contourArea(corners, oriented=True) > 0
    assert corners.sum(axis=1).argmin() == 0


@pytest.mark.parametrize("scene", [demo_scene(), random_scene(4, 40)], ids=["demo", "random"])
def test_plates_are_legal_and_distinct(scene: Scene) -> None:
    plates = [v.plate for v in scene.vehicles]
    assert len(set(plates)) == len(plates)
    for v in scene.vehicles:
        form = NEW_ENERGY if v.plate_class is PlateClass.GREEN_SMALL else ORDINARY
        assert form.fullmatch(v.plate), v.plate


@pytest.mark.parametrize("scene", [demo_scene(), random_scene(4, 40)], ids=["demo", "random"])
def test_vehicles_never_drive_into_each_other(scene: Scene) -> None:
    for time_s in np.arange(0, scene_seconds(scene), 0.2):
        for lane in "12":
            spans = sorted(
                (v.front_m(time_s), v.front_m(time_s) + v.length_m)
                for v in scene.vehicles
                if v.lane == lane and -10 < v.front_m(time_s) < START_M
            )
            for (_, tail), (front, _) in pairwise(spans):
                assert front > tail + 1


def test_demo_watches_exactly_one_of_its_vehicles() -> None:
    scene = demo_scene()
    assert [v.plate for v in scene.vehicles].count(scene.watchlist or "") == 1
    assert 9 <= len(scene.vehicles) <= 11


def test_scenes_repeat_by_seed() -> None:
    assert random_scene(7, 12) == random_scene(7, 12)
    assert random_scene(7, 12) != random_scene(8, 12)


def test_frames_repeat_in_any_order(glyphs: Glyphs) -> None:
    small = Camera(width=320, height=180, focal_px=850)
    scene = Scene(5, (vehicle(Kind.ELECTRIC),), camera=small)
    first = Renderer(scene, glyphs)
    later, now = first.frame(4, 25), first.frame(0, 25)
    second = Renderer(scene, glyphs)
    np.testing.assert_array_equal(second.frame(0, 25), now)
    np.testing.assert_array_equal(second.frame(4, 25), later)
    assert (now != later).any()


def test_a_vehicle_covers_its_road(glyphs: Glyphs) -> None:
    small = Camera(width=320, height=180, focal_px=850)
    subject = vehicle()
    with_car = Renderer(Scene(5, (subject,), camera=small), glyphs).frame(0, 25).astype(int)
    empty = Renderer(Scene(5, (), camera=small), glyphs).frame(0, 25).astype(int)
    corners, _ = small.project(subject.plate_corners_m(0))
    x, y = corners.mean(axis=0).astype(int)
    assert np.abs(with_car - empty)[y - 2 : y + 3, x - 4 : x + 5].mean() > 20
    assert np.abs(with_car - empty)[:, -30:].mean() < 2


def test_a_clip_can_be_decoded_and_matches_its_truth(glyphs: Glyphs, tmp_path: Path) -> None:
    small = Camera(width=320, height=180, focal_px=850)
    scene = Scene(5, (vehicle(front_m=12.0),), camera=small)
    drawn: list[None] = []
    render(scene, tmp_path / "clip.mp4", glyphs, 0.4, 25, on_frame=lambda: drawn.append(None))
    with av.open(str(tmp_path / "clip.mp4")) as container:
        count = sum(1 for _ in container.decode(video=0))
    happened = truth(scene, 0.4, 25)
    assert count == happened["frames"] == len(drawn) == 10
    assert happened["passages"][0]["main_plate"] == "辽A12345"
    assert happened["passages"][0]["start_s"] == 0.0


def test_the_shipped_clip_matches_its_truth() -> None:
    happened = json.loads((ASSETS / "demo.json").read_text(encoding="utf-8"))
    clip = ASSETS / "demo.mp4"
    assert clip.stat().st_size <= 4_000_000
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (happened["width"], happened["height"])
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == happened["fps"]
        assert sum(1 for packet in container.demux(stream) if packet.size) == happened["frames"]
    scene = demo_scene()
    assert happened == truth(scene, happened["frames"] / happened["fps"], happened["fps"])
