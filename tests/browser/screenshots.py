"""Draw the console's pictures for the documentation: ``make screenshots``.

Both languages, both themes and three sizes, each at least once; the vehicles are those of the
rendered demonstration clip. Pictures are made with few colours, so that they stay small.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.demo import cameras, still, story
from tests.browser.looking import CHROMIUM, OPTIONS, open_page, row
from tests.browser.rig import ConsoleRig, console_rig

IMAGES = Path(__file__).parents[2] / "docs" / "images"
_PERSON = "李审批"
_COLOURS = 128
_WIDEST_PX = 1920
"""A picture of a wall is halved: 3840 pixels across are for the wall, not for a page."""


def main() -> int:
    """Write every picture; prints its path and size."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        console_rig(Path(folder), cameras=cameras, still=still) as rig,
        sync_playwright() as playwright,
    ):
        rig.publish(*story(rig.clock.now()))
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=OPTIONS)
        for name, size, theme, lang, show in _PICTURES:
            with _page(browser, rig, size, theme, lang) as page:
                show(page)
                _write(IMAGES / f"console-{name}.png", page.screenshot())
        browser.close()
    return 0


@contextmanager
def _page(
    browser: Browser, rig: ConsoleRig, size: tuple[int, int], theme: str, lang: str
) -> Iterator[Page]:
    look = open_page(browser, rig, _PERSON, size=size, theme=theme, lang=lang)
    page = look.page
    page.mouse.click(5, 3)  # the browser lets sounds be played from then on
    expect(row(page, 0)).to_be_visible()
    yield page
    look.check()
    page.context.close()


def _alert(page: Page, number: int) -> None:
    """The alert whole, its picture loaded."""
    row(page, number).click()
    expect(page.locator(".seen--yes").first).to_be_visible()
    page.wait_for_timeout(1200)


def _possible(page: Page) -> None:
    _alert(page, 1)


def _cameras(page: Page) -> None:
    page.evaluate("location.hash = '#/cameras'")
    expect(page.locator(".tile img")).to_have_count(3)
    page.wait_for_timeout(800)


def _deciding(page: Page) -> None:
    _alert(page, 1)
    page.keyboard.press("r")
    page.keyboard.press("1")
    page.wait_for_timeout(300)


def _write(path: Path, png: bytes) -> None:
    """At most ``_WIDEST_PX`` wide, in ``_COLOURS`` colours of its own."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    if image.width > _WIDEST_PX:
        image = image.resize((_WIDEST_PX, image.height * _WIDEST_PX // image.width))
    image.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(IMAGES.parents[1])}: {path.stat().st_size // 1024} KB")


_PICTURES: tuple[tuple[str, tuple[int, int], str, str, Callable[[Page], None]], ...] = (
    ("feed-zh-dark", (1366, 768), "dark", "zh", _possible),
    ("feed-en-light", (1366, 768), "light", "en", _possible),
    ("wall-zh-dark", (3840, 2160), "dark", "zh", _possible),
    ("tablet-zh-light", (820, 1180), "light", "zh", _deciding),
    ("cameras-en-dark", (1366, 768), "dark", "en", _cameras),
)


if __name__ == "__main__":
    sys.exit(main())
