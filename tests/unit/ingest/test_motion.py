"""The motion gate: nothing that could be a vehicle is missed, and a still scene costs little."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.motion import GRID, HOLD_S, REFRESH_S, Grid, MotionGate, luma_grid

COLUMNS, ROWS = GRID
INTERVAL_S = 0.2


def road(seed: int = 1, level: float = 110.0) -> Grid:
    rng = np.random.default_rng(seed)
    return np.asarray(level + rng.normal(0, 12, (ROWS, COLUMNS)), np.float32)


def noisy(grid: Grid, rng: np.random.Generator, sigma: float = 0.4) -> Grid:
    """What a sensor and an encoder leave of noise in cells of hundreds of pixels."""
    return np.asarray(grid + rng.normal(0, sigma, grid.shape), np.float32)


def with_vehicle(grid: Grid, left: float, top: float, contrast: float, side: int = 8) -> Grid:
    """A box of ``side`` cells, its edges anywhere between cells."""
    shown = grid.copy()
    columns = np.clip(np.arange(COLUMNS) + 1 - left, 0, 1) * np.clip(
        left + side - np.arange(COLUMNS), 0, 1
    )
    rows = np.clip(np.arange(ROWS) + 1 - top, 0, 1) * np.clip(top + side - np.arange(ROWS), 0, 1)
    return np.asarray(shown + contrast * np.outer(rows, columns), np.float32)


class Camera:
    """A gate that is asked at every sample, and keeps what it says."""

    def __init__(self) -> None:
        self.gate = MotionGate()
        self.at_s = 0.0
        self.looked: list[float] = []

    def show(self, grid: Grid, *, empty: bool = True, refresh_s: float = REFRESH_S) -> bool:
        worth = self.gate.worth(grid, self.at_s, empty=empty, refresh_s=refresh_s)
        if worth:
            self.gate.looked(grid, self.at_s)
            self.looked.append(self.at_s)
        self.at_s = round(self.at_s + INTERVAL_S, 6)
        return worth


def settled(scene: Grid, rng: np.random.Generator, seconds: float = 5.0, **noise: float) -> Camera:
    """A camera that has seen nothing but the road for a while."""
    camera = Camera()
    for _ in range(round(seconds / INTERVAL_S)):
        camera.show(noisy(scene, rng, **noise))
    return camera


@pytest.mark.parametrize("sigma", [0.1, 0.4, 1.0])
def test_a_still_scene_is_looked_at_once_a_second(sigma: float) -> None:
    rng = np.random.default_rng(2)
    camera = settled(road(), rng, 30.0, sigma=sigma)
    late = [at for at in camera.looked if at > 2 * HOLD_S]
    assert np.diff(late).max() <= REFRESH_S + 1e-6
    assert len(late) <= 30


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**31),
    st.floats(0, COLUMNS - 8),
    st.floats(0, ROWS - 8),
    st.floats(18, 90),
    st.booleans(),
)
def test_a_vehicle_that_appears_is_looked_at_at_once(
    seed: int, left: float, top: float, contrast: float, darker: bool
) -> None:
    rng, scene = np.random.default_rng(seed), road(seed)
    camera = settled(scene, rng)
    assert camera.show(
        noisy(with_vehicle(scene, left, top, -contrast if darker else contrast), rng)
    )


@pytest.mark.parametrize("step_cells", [0.02, 0.1, 0.5])
def test_a_vehicle_that_creeps_in_is_looked_at(step_cells: float) -> None:
    rng, scene = np.random.default_rng(3), road()
    camera = settled(scene, rng)
    shown, worth = 0, 0
    left = -8.0
    while left < 4.0:
        left += step_cells
        worth += camera.show(noisy(with_vehicle(scene, left, 20, 40.0), rng))
        shown += 1
    # never less than once a second, whatever its pace
    assert worth >= shown * INTERVAL_S / REFRESH_S - 1


def test_a_vehicle_at_night_without_lights_is_looked_at_once_a_second_at_least() -> None:
    rng, scene = np.random.default_rng(4), road(level=9.0)
    camera = settled(np.clip(scene, 0, 255), rng, sigma=1.2)
    seen = [camera.show(noisy(with_vehicle(scene, 0.5 * n, 20, 2.0), rng, 1.2)) for n in range(25)]
    assert all(any(seen[n : n + 5]) for n in range(20))


def test_headlights_are_motion() -> None:
    rng, scene = np.random.default_rng(5), road(level=10.0)
    camera = settled(scene, rng, sigma=1.2)
    assert camera.show(noisy(with_vehicle(scene, 40, 10, 180.0, side=2), rng, 1.2))


def test_after_motion_every_frame_is_looked_at_for_a_while() -> None:
    rng, scene = np.random.default_rng(6), road()
    camera = settled(scene, rng)
    standing = with_vehicle(scene, 40, 20, 50.0)
    held = [camera.show(noisy(standing, rng)) for _ in range(10)]
    assert all(held[: round(HOLD_S / INTERVAL_S)])
    assert not all(held)


@pytest.mark.parametrize("level", [20.0, 200.0])
def test_another_view_is_motion(level: float) -> None:
    """The camera was turned, or has switched to infrared."""
    rng = np.random.default_rng(7)
    camera = settled(road(1), rng)
    assert camera.show(noisy(road(2, level), rng))


def test_the_first_frame_of_another_source_is_looked_at() -> None:
    rng, scene = np.random.default_rng(8), road()
    camera = settled(scene, rng)
    while camera.show(noisy(scene, rng)):
        pass
    camera.gate.restart()
    assert camera.show(noisy(scene, rng))


def test_time_that_goes_back_is_looked_at() -> None:
    rng, scene = np.random.default_rng(9), road()
    camera = settled(scene, rng)
    camera.at_s = 0.0
    assert camera.show(noisy(scene, rng))


def test_light_that_changes_everywhere_is_no_motion() -> None:
    rng, scene = np.random.default_rng(10), road()
    camera = settled(scene, rng)
    before = len(camera.looked)
    for step in range(50):
        camera.show(noisy(scene + 3.0 * step, rng))
    assert len(camera.looked) - before <= 50 * INTERVAL_S / REFRESH_S + 1


def clocked(grid: Grid, second: int) -> Grid:
    """A clock's last digit in a corner, another every second."""
    shown = grid.copy()
    shown[50:52, 10:12] += 40.0 * (second % 3)
    return shown


