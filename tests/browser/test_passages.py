"""The page of passages: found with a reason, masked or not by role, looked at, exported."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from pipeline.archive import PassageArchive
from pipeline.audit import AUDIT_FILE, AuditRecord, records
from pipeline.evidence import EvidenceStore, cut
from pipeline.health import Health
from pipeline.tracking import Sighting
from pipeline.types import Frame
from tests.browser.looking import serious
from tests.browser.rig import ConsoleRig
from tests.support import scenes, watchlists

Look = Callable[..., Page]
NASTY = "<img/src=x/onerror=alert(1)>"
COUNT = 60


@pytest.fixture(autouse=True)
def passages(rig: ConsoleRig) -> None:
    """One a minute up to now, the newest by a camera with a nasty name."""
    store = EvidenceStore(rig.folder / "evidence", Health())
    archive = PassageArchive(rig.folder / "passages.sqlite")
    made = []
    for number in range(COUNT):
        at = datetime.now(UTC) - timedelta(minutes=COUNT - number)
        camera = NASTY if number == COUNT - 1 else "north"
        frame = Frame(camera, number, at, 0.0, 0.0, scenes.frame(0.0, shade=80).image)
        plate = scenes.plate(280, 200, 60, scenes.read("辽A12345"))
        evidence = store.save(
            f"p{number}", 0, cut(frame, Sighting(plate, scenes.car(280, 200, 60)))
        )
        one = watchlists.passage(f"辽A{number:05d}", passage_id=f"p{number}", closed=True)
        made.append(
            replace(
                one,
                camera=camera,
                started_at=at,
                ended_at=at,
                evidence=replace(evidence, jpeg=b""),
            )
        )
    archive.keep(made)
    archive.close()


def recorded(rig: ConsoleRig, action: str) -> list[AuditRecord]:
    return [one for one in records(rig.folder / AUDIT_FILE) if one.action == action]


def search(page: Page, reason: str = "滨河路肇事逃逸", case: str = "C-2026-9") -> None:
    page.fill("#passages-reason", reason)
    page.fill("#passages-case_number", case)
    page.keyboard.press("Enter")
    expect(page.locator("#passages-found")).to_be_focused()


def opened(look: Look, person: str, **how: str) -> Page:
    page = look(person, **how)
    page.click('a[href="#/passages"]')
    expect(page.locator("#passages-plate")).to_be_visible()
    return page


def test_a_search_takes_a_reason_and_is_walked_by_keyboard(rig: ConsoleRig, look: Look) -> None:
    page = opened(look, "赵查看")
    page.keyboard.press("/")
    expect(page.locator("#passages-plate")).to_be_focused()
    page.keyboard.type("辽a·000?8")
    page.keyboard.press("Enter")
    expect(page.locator("#passages-reason")).to_be_focused()  # nothing is searched without one
    expect(page.locator("#passages-reason")).to_have_attribute("aria-invalid", "true")
    assert not recorded(rig, "passages.search")
    search(page)
    expect(page.locator("[data-plate]")).to_have_count(6)
    expect(page.locator('[data-plate="辽••••58"]')).to_be_visible()
    assert "辽A00058" not in page.content()
    (record,) = recorded(rig, "passages.search")
    assert (record.actor, record.case, json.loads(record.details)["count"]) == (
        "赵查看",
        "C-2026-9",
        6,
    )
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    picture = page.locator("dialog .passages__picture")
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("one => one.naturalWidth") > 100
    assert recorded(rig, "passages.picture")[0].subject == "p48"
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    expect(page.locator('tr[data-id="p48"] [data-open]')).to_be_focused()


def test_what_a_viewer_may_not_is_not_offered(look: Look) -> None:
    page = opened(look, "赵查看", lang="en")
    expect(page.get_by_text("Kept: 24")).to_be_visible()
    expect(page.get_by_text("Export CSV")).to_have_count(0)
    expect(page.get_by_text("Show plates as they are")).to_have_count(0)


def test_an_approver_sees_plates_and_exports_them_masked(rig: ConsoleRig, look: Look) -> None:
    page = opened(look, "李审批", lang="en")
    page.check("text=Show plates as they are")
    page.fill("#passages-plate", "辽A0001?")
    search(page)
    expect(page.locator('[data-plate="辽A00011"]')).to_be_visible()
    page.locator('tr[data-id="p11"] [data-open]').click()
    expect(page.locator("dialog .passages__picture")).to_have_count(2)  # and the plate alone
    page.keyboard.press("Escape")
    page.uncheck("text=Show plates as they are")
    with page.expect_download() as download:
        page.click("text=Export CSV (masked)")
    with open(download.value.path(), encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert {row["plate"][:5] for row in rows} == {"辽••••"}
    (record,) = recorded(rig, "passages.export")
    assert json.loads(record.details)["count"] == 10


def test_the_reason_stays_for_the_session_and_not_for_the_next_person(
    rig: ConsoleRig, look: Look
) -> None:
    page = opened(look, "赵查看", lang="en")
    search(page)
    page.click("text=Load more")
    expect(page.locator("[data-open]")).to_have_count(COUNT)
    page.click('a[href="#/feed"]')
    page.click('a[href="#/passages"]')
    expect(page.locator("#passages-case_number")).to_have_value("C-2026-9")
    page.click("text=Clear")
    expect(page.locator("#passages-case_number")).to_have_value("C-2026-9")
    page.click("text=Sign out")
    page.fill("#token", rig.token_of["李审批"])
    page.keyboard.press("Enter")
    page.click('a[href="#/passages"]')
    expect(page.locator("#passages-reason")).to_have_value("")


def test_nothing_found_and_what_is_wrong_are_said(look: Look) -> None:
    page = opened(look, "赵查看", lang="en")
    page.fill("#passages-plate", "京A99999")
    search(page)
    expect(page.get_by_text("No passage that is kept fits")).to_be_visible()
    page.fill("#passages-plate", "A1")
    page.keyboard.press("Enter")
    expect(page.locator(".error")).to_contain_text("This plate cannot be searched for")
    expect(page.locator("#passages-plate")).to_have_attribute("aria-invalid", "true")


def test_a_cameras_name_is_text(look: Look) -> None:
    page = opened(look, "赵查看")
    search(page)
    expect(page.get_by_text(NASTY)).to_be_visible()
    page.locator("[data-open]").first.click()
    expect(page.locator("dialog .facts")).to_contain_text(NASTY)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_axe_finds_nothing_serious(look: Look, theme: str) -> None:
    page = opened(look, "李审批", theme=theme)
    assert serious(page) == []
    search(page)
    assert serious(page) == []
    page.locator("[data-open]").first.click()
    expect(page.locator("dialog .facts")).to_be_visible()
    assert serious(page) == []
