"""What others write reaches the page as text, never as markup, script or a reordered line."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from pipeline.camera import CameraState, CameraStatus
from tests.browser.looking import row
from tests.browser.rig import ConsoleRig, console_rig
from tests.browser.vehicles import hit

Look = Callable[..., Page]

HOSTILE = (
    "<img src=x onerror=\"window.pwned='img'\">",
    "\"><script>window.pwned='script'</script>",
    "' onmouseover='window.pwned=1' x='",
    "javascript:window.pwned='url'",
    "${window.pwned='template'}",
    "{{constructor.constructor('window.pwned=1')()}}",
    "<svg onload=window.pwned=1>",
)
BIDI = "安全\u202e\u2066放行\u2069\u200b"


def untouched(page: Page) -> None:
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("document.querySelectorAll('#app img[src=x], #app script').length") == 0
    assert page.evaluate("window.violations") == []


def test_hits_cannot_inject(rig: ConsoleRig, look: Look) -> None:
    rig.publish(
        *(
            hit(
                number,
                disposition=words,
                category=words[:60],
                camera=words[:60],
                checkpoint="north",
                wanted=words[:60],
                with_picture=number % 2 == 0,
            )
            for number, words in enumerate(HOSTILE)
        ),
        hit(20, disposition=BIDI, camera=BIDI),
    )
    page = look("张值班")
    for number, words in enumerate(HOSTILE):
        expect(row(page, number)).to_contain_text(words)
        row(page, number).click()
        expect(page.locator(".disposition")).to_contain_text(words)
        row(page, number).hover()
        untouched(page)
    row(page, 20).click()
    expect(page.locator(".disposition")).to_contain_text("⟨U+202E⟩")
    marks = (
        "[...document.getElementById('app').innerText].filter((c) => '\\u202e\\u2066'.includes(c))"
    )
    assert page.evaluate(f"{marks}.length") == 0
    untouched(page)


def test_notes_cannot_inject_into_another_operators_page(rig: ConsoleRig, look: Look) -> None:
    rig.publish(*(hit(number) for number in range(len(HOSTILE))))
    one, other = look("张值班"), look("李审批")
    for number, words in enumerate(HOSTILE):
        row(one, number).click()
        one.wait_for_timeout(700)
        one.keyboard.press("r")
        one.locator("#note").fill(words)
        one.keyboard.press("Enter")
        expect(row(one, number)).to_have_attribute("data-state", "rejected")
        row(other, number).click()
        expect(other.locator(".detail__history")).to_contain_text(words)
        untouched(other)
    untouched(one)


def test_camera_names_and_health_cannot_inject(tmp_path, look_at) -> None:
    def cameras() -> list[CameraStatus]:
        return [
            CameraStatus(
                camera=words,
                source=words,
                state=CameraState.BACKING_OFF,
                since=rig.clock.now(),
                last_error=words,
            )
            for words in (*HOSTILE, BIDI)
        ]

    with console_rig(tmp_path, cameras=cameras) as rig:
        rig.health.report(HOSTILE[0], HOSTILE[1])
        with look_at(rig, "张值班", path="#/cameras") as page:
            tiles = page.locator(".tile")
            expect(tiles).to_have_count(len(HOSTILE) + 1)
            for number, words in enumerate(HOSTILE):
                expect(tiles.nth(number)).to_contain_text(words)
            expect(page.locator(".warning")).to_contain_text(HOSTILE[1])
            page.wait_for_timeout(500)
            untouched(page)


def test_a_link_cannot_inject(rig: ConsoleRig, look: Look) -> None:
    page = look("张值班", path="#/feed/%3Cimg%20src=x%20onerror=window.pwned=1%3E")
    expect(page.locator(".feed__rows")).to_be_visible()
    page.goto(rig.url + "#/<img src=x onerror=window.pwned=1>")
    expect(page.get_by_text("没有这个页面")).to_be_visible()
    untouched(page)
