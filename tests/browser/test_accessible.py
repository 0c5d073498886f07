"""Keyboard, words for screen readers, and what axe-core finds."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.demo import cameras, still, story
from tests.browser.looking import row, serious
from tests.browser.rig import ConsoleRig, console_rig
from tests.browser.vehicles import hit

Look = Callable[..., Page]


@pytest.mark.parametrize(("theme", "lang"), [("dark", "zh"), ("light", "en")])
def test_axe_finds_nothing_serious(tmp_path, look_at, theme: str, lang: str) -> None:
    with console_rig(tmp_path, cameras=cameras, still=still) as rig:
        rig.publish(*story(rig.clock.now()))
        found = {}
        with look_at(rig, None, theme=theme, lang=lang) as page:
            expect(page.locator("#token")).to_be_visible()
            found["login"] = serious(page)
        with look_at(rig, "李审批", theme=theme, lang=lang) as page:
            expect(row(page, 1)).to_be_visible()
            page.wait_for_timeout(500)
            found["feed"] = serious(page)
            row(page, 1).click()
            expect(page.locator(".seen--yes")).to_have_count(2)
            found["detail"] = serious(page)
            page.wait_for_timeout(700)
            page.keyboard.press("c")
            expect(page.locator(".decide")).to_be_visible()
            found["decide"] = serious(page)
            page.keyboard.press("Escape")
            page.keyboard.press("?")
            expect(page.locator("dialog[open]")).to_be_visible()
            found["help"] = serious(page)
            page.keyboard.press("Escape")
            for path, ready in {
                "cameras": ".tile img",
                "passages": "main h1, main h2, main form",
                "watchlist": "main h1, main h2, main table",
                "figures": "main h1, main h2",
            }.items():
                page.goto(f"{rig.url}#/{path}")
                expect(page.locator(ready).first).to_be_visible()
                page.wait_for_timeout(500)
                found[path] = serious(page)
        assert {where: what for where, what in found.items() if what} == {}


def test_every_word_is_there_in_both_languages(look: Look) -> None:
    page = look(None)
    keys = page.evaluate(
        """async () => {
             const found = {};
             for (const page of ["", "feed.", "cameras.", "passages.", "watchlist.", "figures."]) {
               for (const lang of ["zh", "en"]) {
                 const words = (await import(`/static/i18n/${page}${lang}.js`)).default;
                 for (const [key, text] of Object.entries(words)) {
                   const values = [...text.matchAll(/\\{(\\w+)\\}/g)].map((one) => one[1]);
                   (found[key] ??= {})[lang] = values.sort().join();
                 }
               }
             }
             return JSON.stringify(found);
           }"""
    )
    uneven = {
        key: said for key, said in json.loads(keys).items() if said.get("zh") != said.get("en")
    }
    assert uneven == {}


def test_a_new_alert_is_announced_the_urgent_one_at_once(rig: ConsoleRig, look: Look) -> None:
    page = look("张值班", lang="en")
    rig.publish(hit(0, priority=1))
    urgent = page.locator("[data-announce=urgent]")
    expect(urgent).to_contain_text("New alert: Exact, priority 1")
    expect(urgent).to_have_attribute("aria-live", "assertive")
    rig.publish(hit(1, priority=4))
    polite = page.locator("[data-announce=polite]")
    expect(polite).to_contain_text("priority 4")
    expect(polite).to_have_attribute("aria-live", "polite")


def test_the_whole_way_by_keyboard(rig: ConsoleRig, look: Look) -> None:
    rig.publish(hit(0), hit(1, priority=3))
    page = look(None)
    expect(page.locator("#token")).to_be_focused()
    page.keyboard.type(rig.token_of["张值班"])
    page.keyboard.press("Enter")
    expect(row(page, 0)).to_be_visible()
    for _ in range(40):  # Tab reaches the list
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "listbox":
            break
    else:
        raise AssertionError("the list cannot be reached with Tab")
    page.keyboard.press("ArrowDown")
    expect(row(page, 0)).to_have_attribute("aria-selected", "true")
    active = page.evaluate("document.activeElement.getAttribute('aria-activedescendant')")
    assert active == "alert-hit-0"
    expect(page.locator(".seen--yes")).to_have_count(2)
    page.wait_for_timeout(700)
    page.keyboard.press("r")
    expect(page.locator(".decide input").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".decide")).to_have_count(0)
    page.keyboard.press("n")
    expect(row(page, 1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("?")
    expect(page.locator("dialog[open]")).to_contain_text("撤销刚才的决定")
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)


def test_sound_is_switched_on_muted_and_comes_back(rig: ConsoleRig, look: Look) -> None:
    page = look("张值班")
    on = page.get_by_role("button", name="声音已开")
    page.mouse.click(5, 5)
    expect(on).to_be_visible()
    on.click()
    page.get_by_role("button", name="静音 5 分钟").click()
    muted = page.locator(".sound--muted")
    expect(muted).to_contain_text("静音，还剩 4:5")
    page.evaluate("localStorage.setItem('checkpoint.muted-until', String(Date.now() + 1500))")
    expect(muted).to_have_count(0)
    expect(on).to_be_visible()
