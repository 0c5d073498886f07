"""Training pictures for the scene net: random views of labelled photographs, with paste-ins.

A sample is one square view of one photograph (or four small ones side by side), warped by a
random homography so that plates appear 18 to 240 px wide. Rendered plates of every class and
real crops replace or join the plates of the picture, matched in brightness; crops that are no
plates, and clocks and names as cameras write them, join as hard negatives. Text has a direction,
so only streets, whose own plates are not labelled, are mirrored. Streets with vans, buses and
trucks are drawn more often, and closer to them: there are few.

Labels are partial, so each sample carries a weight per class for its *negatives*: 0 where the
class is not annotated in that photograph. Positives always count.
"""

# OpenCV's stubs widen every dtype, and torch is untyped for the check.
# mypy: disable-error-code="arg-type,assignment,call-overload,misc,no-any-return,operator"
# mypy: disable-error-code="return-value,untyped-decorator,var-annotated"

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import IterableDataset
from tqdm import tqdm

from detectors.nets.scene import CLASSES
from detectors.training import data as labels
from detectors.training.arrays import f32
from detectors.training.captions import write_captions
from detectors.training.render import Glyphs, random_plate, render_plate
from detectors.training.scene_effects import (
    is_free,
    lay_over,
    photometric,
    project,
    random_quad,
    warp_into,
)

GREY = 114
SIZES = ((320, 16, 0.7), (416, 10, 0.16), (544, 6, 0.14))
"""Side in pixels, batch, and how often."""
RARITY = 0.6
"""0: all vehicles alike, 1: all classes alike."""
INFERENCE_SIDE = 640
"""Longer side at which pictures are looked at later: vehicles are shown about that large."""


@dataclass(slots=True)
class Source:
    """One photograph in memory with its labels in pixels."""

    kind: str
    levels: list[np.ndarray]
    plates: list[np.ndarray]  # (4, 2) float32 each
    vehicles: list[tuple[int, np.ndarray]]  # class index, (4,) float32 xyxy
    weights: np.ndarray  # (6,) float32
    odds: np.ndarray | None = None  # (vehicles,) how often each is looked at


@dataclass(slots=True)
class Sample:
    """One square training view; labels in its pixels."""

    image: np.ndarray
    weights: np.ndarray
    plates: list[np.ndarray] = field(default_factory=list)
    vehicles: list[tuple[int, np.ndarray]] = field(default_factory=list)


def _vehicle_prior(frames: list[labels.Row]) -> dict[bool, np.ndarray]:
    """Median vehicle box relative to its plate (in plate widths), for blue and yellow plates."""
    found: dict[bool, list[np.ndarray]] = {False: [], True: []}
    for frame in frames:
        for plate, inside in _pairs(frame):
            if inside is not None:
                centre, width = _centre(plate)
                box = f32(inside["box"])
                clipped = box[0] < 3 or box[1] < 3 or box[2] > frame["width"] - 3
                if not clipped and box[3] - centre[1] < 2 * width:
                    relative = (box - np.tile(centre, 2)) / width
                    found[plate.get("colour") == "黄色"].append(relative)
    usual = f32([-2.2, -3.2, 2.2, 1.0])  # where a trial's few photographs show none
    return {k: np.median(np.stack(v), axis=0) if v else usual for k, v in found.items()}


def _centre(plate: labels.Row) -> tuple[np.ndarray, float]:
    box = f32(plate["box"])
    return (box[:2] + box[2:]) / 2, float(box[2] - box[0])


def _pairs(frame: labels.Row) -> Iterator[tuple[labels.Row, labels.Row | None]]:
    for plate in frame["plates"]:
        (x, y), width = _centre(plate)
        inside = [
            v
            for v in frame["vehicles"] or []
            if v["box"][0] < x < v["box"][2]
            and v["box"][1] < y < v["box"][3]
            and v["box"][2] - v["box"][0] < 7.5 * width
        ]
        inside.sort(key=lambda v: (v["box"][2] - v["box"][0]) * (v["box"][3] - v["box"][1]))
        yield plate, (inside[0] if inside else None)


def _frame_vehicles(
    frame: labels.Row, prior: dict[bool, np.ndarray]
) -> list[tuple[int, np.ndarray]]:
    """A box for each plate's vehicle: the hint around it, else the usual place around a plate."""
    boxes = []
    for plate, hint in _pairs(frame):
        large = plate.get("colour") == "黄色"
        centre, width = _centre(plate)
        if hint is not None:
            box = f32(hint["box"])
            name = hint["cls"] if large and hint["cls"] in ("bus", "truck") else "car"
        else:
            box = prior[large] * width + np.tile(centre, 2)
            name = "truck" if large else "car"
        box = np.clip(box, 0, [frame["width"], frame["height"]] * 2).astype(np.float32)
        boxes.append((CLASSES.index(name), box))
    return boxes


