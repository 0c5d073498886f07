"""Drawing a vehicle's mesh: visible faces, texture, light.

Light is linear throughout, with gamma 2: a picture value p in 0-255 stands for (p / 255)².
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.scene_mesh import SHEET_PX_PER_M, Mesh
from benchmarks.scene_shapes import F32, f32
from benchmarks.scene_view import NEAR_M, Camera

SUN = f32([-0.42, 0.78, -0.46]) / f32(np.linalg.norm([-0.42, 0.78, -0.46]))
"""Unit vector towards the sun: behind the camera, high, to the left; a thin overcast."""
SUN_LIGHT = f32([0.74, 0.80, 0.84])  # B, G, R
SKY_LIGHT = f32([0.68, 0.64, 0.60])
BOUNCE_LIGHT = f32([0.10, 0.10, 0.10])


@dataclass(frozen=True, slots=True)
class Skin:
    """A sheet's pictures, halved in size from level to level.

    ``colour`` levels are (H, W, 3) uint8 BGR; ``finish`` levels (H, W, 3) uint8: gloss, mirror
    strength at right angles, own light.
    """

    colour: tuple[np.ndarray, ...]
    finish: tuple[np.ndarray, ...]

    @classmethod
    def build(cls, colour: np.ndarray, finish: np.ndarray, levels: int = 4) -> Skin:
        """Prepare the smaller levels of a sheet's two pictures."""
        colours, finishes = [colour], [finish]
        for _ in range(levels - 1):
            colours.append(cv2.pyrDown(colours[-1]))
            finishes.append(cv2.pyrDown(finishes[-1]))
        return cls(tuple(colours), tuple(finishes))

    def level(self, px_per_m: float) -> int:
        """The level whose resolution is nearest above ``px_per_m`` of the picture."""
        steps = int(np.floor(np.log2(max(1.0, SHEET_PX_PER_M / max(px_per_m, 1.0)))))
        return min(steps, len(self.colour) - 1)


@dataclass(frozen=True, slots=True)
class Layer:
    """A drawn vehicle over the picture from pixel (left, top).

    ``light`` (H, W, 3) float32 linear, multiplied by ``alpha`` (H, W) float32 0-1; ``glow``
    (H, W) float32 is the light of lamps.
    """

    left: int
    top: int
    light: F32
    alpha: F32
    glow: F32


def surroundings(direction: F32) -> F32:
    """Light (N, 3) that comes from ``direction`` (N, 3): sky, a dark skyline, the road."""
    x, up = direction[:, 0], direction[:, 1]
    skyline = 0.10 + 0.05 * np.sin(7 * x + 0.5) + 0.03 * np.sin(19 * x) + 0.012 * np.sin(53 * x)
    open_sky = np.clip((up - skyline) / 0.07, 0, 1)[:, None]
    cloud = np.sin(5.0 * x + 7.0 * up) * np.sin(3.1 * x - 11.0 * up + 1.3)
    cloud += 0.5 * np.sin(13.0 * x + 3.0 * up + 2.0) * np.sin(17.0 * up + 4.0 * x)
    bright = (1.05 - 0.50 * np.clip(up, 0, 1) + 0.16 * cloud)[:, None]
    bright = bright * f32([1.02, 0.97, 0.92])
    leaves = np.sin(31 * x + 3 * np.sin(17 * up)) * np.sin(27 * up + 2 * np.sin(23 * x))
    leaves += 0.7 * np.sin(9 * x + 1) + 0.6 * np.sin(7 * up)
    crown = np.clip(1.4 * leaves - 0.1, 0, 1) * np.clip((-0.02 - x) / 0.18, 0, 1)
    bright = bright * (1 - 0.72 * crown[:, None] * f32([1.0, 0.93, 1.0]))
    road = np.clip(-up / 0.3, 0, 1)[:, None]
    dark = f32([0.055, 0.075, 0.065]) * (1 - road) + f32([0.17, 0.17, 0.17]) * road
    result: F32 = (dark + (bright - dark) * open_sky).astype(np.float32)
    return result


