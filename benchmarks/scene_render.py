"""Drawing single frames of a scene: road, shadows, vehicles, plates, and what the sensor adds."""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np

from benchmarks.scene_mesh import Mesh, Sheet, build_mesh
from benchmarks.scene_model import START_M, Scene, Vehicle
from benchmarks.scene_paint import paint_vehicle
from benchmarks.scene_road import cast_shadow, draw_road
from benchmarks.scene_shade import Layer, Skin, draw_vehicle, paste_plate
from benchmarks.scene_shapes import F32, Profile, f32
from benchmarks.scene_view import Camera
from detectors.training.render import Glyphs, render_plate
from pipeline.types import ImageBgr

EXPOSURE_S = 1 / 500
PLATE_LIGHT = 0.80
"""How much of its clean picture's light a plate gives back in the scene's daylight."""


class _Model:
    """A vehicle made ready to draw."""

    def __init__(self, vehicle: Vehicle, glyphs: Glyphs, rng: np.random.Generator) -> None:
        shape = vehicle.shape
        profile = Profile(shape.profile)
        sheet = Sheet(shape, profile)
        self.vehicle = vehicle
        self.mesh: Mesh = build_mesh(vehicle.kind, shape, profile, sheet)
        self.skin: Skin = paint_vehicle(
            vehicle.kind, vehicle.colour, shape, profile, sheet, vehicle.lights, rng
        )
        self.plate: ImageBgr = render_plate(vehicle.plate, vehicle.plate_class, glyphs, rng)


