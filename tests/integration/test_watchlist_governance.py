"""Who may change the list, what is recorded of it, and how it is taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from structlog.testing import capture_logs
from typer.testing import CliRunner

from pipeline.access import AccessRole, operating_system_person, token_store
from pipeline.audit import AuditLog, records
from pipeline.clock import SystemClock
from pipeline.commands.watchlist import app
from pipeline.config import CheckpointSettings, WatchlistSettings
from pipeline.errors import AccessError, AuditError, StoreUnavailable, WatchlistError
from watchlist.embedded import open_redis
from watchlist.store import open_watchlist

pytestmark = pytest.mark.redis

ADD = ["add", "辽A12345", "--category", "stolen", "--disposition", "stop", "--reason", "reported"]
ADD += ["--case", "C-1", "--authoriser", "Wang", "--expires", "+30d"]
HEADER = "车牌,布控类别,处置措施,布控原因,案件编号,审批人,有效期至"
ROW = "辽A12345,被盗抢,拦截检查,报案,C-1,Wang,+30d"
OS = operating_system_person().name


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHECKPOINT_TOKEN", raising=False)
    with open_redis(WatchlistSettings(), Path("var")), capture_logs():
        yield


def run(*args: str, status: int = 0) -> Result:
    done = CliRunner().invoke(app, list(args))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == status, done.output
    return done


def lines(done: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def listed() -> list[dict[str, Any]]:
    return lines(run("list", "--json"))


def audited(action: str = "") -> list[tuple[Any, ...]]:
    found = records(Path("var") / "audit.sqlite")
    shown = [(r.action, r.actor, r.subject, r.reason, r.case) for r in found]
    return [one for one in shown if one[0].startswith(action)]


def token(name: str, *roles: AccessRole, days: int = 1) -> list[str]:
    """A token's option for the command line."""
    store = token_store(CheckpointSettings())
    issued = store.issue(name, roles, timedelta(days=days), given_by="test")
    path = Path(f"{name}.token")
    path.touch(mode=0o600)
    path.write_text(issued.token, encoding="ascii")
    return ["--token-file", str(path)]


def governed() -> None:
    text = "[access]\nrequired = true\n"
    Path("checkpoint.toml").write_text(text, encoding="utf-8")


def write(text: str, name: str = "list.csv") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def test_everything_is_recorded_with_its_reason() -> None:
    (entry,) = lines(run(*ADD, "--json"))
    run("check", "辽a12345", "--reason", "traffic stop", "--case", "T-7")
    run("edit", entry["id"], "--why", "colour seen", "--vehicle-colour", "白色")
    run("list", "--reason", "morning briefing")
    run("import", write(f"{HEADER}\n{ROW}\n"), "--apply", "--reason", "nightly", "--case", "N-1")
    run("export", "out.csv", "--reason", "for the province")
    run("cancel", entry["id"], "--reason", "car found")
    run("rollback", "1", "--reason", "wrong car", "--case", "C-1")
    run("history", "--reason", "who did that")
    assert audited() == [
        ("watchlist.add", OS, "辽A12345", "reported", "C-1"),
        ("watchlist.check", OS, "辽A12345", "traffic stop", "T-7"),
        ("watchlist.edit", OS, entry["id"], "colour seen", None),
        ("watchlist.list", OS, "the list", "morning briefing", None),
        ("watchlist.import_plan", OS, "list.csv", "nightly", "N-1"),
        ("watchlist.import", OS, "list.csv", "nightly", "N-1"),
        ("watchlist.export", OS, "out.csv", "for the province", None),
        ("watchlist.cancel", OS, entry["id"], "car found", None),
        ("watchlist.rollback", OS, "version 1", "wrong car", "C-1"),
        ("watchlist.history", OS, "the list", "who did that", None),
    ]
    details = [json.loads(r.details) for r in records(Path("var") / "audit.sqlite")]
    assert {one["by"] for one in details} == {"operating system"}
    assert details[0]["entry"] == entry["id"]
    assert len(details[4]["sha256"]) == 64
    history = lines(run("history", "--json"))
    assert [(v["version"], v["by"], v["action"], v["reason"]) for v in history] == [
        (5, OS, "rollback", "wrong car"),
        (4, OS, "cancel", "car found"),
        (3, OS, "import", "nightly"),
        (2, OS, "edit", "colour seen"),
        (1, OS, "add", "reported"),
    ]
    shown = run("history").stdout
    assert "wrong car" in shown
    assert OS in shown