def test_a_clock_in_the_picture_is_learnt_and_a_vehicle_beside_it_is_not_missed() -> None:
    rng, scene = np.random.default_rng(11), road()
    camera = Camera()
    for _ in range(200):
        camera.show(noisy(clocked(scene, int(camera.at_s)), rng))
    late = [at for at in camera.looked if at > 30.0]
    assert len(late) <= 12  # ten seconds, once a second
    assert camera.show(noisy(with_vehicle(clocked(scene, int(camera.at_s)), 8, 44, 30.0), rng))


def test_vehicles_in_view_teach_nothing() -> None:
    rng, scene = np.random.default_rng(12), road()
    camera = Camera()
    for n in range(200):  # a road that is never empty
        camera.show(noisy(with_vehicle(scene, 40 + n % 3, 20, 60.0), rng), empty=False)
    assert not (camera.gate._restless > 0).any()


def test_a_scene_that_never_rests_deafens_nothing() -> None:
    rng = np.random.default_rng(13)
    camera = Camera()
    seen = []
    for n in range(200):  # a crown of leaves over a third of the picture
        scene = road()
        scene[:, :32] += rng.normal(0, 30, (ROWS, 32)).astype(np.float32)
        seen.append(camera.show(noisy(scene, rng)))
        assert n < 10 or seen[-1]


@settings(deadline=None)
@given(st.integers(1, 1200), st.integers(1, 2000), st.integers(0, 64))
def test_every_size_of_picture_has_its_grid(height: int, width: int, padding: int) -> None:
    plane = np.full((height, width + padding), 77, np.uint8)
    grid = luma_grid(plane[:, :width])
    assert grid.shape == (ROWS, COLUMNS)
    assert grid.dtype == np.float32
    assert np.allclose(grid, 77)
