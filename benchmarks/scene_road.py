"""The road of a scene: asphalt, lane marks, verge, and the shadows that lie on it."""

from __future__ import annotations

import cv2
import numpy as np

from benchmarks.scene_shade import SKY_LIGHT, SUN, SUN_LIGHT
from benchmarks.scene_shapes import F32, f32
from benchmarks.scene_view import Camera

LANE_WIDTH_M = 3.15
LANE_CENTRES_M = {"1": -1.54, "2": 1.54}
"""Where vehicles keep in each lane; lane 1 is on the left of the picture."""


def _noise(rng: np.random.Generator, size: int, sigma: float) -> F32:
    """A tile (size, size) of smooth noise with unit deviation that repeats seamlessly."""
    field = f32(rng.normal(size=(size, size)))
    pad = int(4 * sigma) + 2
    if sigma > 0:
        field = np.pad(field, pad, mode="wrap")
        field = f32(cv2.GaussianBlur(field, (0, 0), sigma))[pad:-pad, pad:-pad]
    result: F32 = field / field.std()
    return result


def _tile(noise: F32, x: F32, z: F32, metres: float) -> F32:
    """Sample a noise tile that spans ``metres`` at road points."""
    size = len(noise)
    u = np.mod(x / metres * size, size).astype(np.float32)
    v = np.mod(z / metres * size, size).astype(np.float32)
    wrapped = np.pad(noise, ((0, 1), (0, 1)), mode="wrap")
    return cv2.remap(wrapped, u, v, cv2.INTER_LINEAR).astype(np.float32)


def _band(value: F32, low: float, high: float, soft: float) -> F32:
    """1 between ``low`` and ``high``, falling to 0 over ``soft`` metres."""
    rise = np.clip((value - low) / soft + 0.5, 0, 1)
    result: F32 = np.clip((high - value) / soft + 0.5, 0, 1) * rise
    return result


def draw_road(camera: Camera, rng: np.random.Generator) -> F32:
    """The empty road, (H, W, 3) float32 linear light."""
    scale = 2
    rows, columns = np.mgrid[0 : camera.height * scale, 0 : camera.width * scale]
    pixels = np.stack([columns, rows], axis=-1).reshape(-1, 2).astype(np.float32)
    ground = camera.ground(f32((pixels + 0.5) / scale)).reshape(*rows.shape, 2)
    x, z = ground[..., 0], ground[..., 1]

    grain = _tile(_noise(rng, 512, 0.8), x, z, 2.6)
    mottle = _tile(_noise(rng, 512, 6.0), x, z, 9.0)
    patches = _tile(_noise(rng, 256, 9.0), x, z * 0.35, 14.0)
    fade = np.clip(14 / z, 0.25, 1)
    tone = 1 + fade * 0.09 * grain + 0.035 * mottle + 0.05 * patches
    for centre in LANE_CENTRES_M.values():
        for track in (-0.78, 0.78):  # polished by tyres
            tone -= 0.05 * np.exp(-(((x - centre - track) / 0.26) ** 2))
        tone -= 0.09 * np.exp(-(((x - centre) / 0.30) ** 2)) * (1 + 0.3 * mottle)  # oil
    colour = f32([0.150, 0.152, 0.150])[None, None] * tone[..., None]

    seam = _tile(_noise(rng, 128, 3.0), z * 0.0 + 0.3, z, 11.0) * 0.05
    crack = _band(f32(x - seam - 2.35), -0.008, 0.008, 0.012) * np.clip(
        _tile(_noise(rng, 128, 5.0), x * 0, z, 40.0), 0, 1
    )
    joint = _band(np.mod(z + 0.02 * mottle, 17.0), 5.0, 5.03, 0.03)
    colour *= (1 - 0.5 * np.maximum(crack, 0.7 * joint))[..., None]

    worn = np.clip(0.86 + 0.10 * grain * fade + 0.10 * mottle, 0.2, 1)
    edge = LANE_WIDTH_M + 0.12
    dashes = _band(np.mod(z - 3.0, 9.0), 0.0, 4.0, 0.06)
    white = _band(x, -0.075, 0.075, 0.02) * dashes
    white = np.maximum(white, _band(x, edge - 0.075, edge + 0.075, 0.02))
    _mix(colour, white * worn, f32([0.46, 0.47, 0.47]))
    for middle in (-edge - 0.15, -edge + 0.15):
        _mix(
            colour,
            _band(x, middle - 0.07, middle + 0.07, 0.02) * worn,
            f32([0.07, 0.30, 0.46]),
        )

    leaves = _tile(_noise(rng, 256, 5.0), x, z * 0.5, 5.0) + 0.8 * _tile(
        _noise(rng, 256, 14.0), x, z * 0.5, 12.0
    )
    shade = np.clip(0.5 + 0.9 * leaves, 0, 1) * np.clip((-1.6 - x) / 3.5, 0, 1)
    kerb = edge + 0.75
    for side, width in ((-1, 0.32), (1, 0.32)):
        stone = _band(side * x, kerb, kerb + width, 0.03)
        gap = _band(np.mod(z, 1.0), 0.0, 0.985, 0.015)
        _mix(colour, stone, f32([0.29, 0.30, 0.30]))
        colour *= (1 - 0.35 * stone * (1 - gap))[..., None]
        gutter = np.exp(-(((side * x - kerb) / 0.10) ** 2)) * (side * x < kerb)
        colour *= (1 - 0.5 * gutter)[..., None]
    verge = np.maximum(_band(x, kerb + 0.32, 900, 0.04), _band(-x, kerb + 0.32, 900, 0.04))
    blades = np.clip(1 + 0.55 * grain + 0.22 * mottle + 0.15 * patches, 0.2, 2)
    grass = f32([0.050, 0.088, 0.068])[None, None] * blades[..., None]
    colour += (grass - colour) * verge[..., None]

    lit = colour * (SKY_LIGHT + SUN_LIGHT * SUN[1] * (1 - 0.75 * shade[..., None]))
    haze = np.clip((z - 15) / 260, 0, 0.14)[..., None]
    lit = lit * (1 - haze) + f32([0.55, 0.54, 0.52]) * haze
    size = (camera.width, camera.height)
    return f32(cv2.resize(f32(lit), size, interpolation=cv2.INTER_AREA))