def test_what_cannot_be_recorded_is_not_done() -> None:
    run(*ADD)
    (entry,) = listed()
    path = Path("var") / "audit.sqlite"
    path.unlink()  # somebody has taken the log away
    for command in (
        [*ADD[:1], "京A00001", *ADD[2:]],
        ["cancel", entry["id"], "--reason", "found"],
        ["check", "辽A12345", "--reason", "x"],
        ["export"],
        ["rollback", "0", "--reason", "x"],
    ):
        with pytest.raises(AuditError, match="is missing"):
            run(*command)
    with open_watchlist(WatchlistSettings(), Path("var")) as watchlist:
        assert [e.id for e in watchlist.entries()] == [entry["id"]]


def test_what_failed_is_recorded_as_failed() -> None:
    with pytest.raises(WatchlistError, match="is not on the list"):
        run("cancel", "0" * 16, "--reason", "found")
    actions = [one[0] for one in audited()]
    assert actions == ["watchlist.cancel", "watchlist.cancel.failed"]
    (last,) = [r for r in records(Path("var") / "audit.sqlite") if r.action.endswith(".failed")]
    assert "is not on the list" in json.loads(last.details)["message"]
    Path("checkpoint.toml").write_text('[watchlist]\nredis_url = "redis://127.0.0.1:1"\n')
    with pytest.raises(StoreUnavailable):
        run(*ADD)
    assert [one[0] for one in audited("watchlist.add")] == ["watchlist.add", "watchlist.add.failed"]


@pytest.mark.parametrize(
    ("roles", "allowed"),
    [
        ((AccessRole.VIEWER,), {"list", "check", "history"}),
        (
            (AccessRole.EDITOR,),
            {"list", "check", "history", "add", "edit", "cancel", "import", "export"},
        ),
        (
            (AccessRole.APPROVER,),
            {"list", "check", "history", "cancel", "export", "rollback", "acknowledge"},
        ),
        ((AccessRole.AUDITOR,), {"list", "check", "history", "export"}),
    ],
)
def test_each_role_may_do_its_part(roles: tuple[AccessRole, ...], allowed: set[str]) -> None:
    run(*ADD)
    (entry,) = listed()
    who = token("Zhao", *roles)
    token("Wang", AccessRole.APPROVER)
    governed()
    commands = {
        "list": ["list", "--reason", "x"],
        "check": ["check", "辽A12345", "--reason", "x"],
        "history": ["history", "--reason", "x"],
        "add": [*ADD[:1], "京A00001", *ADD[2:]],
        "edit": ["edit", entry["id"], "--why", "x", "--priority", "1"],
        "import": ["import", write(f"{HEADER}\n{ROW}\n"), "--reason", "x"],
        "export": ["export", "--reason", "x"],
        "cancel": ["cancel", entry["id"], "--reason", "x"],
        "rollback": ["rollback", "1", "--reason", "x"],
        "acknowledge": ["acknowledge", "--reason", "x"],
    }
    done = set()
    for name, command in commands.items():
        try:
            run(*command, *who)
            done.add(name)
        except AccessError as error:
            assert str(error).startswith("Zhao may not ")  # noqa: PT017
            assert "watchlist." not in str(error)  # noqa: PT017
            recorded = "import_plan" if name == "import" else name
            assert audited(f"watchlist.{recorded}.refused")
    assert done == allowed


def test_a_token_is_required_where_access_is() -> None:
    governed()
    with pytest.raises(AccessError, match="give a token"):
        run("list")
    who = token("Zhao", AccessRole.VIEWER)
    with pytest.raises(WatchlistError, match="reason: must not be empty"):
        run("list", *who)
    run("list", "--reason", "briefing", *who)
    assert audited("watchlist.list") == [("watchlist.list", "Zhao", "the list", "briefing", None)]


def test_the_authoriser_is_an_approver_and_somebody_else_than_who_asks() -> None:
    editor = token("Zhao", AccessRole.EDITOR)
    governed()
    with pytest.raises(WatchlistError, match="authoriser: 'Wang' has no valid token as approver"):
        run(*ADD, *editor)
    file = write(f"{HEADER}\n{ROW}\n")
    done = run("import", file, "--apply", "--reason", "x", *editor, status=1)
    assert "list.csv:2: authoriser: 'Wang' has no valid token" in done.stderr
    token("Wang", AccessRole.APPROVER)
    (entry,) = lines(run(*ADD, *editor, "--json"))
    assert (entry["requester"], entry["authoriser"]) == ("Zhao", "Wang")
    both = token("Li", AccessRole.EDITOR, AccessRole.APPROVER)
    own = ["Li" if word == "Wang" else word for word in ADD]
    with pytest.raises(WatchlistError, match="requester: must be another person"):
        run(*own, *both)
    (entry,) = lines(run(*own, *both, "--requester", "Zhao", "--json"))
    assert (entry["requester"], entry["authoriser"]) == ("Zhao", "Li")
    Path("checkpoint.toml").write_text(
        '[access]\nrequired = true\n[access.certificates]\n"Sun" = ["approver"]\n', encoding="utf-8"
    )
    run(*["Sun" if word == "Wang" else word for word in ADD], *editor)


