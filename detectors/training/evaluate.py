"""Measures the shipped weights on the val folds of a data folder.

    python -m detectors.training.evaluate --data DIR [--json] [--second-look]

Frames and crops are measured as ``checkpoint bench accuracy`` measures them, the crops with the
labels of their datasets only: a plate is *found* where a detection's box overlaps its box with
IoU >= 0.5, and *read* where the text is exactly right, over all annotated plates with a text.
*Extra* plates are detections that meet no annotation in completely annotated frames; *extra
read* those of them that got a text. Beside these: false plates that training left out; rendered
plates of every class, pasted over real ones; vehicles, their colours.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.labels import Choice, TextSource, load
from benchmarks.accuracy.matching import match
from benchmarks.accuracy.measure import measure
from benchmarks.accuracy.records import Measured, PlateOutcome
from benchmarks.accuracy.statistics import calibrate
from detectors.base import SceneDetector
from detectors.recogniser import Recogniser, load_recogniser
from detectors.scene import CLASSES, SceneOptions
from detectors.training import data as labels
from detectors.training.average_precision import average_precision
from detectors.training.degrade import wear
from detectors.training.render import CLASS_WEIGHTS, Glyphs, random_plate, render_plate
from detectors.training.scene_effects import lay_over
from pipeline.errors import InputError

Figures = dict[str, Any]
RANKED_FROM = 0.01
"""Confidence from which vehicles count for the average precision."""


def frames(recogniser: Recogniser, data: Path) -> tuple[Figures, list[Figures]]:
    """Figures for each set of frames, and every miss for looking at."""
    chosen = load(data / "frames.jsonl", Choice(fold="val"))
    measured = _complete(measure(recogniser, chosen.pictures), chosen.failures)
    figures: Figures = {}
    for name in sorted({picture.subset or "" for picture in chosen.pictures}, reverse=True):
        plates = [o for o in measured.plates if (o.picture.subset or "") == name]
        extras = [e for e in measured.extras if (e.picture.subset or "") == name]
        figures[name] = {
            "plates": len(plates),
            "found": _share(sum(bool(o.found) for o in plates), len(plates)),
            "texts": sum(o.plate.text is not None for o in plates),
            **_reads(plates),
            "extra": len(extras),
            "extra_read": sum(e.text is not None for e in extras),
        }
    return figures, _misses(measured)


def crops(recogniser: Recogniser, data: Path) -> tuple[Figures, list[Figures]]:
    """Figures for cut-out plates with dataset labels, and every miss."""
    choice = Choice(fold="val", texts=TextSource.DATASET, crops=True)
    chosen = load(data / "crops.jsonl", choice)
    measured = _complete(measure(recogniser, chosen.pictures, crops=True), chosen.failures)
    return {"plates": len(measured.plates), **_reads(measured.plates)}, _misses(measured)


def _complete(measured: Measured, failures: Sequence[str]) -> Measured:
    """The figures of a fold are those of all its pictures, or none."""
    if failures or measured.failures:
        raise InputError("\n".join([*failures, *measured.failures]))
    return measured


def _reads(plates: Sequence[PlateOutcome]) -> Figures:
    texts = [o for o in plates if o.plate.text is not None]
    reads = [o for o in texts if o.text]
    held = calibrate([o.probability for o in reads], [o.right for o in reads])
    return {
        "read": _share(sum(o.right for o in texts), len(texts)),
        "mean_probability": round(held.mean_probability or 0.0, 4),
        "reads_right": _share(held.right.count, held.right.of),
    }


def _share(count: int, of: int) -> float:
    return round(count / max(of, 1), 4)


def _misses(measured: Measured) -> list[Figures]:
    """Plates that were not found, or not read as they should be."""
    return [
        {
            "image": o.picture.name,
            "box": o.plate.box,
            "read": (o.text, round(o.probability, 3)) if o.found is not False else None,
            "text": o.plate.text,
        }
        for o in measured.plates
        if o.found is False or (o.plate.text is not None and not o.right)
    ]


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
            (x1, y1), (x2, y2) = quad.min(axis=0).tolist(), quad.max(axis=0).tolist()
            ((plates, _),) = recogniser.recognise([image])
            (index,) = match([(x1, y1, x2, y2)], [p.detection.box for p in plates])
            total += 1
            if index is not None:
                found += 1
                read += plates[index].read.text == text
                named += plates[index].read.plate_class is name
        if total:
            figures[name.value] = {"plates": total, "found": found, "read": read, "class": named}
    return figures


def vehicles(recogniser: Recogniser, data: Path) -> Figures:
    """Recall and precision of vehicle boxes (IoU >= 0.5) in the street pictures."""
    total = hit = named = large = large_hit = shown = 0
    for row in labels.rows(data, "vehicles", "val"):
        (found,) = recogniser.detector.detect([labels.picture(data, row)])
        wanted = [v for v in row["vehicles"] if v["cls"] != "bicycle"]
        chosen = match([v["box"] for v in wanted], [v.box for v in found.vehicles])
        shown += len(found.vehicles)
        for vehicle, index in zip(wanted, chosen, strict=True):
            x1, y1, x2, y2 = vehicle["box"]
            big = (x2 - x1) * (y2 - y1) > 0.01 * row["width"] * row["height"]
            total += 1
            large += big
            if index is not None:
                hit += 1
                large_hit += big
                named += found.vehicles[index].vehicle_class == vehicle["cls"]
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


def ranked_vehicles(detector: SceneDetector, data: Path) -> Figures:
    """Mean average precision of vehicle boxes in the street pictures.

    ``detector`` should give vehicles from :data:`RANKED_FROM` on. Bicycles are left out; about
    15 % of the small vehicles are not annotated and count as false.
    """
    rows = labels.rows(data, "vehicles", "val")
    found = [detector.detect([labels.picture(data, row)])[0].vehicles for row in rows]
    annotated = [[(v["cls"], tuple(v["box"])) for v in row["vehicles"]] for row in rows]
    names = [name.value for name in CLASSES if name is not None]
    precision = average_precision(names, annotated, found)
    return {
        "map50": round(precision.map50, 4),
        "map50_95": round(precision.map50_95, 4),
        **{f"ap50_{name}": round(value, 4) for name, value in precision.by_class.items()},
    }


def colours(recogniser: Recogniser, data: Path) -> Figures:
    """How many vehicles get a colour, and how many the right one."""
    if recogniser.colour is None:
        return {}
    rows = labels.rows(data, "colours", "val")
    told = recogniser.colour.colours([labels.picture(data, row) for row in rows])
    answered = sum(colour is not None for colour in told)
    right = sum(c is not None and c == row["colour"] for c, row in zip(told, rows, strict=True))
    return {
        "pictures": len(rows),
        "answered": _share(answered, len(rows)),
        "right_of_answered": _share(right, answered),
        "right": _share(right, len(rows)),
    }


def evaluate(
    recogniser: Recogniser, ranking: SceneDetector, data: Path
) -> tuple[Figures, list[Figures]]:
    """All figures, and the misses of frames and crops.

    ``ranking`` is the recogniser's detector with vehicles from :data:`RANKED_FROM` on.
    """
    framed, missed = frames(recogniser, data)
    cropped, missed_crops = crops(recogniser, data)
    figures = {
        "frames": framed,
        "crops": cropped,
        "false_plates": false_plates(recogniser, data),
        "pasted": pasted(recogniser, data),
        "vehicles": vehicles(recogniser, data) | ranked_vehicles(ranking, data),
        "colours": colours(recogniser, data),
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
    ranking = load_recogniser(
        options.weights,
        threads=options.threads,
        scene=SceneOptions(vehicle_threshold=RANKED_FROM),
    ).detector
    figures, misses = evaluate(recogniser, ranking, options.data)
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
