"""What all tests share: the order, who runs alone, the real pictures, what CI must not skip."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
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
    """Quick feedback first: by folder, then slow tests, then those that must run alone."""

    def turn(item: pytest.Item) -> tuple[bool, bool, int]:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        place = FIRST.index(folder) if folder in FIRST else len(FIRST)
        alone, slow = (item.get_closest_marker(name) is not None for name in ("alone", "slow"))
        return alone, slow, place

    items.sort(key=turn)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Where several processes run tests, one that is marked ``alone`` waits for the others, and
    they for it. The locks lie on two files that are there anyway, so none is left behind.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    how = fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH
    with (ROOT / "Makefile").open() as queue, (ROOT / "pyproject.toml").open() as machine:
        fcntl.flock(queue, fcntl.LOCK_EX)  # else the others would never leave it a gap
        fcntl.flock(machine, how)
        fcntl.flock(queue, fcntl.LOCK_UN)
        try:
            return (yield)
        finally:
            fcntl.flock(machine, fcntl.LOCK_UN)