def test_an_authoriser_whose_token_was_taken_back_answers_for_nothing() -> None:
    editor = token("Zhao", AccessRole.EDITOR)
    token("Wang", AccessRole.APPROVER)
    governed()
    run(*ADD, *editor)
    store = token_store(CheckpointSettings())
    (record,) = [one for one in store.tokens() if one.person == "Wang"]
    store.revoke(record.id, revoked_by="test")
    with pytest.raises(WatchlistError, match="has no valid token as approver"):
        run(*ADD, *editor)


def test_a_token_says_who_cancels() -> None:
    (entry,) = lines(run(*ADD, "--json"))
    editor = token("Zhao", AccessRole.EDITOR)
    with pytest.raises(WatchlistError, match="by: your token says that you are Zhao"):
        run("cancel", entry["id"], "--reason", "found", "--by", "Li", *editor)
    run("cancel", entry["id"], "--reason", "found", *editor)
    (gone,) = lines(run("list", "--all", "--json"))
    assert gone["cancelled"]["by"] == "Zhao"
    (entry,) = lines(run(*ADD, "--json"))
    run("cancel", entry["id"], "--reason", "found", "--by", "Li")  # as before, on a fresh machine
    with pytest.raises(WatchlistError, match="reason: must not be empty"):
        run("cancel", entry["id"], "--reason", " ")


def test_edit_changes_what_is_named_and_nothing_else() -> None:
    (before,) = lines(run(*ADD, "--vehicle-colour", "red", "--source", "desk", "--json"))
    (after,) = lines(
        run("edit", before["id"], "--why", "seen", "--plate", "京A00001", "--source", "", "--json")
    )
    assert after.pop("list_version") == 2
    changed = {k for k in after if after[k] != before[k]}
    assert changed == {"plate", "source"}
    assert after["source"] is None
    assert [e["plate"] for e in listed()] == ["京A00001"]
    for args, said in (
        (["--expires", "2020-01-01"], "expires_at: .* is in the past"),
        (["--reason", " "], "reason: is missing"),
        (["--requester", "Wang"], "requester: must be another person"),
        (["--plate", "nonsense"], "plate: .* has the form of no plate"),
    ):
        with pytest.raises(WatchlistError, match=said):
            run("edit", before["id"], "--why", "x", *args)
    with pytest.raises(WatchlistError, match="why: must not be empty"):
        run("edit", before["id"], "--why", "")
    with pytest.raises(WatchlistError, match="is not on the list"):
        run("edit", "0" * 16, "--why", "x", "--priority", "1")


def test_neighbours_are_pointed_out() -> None:
    run(*ADD[:1], "辽A88123", *ADD[2:])
    run(*ADD[:1], "辽AB8123", *ADD[2:])
    shown = run(*ADD[:1], "辽A8B123", *ADD[2:]).stdout
    assert "easily taken for it: 辽A·88123" in shown
    (entry,) = lines(run(*ADD[:1], "辽A0B123", *ADD[2:], "--json"))
    assert entry["neighbours"] == []
    rows = [ROW.replace("辽A12345", plate) for plate in ("辽A38123", "辽A00001", "吉A88123")]
    file = write("\n".join([HEADER, *rows]))
    *_, first, summary = lines(run("import", file, "--json"))
    assert first == {"event": "neighbour", "plate": "辽A38123", "listed": ["辽A88123"]}
    assert summary["neighbours"] == 1
    assert "辽A·38123" in run("import", file).stdout.split("Look again")[1]
    assert "Look again" not in run("import", file, "--apply").stdout


def test_rollback_says_what_it_takes_back() -> None:
    (entry,) = lines(run(*ADD, "--json"))
    run("cancel", entry["id"], "--reason", "found")
    run(*ADD[:1], "京A00001", *ADD[2:])
    shown = run("rollback", "1", "--reason", "mistake", "--dry-run").stdout
    assert "2 changes would be taken back" in shown
    assert f"on the list again: {entry['id']}" in shown
    assert [e["plate"] for e in listed()] == ["京A00001"]
    *undone, summary = lines(run("rollback", "1", "--reason", "mistake", "--json"))
    assert [one["version"] for one in undone] == [3, 2]
    assert summary["active_again"] == [entry["id"]]
    assert (summary["to"], summary["list_version"]) == (1, 4)
    assert [e["id"] for e in listed()] == [entry["id"]]
    assert "at version 5" in run("rollback", "3", "--reason", "after all").stdout
    for args, said in (
        (["9", "--reason", "x"], "only at version 5"),
        (["1", "--reason", " "], "reason: must not be empty"),
    ):
        with pytest.raises(WatchlistError, match=said):
            run("rollback", *args)


