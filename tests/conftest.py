"""What all tests share: the order, the real pictures, and what CI must not skip."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
"""The repository's root."""

FIRST = ("unit", "property", "integration")
"""Folders of tests by speed; the others follow."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """``make faults`` runs more rounds than a test run has time for."""
    parser.addoption("--fault-rounds", type=int, default=2, help="rounds of each fault run")


def require(condition: object, reason: str) -> None:
    """Go on only where ``condition`` holds: a laptop skips the test, CI fails it.

    For what CI installs: a server, a browser, a tool. ``reason`` says what is missing and how
    to get it.
    """
    if condition:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI must have this: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real pictures and clips; skips where it is absent, in CI as well.

    They are not part of the repository, and a plain clone tests itself without them.
    """
    named = os.environ.get("CHECKPOINT_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not (folder / "frames.jsonl").is_file():
        pytest.skip(f"no real pictures in {folder}: set CHECKPOINT_DATA to the folder of them")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick feedback first: by folder, and slow tests after all others."""

    def turn(item: pytest.Item) -> tuple[bool, int]:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        place = FIRST.index(folder) if folder in FIRST else len(FIRST)
        return item.get_closest_marker("slow") is not None, place

    items.sort(key=turn)