def some(rows: list[labels.Row], limit: int | None) -> list[labels.Row]:
    """``limit`` of the rows, from all over; None: all."""
    return rows[:: max(1, len(rows) // limit)] if limit else rows


def load_sources(data: Path, limit: int | None = None) -> dict[str, list[Source]]:
    """Photographs of the train fold, decoded, with a half-size level for small views."""
    frames = some(labels.rows(data, "frames", "train"), limit)
    prior = _vehicle_prior([f for f in frames if f["set"] == "pku"])
    sources: dict[str, list[Source]] = {"pku": [], "ccpd": [], "street": []}
    for frame in tqdm(frames, desc="frames", mininterval=5):
        plates = [c for p in frame["plates"] if (c := labels.fitted_corners(p)) is not None]
        complete = frame["plates_complete"] and len(plates) == len(frame["plates"])
        weights = np.zeros(6, np.float32)
        weights[0] = 1.0 if complete else 0.0
        vehicles: list[tuple[int, np.ndarray]] = []
        if frame["set"] == "pku":
            vehicles = _frame_vehicles(frame, prior)
            weights[1:] = 0.5 if complete else 0.0
        sources[frame["set"]].append(
            Source(frame["set"], _levels(labels.picture(data, frame)), plates, vehicles, weights)
        )
    streets = some(labels.rows(data, "vehicles", "train"), limit)
    for row in tqdm(streets, desc="streets", mininterval=5):
        boxes = [
            (CLASSES.index(v["cls"]), f32(v["box"])) for v in row["vehicles"] if v["cls"] in CLASSES
        ]
        weights = np.full(6, 0.7 if row["set"] == "caxtiq" else 1.0, np.float32)
        weights[0] = 0.0
        image = labels.picture(data, row)
        sources["street"].append(Source("street", _levels(image), [], boxes, weights))
    _weigh(sources["street"])
    return sources


def _weigh(streets: list[Source]) -> None:
    """Odds for the vehicles of each street: the rarer its class, the higher."""
    counts = Counter(name for street in streets for name, _ in street.vehicles)
    most = max(counts.values(), default=1)
    for street in streets:
        street.odds = np.array([(most / counts[name]) ** RARITY for name, _ in street.vehicles])


def _levels(image: np.ndarray) -> list[np.ndarray]:
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return [image, half]


class Composer:
    """Draws training samples from sources, rendered plates and hard negatives."""

    def __init__(
        self,
        data: Path,
        sources: dict[str, list[Source]],
        seed: int = 0,
        font: Path | None = None,
    ) -> None:
        self.sources, self.font = sources, font
        odds = [max(s.odds, default=1.0) if s.odds is not None else 1.0 for s in sources["street"]]
        self.street_odds = np.cumsum(np.array(odds) / max(sum(odds), 1.0))
        rng = np.random.default_rng(seed)
        glyphs = Glyphs(data / "glyphs", font)
        self.rendered: list[np.ndarray] = []
        while len(self.rendered) < 2000:
            text, name = random_plate(rng)
            try:
                self.rendered.append(render_plate(text, name, glyphs, rng, scale=0.75))
            except KeyError:
                continue
        crops = labels.rows(data, "crops", "train")
        crops = [c for c in crops if c["set"] in ("easypr", "hyperlpr-finemapping", "rodney")]
        keep = rng.permutation(len(crops))[:1500]
        self.crops = [labels.picture(data, crops[i]) for i in keep]
        paths = sorted((data / "not_plates").iterdir())
        self.negatives = [i for p in paths if (i := cv2.imread(str(p))) is not None]

    def sample(self, rng: np.random.Generator, side: int) -> Sample:
        """One labelled view of ``side`` x ``side`` pixels."""
        if rng.random() < 0.15:
            kind = "pku" if rng.random() < 0.7 else "street"
            half = side // 2
            parts = [self._view(rng, kind, half, small=True) for _ in range(4)]
            result = Sample(np.empty((half * 2, half * 2, 3), np.uint8), parts[0].weights.copy())
            for part, (x, y) in zip(parts, product((0, half), repeat=2), strict=True):
                result.image[y : y + half, x : x + half] = part.image
                result.weights = np.minimum(result.weights, part.weights)
                result.plates += [p + f32([x, y]) for p in part.plates]
                result.vehicles += [(c, b + f32([x, y, x, y])) for c, b in part.vehicles]
        else:
            kind = str(rng.choice(["pku", "ccpd", "street"], p=[0.50, 0.11, 0.39]))
            result = self._view(rng, kind, side)
        if rng.random() < 0.15:
            write_captions(result.image, result.plates, rng, self.font)
        result.image = photometric(result.image, rng)
        return result

    def _view(self, rng: np.random.Generator, kind: str, side: int, small: bool = False) -> Sample:
        pool = self.sources[kind]
        street = kind == "street"
        chosen = np.searchsorted(self.street_odds, rng.random()) if street else None
        source = pool[int(rng.integers(len(pool)) if chosen is None else chosen)]
        height, width = source.levels[0].shape[:2]
        fit = side / max(height, width)
        focus = f32([rng.uniform(0, width), rng.uniform(0, height)])
        if source.odds is not None and len(source.odds) and rng.random() < 0.6:
            index = int(rng.choice(len(source.odds), p=source.odds / source.odds.sum()))
            box = source.vehicles[index][1]
            focus = f32((box[:2] + box[2:]) / 2)
        if source.plates and rng.random() < 0.85:
            plate = source.plates[int(rng.integers(len(source.plates)))]
            focus = plate.mean(axis=0)
            wanted = np.exp(rng.uniform(np.log(18), np.log(90 if small else 0.62 * side)))
            scale = wanted / np.linalg.norm(plate[1] - plate[0])
            scale = max(scale, fit * 0.8)
        else:
            scale = INFERENCE_SIDE / max(height, width) * np.exp(rng.uniform(-0.7, 0.5))
        if not small and rng.random() < 0.22:  # the whole picture, as inference letterboxes it
            scale, focus = fit, f32([width / 2, height / 2])
        if street and rng.random() < 0.5:
            mirror = np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1.0]])
            matrix = _homography(rng, project(mirror, focus[None])[0], scale, side, (width, height))
            matrix = matrix @ mirror
        else:
            matrix = _homography(rng, focus, scale, side, (width, height))
        level = 1 if scale < 0.5 else 0
        shrink = np.diag([2.0**level, 2.0**level, 1.0])
        fill = GREY if rng.random() < 0.6 else int(rng.integers(0, 256))
        image = cv2.warpPerspective(
            source.levels[level],
            matrix @ shrink,
            (side, side),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(fill, fill, fill),
        )
        result = Sample(image, source.weights.copy())
        result.plates = [project(matrix, p) for p in source.plates]
        for name, box in source.vehicles:
            corners = project(matrix, box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2))
            result.vehicles.append((name, np.r_[corners.min(axis=0), corners.max(axis=0)]))
        self._paste(rng, result)
        _clip_labels(result, side)
        return result

    def _paste(self, rng: np.random.Generator, sample: Sample) -> None:
        side = sample.image.shape[0]
        for index, corners in enumerate(sample.plates):
            if rng.random() < 0.4:
                sample.plates[index] = self._paste_plate(rng, sample.image, corners)
        if not sample.plates:
            for _, box in sample.vehicles:
                width = box[2] - box[0]
                if width < 50 or rng.random() < 0.5:
                    continue
                plate = min(width * rng.uniform(0.16, 0.32), 250.0)
                centre = f32(
                    [
                        box[0] + width * rng.uniform(0.35, 0.65),
                        box[1] + (box[3] - box[1]) * rng.uniform(0.6, 0.95),
                    ]
                )
                quad = random_quad(rng, centre, plate)
                sample.plates.append(self._paste_plate(rng, sample.image, quad))
        if rng.random() < 0.06:
            quad = random_quad(rng, rng.uniform(0, side, 2), np.exp(rng.uniform(3.0, 5.5)))
            if is_free(quad, sample.plates):
                sample.plates.append(self._paste_plate(rng, sample.image, quad))
        if rng.random() < 0.15:
            quad = random_quad(rng, rng.uniform(0, side, 2), np.exp(rng.uniform(3.0, 5.3)))
            if is_free(quad, sample.plates):
                negative = self.negatives[int(rng.integers(len(self.negatives)))]
                warp_into(sample.image, negative, quad)

    def _paste_plate(
        self, rng: np.random.Generator, image: np.ndarray, corners: np.ndarray
    ) -> np.ndarray:
        if rng.random() < 0.2:
            plate = self.crops[int(rng.integers(len(self.crops)))]
        else:
            plate = self.rendered[int(rng.integers(len(self.rendered)))]
        return lay_over(image, plate, corners, rng)


