"""What an operator does all day: see an alert, look at it, decide; and two who do so at once."""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import Page, expect

from pipeline.types import MatchKind, VehicleColour
from tests.browser.looking import row
from tests.browser.rig import ConsoleRig
from tests.browser.vehicles import VEHICLES, hit

Look = Callable[..., Page]


def choose(page: Page, number: int) -> None:
    """Choose an alert and wait until it may be decided."""
    row(page, number).click()
    expect(page.locator(".seen--yes")).to_have_count(2)
    page.wait_for_timeout(700)  # what has just come into view is not decided by a stray key


def test_alert_appears_and_a_decision_shows_in_another_browser(rig: ConsoleRig, look: Look) -> None:
    one, other = look("张值班"), look("李审批", lang="en")
    expect(one.get_by_text("尚无告警")).to_be_visible()
    started = time.monotonic()
    rig.publish(hit(0))
    expect(row(one, 0)).to_be_visible()
    print(f"an alert was on screen {time.monotonic() - started:.2f} s after it was published")
    expect(row(one, 0)).to_have_attribute("data-state", "unverified")
    expect(row(other, 0)).to_be_visible()

    one.keyboard.press("j")
    expect(one.locator(".seen--yes")).to_have_count(2)
    one.wait_for_timeout(700)
    one.keyboard.press("c")
    expect(one.locator(".decide--confirmed")).to_be_visible()
    one.keyboard.press("1")
    one.keyboard.press("Enter")
    expect(row(one, 0)).to_have_attribute("data-state", "confirmed")
    expect(row(other, 0)).to_have_attribute("data-state", "confirmed")
    expect(row(other, 0)).to_contain_text("Confirmed by 张值班")
    row(other, 0).click()
    expect(other.locator(".detail")).to_contain_text("已拦停")  # in the operator's own words


def test_a_decision_is_undone_in_time(rig: ConsoleRig, look: Look) -> None:
    rig.publish(hit(0))
    one, other = look("张值班"), look("李审批")
    choose(one, 0)
    one.keyboard.press("r")
    one.keyboard.press("Enter")
    expect(one.locator(".decide .field__error")).to_contain_text("请选择理由")  # needed to reject
    one.keyboard.press("2")
    one.keyboard.press("Enter")
    expect(row(other, 0)).to_have_attribute("data-state", "rejected")
    expect(one.locator(".undo__left")).to_be_visible()
    one.keyboard.press("z")
    for page in (one, other):
        expect(row(page, 0)).to_have_attribute("data-state", "unverified")
    expect(one.locator(".undo__one")).to_have_count(0)
    expect(one.locator(".detail__history")).to_contain_text("撤销了决定")


def test_who_was_second_is_told_by_whom_and_how_it_was_decided(rig: ConsoleRig, look: Look) -> None:
    rig.publish(hit(0))
    one, other = look("张值班"), look("李审批")
    choose(one, 0)
    choose(other, 0)
    other.keyboard.press("r")
    other.keyboard.press("1")
    expect(other.locator(".decide--rejected")).to_be_visible()
    one.keyboard.press("c")
    one.keyboard.press("Enter")
    expect(row(one, 0)).to_have_attribute("data-state", "confirmed")
    expect(other.locator(".feed__detail > .warning")).to_contain_text("张值班")
    expect(other.locator(".feed__detail > .warning")).to_contain_text("已确认")
    expect(other.locator(".decide")).to_have_count(0)
    expect(row(other, 0)).to_have_attribute("data-state", "confirmed")


def test_a_lost_race_at_the_server_is_told_too(rig: ConsoleRig, look: Look) -> None:
    rig.publish(hit(0))
    one, other = look("张值班"), look("李审批")
    choose(one, 0)
    choose(other, 0)
    other.keyboard.press("c")
    expect(other.locator(".decide--confirmed")).to_be_visible()
    # The other browser does not hear of the decision before it sends its own.
    other.evaluate("window.stop()")
    other.route("**/api/feed", lambda route: route.abort())
    one.keyboard.press("r")
    one.keyboard.press("1")
    one.keyboard.press("Enter")
    expect(row(one, 0)).to_have_attribute("data-state", "rejected")
    other.keyboard.press("Enter")
    expect(other.locator(".feed__detail > .warning")).to_contain_text("张值班")
    expect(row(other, 0)).to_have_attribute("data-state", "rejected")


def test_confirm_needs_picture_and_entry_on_screen(rig: ConsoleRig, look: Look) -> None:
    rig.publish(hit(0))
    page = look("张值班")
    held = []
    page.route("**/api/alerts/hit-0/picture*", lambda route: held.append(route))
    row(page, 0).click()
    confirm = page.locator(".detail__decision .button--ok")
    expect(confirm).to_be_disabled()
    page.wait_for_timeout(900)
    page.keyboard.press("c")
    expect(page.locator(".decide")).to_have_count(0)
    expect(page.locator(".seen--yes")).to_have_count(1)  # the entry
    expect(page.locator("#confirm-why")).to_contain_text("都在屏幕上显示过")
    for route in held:
        route.continue_()
    page.unroute("**/api/alerts/hit-0/picture*")
    expect(confirm).to_be_enabled()
    page.keyboard.press("c")
    expect(page.locator(".decide--confirmed")).to_be_visible()


