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

Look = Callable[..., Page]
NASTY = "<img/src=x/onerror=alert(1)>"


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
    before = page.locator("[data-plot=rates] canvas").bounding_box()
    page.set_viewport_size({"width": 3840, "height": 2160})
    page.wait_for_function(
        f"document.querySelector('[data-plot=rates] canvas').clientWidth > {before['width'] + 50}"
    )
    page.get_by_role("button", name="深色").click()
    expect(page.locator("[data-plot] canvas")).to_have_count(5)