def _homography(
    rng: np.random.Generator, focus: np.ndarray, scale: float, side: int, size: tuple[int, int]
) -> np.ndarray:
    angle = rng.normal(0, 3.0) if rng.random() < 0.8 else rng.uniform(-28, 28)
    shear = rng.normal(0, 0.05, 2)
    radians = np.deg2rad(angle)
    cos, sin = np.cos(radians), np.sin(radians)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    stretch = np.diag([scale * np.exp(rng.normal(0, 0.06)), scale * np.exp(rng.normal(0, 0.06)), 1])
    skew = np.array([[1, shear[0], 0], [shear[1], 1, 0], [0, 0, 1.0]])
    tilt = np.eye(3)
    tilt[2, :2] = rng.normal(0, 0.12, 2) / side
    whole = np.allclose(focus, f32(size) / 2)
    spread = 0.08 if whole else 0.42
    target = side / 2 + rng.uniform(-spread, spread, 2) * side
    # a view that is not the whole picture stays mostly inside it
    if not whole:
        for axis in (0, 1):
            low, high = focus[axis] * scale, (size[axis] - focus[axis]) * scale
            if low + high > side:
                target[axis] = np.clip(target[axis], side - high, low)
    to_origin = np.array([[1, 0, -focus[0]], [0, 1, -focus[1]], [0, 0, 1.0]])
    to_target = np.array([[1, 0, target[0]], [0, 1, target[1]], [0, 0, 1.0]])
    return to_target @ tilt @ turn @ skew @ stretch @ to_origin