class Renderer:
    """Draws single frames of a scene. Any frame can be asked for, in any order."""

    def __init__(self, scene: Scene, glyphs: Glyphs) -> None:
        self._scene = scene
        self._models = [
            _Model(vehicle, glyphs, np.random.default_rng([scene.seed, 1, index]))
            for index, vehicle in enumerate(scene.vehicles)
        ]

    @cached_property
    def _road(self) -> F32:
        return draw_road(self._scene.camera, np.random.default_rng([self._scene.seed, 2]))

    @cached_property
    def _falloff(self) -> F32:
        """How much of the light the lens lets through, (H, W, 1) float32."""
        camera = self._scene.camera
        rows, columns = np.mgrid[0 : camera.height, 0 : camera.width].astype(np.float32)
        radius = np.hypot(
            (columns - camera.width / 2) / camera.width, (rows - camera.height / 2) / camera.width
        )
        return f32((1 - 0.55 * radius**2)[..., None])

    def frame(self, index: int, fps: int) -> ImageBgr:
        """Frame ``index`` of the clip, (H, W, 3) uint8 BGR."""
        time_s = index / fps
        scene, camera = self._scene, self._scene.camera
        present = [
            (model.vehicle.front_m(time_s), model)
            for model in self._models
            if -model.vehicle.length_m < model.vehicle.front_m(time_s) <= START_M + 1
        ]
        present.sort(key=lambda pair: -pair[0])
        picture = self._road.copy()
        glow = np.zeros((camera.height, camera.width), np.float32)
        for z, model in present:
            shape = model.vehicle.shape
            size = (shape.width, model.vehicle.length_m, shape.height)
            cast_shadow(picture, camera, model.vehicle.x_m, z, size)
        for z, model in present:
            drawn = draw_vehicle(model.mesh, model.skin, camera, model.vehicle.x_m, z)
            if drawn is not None:
                layer, scale = drawn
                corners, depth = camera.project(model.vehicle.plate_corners_m(time_s))
                if depth.min() > 2.0:
                    paste_plate(layer, scale, model.plate, corners, PLATE_LIGHT)
                drift = _drift_px(camera, model.vehicle, z)
                _compose(picture, glow, layer, scale, drift)
        if glow.any():
            small = cv2.resize(glow, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
            halo = 0.5 * cv2.GaussianBlur(small, (0, 0), 2) + cv2.GaussianBlur(small, (0, 0), 9)
            wide = f32(cv2.resize(halo, (camera.width, camera.height)))
            picture += wide[..., None] * f32([0.30, 0.33, 0.34])
        image = self._develop(picture, time_s, np.random.default_rng([scene.seed, 3, index]))
        if scene.caption:
            _caption(image, f"{scene.caption}   {int(time_s) // 60:02d}:{time_s % 60:04.1f}")
        return image

    def _develop(self, light: F32, time_s: float, rng: np.random.Generator) -> ImageBgr:
        """What the sensor makes of the light: exposure, lens, noise."""
        cloud = 0.05 * np.sin(time_s / 4.1) + 0.025 * np.sin(time_s / 1.7 + 1)
        tint = f32([1.02 - 0.4 * cloud, 1.0, 1.0 + 0.4 * cloud])
        light = f32(light * self._falloff * (tint * f32(1.34 + cloud)) + 0.006)
        light = f32(cv2.GaussianBlur(light, (0, 0), 0.65))
        tone = np.sqrt(np.clip(light * (1 + 0.10 * light) / (1 + 0.28 * light), 0, 1))
        grey = tone @ f32([0.114, 0.587, 0.299])
        tone = tone * 0.86 + 0.14 * grey[..., None]
        own = rng.standard_normal(tone.shape, np.float32)  # each colour's own, and a common one
        noise = own * 0.5 + rng.standard_normal((*tone.shape[:2], 1), np.float32) * 0.7
        tone = 0.7 * tone + 0.3 * tone**2 * (3 - 2 * tone)  # a camera's contrast
        tone = tone * 255 + noise * (2.2 - 1.0 * tone)
        return np.asarray(np.clip(tone, 0, 255), np.uint8)


def _caption(image: ImageBgr, text: str) -> None:
    """Write a line into the upper left corner, in place."""
    at, font = (18, 30), cv2.FONT_HERSHEY_SIMPLEX
    for shift in (1, -1):
        beside = (at[0] + shift, at[1] + shift)
        cv2.putText(image, text, beside, font, 0.55, (40, 40, 40), 1, cv2.LINE_AA)
    cv2.putText(image, text, at, font, 0.55, (225, 225, 225), 1, cv2.LINE_AA)


def _drift_px(camera: Camera, vehicle: Vehicle, z_m: float) -> float:
    """How far a vehicle's front moves down the picture during the exposure, pixels."""
    step = vehicle.speed_mps * EXPOSURE_S
    points = f32([[vehicle.x_m, 0.5, z_m + 1], [vehicle.x_m, 0.5, z_m + 1 - step]])
    pixels, depth = camera.project(points)
    return float(abs(pixels[1, 1] - pixels[0, 1])) if depth.min() > 3 else 0.0


def _compose(picture: F32, glow: F32, layer: Layer, scale: float, drift: float) -> None:
    """Lay a drawn vehicle over the picture, both changed in place."""
    size = (round(layer.alpha.shape[1] / scale), round(layer.alpha.shape[0] / scale))
    stacked = np.dstack([layer.light * layer.alpha[..., None], layer.alpha])
    length = drift * scale
    if length > 0.5:
        kernel = np.zeros(2 * int(np.ceil(length / 2)) + 1, np.float32)
        middle = len(kernel) // 2
        offsets = np.abs(np.arange(len(kernel)) - middle)
        kernel[:] = np.clip(length / 2 - offsets + 0.5, 0, 1)
        kernel /= kernel.sum()
        stacked = cv2.sepFilter2D(stacked, -1, np.ones(1, np.float32), kernel)
    stacked = cv2.resize(stacked, size, interpolation=cv2.INTER_AREA)
    own = cv2.resize(layer.glow, size, interpolation=cv2.INTER_AREA)
    top, left = max(layer.top, 0), max(layer.left, 0)
    bottom = min(layer.top + size[1], picture.shape[0])
    right = min(layer.left + size[0], picture.shape[1])
    if bottom <= top or right <= left:
        return
    rows = slice(top - layer.top, bottom - layer.top)
    columns = slice(left - layer.left, right - layer.left)
    part = stacked[rows, columns]
    target = picture[top:bottom, left:right]
    target *= 1 - part[..., 3:]
    target += part[..., :3]
    glow[top:bottom, left:right] = np.maximum(glow[top:bottom, left:right], own[rows, columns])