def shade(colour: F32, finish: F32, normal: F32, view: F32, height: F32) -> F32:
    """Light (N, 3) that leaves a surface towards the camera.

    ``colour`` (N, 3) linear, ``finish`` (N, 3) 0-1, ``normal`` and ``view`` (N, 3) unit vectors
    (``view`` from the camera), ``height`` (N,) metres above the road.
    """
    facing = np.clip(-(normal * view).sum(axis=1), 0.03, 1)
    mirrored = view + 2 * facing[:, None] * normal
    dome = (0.5 + 0.5 * normal[:, 1])[:, None]
    near_road = np.clip(0.35 + height / 0.9, 0, 1)[:, None]
    ambient = (BOUNCE_LIGHT * (1 - dome) + SKY_LIGHT * dome) * near_road
    lit = ambient + SUN_LIGHT * np.clip(normal @ SUN, 0, 1)[:, None]
    gloss, mirror, own = finish[:, :1], finish[:, 1:2], finish[:, 2:]
    fresnel = mirror + (1 - mirror) * ((1 - facing) ** 5)[:, None]
    glint = np.clip(mirrored @ SUN, 0, 1)[:, None] ** 90
    reflected = surroundings(mirrored) * np.clip(0.5 + height / 1.2, 0, 1)[:, None]
    result: F32 = colour * lit * (1 - 0.6 * mirror) + gloss * fresnel * reflected
    result += gloss**2 * glint * 0.5 + own * 1.6
    return result


def draw_vehicle(
    mesh: Mesh, skin: Skin, camera: Camera, x_m: float, z_m: float
) -> tuple[Layer, float] | None:
    """Draw a vehicle whose front's middle stands at (``x_m``, ``z_m``) on the road.

    Returns the layer at ``scale`` times the picture's resolution (its left and top in those
    pixels) and that scale; None where nothing of it is in view.
    """
    world = mesh.vertices + f32([x_m, 0, z_m])
    pixels, depth = camera.project(world)
    centre = world[mesh.quads].mean(axis=1)
    seen = ((centre - camera.position) * mesh.face_normals).sum(axis=1) < 0
    quads = mesh.quads[seen & (depth[mesh.quads].min(axis=1) > NEAR_M)]
    low, high = pixels[quads].min(axis=1), pixels[quads].max(axis=1)
    inside = (high[:, 0] > -8) & (low[:, 0] < camera.width + 8)
    inside &= (high[:, 1] > -8) & (low[:, 1] < camera.height + 8)
    if not inside.any():
        return None
    quads, low, high = quads[inside], low[inside], high[inside]
    left, top = np.maximum(low.min(axis=0) - 8, -12).astype(int)
    right = int(min(high[:, 0].max() + 8, camera.width + 12))
    bottom = int(min(high[:, 1].max() + 8, camera.height + 12))
    area = (right - left) * (bottom - top)
    scale = 3.0 if area < 25_000 else 2.0 if area < 100_000 else 1.5 if area < 240_000 else 1.25
    size = (round((right - left) * scale), round((bottom - top) * scale))

    order = np.argsort(-depth[quads].mean(axis=1), kind="stable")
    quads = quads[order]
    local = (pixels - f32([left, top])) * scale
    owner = np.zeros((size[1], size[0]), np.int32)
    shapes = np.clip(local[quads] * 16 - 8, -60_000, 60_000).round().astype(np.int32)
    for number, shape in enumerate(shapes, start=1):
        cv2.fillConvexPoly(owner, shape, number, cv2.LINE_8, 4)

    rows, columns = np.nonzero(owner)
    if not len(rows):
        return None
    quad = quads[owner[rows, columns] - 1]
    at = np.stack([columns, rows], axis=1).astype(np.float32) + 0.5
    values = np.concatenate([mesh.texture, mesh.normals, mesh.vertices[:, 1:2]], axis=1)
    value = _interpolate(at, quad, local, values)

    level = skin.level(camera.focal_px * scale / max(float(depth[quads].min()), NEAR_M) * 0.8)
    colour = _sample(skin.colour[level], value[:, :2] / 2**level)
    finish = _sample(skin.finish[level], value[:, :2] / 2**level) / 255
    square = np.einsum("ij,ij->i", value[:, 2:5], value[:, 2:5])
    normal = value[:, 2:5] / np.sqrt(square + 1e-9)[:, None]
    view = camera.rays(at / scale + f32([left, top]))
    lit = shade(f32((colour / 255) ** 2), f32(finish), f32(normal), view, value[:, 5])

    light = np.zeros((size[1], size[0], 3), np.float32)
    alpha = np.zeros((size[1], size[0]), np.float32)
    glow = np.zeros((size[1], size[0]), np.float32)
    light[rows, columns], alpha[rows, columns] = lit, 1.0
    glow[rows, columns] = finish[:, 2]
    return Layer(left, top, light, alpha, glow), scale


