"""The frame around every page: language, theme, sessions, sizes, and plates drawn as plates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pipeline.types import PlateClass
from tests.browser.demo import cameras, still, story
from tests.browser.looking import row
from tests.browser.rig import ConsoleRig, console_rig
from tests.browser.vehicles import hit

Look = Callable[..., Page]

_DRAW = """async (plates) => {
  const {html, render} = await import("/static/vendor/htm-preact.js");
  const {Plate} = await import("/static/plate.js");
  const {translator} = await import("/static/i18n.js");
  const place = document.createElement("div");
  document.body.append(place);
  render(html`${plates.map(([text, kind]) => html`<${Plate} t=${translator("zh")} text=${text}
    plateClass=${kind} probabilities=${[1, 0.5, 1]} />`)}`, place);
  return [...place.querySelectorAll("svg")].map((svg) => ({
    label: svg.getAttribute("aria-label"),
    texts: [...svg.querySelectorAll("text")].map((text) => text.textContent.trim()).join(""),
    rows: new Set([...svg.querySelectorAll("g text")].map((text) =>
      Math.round(Number(text.getAttribute("y")) / 40))).size,
    ground: svg.querySelector("rect").getAttribute("fill"),
    hatched: svg.querySelector("pattern") !== null,
    titles: [...svg.querySelectorAll("title")].map((title) => title.textContent),
  }));
}"""

PLATES = {
    PlateClass.BLUE: ("辽A12345", "#0b4ea2"),
    PlateClass.YELLOW_SINGLE: ("辽A12345", "#f5c400"),
    PlateClass.YELLOW_DOUBLE: ("辽A12345", "#f5c400"),
    PlateClass.GREEN_SMALL: ("辽AD12345", "url("),
    PlateClass.GREEN_LARGE: ("辽A12345D", "#57c47a"),
    PlateClass.POLICE: ("辽A1234警", "#f4f4f4"),
    PlateClass.COACH: ("辽A1234学", "#f5c400"),
    PlateClass.HK_MACAU: ("粤Z1234港", "#101010"),
    PlateClass.EMBASSY: ("224578使", "#101010"),
    PlateClass.CONSULATE: ("沪12345领", "#101010"),
    PlateClass.WJ: ("WJ辽12345", "#f4f4f4"),
    PlateClass.ARMY: ("VA12345", "#f4f4f4"),
    PlateClass.MOTORCYCLE: ("辽A12345", "#f5c400"),
    PlateClass.TRAILER: ("辽A1234挂", "#f5c400"),
    PlateClass.TEMPORARY: ("辽A12345", "#cfe2f7"),
    PlateClass.TRACTOR: ("辽A12345", "#1d7a3a"),
    PlateClass.EMERGENCY: ("辽X1234应急", "#f4f4f4"),
    PlateClass.OTHER: ("辽A12345", "#d9dee2"),
}
TWO_ROWS = {PlateClass.YELLOW_DOUBLE, PlateClass.MOTORCYCLE, PlateClass.TRAILER}


def test_every_class_is_drawn_in_its_colours_and_rows(look: Look) -> None:
    page = look(None)
    expect(page.locator("#token")).to_be_visible()
    assert set(PLATES) == set(PlateClass)
    plates = [[text, kind.value] for kind, (text, _) in PLATES.items()]
    drawn = page.evaluate(_DRAW, [*plates, [None, None], ["辽A?23??", None]])
    for (kind, (text, ground)), one in zip(PLATES.items(), drawn, strict=False):
        assert one["texts"] == text
        assert one["ground"].startswith(ground), kind
        assert one["rows"] == (2 if kind in TWO_ROWS else 1), kind
        assert text in one["label"]
        assert "50.0 %" in one["label"]  # the doubtful character, for screen readers
        assert any("50.0 %" in title for title in one["titles"])  # and on pointing at it
    unread, pattern = drawn[-2:]
    assert unread["hatched"]
    assert unread["texts"] == "未识别"
    assert "模式" in pattern["label"]


def test_language_and_theme_are_switched_and_kept(rig: ConsoleRig, look: Look) -> None:
    rig.publish(hit(0))
    page = look("张值班")
    expect(row(page, 0)).to_contain_text("精确")
    page.get_by_role("button", name="English").click()
    expect(row(page, 0)).to_contain_text("Exact")
    html = page.locator("html")
    expect(html).to_have_attribute("lang", "en")
    page.get_by_role("button", name="Dark").click()
    expect(html).to_have_attribute("data-theme", "light")
    page.reload()
    expect(row(page, 0)).to_contain_text("Exact")
    expect(html).to_have_attribute("data-theme", "light")


def test_a_session_that_ends_soon_says_so(tmp_path: Path, look_at) -> None:
    with (
        console_rig(tmp_path, session_hours=0.2) as rig,
        look_at(rig, "张值班") as page,
    ):
        expect(page.locator(".banner--warn")).to_contain_text("登录将在 11:")


def test_a_wrong_token_and_a_used_link_are_told(rig: ConsoleRig, look: Look) -> None:
    page = look(None)
    page.fill("#token", "checkpoint_wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#token-error")).to_contain_text("令牌无效")
    page.goto(rig.url + "login?code=used")
    expect(page.locator(".login")).to_contain_text("一次性登录链接已失效")


def test_signing_out_ends_the_session(rig: ConsoleRig, look: Look) -> None:
    page = look("张值班")
    page.get_by_role("button", name="退出").click()
    expect(page.locator(".login")).to_contain_text("已退出登录")
    page.reload()
    expect(page.locator("#token")).to_be_visible()


@pytest.mark.parametrize("size", [(1366, 768), (3840, 2160), (820, 1180)])
def test_nothing_is_cut_off_at_any_size(tmp_path: Path, look_at, size: tuple[int, int]) -> None:
    with (
        console_rig(tmp_path, cameras=cameras, still=still) as rig,
        look_at(rig, "李审批", size=size, lang="en") as page,
    ):
        rig.publish(*story(rig.clock.now()))
        expect(row(page, 0)).to_be_visible()
        across = "document.documentElement.scrollWidth - innerWidth"
        wider = """[...document.querySelectorAll(".feed__detail, .shell__bar, .feed__rows")]
          .filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.className)"""
        assert page.evaluate(across) <= 0
        row(page, 1).click()
        expect(page.locator(".seen--yes").first).to_be_visible()
        assert page.evaluate(across) <= 0
        assert page.evaluate(wider) == []
        page.evaluate("location.hash = '#/cameras'")
        expect(page.locator(".tile")).to_have_count(4)
        assert page.evaluate(across) <= 0
