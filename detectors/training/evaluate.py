"""Measures the shipped weights on the val folds of a data folder.

    python -m detectors.training.evaluate --data DIR [--json] [--second-look]

Frames: an annotated plate is *found* when a detected plate's box overlaps its box with
IoU >= 0.5, and *read* when the text is exactly right; shares are over all annotated plates (read:
over those with a text). *Extra* plates are detections that meet no annotation in completely
annotated frames; *extra read* those of them that got a text. Crops: dataset-labelled only.
False plates: those that training left out. Calibration: mean probability of the reads beside
the share that is right.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from detectors.postprocess import overlaps
from detectors.recogniser import Recogniser, load_recogniser
from detectors.training import data as labels
from detectors.training.arrays import f32
from detectors.training.degrade import wear
from detectors.training.render import CLASS_WEIGHTS, Glyphs, random_plate, render_plate
from detectors.training.scene_effects import lay_over
from pipeline.types import ReadPlate

Figures = dict[str, Any]


def match(boxes: list[list[float]], found: list[list[float]], iou: float = 0.5) -> list[int]:
    """For each annotated box the index of the detection that meets it best, or -1; one to one."""
    if not boxes or not found:
        return [-1] * len(boxes)
    union, _ = overlaps(f32(boxes), f32(found))
    chosen = [-1] * len(boxes)
    while union.max() >= iou:
        row, column = np.unravel_index(int(union.argmax()), union.shape)
        chosen[int(row)] = int(column)
        union[row], union[:, column] = -1, -1
    return chosen


def frames(recogniser: Recogniser, data: Path) -> tuple[Figures, list[dict[str, Any]]]:
    """Figures for each set of frames, and every miss for looking at."""
    figures: Figures = {}
    misses: list[dict[str, Any]] = []
    counts: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    rows = labels.rows(data, "frames", "val")
    for start in range(0, len(rows), 8):
        part = rows[start : start + 8]
        answers = recogniser.recognise([labels.picture(data, row) for row in part])
        for row, (plates, _) in zip(part, answers, strict=True):
            count = counts[row["set"]]
            chosen = match([p["box"] for p in row["plates"]], [list(_box(p)) for p in plates])
            for plate, index in zip(row["plates"], chosen, strict=True):
                hit = plates[index] if index >= 0 else None
                count["plates"] += 1
                count["found"] += hit is not None
                if plate.get("text"):
                    right = hit is not None and hit.read.text == plate["text"]
                    count["texts"] += 1
                    count["read"] += right
                    if hit is not None and hit.read.text:
                        count["probability"] += hit.read.probability
                        count["reads"] += 1
                        count["reads_right"] += right
                    if not right:
                        read = (hit.read.text, round(hit.read.probability, 3)) if hit else None
                        misses.append(
                            {
                                "image": row["image"],
                                "box": plate["box"],
                                "read": read,
                                "text": plate["text"],
                            }
                        )
                elif hit is None:
                    misses.append({"image": row["image"], "box": plate["box"], "read": None})
            if row["plates_complete"]:
                extra = [p for i, p in enumerate(plates) if i not in chosen]
                count["extra"] += len(extra)
                count["extra_read"] += sum(p.read.text is not None for p in extra)
    for name, count in counts.items():
        figures[name] = {
            "plates": int(count["plates"]),
            "found": round(count["found"] / count["plates"], 4),
            "read": round(count["read"] / max(count["texts"], 1), 4),
            "texts": int(count["texts"]),
            "extra": int(count["extra"]),
            "extra_read": int(count["extra_read"]),
            "mean_probability": round(count["probability"] / max(count["reads"], 1), 4),
            "reads_right": round(count["reads_right"] / max(count["reads"], 1), 4),
        }
    return figures, misses


def _box(plate: ReadPlate) -> tuple[float, float, float, float]:
    return plate.detection.box


def crops(recogniser: Recogniser, data: Path) -> tuple[Figures, list[dict[str, Any]]]:
    """Figures for cut-out plates with dataset labels."""
    rows = [r for r in labels.rows(data, "crops", "val") if r["text_source"] != "model"]
    reads = recogniser.read_crops([labels.picture(data, row) for row in rows])
    misses = [
        {
            "image": row["image"],
            "read": (read.text, round(read.probability, 3)),
            "text": row["text"],
        }
        for row, read in zip(rows, reads, strict=True)
        if read.text != row["text"]
    ]
    texts = [read for read in reads if read.text]
    return {
        "plates": len(rows),
        "read": round(1 - len(misses) / len(rows), 4),
        "mean_probability": round(float(np.mean([r.probability for r in texts])), 4),
        "reads_right": round((len(rows) - len(misses)) / max(len(texts), 1), 4),
    }, misses


def false_plates(recogniser: Recogniser, data: Path) -> Figures:
    """How many false plates get a text."""
    reads = recogniser.reader.read(labels.not_plates(data, val=True))
    texts = [r.probability for r in reads if r.text]
    sure = sum(p > 0.5 for p in texts)
    return {"pictures": len(reads), "read": len(texts), "read_over_half": sure}


def pasted(recogniser: Recogniser, data: Path, count: int = 15, seed: int = 7) -> Figures:
    """Found and read shares of each class, rendered and pasted over val plates.

    Rendered plates say little about real ones; they show classes that are not known at all.
    """
    glyphs = Glyphs(data / "glyphs")
    rng = np.random.default_rng(seed)
    rows = [r for r in labels.rows(data, "frames", "val") if r["set"] == "pku"]
    rows = [r for r in rows if any(p.get("text") for p in r["plates"])]
    figures: Figures = {}
    for name in CLASS_WEIGHTS:
        total = found = read = named = 0
        for row in (rows[int(i)] for i in rng.permutation(len(rows))[:count]):
            text, _ = random_plate(rng, name)
            if not all(glyphs.has(character) for character in text):
                continue
            image = labels.picture(data, row)
            target = next(p for p in row["plates"] if p.get("text"))
            corners = labels.fitted_corners(target)
            if corners is None:
                continue
            plate = wear(render_plate(text, name, glyphs, rng, scale=0.75), rng)
            quad = lay_over(image, plate, corners, rng)
            box = [*quad.min(axis=0).tolist(), *quad.max(axis=0).tolist()]
            ((plates, _),) = recogniser.recognise([image])
            index = match([box], [list(_box(p)) for p in plates])[0]
            total += 1
            found += index >= 0
            read += index >= 0 and plates[index].read.text == text
            named += index >= 0 and plates[index].read.plate_class is name
        if total:
            figures[name.value] = {"plates": total, "found": found, "read": read, "class": named}
    return figures


def vehicles(recogniser: Recogniser, data: Path) -> Figures:
    """Recall and precision of vehicle boxes (IoU >= 0.5) in the street pictures."""
    total = hit = named = large = large_hit = shown = 0
    for row in labels.rows(data, "vehicles", "val"):
        (found,) = recogniser.detector.detect([labels.picture(data, row)])
        wanted = [v for v in row["vehicles"] if v["cls"] != "bicycle"]
        chosen = match([v["box"] for v in wanted], [list(v.box) for v in found.vehicles])
        shown += len(found.vehicles)
        for vehicle, index in zip(wanted, chosen, strict=True):
            x1, y1, x2, y2 = vehicle["box"]
            big = (x2 - x1) * (y2 - y1) > 0.01 * row["width"] * row["height"]
            total += 1
            hit += index >= 0
            large += big
            large_hit += big and index >= 0
            named += index >= 0 and found.vehicles[index].vehicle_class == vehicle["cls"]
    inside = frames_with = 0
    for row in labels.rows(data, "frames", "val"):
        if row["set"] != "pku":
            continue
        (found,) = recogniser.detector.detect([labels.picture(data, row)])
        for plate in row["plates"]:
            x, y = (plate["box"][0] + plate["box"][2]) / 2, (plate["box"][1] + plate["box"][3]) / 2
            frames_with += 1
            inside += any(
                v.box[0] < x < v.box[2] and v.box[1] < y < v.box[3] for v in found.vehicles
            )
    return {
        "vehicles": total,
        "recall": round(hit / total, 4),
        "recall_large": round(large_hit / max(large, 1), 4),
        "precision": round(hit / max(shown, 1), 4),
        "right_class_of_found": round(named / max(hit, 1), 4),
        "checkpoint_plates_with_a_vehicle_around": round(inside / max(frames_with, 1), 4),
    }


def evaluate(recogniser: Recogniser, data: Path) -> tuple[Figures, list[dict[str, Any]]]:
    """All figures, and the misses of frames and crops."""
    framed, missed = frames(recogniser, data)
    cropped, missed_crops = crops(recogniser, data)
    figures = {
        "frames": framed,
        "crops": cropped,
        "false_plates": false_plates(recogniser, data),
        "pasted": pasted(recogniser, data),
        "vehicles": vehicles(recogniser, data),
        "weights": recogniser.version,
    }
    return figures, missed + missed_crops


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the label files")
    parser.add_argument("--weights", type=Path, help="weights folder, the shipped one if left out")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--second-look", action="store_true")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--misses", type=Path, help="write every miss to this file, one a line")
    options = parser.parse_args()
    recogniser = load_recogniser(
        options.weights, threads=options.threads, second_look=options.second_look
    )
    figures, misses = evaluate(recogniser, options.data)
    if options.misses:
        lines = [json.dumps(miss, ensure_ascii=False) for miss in misses]
        options.misses.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(figures, ensure_ascii=False))
        return
    for name, value in figures.items():
        if name in ("frames", "pasted"):
            for part, numbers in value.items():
                print(f"{name}/{part:14}", *(f"{k} {v}" for k, v in numbers.items()), sep="  ")
        else:
            shown = value.items() if isinstance(value, dict) else [("", value)]
            print(f"{name:15}", *(f"{k} {v}" for k, v in shown), sep="  ")


if __name__ == "__main__":
    main()
