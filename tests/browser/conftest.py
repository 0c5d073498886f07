"""A browser, and persons who look at a console with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.looking import CHROMIUM, OPTIONS, Look, open_page
from tests.browser.rig import ConsoleRig
from tests.conftest import require


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the browser, and a Redis."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for mark in (pytest.mark.browser, pytest.mark.redis, pytest.mark.grpc):
                item.add_marker(mark)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    require(CHROMIUM.exists(), f"{CHROMIUM}: install Debian's chromium ('deploy/system.sh tests')")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(CHROMIUM), args=OPTIONS)
        yield running
        running.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ConsoleRig]:
    """A console with nothing in it yet."""
    made = ConsoleRig(tmp_path)
    yield made
    made.close()


@pytest.fixture
def look_at(browser: Browser) -> Callable[..., AbstractContextManager[Page]]:
    """``with look_at(rig, "张值班") as page``: as ``look``, for a rig of the test's own."""

    @contextmanager
    def opened(rig: ConsoleRig, person: str | None, **how: Any) -> Iterator[Page]:
        look = open_page(browser, rig, person, **how)
        yield look.page
        look.check()
        look.page.context.close()

    return opened


@pytest.fixture
def look(browser: Browser, rig: ConsoleRig) -> Iterator[Callable[..., Page]]:
    """``look("张值班", lang="en")``: a page of its own, signed in. At the end of the test no page
    may have broken its security policy or thrown."""
    looks: list[Look] = []

    def opened(person: str | None = "张值班", **how: Any) -> Page:
        looks.append(open_page(browser, rig, person, **how))
        return looks[-1].page

    yield opened
    for one in looks:
        one.check()
        one.page.context.close()
