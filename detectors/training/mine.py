"""Collects what the scene net takes for a plate and is none: hard negatives for the reader.

    python -m detectors.training.mine --data DIR --out FOLDER

Looks at train frames whose plates are all annotated. A detection that meets no annotation and
that the present reader cannot read is cut out, straightened as the reader sees it, and written
as a PNG; taxi signs, advertisements and lamps make up most of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from detectors.postprocess import overlaps
from detectors.preprocess import rectify
from detectors.recogniser import load_recogniser
from detectors.training import data as labels
from detectors.training.arrays import f32


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the label files")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--every", type=int, default=1, help="only every n-th frame")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    recogniser = load_recogniser()
    frames = [f for f in labels.rows(options.data, "frames", "train") if f["plates_complete"]]
    for number, frame in enumerate(tqdm(frames[:: options.every], mininterval=5)):
        image = labels.picture(options.data, frame)
        (found,) = recogniser.detector.detect([image])
        boxes = f32([plate["box"] for plate in frame["plates"]]).reshape(-1, 4)
        for index, plate in enumerate(found.plates):
            if len(boxes) and overlaps(f32([plate.box]), boxes)[1].max() > 0.05:
                continue
            flat = rectify(image, plate.corners, (252, 72), (0.15, 0.3))
            (read,) = recogniser.reader.read([rectify(image, plate.corners)])
            if read.text is None:
                data = cv2.imencode(".png", np.ascontiguousarray(flat))[1]
                data.tofile(options.out / f"{number:05d}_{index}.png")


if __name__ == "__main__":
    main()
