"""Training plates for the reader: half real, half rendered, all through the camera's eyes.

Each sample is a *patch* (a plate with some surroundings) and the plate's corners in it. It is
seen by a random camera (perspective, plate 45 to 220 px wide, light, optics), cut out again by
imperfect corners with the very function that inference uses, and comes out as (48, 168, 3).
Real plates of rare provinces are drawn more often; on some real plates the province character
is replaced by another one's glyph in the plate's own ink, because 95 % of the real ones show
four provinces.
"""

# OpenCV's stubs widen every dtype, and torch is untyped for the check.
# mypy: disable-error-code="arg-type,assignment,call-overload,misc,no-any-return,operator"
# mypy: disable-error-code="return-value,untyped-decorator,var-annotated,no-untyped-call"

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import IterableDataset
from tqdm import tqdm

from detectors.preprocess import PLATE_SIZE, rectify, resize_plate
from detectors.training import data as labels
from detectors.training.arrays import f32
from detectors.training.captions import caption_patch
from detectors.training.degrade import degrade, wear
from detectors.training.render import Glyphs, random_plate, render_plate
from detectors.training.scene_effects import project
from pipeline.types import ALPHABET, PROVINCES, SLOTS, ImageBgr, PlateClass

COLUMN = {character: index for index, character in enumerate(ALPHABET)}
CLASS_INDEX = {name: index for index, name in enumerate(PlateClass)}
UNKNOWN = -100
"""Class label that the loss leaves out."""
RENDERED = (264, 84)
ALIGNED_SETS = ("rodney", "hyperlpr-finemapping", "easypr", "pku")


@dataclass(slots=True)
class Patch:
    """A real plate with its surroundings; corners in the patch's pixels."""

    image: ImageBgr
    corners: np.ndarray
    text: str
    plate_class: PlateClass | None
    aligned: bool


def encode(text: str) -> np.ndarray:
    """Columns of :data:`ALPHABET` for each slot, (SLOTS,) int64; trailing slots blank."""
    columns = [COLUMN[c] for c in text]
    return np.array(columns + [0] * (SLOTS - len(columns)), np.int64)


def readable(text: str | None) -> bool:
    """Whether a label fits the slots and the alphabet."""
    return bool(text) and len(text or "") <= SLOTS and all(c in COLUMN for c in text or "")


def crop_patch(image: ImageBgr, row: labels.Row) -> Patch:
    """A cut-out plate as a patch: its corners are the picture's."""
    height, width = image.shape[:2]
    corners = f32([[0, 0], [width, 0], [width, height], [0, height]])
    aligned = row["set"] in ALIGNED_SETS
    return Patch(image, corners, row["text"], labels.plate_class(row), aligned)


def frame_patches(image: ImageBgr, frame: labels.Row) -> Iterator[Patch]:
    """The readable plates of a frame, each with half its width of surroundings."""
    for plate in frame["plates"]:
        corners = labels.fitted_corners(plate)
        if corners is None or not readable(plate.get("text")):
            continue
        low, high = corners.min(axis=0), corners.max(axis=0)
        edge = 0.35 * (high[0] - low[0])
        x1, y1 = np.maximum(low - edge, 0).astype(int)
        x2, y2 = (high + edge).astype(int)
        cut = np.ascontiguousarray(image[y1:y2, x1:x2])
        kind = labels.plate_class(plate)
        yield Patch(cut, corners - f32([x1, y1]), plate["text"], kind, True)


def real_patches(data: Path, fold: str, without: frozenset[str] = frozenset()) -> list[Patch]:
    """All labelled real plates of one fold, but for pictures named in ``without``."""
    found = []
    for row in tqdm(labels.rows(data, "crops", fold), desc=f"crops {fold}", mininterval=5):
        if readable(row["text"]) and row["image"] not in without:
            found.append(crop_patch(labels.picture(data, row), row))
    for frame in tqdm(labels.rows(data, "frames", fold), desc=f"frames {fold}", mininterval=5):
        found += frame_patches(labels.picture(data, frame), frame)
    return found