def test_entry_must_be_scrolled_into_view(rig: ConsoleRig, look: Look) -> None:
    rig.publish(hit(0))
    page = look("张值班", size=(640, 560))
    row(page, 0).click()
    confirm = page.locator(".detail__decision .button--ok")
    expect(page.locator(".detail__picture")).to_be_visible()
    page.wait_for_timeout(1000)
    expect(confirm).to_be_disabled()
    page.get_by_text("案件编号").scroll_into_view_if_needed()
    page.locator(".detail__side").nth(1).evaluate("(side) => side.scrollIntoView()")
    expect(confirm).to_be_enabled()


def test_no_picture_is_said_before_confirm(rig: ConsoleRig, look: Look) -> None:
    rig.publish(hit(5, with_picture=False))
    page = look("张值班")
    choose(page, 5)
    expect(page.locator(".detail__none")).to_have_text("无图片")
    expect(page.locator(".detail__decision .button--ok")).to_be_enabled()


def test_urgent_alerts_stay_on_top_until_decided(rig: ConsoleRig, look: Look) -> None:
    rig.publish(hit(0), *(hit(number, priority=3) for number in range(1, 31)))
    page = look("张值班")
    first = page.locator(".alert").first
    expect(first).to_have_attribute("data-id", "hit-0")
    rig.publish(hit(31, priority=4))
    expect(row(page, 31)).to_be_attached()
    expect(first).to_have_attribute("data-id", "hit-0")
    choose(page, 0)
    page.keyboard.press("c")
    page.keyboard.press("Enter")
    expect(first).to_have_attribute("data-id", "hit-31")


def test_what_is_read_stays_in_place_while_alerts_arrive(rig: ConsoleRig, look: Look) -> None:
    rig.publish(*(hit(number, priority=3, with_picture=False) for number in range(40)))
    page = look("张值班")
    expect(page.locator(".alert").first).to_have_attribute("data-id", "hit-39")
    page.locator(".feed__rows").evaluate("(rows) => { rows.scrollTop = 1500; }")
    page.wait_for_timeout(300)
    where = "(row) => Math.round(row.getBoundingClientRect().top)"
    watched = page.locator('.alert[data-id="hit-27"]')
    before = watched.evaluate(where)
    rig.publish(*(hit(number, priority=3, with_picture=False) for number in range(40, 45)))
    expect(page.locator(".feed__new")).to_contain_text("5")
    assert abs(watched.evaluate(where) - before) <= 2
    page.locator(".feed__new").click()
    expect(page.locator(".alert").first).to_have_attribute("data-id", "hit-44")


def test_kinds_mismatches_late_and_retracted_are_told_apart_in_words(
    rig: ConsoleRig, look: Look
) -> None:
    rig.publish(
        hit(0),
        hit(
            1,
            vehicle=VEHICLES[1],
            kind=MatchKind.POSSIBLE,
            wanted="辽A8K582",
            doubts={2: ("8", 0.31)},
            probability=0.31,
            reading="辽A8K582",
            priority=2,
        ),
        hit(2, vehicle=VEHICLES[8], kind=MatchKind.PARTIAL, wanted="吉C7293?", priority=3),
        hit(3, vehicle=VEHICLES[3], entry_colour=VehicleColour.RED),
        hit(4, vehicle=VEHICLES[4], late_s=7200, priority=3),
        hit(5, vehicle=VEHICLES[5], retracted=True),
    )
    page = look("张值班", lang="en")
    for number, words in {
        0: "Exact",
        1: "Possible",
        2: "Partial",
        3: "colour differs: seen silver, wanted red",
        4: "Late",
        5: "Retracted",
    }.items():
        row(page, number).scroll_into_view_if_needed()
        expect(row(page, number)).to_contain_text(words)
    row(page, 1).click()
    expect(page.locator(".readings")).to_contain_text("辽A·8K582")
    expect(page.locator(".readings--met")).to_contain_text("30.9 %")
    expect(page.locator(".plate-figures--doubtful")).to_have_count(1)


def test_filters_never_hide_urgent_alerts_silently(rig: ConsoleRig, look: Look) -> None:
    rig.publish(hit(0), hit(1, priority=3, category="wanted"))
    page = look("张值班")
    page.get_by_label("类别").select_option("wanted")
    expect(row(page, 0)).to_have_count(0)
    expect(row(page, 1)).to_be_visible()
    expect(page.locator(".feed__hidden")).to_contain_text("1 条紧急待处理")
    page.locator(".feed__hidden button").click()
    expect(row(page, 0)).to_be_visible()


def test_viewer_sees_but_may_not_decide(rig: ConsoleRig, look: Look) -> None:
    rig.publish(hit(0))
    page = look("赵查看")
    row(page, 0).click()
    expect(page.locator(".detail")).to_contain_text("您的角色只能查看")
    page.wait_for_timeout(900)
    for key in "cre":
        page.keyboard.press(key)
    expect(page.locator(".decide")).to_have_count(0)
    status = page.evaluate(
        """async () => {
             const me = await (await fetch("/api/me")).json();
             const answer = await fetch("/api/alerts/hit-0/review", {method: "POST",
               headers: {"Content-Type": "application/json", "X-CSRF-Token": me.csrf},
               body: JSON.stringify({decision: "confirmed"})});
             return answer.status;
           }"""
    )
    assert status == 403
    expect(row(page, 0)).to_have_attribute("data-state", "unverified")


def test_escalate_by_key_with_a_reason(rig: ConsoleRig, look: Look) -> None:
    rig.publish(hit(0))
    one, other = look("张值班"), look("李审批", lang="en")
    choose(one, 0)
    one.keyboard.press("e")
    one.keyboard.press("2")
    one.keyboard.press("Enter")
    expect(row(other, 0)).to_contain_text("Escalated")
    choose(other, 0)
    expect(other.locator(".detail__history")).to_contain_text("有危险")
