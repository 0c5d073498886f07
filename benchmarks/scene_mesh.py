"""Vehicle bodies as quad meshes with texture coordinates.

Local axes in metres: x across, y up from the road, d backwards from the front. Texture
coordinates are pixels of the vehicle's sheet (see :class:`Sheet`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.scene_shapes import F32, Kind, Profile, Shape, f32

SHEET_PX_PER_M = 320
SWATCH_PX = 96
SWATCH_MARGIN_PX = 8
SWATCHES = ("tyre", "mirror", "cargo", "cargo_side", "sign", "hub")


class Sheet:
    """Where each part of a vehicle lies in its texture picture.

    Front and top are unrolled: columns are ``t`` (-1 to 1), rows the arc position ``s`` in
    metres. The side lies to the right of it: columns are ``d``, rows ``y`` from the top down.
    Below the side lie plain swatches.
    """

    def __init__(self, shape: Shape, profile: Profile) -> None:
        scale = SHEET_PX_PER_M
        self.front_width = int(shape.width * scale)
        self.front_height = int(profile.s[-1] * scale) + 4
        self.side_left = self.front_width + 16
        self.side_height = int((shape.height + 0.1) * scale)
        self.side_scale = scale / 2  # along d; sides are seen at a slant
        self.top_y = shape.height + 0.1
        side_width = int(shape.length * self.side_scale) + 4
        self.swatch_top = self.side_height + 16
        swatches = SWATCH_PX * len(SWATCHES)
        self.width = self.side_left + max(side_width, swatches) + 4
        self.height = max(self.front_height, self.swatch_top + SWATCH_PX) + 4

    def front(self, t: F32, s: F32) -> F32:
        """Sheet pixels (..., 2) of points (t, s) of the front and top."""
        return np.stack([(t + 1) * (self.front_width - 1) / 2, s * SHEET_PX_PER_M], axis=-1).astype(
            np.float32
        )

    def side(self, d: F32, y: F32) -> F32:
        """Sheet pixels (..., 2) of points (d, y) of the side, metres."""
        return np.stack(
            [self.side_left + d * self.side_scale, (self.top_y - y) * SHEET_PX_PER_M], axis=-1
        ).astype(np.float32)

    def swatch(self, name: str, a: F32, b: F32) -> F32:
        """Sheet pixels (..., 2) inside a swatch, ``a`` and ``b`` from 0 to 1."""
        left = self.side_left + SWATCHES.index(name) * SWATCH_PX
        inner = SWATCH_PX - 2 * SWATCH_MARGIN_PX
        return np.stack(
            [
                left + SWATCH_MARGIN_PX + a * inner,
                self.swatch_top + SWATCH_MARGIN_PX + b * inner,
            ],
            axis=-1,
        ).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Mesh:
    """Vertices (N, 3) m, normals (N, 3), sheet pixels (N, 2), quads (Q, 4), face normals (Q, 3)."""

    vertices: F32
    normals: F32
    texture: F32
    quads: np.ndarray
    face_normals: F32


class _Builder:
    def __init__(self) -> None:
        self.parts: list[tuple[F32, F32, F32, np.ndarray]] = []
        self.count = 0

    def grid(self, points: F32, texture: F32, centre: tuple[float, float, float]) -> None:
        """Add a patch (R, C, 3) with its sheet pixels (R, C, 2), facing away from ``centre``."""
        rows, columns = points.shape[:2]
        along = np.gradient(points, axis=0) if rows > 2 else np.diff(points, axis=0)[[0, 0]]
        across = np.gradient(points, axis=1) if columns > 2 else np.diff(points, axis=1)[:, [0, 0]]
        normals = np.cross(along, across)
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-9
        inward = ((points - f32(centre)) * normals).sum(axis=-1) < 0
        normals[inward] *= -1
        index = np.arange(rows * columns).reshape(rows, columns) + self.count
        quads = np.stack(
            [index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], axis=-1
        ).reshape(-1, 4)
        self.parts.append(
            (points.reshape(-1, 3), normals.reshape(-1, 3), texture.reshape(-1, 2), quads)
        )
        self.count += rows * columns

    def mesh(self) -> Mesh:
        vertices, normals, texture, quads = (
            np.concatenate([part[i] for part in self.parts]) for i in range(4)
        )
        a = vertices[quads[:, 2]] - vertices[quads[:, 0]]
        b = vertices[quads[:, 3]] - vertices[quads[:, 1]]
        faces = np.cross(a, b)
        faces /= np.linalg.norm(faces, axis=1, keepdims=True) + 1e-12
        away = (faces * normals[quads].mean(axis=1)).sum(axis=1) < 0
        faces[away] *= -1
        as32 = np.float32
        return Mesh(
            vertices.astype(as32),
            normals.astype(as32),
            texture.astype(as32),
            quads,
            faces.astype(as32),
        )


def _body(builder: _Builder, shape: Shape, profile: Profile, sheet: Sheet) -> None:
    t = np.sin(np.linspace(-1, 1, 37) * np.pi / 2).astype(np.float32)
    nose, cowl = profile.knots[shape.nose], profile.knots[shape.cowl]
    top = profile.knots[shape.screen_top]
    marks = [0.0, nose, max(cowl, nose + 0.05), top, top + 0.5]
    bend = np.interp(profile.s, marks, f32([1, 0.8, 0.55, 0.45, 0.1]) * shape.rounding)
    crown = np.interp(
        profile.s,
        [0.0, nose * 0.8, nose + 0.15, cowl, top, top + 0.4],
        [0.0, 0.01, 0.05, 0.03, 0.03, 0.07],
    )
    edge = np.abs(t)[None, :]
    y = profile.y[:, None] - crown[:, None] * edge**4
    hood = np.interp(profile.s, [nose, nose + 0.12, cowl - 0.15, cowl], [0, 1, 1, 0])[:, None]
    y = y + 0.018 * hood * np.clip((0.62 - edge) / 0.16, 0, 1)
    d = profile.d[:, None] + bend[:, None] * edge**2.6
    half = shape.half_width(profile.y)[:, None]
    points = np.stack([t[None, :] * half, y, d], axis=-1).astype(np.float32)
    grid_t, grid_s = np.broadcast_arrays(t[None, :], profile.s[:, None])
    centre = (0.0, shape.height * 0.4, shape.length / 2)
    builder.grid(points, sheet.front(grid_t, grid_s), centre)

    share = np.linspace(0, 1, 15).astype(np.float32)[None, :]
    for column in (0, -1):
        rim = points[:, column]
        height = rim[:, 1:2] + (shape.sill - rim[:, 1:2]) * share
        height = np.minimum(height, np.maximum(rim[:, 1:2], shape.sill))
        width = shape.half_width(height) * (-1 if column == 0 else 1)
        width[:, 0] = rim[:, 0]
        depth = np.broadcast_to(rim[:, 2:3], height.shape)
        side = np.stack([width, height, depth], axis=-1).astype(np.float32)
        builder.grid(side, sheet.side(depth, height), centre)


def _wheel(builder: _Builder, shape: Shape, sheet: Sheet, x: float, d: float) -> None:
    angle = np.linspace(0, 2 * np.pi, 25).astype(np.float32)
    radius, width = shape.wheel_radius, 0.21 if shape.width < 2 else 0.28
    outward = np.sign(x)
    ring = np.stack([np.zeros_like(angle), np.sin(angle), np.cos(angle)], axis=-1) * radius
    centre = f32([x, radius, d])
    steps = np.linspace(0, 1, 4).astype(np.float32)
    shift = f32([-outward * width, 0, 0])
    tread = centre + ring[None] + steps[:, None, None] * shift
    a, b = np.broadcast_arrays(steps[:, None], np.linspace(0, 1, 25, dtype=np.float32)[None])
    middle = (float(x - outward * width / 2), radius, d)
    builder.grid(tread.astype(np.float32), sheet.swatch("tyre", a, b), middle)
    spokes = np.linspace(0.02, 1, 5).astype(np.float32)
    disc = centre + ring[None] * spokes[:, None, None] + f32([outward * 0.01, 0, 0])
    a = 0.5 + 0.5 * spokes[:, None] * np.sin(angle)[None]
    b = 0.5 + 0.5 * spokes[:, None] * np.cos(angle)[None]
    builder.grid(disc.astype(np.float32), sheet.swatch("hub", a, b), middle)


def _ellipsoid(
    builder: _Builder,
    sheet: Sheet,
    centre: tuple[float, float, float],
    axes: tuple[float, float, float],
    swatch: str,
) -> None:
    """A rounded block (a superellipsoid), as mirrors are."""
    lat = np.linspace(-np.pi / 2, np.pi / 2, 11)
    lon = np.linspace(-np.pi, np.pi, 19)

    def soft(value: np.ndarray) -> np.ndarray:
        return np.asarray(np.sign(value) * np.abs(value) ** 0.6)

    cos_lat, sin_lat = soft(np.cos(lat))[:, None], soft(np.sin(lat))[:, None]
    unit = np.stack(
        np.broadcast_arrays(
            cos_lat * soft(np.sin(lon))[None], sin_lat, cos_lat * soft(np.cos(lon))[None]
        ),
        axis=-1,
    )
    points = (f32(centre) + unit * f32(axes)).astype(np.float32)
    across, down = np.linspace(0, 1, 19), np.linspace(1, 0, 11)
    a, b = np.broadcast_arrays(across[None].astype(np.float32), down[:, None].astype(np.float32))
    builder.grid(points, sheet.swatch(swatch, a, b), centre)


def _box(
    builder: _Builder,
    sheet: Sheet,
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    swatch: str,
) -> None:
    """Front, top and both sides of a box from corner ``low`` to corner ``high``, metres."""
    centre = tuple((a + b) / 2 for a, b in zip(low, high, strict=True))
    count = max(3, min(28, int((high[2] - low[2]) / 0.3)))
    a = np.linspace(0, 1, 12).astype(np.float32)[None, :]
    ups = np.linspace(0, 1, 12).astype(np.float32)[:, None]
    back = np.linspace(0, 1, count).astype(np.float32)[:, None]

    def lerp(axis: int, share: F32) -> F32:
        return (low[axis] + (high[axis] - low[axis]) * share).astype(np.float32)

    def stack(x: F32, y: F32, d: F32) -> F32:
        return np.stack(np.broadcast_arrays(x, y, d), axis=-1).astype(np.float32)

    one = np.ones((1, 1), np.float32)
    middle = (centre[0], centre[1], centre[2])
    flat = np.broadcast_arrays(a, 1 - ups)
    builder.grid(stack(lerp(0, a), lerp(1, ups), low[2] * one), sheet.swatch(swatch, *flat), middle)
    flat = np.broadcast_arrays(a, 0.05 * back)
    builder.grid(
        stack(lerp(0, a), high[1] * one, lerp(2, back)), sheet.swatch(swatch, *flat), middle
    )
    side = f"{swatch}_side" if f"{swatch}_side" in SWATCHES else swatch
    for x in (low[0], high[0]):
        flat = np.broadcast_arrays(back if side != swatch else 0.05 * back, 1 - a)
        builder.grid(stack(x * one, lerp(1, a), lerp(2, back)), sheet.swatch(side, *flat), middle)


def build_mesh(kind: Kind, shape: Shape, profile: Profile, sheet: Sheet) -> Mesh:
    """The whole vehicle: body, wheels, mirrors and what stands on or behind it."""
    builder = _Builder()
    _body(builder, shape, profile, sheet)
    x, y, d = shape.mirror
    reach = float(shape.half_width(f32([y]))[0]) + x
    for side in (-1, 1):
        for axle in shape.axles:
            _wheel(builder, shape, sheet, side * (shape.width / 2 - 0.03), axle)
        _ellipsoid(builder, sheet, (side * reach, y, d), shape.mirror_size, "mirror")
    if kind is Kind.TAXI:
        _box(
            builder,
            sheet,
            (-0.32, shape.height + 0.02, 2.35),
            (0.32, shape.height + 0.17, 2.5),
            "sign",
        )
    if kind is Kind.TRUCK:
        _box(builder, sheet, (-1.23, 1.0, 2.1), (1.23, 3.25, 6.6), "cargo")
    return builder.mesh()