class ReaderSamples:
    """Draws (plate picture, slot labels, class label)."""

    def __init__(
        self,
        data: Path,
        rendered: int,
        seed: int,
        cache: Path,
        font: Path | None = None,
        mined: Path | None = None,
        without: frozenset[str] = frozenset(),
    ) -> None:
        rng = np.random.default_rng(seed)
        self.glyphs, self.font = Glyphs(data / "glyphs", font), font
        self.real = real_patches(data, "train", without)
        self.false = labels.not_plates(data, val=False)
        paths = sorted(mined.glob("*.png")) if mined else []
        self.mined = [image for path in paths if (image := cv2.imread(str(path))) is not None]
        counts = Counter(p.text[0] for p in self.real)
        weights = np.array(
            [
                counts[p.text[0]] ** -0.6 * (1.0 if p.plate_class is PlateClass.BLUE else 1.7)
                for p in self.real
            ]
        )
        self.odds = np.cumsum(weights / weights.sum())
        self.clean, self.texts = self._rendered(rendered, rng, cache)

    def _rendered(
        self, count: int, rng: np.random.Generator, cache: Path
    ) -> tuple[np.ndarray, list[tuple[str, PlateClass]]]:
        """Clean rendered plates (N, 84, 264, 3) and their texts, from ``cache`` if there."""
        images_path, texts_path = cache / f"rendered_{count}.npy", cache / f"rendered_{count}.txt"
        if not texts_path.exists():
            cache.mkdir(parents=True, exist_ok=True)
            shape = (count, RENDERED[1], RENDERED[0], 3)
            images = np.lib.format.open_memmap(images_path, "w+", np.uint8, shape)
            lines = []
            for index in tqdm(range(count), desc="rendering", mininterval=5):
                while True:
                    text, name = random_plate(rng)
                    if all(self.glyphs.has(c) for c in text):
                        break
                image = render_plate(text, name, self.glyphs, rng, scale=0.65)
                images[index] = cv2.resize(image, RENDERED, interpolation=cv2.INTER_AREA)
                lines.append(f"{text} {name.value}")
            images.flush()
            texts_path.write_text("\n".join(lines), encoding="utf-8")
        pairs = [line.split() for line in texts_path.read_text(encoding="utf-8").splitlines()]
        images = np.load(images_path, mmap_mode="r")
        return images, [(text, PlateClass(name)) for text, name in pairs]

    def draw(self, rng: np.random.Generator) -> tuple[ImageBgr, np.ndarray, int]:
        """One sample."""
        chance = rng.random()
        if chance < 0.015:
            surface = self.false[int(rng.integers(len(self.false)))]
            image, corners = caption_patch(surface, rng, self.font)
            return view(image, corners, rng, real=False), np.zeros(SLOTS, np.int64), UNKNOWN
        if chance < 0.06:
            mined = bool(self.mined) and rng.random() < 0.5
            pool = self.mined if mined else self.false
            image = pool[int(rng.integers(len(pool)))]
            height, width = image.shape[:2]
            # a mined one was cut out with surroundings, see detectors.training.mine
            x, y = (width * 0.15 / 1.3, height * 0.3 / 1.6) if mined else (0.0, 0.0)
            corners = f32([[x, y], [width - x, y], [width - x, height - y], [x, height - y]])
            seen = view(image, corners, rng, real=True)
            return seen, np.zeros(SLOTS, np.int64), UNKNOWN
        if chance < 0.52:
            patch = self.real[int(np.searchsorted(self.odds, rng.random()))]
            image, text = patch.image, patch.text
            kind = patch.plate_class
            if patch.aligned and len(text) == 7 and text[0] in PROVINCES and rng.random() < 0.35:
                other = PROVINCES[int(rng.integers(len(PROVINCES)))]
                image = swap_province(image, patch.corners, self.glyphs.mask(other, "140"), rng)
                text = other + text[1:]
            label = UNKNOWN if kind is None else CLASS_INDEX[kind]
            return view(image, patch.corners, rng, real=True), encode(text), label
        index = int(rng.integers(len(self.clean)))
        text, kind = self.texts[index]
        image, corners = self._set_in(wear(self.clean[index], rng), rng)
        return view(image, corners, rng, real=False), encode(text), CLASS_INDEX[kind]

    def _set_in(self, plate: ImageBgr, rng: np.random.Generator) -> tuple[ImageBgr, np.ndarray]:
        """Put a rendered plate on a piece of a real surface."""
        height, width = plate.shape[:2]
        edge_x, edge_y = width // 4, height // 2
        size = (width + 2 * edge_x, height + 2 * edge_y)
        if rng.random() < 0.5:
            canvas = np.empty((size[1], size[0], 3), np.uint8)
            canvas[:] = rng.integers(0, 256, 3) if rng.random() < 0.3 else rng.integers(0, 256)
        else:
            surface = self.false[int(rng.integers(len(self.false)))]
            canvas = cv2.resize(surface, size, interpolation=cv2.INTER_LINEAR)
        canvas[edge_y : edge_y + height, edge_x : edge_x + width] = plate
        if rng.random() < 0.25:  # another line of writing, bars or a frame's text beneath
            y = edge_y + height + int(rng.integers(2, 12))
            bar = cv2.resize(self.clean[int(rng.integers(len(self.clean)))], (width, edge_y))
            canvas[y : y + edge_y, edge_x : edge_x + width] = bar[: max(0, size[1] - y)]
        corners = f32([[0, 0], [width, 0], [width, height], [0, height]])
        return canvas, corners + f32([edge_x, edge_y])


