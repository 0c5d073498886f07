"""``checkpoint watchlist`` as a person and as a script use it, over an embedded Redis."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from structlog.testing import capture_logs
from typer.testing import CliRunner

from pipeline.access import operating_system_person
from pipeline.commands.watchlist import app
from pipeline.config import WatchlistSettings
from pipeline.errors import ConfigError, InputError, StoreUnavailable, WatchlistError
from watchlist.embedded import open_redis

pytestmark = pytest.mark.redis

ADD = ["add", "辽a·12345", "--category", "stolen", "--disposition", "stop", "--reason", "reported"]
ADD += ["--case", "C-1", "--authoriser", "Wang", "--expires", "+30d"]
HEADER = "车牌,布控类别,处置措施,布控原因,案件编号,审批人,有效期至"
ROW = "辽A12345,被盗抢,拦截检查,报案,C-1,王警官,+30d"


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A data folder whose server runs all through the test, as under ``checkpoint run``."""
    monkeypatch.chdir(tmp_path)
    with open_redis(WatchlistSettings(), Path("var")):
        yield


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    with capture_logs() as captured:
        yield captured


def run(*args: str, status: int = 0) -> Result:
    done = CliRunner().invoke(app, list(args))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == status, done.output
    return done


def lines(done: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def write(text: str, name: str = "list.csv", encoding: str = "utf-8") -> str:
    Path(name).write_bytes(text.encode(encoding))
    return name


def test_add_list_check_and_cancel(logs: list[Any]) -> None:
    assert "at version 1" in run(*ADD).stdout
    (entry,) = lines(run("list", "--json"))
    assert (entry["plate"], entry["status"], entry["vehicle_class"]) == ("辽A12345", "active", None)
    assert "辽A·12345" in run("list").stdout

    (found,) = lines(run("check", "辽A12345", "--reason", "traffic stop", "--json"))
    assert found["listed"] is True
    assert found["list_version"] == 1
    assert found["list_age_s"] < 60
    assert [e["id"] for e in found["entries"]] == [entry["id"]]
    checked = [line for line in logs if line["event"] == "watchlist.checked"]
    assert [(line["plate"], line["reason"]) for line in checked] == [("辽A12345", "traffic stop")]

    run("cancel", entry["id"], "--reason", "found", "--by", "Li")
    assert "is not on the list" in run("check", "辽A12345", "--reason", "x").stdout
    assert lines(run("list", "--json")) == []
    (gone,) = lines(run("list", "--all", "--json"))
    assert gone["status"] == "cancelled"
    assert gone["cancelled"]["by"] == "Li"
    assert "cancelled: found (Li)" in " ".join(run("list", "--all").stdout.split())


def test_adding_with_everything() -> None:
    extra = ["--priority", "1", "--requester", "Li", "--plate-class", "蓝牌", "--source", "desk"]
    extra += ["--vehicle-class", "car", "--vehicle-colour", "白色", "--audience", "north"]
    extra += ["--audience", "south", "--valid-from", "2026-01-01", "--json"]
    (entry,) = lines(run(*ADD, *extra))
    assert entry["plate_class"] == "blue"
    assert entry["vehicle_colour"] == "white"
    assert entry["audience"] == ["north", "south"]
    assert entry["list_version"] == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["add", "辽A12345"], "category: is missing; .*expires_at: is missing"),
        ([*ADD, "--expires", "soon"], "expires_at: 'soon' is no date"),
        ([*ADD, "--requester", "wang"], "requester: must be another person"),
        (["check", "辽A12345", "--reason", " "], "reason: must not be empty"),
        (["check", "nonsense", "--reason", "x"], "has the form of no plate"),
        (["cancel", "1", "--reason", "x", "--by", "y"], "is not on the list"),
    ],
)
def test_what_is_refused_and_why(args: list[str], said: str) -> None:
    with pytest.raises(WatchlistError, match=said):
        run(*args)


def test_a_check_without_a_reason_is_wrong_usage() -> None:
    assert run("check", "辽A12345", status=2).stdout == ""


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_an_import_is_a_dry_run_until_it_is_applied(encoding: str) -> None:
    file = write(f"{HEADER}\n{ROW}\n{ROW.replace('12345', '54321')}\n", encoding=encoding)
    shown = run("import", file).stdout
    assert "2 to add, 0 to replace" in shown
    assert "dry run" in shown
    assert lines(run("list", "--json")) == []
    assert "at version 1" in run("import", file, "--apply").stdout
    assert [e["plate"] for e in lines(run("list", "--json"))] == ["辽A12345", "辽A54321"]
    *_, again = lines(run("import", file, "--json"))
    assert (again["added"], again["applied"], again["list_version"]) == (0, False, 1)


def test_a_changed_row_replaces_its_entry() -> None:
    row = ROW.replace("+30d", "2026-12-31T00:00:00Z")
    run("import", write(f"{HEADER}\n{row}\n"), "--apply")
    run("import", write(f"{HEADER}\n{row.replace('拦截检查', '报告')}\n"), "--apply")
    (entry,) = lines(run("list", "--json"))
    assert entry["disposition"] == "报告"
    change, summary = lines(run("import", write(f"{HEADER}\n{row}\n"), "--json"))
    assert (change["event"], change["fields"]) == ("replace", ["disposition"])
    assert change["entry"]["id"] == entry["id"]
    assert summary["replaced"] == 1


