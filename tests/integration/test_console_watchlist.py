"""The watchlist in the console: by role, with two persons for each entry, recorded, as shown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from openpyxl import Workbook, load_workbook

from pipeline.access import AccessRole
from pipeline.console.imports import FOLDER, PlannedImports
from tests.support import watchlists
from tests.support.console import Browser, ConsoleRig, running_console
from watchlist.columns import COLUMNS
from watchlist.store import Watchlist, open_watchlist

pytestmark = [pytest.mark.grpc, pytest.mark.redis]

VIEWER, EDITOR = AccessRole.VIEWER, AccessRole.EDITOR
APPROVER, AUDITOR = AccessRole.APPROVER, AccessRole.AUDITOR
FIELDS = {
    "plate": "辽a·12345",
    "category": "stolen",
    "disposition": "stop and identify",
    "reason": "reported stolen",
    "case_number": "C-2026-17",
    "expires_at": "+30d",
    "priority": "1",
    "plate_class": "blue",
}
PAGES = {"case_number": "PAGES-1", "requester": "Sun"}
WHY = {"reason": "returned to its owner", "case": "C-2026-17"}
NASTY = '<img src=x onerror="alert(1)">'


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleRig]:
    with running_console(tmp_path_factory.mktemp("console")) as made:
        yield made


@pytest.fixture
def editor(rig: ConsoleRig) -> Iterator[Browser]:
    with rig.person("Zhao", EDITOR) as browser:
        yield browser


@pytest.fixture
def approver(rig: ConsoleRig) -> Iterator[Browser]:
    with rig.person("Wang", APPROVER) as browser:
        yield browser


@pytest.fixture
def viewer(rig: ConsoleRig) -> Iterator[Browser]:
    with rig.person("Li", VIEWER) as browser:
        yield browser


@pytest.fixture
def watchlist(rig: ConsoleRig) -> Iterator[Watchlist]:
    with open_watchlist(rig.settings.watchlist, rig.settings.data_dir) as opened:
        yield opened


def draft(editor: Browser, **fields: Any) -> dict[str, Any]:
    answer = editor.post("/api/watchlist", {"fields": {**FIELDS, **fields}})
    assert answer.status_code == 201, answer.text
    return answer.json()["entry"]


def listed(browser: Browser, **query: Any) -> dict[str, Any]:
    answer = browser.get("/api/watchlist", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.json()["reading"] is None
    return answer.json()


def error(answer: httpx.Response) -> dict[str, Any]:
    return answer.json()["error"]


def upload(browser: Browser, content: bytes, name: str = "list.csv", **form: str) -> httpx.Response:
    data = {"reason": "weekly list", "case": "L-7", **form}
    return browser.client.post("/api/watchlist/import", files={"file": (name, content)}, data=data)


def sheet(*rows: dict[str, str]) -> bytes:
    out = io.StringIO()
    columns = [*FIELDS, "authoriser", *(["id"] if any("id" in row for row in rows) else [])]
    writer = csv.DictWriter(out, columns)
    writer.writeheader()
    for row in rows:
        writer.writerow({**FIELDS, "plate_class": "", "authoriser": "Wang", **row})
    return out.getvalue().encode()


def test_a_draft_becomes_an_entry_when_somebody_else_answers_for_it(
    rig: ConsoleRig, editor: Browser, approver: Browser, watchlist: Watchlist
) -> None:
    entry = draft(editor, plate="辽A20001")
    assert (entry["status"], entry["authoriser"], entry["requester"]) == ("draft", None, "Zhao")
    assert entry["drafted"]["by"] == "Zhao"
    assert watchlist.get(entry["id"]) is None
    assert not watchlist.lookup(["辽A20001"]).entries
    assert [one["id"] for one in listed(approver, state="draft", query="20001")["entries"]] == [
        entry["id"]
    ]
    answer = approver.post(f"/api/watchlist/{entry['id']}/approve")
    assert answer.status_code == 200, answer.text
    assert answer.json()["entry"]["authoriser"] == "Wang"
    found = watchlist.lookup(["辽A20001"]).entries["辽A20001"]
    assert [(one.id, one.authoriser, one.requester) for one in found] == [
        (entry["id"], "Wang", "Zhao")
    ]
    again = approver.post(f"/api/watchlist/{entry['id']}/approve")
    assert again.status_code == 404
    records = rig.audited("watchlist.draft")[-1:] + rig.audited("watchlist.approve")[-1:]
    assert [(one.actor, one.subject, one.case) for one in records] == [
        ("Zhao", "辽A20001", "C-2026-17"),
        ("Wang", "辽A20001", "C-2026-17"),
    ]
    assert records[0].origin.endswith(" console")


def test_nobody_approves_what_he_wrote_and_only_approvers_approve(
    rig: ConsoleRig, editor: Browser
) -> None:
    with rig.person("Zhao", EDITOR, APPROVER) as both:
        entry = draft(both, plate="辽A20002")
        own = both.post(f"/api/watchlist/{entry['id']}/approve")
        assert own.status_code == 400
        assert "somebody else must approve" in error(own)["fields"]["authoriser"]
        other = both.post(f"/api/watchlist/{entry['id']}/approve", {"authoriser": "Wang"})
        assert (other.status_code, error(other)["code"]) == (409, "refused")
    refused = editor.post(f"/api/watchlist/{entry['id']}/approve")
    assert refused.status_code == 403
    assert rig.audited("watchlist.approve.refused")
    assert editor.post(f"/api/watchlist/{entry['id']}/discard", WHY).status_code == 204
    assert editor.post(f"/api/watchlist/{entry['id']}/discard", WHY).status_code == 404


def test_each_mistake_is_told_beside_its_field(editor: Browser) -> None:
    fields = {
        **FIELDS,
        "plate": "辽A1",
        "category": "nonsense",
        "expires_at": "+9999d",
        "reason": "",
    }
    answer = editor.post("/api/watchlist", {"fields": fields})
    assert answer.status_code == 400
    assert {"plate", "category", "reason"} <= set(error(answer)["fields"])
    when = editor.post("/api/watchlist", {"fields": {**FIELDS, "expires_at": "tomorrow"}})
    assert set(error(when)["fields"]) == {"expires_at"}
    late = editor.post("/api/watchlist", {"fields": {**FIELDS, "expires_at": "+9999d"}})
    assert "at most 400 days" in error(late)["fields"]["expires_at"]
    stated = editor.post("/api/watchlist", {"fields": {**FIELDS, "authoriser": "Wang"}})
    assert set(error(stated)["fields"]) == {"authoriser"}
    unknown = editor.post("/api/watchlist", {"fields": {**FIELDS, "colour": "red"}})
    assert error(unknown)["field"] == "colour"


def test_viewers_look_and_change_nothing(rig: ConsoleRig, viewer: Browser, editor: Browser) -> None:
    entry = draft(editor, plate="辽A20003")
    shown = viewer.get(f"/api/watchlist/entries/{entry['id']}")
    assert shown.status_code == 200
    assert rig.audited("watchlist.view")[-1].subject == entry["id"]
    before = len(rig.audited("watchlist.list"))
    listed(viewer, query="20003")
    record = rig.audited("watchlist.list")[before]
    assert record.actor == "Li"
    assert '"query": "20003"' in record.details
    for path, body in (
        ("/api/watchlist", {"fields": FIELDS}),
        (f"/api/watchlist/{entry['id']}/approve", {}),
        (f"/api/watchlist/{entry['id']}/discard", WHY),
        (f"/api/watchlist/{entry['id']}/cancel", WHY),
        ("/api/watchlist/export", {"reason": "a look"}),
        ("/api/watchlist/import/apply", {"digest": "0" * 64, "reason": "x"}),
    ):
        answer = viewer.post(path, body)
        assert answer.status_code in (403, 409), (path, answer.text)
        assert "may not" in answer.text or "no longer at hand" in answer.text
    assert upload(viewer, sheet({})).status_code == 403


def test_what_is_cancelled_matches_no_more_and_says_by_whom(
    rig: ConsoleRig, editor: Browser, approver: Browser, watchlist: Watchlist
) -> None:
    entry = draft(editor, plate="辽A20004")
    approver.post(f"/api/watchlist/{entry['id']}/approve")
    missing = editor.post(f"/api/watchlist/{entry['id']}/cancel", {"reason": "  "})
    assert missing.status_code == 409
    assert watchlist.lookup(["辽A20004"]).entries
    answer = editor.post(f"/api/watchlist/{entry['id']}/cancel", WHY)
    assert answer.status_code == 200, answer.text
    assert not watchlist.lookup(["辽A20004"]).entries
    assert answer.json()["entry"]["cancelled"]["by"] == "Zhao"
    found = listed(editor, state="cancelled", query="辽A 20004")["entries"]
    assert [(one["id"], one["status"]) for one in found] == [(entry["id"], "cancelled")]
    again = editor.post(f"/api/watchlist/{entry['id']}/cancel", WHY)
    assert again.status_code == 409
    assert "was cancelled" in error(again)["message"]
    assert rig.audited("watchlist.cancel")[-1].reason == WHY["reason"]


def test_the_list_is_searched_filtered_counted_and_paged(
    editor: Browser, watchlist: Watchlist
) -> None:
    now = datetime.now(UTC)
    made = [watchlists.entry(f"京C{number:05d}", now, **PAGES) for number in range(25)]
    later = watchlists.entry("京C90000", now, **PAGES, valid_from=now + timedelta(1))
    watchlist.add([*made, later])
    first = listed(editor, query="pages-1", limit=10)
    assert first["counts"] | {"draft": 0} == {
        "active": 25,
        "pending": 1,
        "expired": 0,
        "cancelled": 0,
        "draft": 0,
    }
    ids = [one["id"] for one in first["entries"]]
    after = first["next"]
    while after:
        page = listed(editor, query="pages-1", limit=10, after=after)
        ids += [one["id"] for one in page["entries"]]
        after = page["next"]
    assert ids == sorted((one.id for one in [*made, later]), reverse=True)
    assert [
        one["plate"] for one in listed(editor, state="pending", query="PAGES-1")["entries"]
    ] == ["京C90000"]
    assert [one["plate"] for one in listed(editor, query="京C0001?")["entries"]] == [
        f"京C{number:05d}" for number in range(19, 9, -1)
    ]
    assert listed(editor, query="%")["entries"] == []
    watchlist.cancel(made[3].id, reason="found", by="Li")
    watchlist.add([watchlists.entry("京C00099", now, **PAGES)])
    counts = listed(editor, query="pages-1")["counts"]
    assert (counts["active"], counts["cancelled"]) == (25, 1)
    for query in ({"state": "no"}, {"limit": 0}, {"limit": "x"}, {"query": "x" * 300}):
        assert editor.get("/api/watchlist", params=query).status_code == 400


def test_an_entry_tells_its_history(
    editor: Browser, approver: Browser, watchlist: Watchlist
) -> None:
    entry = draft(editor, plate="辽A20005")
    approver.post(f"/api/watchlist/{entry['id']}/approve")
    other = watchlists.entry("辽A20005", datetime.now(UTC), case_number="OTHER", requester="Sun")
    watchlist.add([other])  # of the same plate: no part of this entry's history
    changed = upload(editor, sheet({"plate": "辽A20006", "id": entry["id"], "priority": "3"}))
    digest = changed.json()["import"]["digest"]
    body = {"digest": digest, "reason": "priority and plate corrected"}
    assert editor.post("/api/watchlist/import/apply", body).status_code == 200
    editor.post(f"/api/watchlist/{entry['id']}/cancel", WHY)
    told = approver.get(f"/api/watchlist/entries/{entry['id']}").json()
    assert told["complete"]
    assert [(one["kind"], one["by"]) for one in told["history"]] == [
        ("cancelled", "Zhao"),
        ("changed", "Zhao"),
        ("added", "Wang"),
    ]
    fields = told["history"][1]["fields"]
    assert fields["priority"] == {"before": 1, "after": 3}
    assert fields["plate"] == {"before": "辽A20005", "after": "辽A20006"}


def test_an_import_does_exactly_what_was_shown(
    rig: ConsoleRig, editor: Browser, approver: Browser, watchlist: Watchlist, tmp_path: Path
) -> None:
    content = sheet({"plate": "辽B30001"}, {"plate": "辽B30002"}, {"plate": "辽B3"})
    shown = upload(editor, content)
    assert shown.status_code == 200, shown.text
    told = shown.json()
    planned = told["import"]
    assert (planned["added"], planned["replaced"], planned["bad"]) == (2, 0, 1)
    assert [one["entry"]["plate"] for one in told["changes"]] == ["辽B30001", "辽B30002"]
    assert told["bad"][0]["line"] == 4
    assert not watchlist.lookup(["辽B30001"]).entries
    body = {"digest": planned["digest"], "reason": "weekly list", "case": "L-7"}
    bad = editor.post("/api/watchlist/import/apply", body)
    assert bad.status_code == 409
    assert "1 rows are bad" in error(bad)["message"]
    with rig.person("Sun", EDITOR) as other:
        assert (
            "was shown to Zhao" in error(other.post("/api/watchlist/import/apply", body))["message"]
        )
    done = editor.post("/api/watchlist/import/apply", {**body, "skip_bad": True})
    assert done.status_code == 200, done.text
    assert done.json()["changed"] == 2
    ids = {one["entry"]["id"] for one in told["changes"]}
    assert {one.id for one in watchlist.lookup(["辽B30001", "辽B30002"]).entries["辽B30001"]} <= ids
    record = rig.audited("watchlist.import")[-1]
    assert planned["sha256"] in record.details
    assert (record.reason, record.case) == ("weekly list", "L-7")
    gone = editor.post("/api/watchlist/import/apply", {**body, "skip_bad": True})
    assert "no longer at hand" in error(gone)["message"]


def test_an_import_is_refused_where_the_list_or_its_file_was_changed_since(
    rig: ConsoleRig, editor: Browser, approver: Browser, watchlist: Watchlist
) -> None:
    planned = upload(editor, sheet({"plate": "辽B30011"})).json()["import"]
    entry = draft(editor, plate="辽B30011")
    approver.post(f"/api/watchlist/{entry['id']}/approve")
    body = {"digest": planned["digest"], "reason": "weekly list"}
    moved = editor.post("/api/watchlist/import/apply", body)
    assert moved.status_code == 409
    assert "辽B30011 was changed" in error(moved)["message"]
    planned = upload(editor, sheet({"plate": "辽B30012"})).json()["import"]
    path = rig.settings.data_dir / "imports" / f"{planned['digest']}.plan"
    assert path.stat().st_mode & 0o077 == 0
    path.write_bytes(path.read_bytes().replace("辽B30012".encode(), "辽B30099".encode()))
    altered = editor.post(
        "/api/watchlist/import/apply", {"digest": planned["digest"], "reason": "weekly list"}
    )
    assert altered.status_code == 409
    assert "not what was shown" in error(altered)["message"]
    assert not watchlist.lookup(["辽B30099", "辽B30012"]).entries
    for digest in ("../../audit.sqlite", "0" * 64, "A" * 64):
        answer = editor.post("/api/watchlist/import/apply", {"digest": digest, "reason": "x"})
        assert answer.status_code in (400, 409)


def test_workbooks_and_their_oddities_are_text(
    editor: Browser, approver: Browser, tmp_path: Path
) -> None:
    book = Workbook()
    rows = book.active
    columns = [*FIELDS, "authoriser"]
    rows.append(columns)
    said = {**FIELDS, "plate": "辽B30021", "plate_class": "", "authoriser": "Wang"}
    rows.append([said[name] if name != "reason" else NASTY for name in columns])
    book.save(tmp_path / "list.xlsx")
    shown = upload(editor, (tmp_path / "list.xlsx").read_bytes(), "../../etc/<b>list</b>.xlsx")
    assert shown.status_code == 200, shown.text
    told = shown.json()
    assert told["bad"] == []
    assert told["changes"][0]["entry"]["reason"] == NASTY
    assert shown.headers["content-type"] == "application/json"
    assert told["import"]["file"] == "b>.xlsx"
    more = editor.get(f"/api/watchlist/import/{told['import']['digest']}", params={"after": 0})
    assert more.json()["changes"] == told["changes"]
    for content in (b"", b"PK\x03\x04 no workbook", b"\x00\x01", b"a,b\n1,2\n"):
        answer = upload(editor, content)
        assert answer.status_code == 400, answer.text
        assert "list.csv" in error(answer)["message"]
        assert "/imports/" not in error(answer)["message"]
    no_reason = upload(editor, sheet({}), reason=" ")
    assert no_reason.status_code == 409
    assert "reason" in error(no_reason)["message"]


def test_those_who_may_export_get_what_an_import_takes_back(
    rig: ConsoleRig, editor: Browser, approver: Browser, watchlist: Watchlist, tmp_path: Path
) -> None:
    entry = draft(editor, plate="辽C40001", disposition="=1+1")
    approver.post(f"/api/watchlist/{entry['id']}/approve")
    answer = approver.post("/api/watchlist/export", {"reason": "handover", "format": "csv"})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith('attachment; filename="watchlist-')
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert list(rows[0]) == list(COLUMNS)
    (row,) = [one for one in rows if one["plate"] == "辽C40001"]
    assert row["disposition"] == "'=1+1"
    assert rig.audited("watchlist.export")[-1].reason == "handover"
    planned = upload(editor, answer.content).json()["import"]
    assert (planned["added"], planned["replaced"]) == (0, 0)
    workbook = approver.post("/api/watchlist/export", {"reason": "handover", "format": "xlsx"})
    (tmp_path / "out.xlsx").write_bytes(workbook.content)
    book = load_workbook(tmp_path / "out.xlsx", read_only=True)
    assert sum(1 for _ in book.worksheets[0].iter_rows()) == len(rows) + 1
    book.close()
    assert approver.post("/api/watchlist/export", {"reason": ""}).status_code == 409
    left = list((rig.settings.data_dir / "imports").glob("upload-*"))
    assert left == []


def test_what_cannot_be_recorded_is_not_done(rig: ConsoleRig, editor: Browser) -> None:
    path = rig.settings.data_dir / "audit.sqlite.anchor"
    before = path.read_bytes()
    path.write_bytes(b"{}")
    try:
        answer = editor.post("/api/watchlist", {"fields": {**FIELDS, "plate": "辽A20008"}})
        assert answer.status_code == 503
        assert editor.get("/api/watchlist").status_code == 503
    finally:
        path.write_bytes(before)
    assert listed(editor, state="draft", query="20008")["entries"] == []


def test_the_page_needs_its_token_against_forged_requests(editor: Browser) -> None:
    answer = editor.client.post(
        "/api/watchlist", json={"fields": FIELDS}, headers={"X-CSRF-Token": "x"}
    )
    assert answer.status_code == 403
    files = {"file": ("list.csv", sheet({}))}
    answer = editor.client.post("/api/watchlist/import", files=files, headers={"X-CSRF-Token": "x"})
    assert answer.status_code == 403


def test_terms_say_what_fields_may_be(viewer: Browser) -> None:
    told = viewer.get("/api/watchlist/terms").json()
    assert told["categories"]["stolen"] == 400
    assert "blue" in told["plate_classes"]


def test_drafts_and_planned_imports_are_deleted_in_time(
    rig: ConsoleRig, editor: Browser, approver: Browser, watchlist: Watchlist
) -> None:
    old = draft(editor, plate="辽A20010")
    upload(editor, sheet({"plate": "辽B30040"}))
    imports = PlannedImports(rig.settings.data_dir / FOLDER)
    now = datetime.now(UTC)
    assert imports.due(now - timedelta(minutes=30)) == []
    assert old["id"] not in watchlist.drafts.due(now - timedelta(minutes=30))
    due = watchlist.drafts.due(now + timedelta(minutes=1))
    assert old["id"] in due
    assert watchlist.drafts.delete(due) == len(due) > 0
    assert watchlist.drafts.all() == []
    assert imports.delete(imports.due(now + timedelta(minutes=1))) > 0
    assert list((rig.settings.data_dir / FOLDER).iterdir()) == []


def test_who_has_the_one_time_link_may_act_for_somebody(tmp_path: Path) -> None:
    with running_console(tmp_path, required=False) as rig, rig.browser() as browser:
        link = rig.server.login_url
        assert link is not None
        assert browser.get(link[link.index("/login") :]).status_code == 303
        browser.know(browser.get("/api/me").json())
        entry = draft(browser)
        alone = browser.post(f"/api/watchlist/{entry['id']}/approve")
        assert "somebody else must approve" in error(alone)["message"]
        named = browser.post(f"/api/watchlist/{entry['id']}/approve", {"authoriser": "Wang"})
        assert named.status_code == 200, named.text
        assert named.json()["entry"]["authoriser"] == "Wang"
        record = rig.audited("watchlist.approve")[-1]
        assert '"for": "Wang"' in record.details
        gone = browser.post(f"/api/watchlist/{entry['id']}/cancel", {**WHY, "by": "Li"})
        assert gone.json()["entry"]["cancelled"]["by"] == "Li"
