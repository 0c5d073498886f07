"""The page of the watchlist: drafted by one, approved by another, imported as shown; by role."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.looking import serious
from tests.browser.rig import ConsoleRig
from tests.support import watchlists

Look = Callable[..., Page]
NASTY = '"><img src=x onerror=alert(1)>'
HEADER = "plate,category,disposition,reason,case_number,authoriser,expires_at"


@pytest.fixture(autouse=True)
def entries(rig: ConsoleRig) -> None:
    now = datetime.now(UTC)
    rig.watchlist.add(
        [
            watchlists.entry(
                f"辽B{number:05d}",
                now,
                case_number="C-1",
                requester="王",
                disposition=NASTY if number == 7 else "stop and identify",
            )
            for number in range(60)
        ]
    )


def opened(look: Look, person: str, **how: str) -> Page:
    page = look(person, **how)
    page.click('a[href="#/watchlist"]')
    expect(page.locator("tr[data-entry]")).to_have_count(50)
    return page


def drafted(page: Page, plate: str = "辽C12345") -> None:
    page.keyboard.press("a")
    page.fill("#entry-plate", plate)
    page.select_option("#entry-category", "stolen")
    page.fill("#entry-disposition", "拦停核查")
    page.fill("#entry-reason", "被盗抢")
    page.fill("#entry-case_number", "C-2026-17")
    page.fill("#entry-expires_at", "2126-12-31")
    page.click("dialog[open] .button--primary")


def test_an_entry_is_drafted_corrected_and_approved_by_another(rig: ConsoleRig, look: Look) -> None:
    editor = opened(look, "张值班")
    drafted(editor)
    mistake = editor.locator("#entry-expires_at-mistake")
    expect(mistake).to_contain_text("最长 400 天")
    expect(editor.locator("#entry-expires_at")).to_be_focused()
    expect(editor.locator("#entry-expires_at")).to_have_attribute("aria-invalid", "true")
    assert serious(editor) == []
    editor.fill("#entry-expires_at", datetime.now(UTC).strftime("%Y-12-31"))
    expect(editor.locator('dialog[open] [data-plate="辽C12345"]')).to_be_visible()
    editor.click("dialog[open] .button--primary")
    expect(editor.locator(".success")).to_contain_text("辽C12345")
    assert not rig.watchlist.lookup(["辽C12345"]).entries

    editor.click("[data-state=draft]")
    row = editor.locator("tr[data-status=draft]")
    expect(row).to_have_count(1)
    row.locator("button").click()
    expect(editor.locator("dialog[open] .button--ok")).to_have_count(0)

    approver = opened(look, "李审批", lang="en", theme="light")
    approver.click("[data-state=draft]")
    approver.locator("tr[data-status=draft] button").click()
    assert serious(approver) == []
    approver.click("dialog[open] .button--ok")
    expect(approver.locator(".success")).to_contain_text("is on the list")
    (entry,) = rig.watchlist.lookup(["辽C12345"]).entries["辽C12345"]
    assert (entry.requester, entry.authoriser) == ("张值班", "李审批")


def test_the_list_is_searched_paged_and_shown_as_text(look: Look) -> None:
    page = opened(look, "赵查看")
    assert serious(page) == []
    page.click("text=载入更多")
    expect(page.locator("tr[data-entry]")).to_have_count(60)
    page.keyboard.press("/")
    page.keyboard.type("辽b·0000?")
    expect(page.locator("tr[data-entry]")).to_have_count(10)
    expect(page.locator(f"text={NASTY}")).to_be_visible()
    assert page.locator("tr[data-entry] img").count() == 0
    expect(page.locator("[data-state=all] b")).to_have_text("10")
    for absent in ("新增布控", "导入", "导出"):
        assert page.get_by_role("button", name=absent, exact=True).count() == 0


def test_an_entry_is_cancelled_with_a_reason(rig: ConsoleRig, look: Look) -> None:
    page = opened(look, "张值班")
    page.fill("#watchlist-query", "辽B00007")
    expect(page.locator("tr[data-entry]")).to_have_count(1)
    page.locator("tr[data-entry] td").first.click()  # anywhere on the row
    page.click("dialog[open] details summary")
    button = page.locator("dialog[open] .button--danger")
    expect(button).to_be_disabled()
    page.fill("#cancel-reason", "车辆已找回")
    button.click()
    expect(page.locator(".success")).to_contain_text("辽B00007")
    assert not rig.watchlist.lookup(["辽B00007"]).entries
    page.click("[data-state=cancelled]")
    expect(page.locator("tr[data-status=cancelled]")).to_have_count(1)
    page.locator("tr[data-entry] button").click()
    expect(page.locator("dialog[open] .notice")).to_contain_text("车辆已找回")
    expect(page.locator("dialog[open] tbody tr")).to_have_count(2)
    assert serious(page) == []


def test_a_list_is_imported_exactly_as_shown(rig: ConsoleRig, look: Look, tmp_path: Path) -> None:
    until = datetime.now(UTC).strftime("%Y-12-31")
    quoted = NASTY.replace('"', '""')
    rows = [
        f"辽D00001,stolen,stop,reported stolen,C-9,李审批,{until}",
        f'辽D00002,stolen,"{quoted}",reported stolen,C-9,李审批,{until}',
        f"辽D1,stolen,stop,reported stolen,C-9,李审批,{until}",
    ]
    file = tmp_path / "list<b>.csv"
    file.write_text("\n".join([HEADER, *rows]), encoding="utf-8")
    page = opened(look, "张值班", lang="en")
    page.get_by_role("button", name="Import", exact=True).click()
    page.set_input_files("#import-file", file)
    page.fill("#import-reason", "weekly list")
    page.click("dialog[open] .button--primary")
    expect(page.locator("tr[data-change=add]")).to_have_count(2)
    expect(page.locator(".watchlist__bad li")).to_contain_text("line 4: Plate: is no plate")
    expect(page.locator("dialog[open]")).to_contain_text(NASTY)
    assert page.locator("dialog[open] tbody img").count() == 0
    assert serious(page) == []
    apply = page.locator("dialog[open] .button--primary")
    expect(apply).to_be_disabled()
    page.check("dialog[open] input[type=checkbox]")
    apply.click()
    expect(page.locator(".success")).to_contain_text("2 entries applied")
    assert set(rig.watchlist.lookup(["辽D00001", "辽D00002"]).entries) == {"辽D00001", "辽D00002"}


def test_the_list_is_exported_with_a_reason(look: Look) -> None:
    page = opened(look, "李审批", lang="en")
    page.get_by_role("button", name="Export", exact=True).click()
    page.fill("#export-reason", "handover")
    assert serious(page) == []
    with page.expect_download() as loading:
        page.click("dialog[open] .button--primary")
    text = Path(loading.value.path()).read_text(encoding="utf-8-sig")
    assert len(text.splitlines()) == 61