def swap_province(
    image: ImageBgr, corners: np.ndarray, glyph: np.ndarray, rng: np.random.Generator
) -> ImageBgr:
    """The same real plate with another province character, in its own ink and ground."""
    mm = f32([[0, 0], [440, 0], [440, 140], [0, 140]])
    width = float(np.linalg.norm(corners[1] - corners[0]))
    scale = max(width / 440, 0.2)
    size = (round(440 * scale), round(140 * scale))
    to_flat = cv2.getPerspectiveTransform(f32(corners), mm * f32(scale))
    flat = cv2.warpPerspective(image, to_flat, size, borderMode=cv2.BORDER_REPLICATE)

    def span(x1: float, y1: float, x2: float, y2: float) -> tuple[slice, slice]:
        return (
            slice(round(y1 * scale), round(y2 * scale)),
            slice(round(x1 * scale), round(x2 * scale)),
        )

    sample = flat[span(66, 25, 425, 115)].reshape(-1, 3).astype(np.float32)
    grey = sample.mean(axis=1)
    low, high = np.percentile(grey, [30, 88])
    dark, bright = sample[grey <= low].mean(axis=0), sample[grey >= high].mean(axis=0)
    middle = np.median(grey)
    white_ink = abs(middle - dark.mean()) < abs(middle - bright.mean())
    ground, ink = (dark, bright) if white_ink else (bright, dark)
    cell = span(3, 16, 69, 124)
    patch = np.empty_like(flat[cell], np.float32)
    patch[:] = ground
    spread = sample[(grey <= low) if white_ink else (grey >= high)].std()
    patch += rng.normal(0, min(float(spread), 8.0), patch.shape)
    x, y = 15.5 - 3 + rng.normal(1.5, 2), 25 - 16 + rng.normal(0, 2)
    glyph_size = (max(2, round(45 * scale)), max(2, round(90 * scale)))
    mask = cv2.resize(glyph, glyph_size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    mask = cv2.GaussianBlur(mask, (0, 0), max(0.3, rng.uniform(0.4, 1.1)))
    top, left = max(0, round(y * scale)), max(0, round(x * scale))
    target = patch[top : top + mask.shape[0], left : left + mask.shape[1]]
    target += (ink - target) * mask[: target.shape[0], : target.shape[1], None]
    new = flat.astype(np.float32)
    new[cell] = patch
    # feather the cell's edge, then put the flat plate back where it came from
    alpha = np.zeros(size[::-1], np.float32)
    alpha[cell] = 1
    alpha = cv2.blur(alpha, (3, 3))
    back = (image.shape[1], image.shape[0])
    inverse = np.linalg.inv(to_flat)
    warped = cv2.warpPerspective(new, inverse, back, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpPerspective(alpha, inverse, back)[..., None]
    return np.clip(image + (warped - image) * alpha, 0, 255).astype(np.uint8)


def view(image: ImageBgr, corners: np.ndarray, rng: np.random.Generator, real: bool) -> ImageBgr:
    """See a patch through a random camera and cut the plate out by imperfect corners."""
    native = float(np.linalg.norm(corners[1] - corners[0]))
    if real:
        wanted = native * (np.exp(rng.uniform(np.log(0.35), 0)) if rng.random() < 0.45 else 1.0)
        wanted = float(np.clip(wanted, min(native, 50.0), 260))
    else:
        wanted = float(np.exp(rng.uniform(np.log(45), np.log(220))))
    scale = wanted / native
    if scale < 0.6:
        ratio = max(scale * 1.2, 0.05)
        image = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        corners = corners * f32(ratio)
        scale = scale / ratio
    turn = np.deg2rad(rng.normal(0, 4) if rng.random() < 0.8 else rng.uniform(-16, 16))
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    skew = np.eye(3)
    skew[0, 1], skew[1, 0] = rng.normal(0, 0.08), rng.normal(0, 0.03)
    if not real:
        skew[2, :2] = rng.normal(0, 0.0008, 2) * min(1.0, 200 / native)
    centre = corners.mean(axis=0)
    away = np.array([[1, 0, -centre[0]], [0, 1, -centre[1]], [0, 0, 1.0]])
    matrix = matrix @ skew @ np.diag([scale, scale, 1.0]) @ away
    height, width = image.shape[:2]
    frame = f32([[0, 0], [width, 0], [width, height], [0, height]])
    quad, outline = project(matrix, corners), project(matrix, frame)
    low = np.maximum(outline.min(axis=0), quad.min(axis=0) - 0.5 * wanted)
    high = np.minimum(outline.max(axis=0), quad.max(axis=0) + 0.5 * wanted)
    matrix = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1.0]]) @ matrix
    size = (max(8, int(high[0] - low[0])), max(4, int(high[1] - low[1])))
    border = cv2.BORDER_REPLICATE
    seen = cv2.warpPerspective(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border)
    seen = degrade(seen, rng, wanted)
    if rng.random() < 0.16:
        return small_crop(seen, quad - low, rng)
    return rectify(seen, jitter(quad - low, rng, tilt_kept=True), PLATE_SIZE)