def _mix(colour: F32, share: F32, paint: F32) -> None:
    colour += (paint - colour) * share[..., None]


def cast_shadow(
    picture: F32, camera: Camera, x_m: float, z_m: float, size: tuple[float, float, float]
) -> None:
    """Darken the road under and beside a vehicle of ``size`` (width, length, height) in metres.

    The sky's shadow is wide and soft, the one under the floor tight; ``picture`` (H, W, 3)
    float32 linear is changed in place.
    """
    width, length, height = size
    half = width / 2
    reach = min(0.5, 0.30 * height)
    z_far, z_near = z_m + length, max(z_m, 2.0)
    if z_far < 2.5:
        return
    px_per_m = camera.focal_px / max(z_near, 4.0)
    layers = (
        ((-half - 0.05, half + reach * 1.5), (z_near - 0.25, z_far + 0.5), 0.10, 0.45),
        ((-half - 0.02, half + 0.05), (z_near - 0.02, z_far), 0.07, 0.50),
        ((-half + 0.06, half - 0.06), (z_near + 0.12, z_far), 0.03, 0.72),
    )
    for (left, right), (near, far), soft, strength in layers:
        ground = [(x_m + left, near), (x_m + right, near), (x_m + right, far), (x_m + left, far)]
        points, _ = camera.project(f32([[x, 0.0, max(z, 1.5)] for x, z in ground]))
        half_size = np.zeros((camera.height // 2, camera.width // 2), np.float32)
        outline = np.clip(points / 2 * 16, -90_000, 90_000).astype(np.int32)
        cv2.fillConvexPoly(half_size, outline, 1.0, cv2.LINE_AA, 4)
        sigma = max(0.8, soft * px_per_m / 2)
        blurred = cv2.GaussianBlur(half_size, (0, 0), sigma)
        mask = f32(cv2.resize(blurred, (camera.width, camera.height)))
        picture *= (1 - strength * mask)[..., None]
