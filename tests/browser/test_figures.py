"""The page of figures: what was counted, as plots and as tables, in both themes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from pipeline.archive import PassageArchive
from pipeline.rollup import FIGURES_FILE, CountedAlert, Rollup
from tests.browser.looking import serious
from tests.browser.rig import ConsoleRig
from tests.support import watchlists
from tests.support.waiting import wait_until

Look = Callable[..., Page]
NASTY = "<img/src=x/onerror=alert(1)>"
DARK, LIGHT = "#ffbf47", "#9a5b00"
"""The second series of a plot, in both themes."""
PAINTS = """(canvas, colour) => {
  const [red, green, blue] = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  for (let at = 0; at < data.length; at += 4)
    if (data[at] === red && data[at + 1] === green && data[at + 2] === blue) return true;
  return false;
}"""
"""Whether a pixel of the canvas has exactly this colour."""


@pytest.fixture(autouse=True)
def counted(rig: ConsoleRig) -> None:
    """40 passages by two cameras in the last 40 h; every fourth unread, every eighth without plate;
    and 20 alerts: 9 confirmed, 3 rejected."""
    now = datetime.now(UTC)
    with closing(PassageArchive(rig.folder / "passages.sqlite")) as archive:
        archive.keep(
            replace(
                watchlists.passage(
                    None if number % 4 == 0 else "辽A12345", passage_id=f"p{number}", closed=True
                ),
                camera=NASTY if number % 2 else "north",
                ended_at=now - timedelta(hours=number, minutes=1),
                reads=0 if number % 8 == 0 else 5,
                evidence=None,
            )
            for number in range(40)
        )
    with closing(Rollup(rig.folder / FIGURES_FILE)) as rollup:
        rollup.note(
            CountedAlert(
                str(number),
                rig.settings.checkpoint,
                "north",
                now - timedelta(hours=number, minutes=1),
                "exact",
                "stolen",
                "confirmed" if number < 9 else "rejected" if number < 12 else "unverified",
                late=False,
                retracted=False,
                latency_s=0.5 + number / 10,
            )
            for number in range(20)
        )


def opened(look: Look, **how: str) -> Page:
    page = look("赵查看", **how)
    page.click('a[href="#/figures"]')
    expect(page.locator("[data-plot] canvas")).to_have_count(5)
    return page


@pytest.mark.parametrize(("lang", "theme"), [("zh", "dark"), ("en", "light")])
def test_figures_are_those_that_were_counted(look: Look, lang: str, theme: str) -> None:
    page = opened(look, lang=lang, theme=theme)

    def tile(name: str) -> str:
        return page.locator(f"[data-figure={name}] b").inner_text()

    assert tile("passages") == "40"
    assert tile("read_rate") == "85.7 %"  # 30 of 35
    assert tile("capture_rate") == "75.0 %"
    assert tile("alerts") == "20"
    assert tile("precision") == "75.0 %"
    assert tile("latency_p95_s") == "2.30 s"
    assert serious(page) == []
    rows = page.locator("tr[data-camera]")
    expect(rows).to_have_count(3)
    assert page.locator(f'tr[data-camera="{NASTY}"] img').count() == 0
    page.locator("[data-plot=rates] summary").click()
    expect(page.locator("[data-plot=rates] tbody tr")).to_have_count(49)
    assert serious(page) == []
    page.select_option("#figures-camera", "north")
    expect(page.locator("[data-figure=passages] b")).to_have_text("20")
    page.select_option("#figures-bucket", "day")
    expect(page.locator("[data-figure=passages] b")).to_have_text("20")
    drawn = page.locator("[data-plot=passages] canvas").evaluate(
        """(canvas) => {
          const { width, height } = canvas;
          const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
          return data.some((value) => value > 0);
        }"""
    )
    assert drawn


def test_the_plots_follow_the_theme_and_the_window(look: Look) -> None:
    page = opened(look)
    canvas = page.locator("[data-plot=passages] canvas")

    def paints(colour: str) -> bool:
        return bool(canvas.evaluate(PAINTS, colour))

    assert paints(DARK)
    assert not paints(LIGHT)
    before = page.locator("[data-plot=rates] canvas").bounding_box()
    page.set_viewport_size({"width": 3840, "height": 2160})
    # Asked from here: Playwright's own waiting evaluates text in the page, again and again, which
    # the security policy forbids.
    wait_until(
        lambda: (
            page.locator("[data-plot=rates] canvas").bounding_box()["width"] > before["width"] + 50
        ),
        what="a wider plot in a wider window",
    )
    page.get_by_role("button", name="深色").click()  # the button tells the theme that is on
    wait_until(lambda: paints(LIGHT), what="the light theme's colours")
    assert not paints(DARK)
    expect(page.locator("[data-plot] canvas")).to_have_count(5)