def small_crop(image: ImageBgr, corners: np.ndarray, rng: np.random.Generator) -> ImageBgr:
    """A plate as collections of crops keep it: an upright rectangle squeezed to a few pixels."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    size = high - low
    low = low + rng.normal(0.0, 0.025, 2) * size
    high = high + rng.normal(0.0, 0.025, 2) * size
    quad = f32([low, [high[0], low[1]], high, [low[0], high[1]]])
    width = int(rng.integers(80, 140))
    height = round(width / rng.uniform(3.0, 4.1))
    crop = rectify(image, quad, (width, height), (0.0, 0.0))
    if rng.random() < 0.6:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
        crop = cv2.imdecode(cv2.imencode(".jpg", crop, quality)[1], cv2.IMREAD_COLOR)
    return resize_plate(crop)


def jitter(corners: np.ndarray, rng: np.random.Generator, tilt_kept: bool) -> np.ndarray:
    """Corners as a detector, or a stranger's crop, would give them."""
    quad = corners.astype(np.float32)
    across, down = quad[1] - quad[0], quad[3] - quad[0]
    width, height = np.linalg.norm(across), np.linalg.norm(down)
    draw = rng.random()
    if tilt_kept and draw < 0.1:  # an upright rectangle around a tilted plate
        low, high = quad.min(axis=0), quad.max(axis=0)
        quad = f32([low, [high[0], low[1]], high, [low[0], high[1]]])
    centre = quad.mean(axis=0)
    if draw > 0.9:  # loose: surroundings come in
        grow = 1 + rng.uniform(0.0, [0.2, 0.45])
    elif draw > 0.82:  # tight: edges are cut
        grow = 1 - rng.uniform(0.0, [0.05, 0.16])
    else:
        grow = np.exp(rng.normal([0.0, 0.01], [0.02, 0.06]))
    unit_x, unit_y = across / max(width, 1e-6), down / max(height, 1e-6)
    offset = quad - centre
    basis = np.stack((unit_x, unit_y), axis=1)  # columns
    local = np.linalg.solve(basis.astype(np.float64), offset.T.astype(np.float64)).T * grow
    local += rng.normal(0, [0.008 * width, 0.03 * height], (4, 2))
    local += rng.normal(0, [0.008 * width, 0.03 * height])
    return f32(local @ basis.T + centre)


class ReaderBatches(IterableDataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """An endless stream of (B, 48, 168, 3) uint8, (B, SLOTS) int64, (B,) int64."""

    def __init__(self, samples: ReaderSamples, batch: int, seed: int) -> None:
        self.samples, self.batch, self.seed = samples, batch, seed

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        cv2.setNumThreads(0)
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((self.seed, worker.id if worker else 0))
        while True:
            drawn = [self.samples.draw(rng) for _ in range(self.batch)]
            yield (
                torch.from_numpy(np.stack([image for image, _, _ in drawn])),
                torch.from_numpy(np.stack([text for _, text, _ in drawn])),
                torch.tensor([kind for _, _, kind in drawn]),
            )