def _clip_labels(sample: Sample, side: int) -> None:
    plates = []
    for corners in sample.plates:
        low, high = corners.min(axis=0), corners.max(axis=0)
        seen = np.prod(np.clip(np.minimum(high, side) - np.maximum(low, 0), 0, None))
        if seen >= 0.6 * np.prod(high - low) and high[0] - low[0] >= 12:
            plates.append(corners)
    vehicles = []
    for name, box in sample.vehicles:
        cut = np.clip(box, 0, side)
        area = np.prod(cut[2:] - cut[:2])
        if area >= 0.35 * np.prod(box[2:] - box[:2]) and (cut[2:] - cut[:2]).min() >= 8:
            vehicles.append((name, cut.astype(np.float32)))
    sample.plates, sample.vehicles = plates, vehicles


def collate(samples: list[Sample]) -> dict[str, torch.Tensor]:
    """Samples of one side → the batch of ultralytics' losses, boxes and corners normalised."""
    side = samples[0].image.shape[0]
    images = np.stack([s.image[..., ::-1].transpose(2, 0, 1) for s in samples])
    index, names, boxes, corners = [], [], [], []
    for i, sample in enumerate(samples):
        for quad in sample.plates:
            box = np.clip(np.r_[quad.min(axis=0), quad.max(axis=0)], 0, side)
            index.append(i)
            names.append(0)
            boxes.append(box)
            corners.append(np.c_[quad, np.ones(4)])
        for name, box in sample.vehicles:
            index.append(i)
            names.append(name)
            boxes.append(box)
            corners.append(np.zeros((4, 3)))
    xyxy = f32(boxes).reshape(-1, 4) / side
    centred = np.c_[(xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]]
    points = f32(corners).reshape(-1, 4, 3)
    points[..., :2] /= side
    return {
        "img": torch.from_numpy(np.ascontiguousarray(images)),
        "batch_idx": torch.tensor(index, dtype=torch.float32),
        "cls": torch.tensor(names, dtype=torch.float32),
        "bboxes": torch.from_numpy(f32(centred)),
        "keypoints": torch.from_numpy(points),
        "weights": torch.from_numpy(np.stack([s.weights for s in samples])),
    }


class SceneBatches(IterableDataset[dict[str, torch.Tensor]]):
    """An endless stream of batches; the side changes from batch to batch (:data:`SIZES`)."""

    def __init__(self, composer: Composer, seed: int) -> None:
        self.composer, self.seed = composer, seed

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        cv2.setNumThreads(0)
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((self.seed, worker.id if worker else 0))
        odds = [share for _, _, share in SIZES]
        while True:
            side, count, _ = SIZES[int(rng.choice(len(SIZES), p=odds))]
            yield collate([self.composer.sample(rng, side) for _ in range(count)])