def _interpolate(at: F32, quad: np.ndarray, pixels: F32, values: F32) -> F32:
    """Values (P, K) at pixels ``at`` (P, 2), each inside its ``quad`` (P, 4), triangle-wise."""
    a, b, c, d = (pixels[quad[:, i]] for i in range(4))
    share = _affine(at, a, b, d)
    far = share.sum(axis=1) > 1
    other = _affine(at[far], c[far], d[far], b[far])
    base, first, second = quad[:, 0].copy(), quad[:, 1].copy(), quad[:, 3].copy()
    base[far], first[far], second[far] = quad[far, 2], quad[far, 3], quad[far, 1]
    share[far] = other
    share = np.clip(share, 0, 1)
    start = values[base]
    result: F32 = start + share[:, :1] * (values[first] - start)
    result += share[:, 1:] * (values[second] - start)
    return result


def _affine(at: F32, origin: F32, first: F32, second: F32) -> F32:
    """Coordinates (P, 2) of ``at`` along origin→first and origin→second."""
    e, f, g = first - origin, second - origin, at - origin
    area = e[:, 0] * f[:, 1] - e[:, 1] * f[:, 0]
    area = np.where(np.abs(area) < 1e-4, 1e-4, area)
    one = (g[:, 0] * f[:, 1] - g[:, 1] * f[:, 0]) / area
    two = (e[:, 0] * g[:, 1] - e[:, 1] * g[:, 0]) / area
    return np.stack([one, two], axis=1)


def _sample(picture: np.ndarray, at: F32) -> F32:
    """Bilinear samples (P, 3) float32 of a picture at pixels (P, 2)."""
    count, width = len(at), 1024
    padded = np.zeros((-(-count // width) * width, 2), np.float32)
    padded[:count] = at
    grid = padded.reshape(-1, width, 2)
    out = cv2.remap(
        picture, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return out.reshape(-1, 3)[:count].astype(np.float32)


def paste_plate(layer: Layer, scale: float, plate: np.ndarray, corners: F32, gain: float) -> None:
    """Warp a plate (H, W, 3) uint8 onto a layer by its corners (4, 2) in picture pixels.

    ``corners`` run from the plate's own top-left clockwise; ``gain`` is the light that falls on
    it. The layer is changed in place.
    """
    target = (corners - f32([layer.left, layer.top])) * scale
    width = float(np.linalg.norm(target[1] - target[0]))
    picture = f32(plate)
    while picture.shape[1] > 2.2 * width and picture.shape[1] > 32:
        picture = f32(cv2.pyrDown(picture))
    if width < picture.shape[1]:
        picture = f32(cv2.GaussianBlur(picture, (0, 0), 0.3 * picture.shape[1] / width))
    height, columns = picture.shape[:2]
    source = f32([[0, 0], [columns, 0], [columns, height], [0, height]]) - 0.5
    warp = cv2.getPerspectiveTransform(source, target - 0.5)
    size = (layer.alpha.shape[1], layer.alpha.shape[0])
    mask = cv2.warpPerspective(np.ones((height, columns), np.float32), warp, size)
    image = cv2.warpPerspective(picture, warp, size, borderMode=cv2.BORDER_REPLICATE)
    light = np.clip(image / 255, 0, 1) ** 2 * gain + 0.012
    layer.light[:] += (light - layer.light) * mask[..., None]
    layer.alpha[:] = np.maximum(layer.alpha, mask)
