"""Lists training crops whose label the present reader contradicts: one to three in a hundred.

    python -m detectors.training.doubt --data DIR --out doubtful.txt

A row counts as doubtful where the reader is more sure than not of another text. Looked at by eye,
the label was wrong in nearly all of them. ``detectors.training.reader --without doubtful.txt``
leaves them out. Only the train fold: leaving out val rows that the reader contradicts would hide
its mistakes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from detectors.recogniser import load_recogniser
from detectors.training import data as labels

BATCH = 32
SURE = 0.5


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the label files")
    parser.add_argument("--out", type=Path, required=True, help="file to write, a picture a line")
    parser.add_argument("--weights", type=Path, help="weights folder, the shipped one if left out")
    options = parser.parse_args()
    recogniser = load_recogniser(options.weights)
    rows = labels.rows(options.data, "crops", "train")
    doubtful: list[str] = []
    for start in tqdm(range(0, len(rows), BATCH), mininterval=5):
        part = rows[start : start + BATCH]
        reads = recogniser.read_crops([labels.picture(options.data, row) for row in part])
        for row, read in zip(part, reads, strict=True):
            if read.text not in (None, row["text"]) and read.probability >= SURE:
                doubtful.append(row["image"])
    options.out.write_text("".join(f"{name}\n" for name in doubtful), encoding="utf-8")
    print(f"{len(doubtful)} of {len(rows)} labels are doubtful: {options.out}")


if __name__ == "__main__":
    main()
