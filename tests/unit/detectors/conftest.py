import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The photographs with labels; they are no part of the repository."""
    folder = Path(os.environ.get("CHECKPOINT_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "frames.jsonl").exists():
        pytest.skip(f"no photographs at {folder}; set CHECKPOINT_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def val_rows(data_folder: Path):
    def rows(name: str) -> list[dict]:
        lines = (data_folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        return [row for row in map(json.loads, lines) if row["fold"] == "val"]

    return rows


@pytest.fixture(scope="session")
def recogniser():
    from detectors.recogniser import load_recogniser

    return load_recogniser()