def test_history_is_kept_as_long_as_configured() -> None:
    Path("checkpoint.toml").write_text("[watchlist]\nhistory_versions = 2\n", encoding="utf-8")
    for number in range(4):
        run(*ADD[:1], f"京A0000{number}", *ADD[2:])
    assert [v["version"] for v in lines(run("history", "--json"))] == [4, 3]
    assert [v["version"] for v in lines(run("history", "--json", "--count", "1"))] == [4]
    with pytest.raises(WatchlistError, match="version 1 is no longer kept"):
        run("rollback", "1", "--reason", "x")


def test_the_configuration_names_categories_and_their_longest_life() -> None:
    text = "[watchlist]\nentry_days = 90\n[watchlist.categories]\nstolen = 7\nescort = 90\n"
    Path("checkpoint.toml").write_text(text, encoding="utf-8")
    with pytest.raises(WatchlistError, match="expires_at: at most 7 days"):
        run(*ADD)
    run(*ADD, "--category", "escort")
    with pytest.raises(WatchlistError, match="category: 'wanted' is none of: escort, stolen"):
        run(*ADD, "--category", "wanted")
    file = write(f"{HEADER}\n{ROW}\n{ROW.replace('被盗抢', 'escort').replace('C-1', 'C-2')}\n")
    done = run("import", file, "--apply", "--skip-bad", status=1)
    assert "list.csv:2: expires_at: at most 7 days" in done.stderr
    assert len(listed()) == 2


def test_a_workbook_goes_in_and_out() -> None:
    run(*ADD, "--source", "=HYPERLINK(1)")
    before = listed()
    run("export", "out.xlsx")
    *_, summary = lines(run("import", "out.xlsx", "--json"))
    assert (summary["unchanged"], summary["added"], summary["bad"]) == (1, 0, 0)
    run("cancel", before[0]["id"], "--reason", "x")
    done = run("import", "out.xlsx", "--apply", status=1)
    assert "was cancelled by" in done.stderr
    Path("broken.xlsx").write_bytes(Path("out.xlsx").read_bytes()[:500])
    with pytest.raises(Exception, match=r"broken\.xlsx: is no workbook"):
        run("import", "broken.xlsx")


def test_two_who_import_at_once_do_not_overwrite_each_other() -> None:
    """The list changes between the plan and its application."""
    run(*ADD)
    (entry,) = listed()
    with (
        open_watchlist(WatchlistSettings(), Path("var")) as watchlist,
        pytest.MonkeyPatch.context() as patched,
    ):
        known = watchlist.get(entry["id"])
        assert known is not None
        add = type(watchlist).add

        def late(self: Any, entries: Any, *args: Any, **how: Any) -> Any:
            add(watchlist, [replace(known, reason="in between")])
            return add(self, entries, *args, **how)

        patched.setattr(type(watchlist), "add", late)
        with pytest.raises(WatchlistError, match=r"version 1 to 2.* 辽A12345 was changed there"):
            run("import", write(f"{HEADER}\n{ROW}\n"), "--apply")
    (entry,) = listed()
    assert entry["reason"] == "in between"
    assert audited("watchlist.import.failed")


def test_a_list_that_was_lost_is_said_until_somebody_takes_it() -> None:
    run(*ADD)
    run(*ADD[:1], "京A00001", *ADD[2:])
    with open_redis(WatchlistSettings(), Path("var")) as client:
        client.flushall()
    with capture_logs() as logs:
        run("list")
    assert [line["log_level"] for line in logs if line["event"] == "watchlist.lost"] == ["error"]
    assert "at version 3" in run(*ADD).stdout  # not 1, as if nothing had been
    assert "is the list now" in run("acknowledge", "--reason", "Redis was set up anew").stdout
    assert "Nothing was lost" in run("acknowledge", "--reason", "again").stdout
    with capture_logs() as logs:
        run("list")
    assert not [line for line in logs if line["event"] == "watchlist.lost"]
    assert len(audited("watchlist.acknowledge")) == 2


def test_the_log_stays_whole() -> None:
    run(*ADD)
    run("check", "辽A12345", "--reason", "x")
    with AuditLog(Path("var") / "audit.sqlite", SystemClock()) as log:
        log.record(actor="test", action="test", subject="test")
    assert len(audited()) == 3