def test_what_a_file_has_no_column_for_is_kept() -> None:
    run(*ADD, "--vehicle-colour", "white", "--requester", "Li", "--priority", "1")
    row = "辽A12345,stolen,stop,reported again,C-1,Wang,+60d"
    run("import", write(f"{HEADER}\n{row}\n"), "--apply")
    (entry,) = lines(run("list", "--json"))
    assert (entry["reason"], entry["vehicle_colour"]) == ("reported again", "white")
    assert (entry["requester"], entry["priority"]) == ("Li", 1)
    swapped = write(f"{HEADER}\n{row.replace('Wang', 'Li')}\n", "swapped.csv")
    done = run("import", swapped, status=1)
    assert "swapped.csv:2: requester: must be another person" in done.stderr
    row += ",,"
    run("import", write(f"{HEADER},车身颜色,申请人\n{row}\n"), "--apply")
    (entry,) = lines(run("list", "--json"))
    assert (entry["vehicle_colour"], entry["priority"]) == (None, 1)
    assert entry["requester"] == operating_system_person().name  # who imports asks for it


def test_a_bad_row_is_named_and_holds_the_others_back() -> None:
    bad = ROW.replace("辽A12345", "辽A1234")
    file = write(f"{HEADER}\n{ROW}\n{bad}\n{ROW}\n")
    done = run("import", file, "--apply", status=1)
    assert "list.csv:3: plate:" in done.stderr
    assert "list.csv:4: is the same entry as line 2" in done.stderr
    assert "Nothing applied" in done.stdout
    assert lines(run("list", "--json")) == []
    done = run("import", file, "--apply", "--skip-bad", "--json", status=1)
    assert [line["event"] for line in lines(done)] == ["add", "bad", "bad", "summary"]
    assert len(lines(run("list", "--json"))) == 1


@pytest.mark.parametrize(
    ("text", "said"), [("", "is empty"), ("车牌,尺码\n", "unknown column '尺码'")]
)
def test_a_file_that_is_no_list(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        run("import", write(text))
    with pytest.raises(InputError, match="No such file"):
        run("import", "absent.csv")


def test_an_empty_list_imports_nothing() -> None:
    assert "0 to add" in run("import", write(HEADER), "--apply").stdout
    assert "0 entries" in run("list").stdout


def test_an_export_is_taken_back_whole() -> None:
    run(*ADD, "--source", "=HYPERLINK(1)", "--audience", "north")
    run("add", "京AD12345", *ADD[2:], "--vehicle-colour", "red", "--requester", "'quoted")
    before = lines(run("list", "--json"))
    run("export", "out.csv")
    raw = Path("out.csv").read_text(encoding="utf-8-sig")
    assert ",'=HYPERLINK(1)" in raw
    *_, summary = lines(run("import", "out.csv", "--json"))
    assert (summary["unchanged"], summary["added"], summary["bad"]) == (2, 0, 0)
    assert run("export").stdout == raw

    os.rename("var", "lost")  # another machine, an empty list
    run("import", "out.csv", "--apply")
    assert lines(run("list", "--json")) == before


def test_a_cancelled_entry_does_not_come_back_with_an_old_file() -> None:
    (entry,) = lines(run(*ADD, "--json"))
    run("export", "out.csv")
    run("cancel", entry["id"], "--reason", "found", "--by", "Li")
    done = run("import", "out.csv", "--apply", status=1)
    assert "was cancelled by Li (found)" in done.stderr
    assert lines(run("list", "--json")) == []


def test_a_configuration_names_the_data_folder() -> None:
    Path("elsewhere.toml").write_text('data_dir = "elsewhere"\n', encoding="utf-8")
    run(*ADD, "--config", "elsewhere.toml")
    assert lines(run("list", "--json")) == []
    assert len(lines(run("list", "--json", "--config", "elsewhere.toml"))) == 1
    Path("checkpoint.toml").write_text('data_dir = "elsewhere"\n', encoding="utf-8")
    assert len(lines(run("list", "--json"))) == 1
    with pytest.raises(ConfigError, match="no such file"):
        run("list", "--config", "absent.toml")


def test_a_redis_that_is_away() -> None:
    text = '[watchlist]\nredis_url = "redis://u:s3cret@127.0.0.1:1"\n'
    Path("checkpoint.toml").write_text(text, encoding="utf-8")
    calls: list[Callable[[], Result]] = [
        lambda: run(*ADD),
        lambda: run("list"),
        lambda: run("check", "辽A12345", "--reason", "x"),
        lambda: run("import", write(f"{HEADER}\n{ROW}\n")),
        lambda: run("export"),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable, match="cannot be reached") as caught:
            call()
        assert "s3cret" not in str(caught.value)


def test_a_long_import_is_one_version_and_quick() -> None:
    rows = [ROW.replace("12345", f"{number:05}") for number in range(5000)]
    file = write("\n".join([HEADER, *rows]))
    run("import", file, "--apply")
    assert len(lines(run("list", "--json"))) == 5000
    assert "version 1:" in run("list").stdout


def test_the_server_outlives_a_killed_one(logs: list[Any]) -> None:
    run(*ADD)
    with open_redis(WatchlistSettings(), Path("var")) as client:
        os.kill(client.info("server")["process_id"], signal.SIGKILL)
    assert len(lines(run("list", "--json"))) == 1
