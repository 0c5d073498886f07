"""The audit log on real files: several writers, kills, full disks, and everything done to it."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from pipeline.audit import AUDIT_FILE, AuditLog, records, verify
from pipeline.chain import Fault, Link
from pipeline.clock import ManualClock
from pipeline.commands.audit import app
from pipeline.errors import AuditError, ConfigError, InputError
from tests.support.disks import on_small_disk

WRITER = """
import sys
from pathlib import Path
from pipeline.audit import AuditLog
from pipeline.clock import SystemClock
with AuditLog(Path(sys.argv[1]), SystemClock()) as log:
    for number in range(int(sys.argv[3])):
        print(log.record(actor=sys.argv[2], action="test.write", subject=str(number)), flush=True)
"""
FULL = """
import sys
from pathlib import Path
from pipeline.audit import AuditLog, verify
from pipeline.clock import SystemClock
from pipeline.errors import AuditError
path = Path(sys.argv[1]) / "audit.sqlite"
log, written = AuditLog(path, SystemClock()), 0
try:
    while True:
        log.record(actor="a", action="test.write", subject="x" * 2000)
        written += 1
except AuditError as error:
    print(written, error)
log.close()
found = verify(path)
print(len(found.findings), found.count)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / AUDIT_FILE


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def fill(path: Path, clock: ManualClock, count: int = 5, days: float = 0) -> None:
    with AuditLog(path, clock) as log:
        for number in range(count):
            log.record(actor="Wang", action="watchlist.add", subject=f"entry {number}")
            clock.advance(days * 86_400)


def tamper(path: Path, *statements: str) -> None:
    """What someone who may write the file can do with the sqlite3 program."""
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER no_change")
        connection.execute("DROP TRIGGER no_removal")
        for statement in statements:
            connection.execute(statement)
    connection.close()


def faults(path: Path) -> list[tuple[Fault, int, int]]:
    return [(one.fault, one.first, one.last) for one in verify(path).findings]


def test_a_record_says_who_when_where_what_and_why(path: Path, clock: ManualClock) -> None:
    with AuditLog(path, clock) as log:
        number = log.record(
            actor="Wang",
            action="watchlist.check",
            subject="辽A12345",
            reason="control at the gate",
            case="C-1",
            origin="console 10.0.0.7",
            details={"listed": True},
        )
        other = log.record(actor="Li", action="alert.review", subject="7")
    one, two = records(path)
    assert (number, other) == (one.sequence, two.sequence) == (1, 2)
    assert (one.actor, one.origin, one.action) == ("Wang", "console 10.0.0.7", "watchlist.check")
    assert (one.subject, one.reason, one.case) == ("辽A12345", "control at the gate", "C-1")
    assert json.loads(one.details) == {"listed": True}
    assert datetime.fromisoformat(one.at) == clock.now()
    assert two.origin  # this machine's name, where nothing else is said
    assert (two.reason, two.case) == (None, None)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not verify(path).findings


def test_what_is_no_text_and_what_is_secret(path: Path, clock: ManualClock) -> None:
    token = "checkpoint_" + "a" * 43
    with AuditLog(path, clock) as log:
        log.record(
            actor="Wang",
            action="test.write",
            subject=f"file \udcff\x00\x1b[31m {token}",
            reason=f"rtsp://user:pass@host/ {token}",
            details={"deep": [{"url": "rtsp://user:pass@host"}], "when": clock.now()},
        )
    (one,) = records(path)
    assert token not in str(one)
    assert "pass@" not in str(one)
    assert one.subject == "file \\udcff\\x00\\x1b[31m ***"
    assert not verify(path).findings


@pytest.mark.parametrize("missing", [{"actor": " "}, {"action": ""}])
def test_a_record_without_who_or_what_is_refused(
    path: Path, clock: ManualClock, missing: dict[str, str]
) -> None:
    with AuditLog(path, clock) as log, pytest.raises(AuditError, match="who and what"):
        log.record(**{"actor": "a", "action": "b", "subject": "c", **missing})


def test_two_processes_write_at_once(path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name, "60"], text=True, stdout=subprocess.PIPE
        )
        for name in ("one", "two")
    ]
    said = [int(line) for writer in writers for line in writer.communicate(timeout=60)[0].split()]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sorted(said) == list(range(1, 121))
    found = verify(path)
    assert (found.count, found.findings) == (120, ())
    assert {one.actor for one in records(path)} == {"one", "two"}


def test_a_killed_writer_loses_nothing_that_it_was_told_is_written(path: Path) -> None:
    said = 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), "one", "100000"],
            text=True,
            stdout=subprocess.PIPE,
        ) as writer:
            assert writer.stdout is not None
            for _ in range(15):
                said = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
        found = verify(path)
        assert found.findings == ()
        assert said <= found.count
    fill(path, ManualClock(), 1)
    assert verify(path).findings == ()


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (["UPDATE records SET reason = 'x' WHERE sequence = 2"], [(Fault.CHANGED, 2, 2)]),
        (["UPDATE records SET actor = 'Li' WHERE sequence = 5"], [(Fault.CHANGED, 5, 5)]),
        (["DELETE FROM records WHERE sequence = 3"], [(Fault.MISSING, 3, 3)]),
        (["DELETE FROM records WHERE sequence >= 4"], [(Fault.MISSING, 4, 5)]),
        (["DELETE FROM records"], [(Fault.MISSING, 1, 5)]),
        (
            [
                "UPDATE records SET sequence = 9 WHERE sequence = 2",
                "UPDATE records SET sequence = 2 WHERE sequence = 4",
                "UPDATE records SET sequence = 4 WHERE sequence = 9",
            ],
            [(Fault.REORDERED, 2, 2), (Fault.REORDERED, 4, 4)],
        ),
        (
            [
                "DELETE FROM records WHERE sequence <= 2",
                "UPDATE base SET sequence = 2, hash = (SELECT previous FROM records)",
            ],
            [(Fault.MISSING, 1, 2)],
        ),
    ],
)
def test_what_was_done_to_it_is_found(
    path: Path, clock: ManualClock, statements: list[str], expected: list[tuple[Fault, int, int]]
) -> None:
    fill(path, clock)
    tamper(path, *statements)
    assert faults(path) == expected


def test_an_earlier_copy_in_its_place_is_found_and_takes_no_record(
    path: Path, clock: ManualClock
) -> None:
    fill(path, clock, 3)
    shutil.copy(path, path.with_name("copy"))
    log = AuditLog(path, clock)
    log.record(actor="Wang", action="test.write", subject="4")
    log.close()
    shutil.copy(path.with_name("copy"), path)
    assert faults(path) == [(Fault.MISSING, 4, 4)]
    with pytest.raises(AuditError, match="should hold record 4"):
        log.record(actor="Wang", action="test.write", subject="another 4")
    with pytest.raises(AuditError, match="backup"):
        AuditLog(path, clock)


def test_another_log_in_its_place_is_found_and_takes_no_record(
    path: Path, clock: ManualClock, tmp_path: Path
) -> None:
    fill(path, clock, 3)
    fill(tmp_path / "other.sqlite", clock, 3)
    shutil.copy(tmp_path / "other.sqlite", path)
    assert faults(path) == [(Fault.SWAPPED, 3, 3)]
    with pytest.raises(AuditError, match="another log"):
        AuditLog(path, clock)


def test_a_removed_log_is_not_begun_anew_in_silence(path: Path, clock: ManualClock) -> None:
    log = AuditLog(path, clock)
    log.record(actor="Wang", action="test.write", subject="1")
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    with pytest.raises(AuditError, match="is missing, though 1 records"):
        log.record(actor="Wang", action="test.write", subject="2")
    with pytest.raises(AuditError, match="no such audit log"):
        verify(path)
    log.close()


def test_a_removed_anchor_is_found_and_no_record_is_taken(path: Path, clock: ManualClock) -> None:
    fill(path, clock, 2)
    path.with_name(path.name + ".anchor").unlink()
    assert faults(path) == [(Fault.MISSING, 3, 3)]
    with pytest.raises(AuditError, match=r"audit.sqlite.anchor: is missing"):
        AuditLog(path, clock)


def test_moved_aside_as_the_message_says_a_new_log_begins(path: Path, clock: ManualClock) -> None:
    fill(path, clock, 2)
    path.write_bytes(b"no database at all, but long enough to be taken for one" * 40)
    with pytest.raises(AuditError, match=r"damaged.*keep them in another place"):
        AuditLog(path, clock)
    with pytest.raises(AuditError, match="damaged"):
        verify(path)
    for file in path.parent.iterdir():
        file.rename(file.with_name("aside-" + file.name))
    fill(path, clock, 1)
    assert verify(path).count == 1


def test_a_log_moved_aside_while_it_is_open_is_let_go(path: Path, clock: ManualClock) -> None:
    log = AuditLog(path, clock)
    log.record(actor="Wang", action="test.write", subject="old")
    for file in list(path.parent.iterdir()):
        file.rename(file.with_name("aside-" + file.name))
    log.record(actor="Wang", action="test.write", subject="new")
    log.close()
    assert [one.subject for one in records(path)] == ["new"]


def test_the_file_itself_refuses_changes(path: Path, clock: ManualClock) -> None:
    fill(path, clock, 2)
    with sqlite3.connect(path) as connection:
        for statement in ("UPDATE records SET actor = 'x'", "DELETE FROM records"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
    connection.close()


def test_a_note_taken_elsewhere_finds_what_all_files_agree_on(
    path: Path, clock: ManualClock
) -> None:
    fill(path, clock, 3)
    head = verify(path).head
    shutil.rmtree(path.parent)
    fill(path, clock, 4)  # a whole new log, with a whole new anchor
    assert not verify(path).findings
    assert [one.fault for one in verify(path, head).findings] == [Fault.REPLACED]
    beyond = Link("", 9, "0" * 64)
    assert [one.fault for one in verify(path, beyond).findings] == [Fault.MISSING]


def test_old_records_go_and_the_chain_stays_sound(path: Path, clock: ManualClock) -> None:
    fill(path, clock, 30, days=20)
    with AuditLog(path, clock) as log:
        pruned = log.prune(clock.now() - timedelta(days=300))
        assert pruned is not None
        assert verify(path).findings == ()
        kept = list(records(path))
        assert kept[0].sequence == pruned.last + 1
        assert all(
            datetime.fromisoformat(one.at) >= clock.now() - timedelta(days=300) for one in kept
        )
        assert json.loads(kept[-1].details)["count"] == pruned.count == pruned.last
        assert log.prune(clock.now() - timedelta(days=300)) is None
        clock.advance(86_400 * 1000)  # all of them are old now, that record too
        assert log.prune(clock.now()) is not None
        assert log.record(actor="a", action="b", subject="c") == 33
    assert verify(path).findings == ()
    assert [one.sequence for one in records(path)] == [32, 33]


@pytest.mark.parametrize("before_days", [-1000, 0, 100])
def test_six_months_stay_whatever_is_asked(
    path: Path, clock: ManualClock, before_days: float
) -> None:
    fill(path, clock, 40, days=10)
    with AuditLog(path, clock) as log:
        log.prune(clock.now() - timedelta(days=before_days))
    oldest = datetime.fromisoformat(next(records(path)).at)
    assert timedelta(days=184) - timedelta(days=10) < clock.now() - oldest <= timedelta(days=184)


def test_a_clock_set_back_keeps_what_follows(path: Path, clock: ManualClock) -> None:
    fill(path, clock, 3)
    clock.advance(86_400 * 400)
    fill(path, clock, 1)
    clock.advance(-86_400 * 400)
    fill(path, clock, 2)
    clock.advance(86_400 * 500)
    with AuditLog(path, clock) as log:
        log.prune(clock.now() - timedelta(days=300))
    assert next(records(path)).sequence == 4  # nothing behind a younger one goes
    assert verify(path).findings == ()


def test_on_a_full_disk_it_is_said_and_what_was_written_stays(tmp_path: Path) -> None:
    done = on_small_disk(tmp_path / "disk", 200, FULL, str(tmp_path / "disk"))
    assert done.returncode == 0, done.stderr
    said, found = done.stdout.splitlines()
    written = int(said.split()[0])
    assert written > 5
    assert "audit.sqlite" in said
    assert "free space on that disk" in said
    assert found.split()[0] == "0"
    assert int(found.split()[1]) in (written, written + 1)


def test_where_nothing_can_be_written_it_is_said(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match="cannot be used"):
        AuditLog(tmp_path / "file" / AUDIT_FILE, clock)


# --- the commands -----------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHECKPOINT_TOKEN", raising=False)
    return tmp_path


def run(*arguments: str, status: int = 0) -> Result:
    done = CliRunner().invoke(app, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == status, done.output
    return done


def test_verify_names_what_is_wrong_and_exits_with_1(
    home: Path, path: Path, clock: ManualClock
) -> None:
    fill(path, clock)
    said = run("verify").stdout
    note = said.split()[-1]
    assert "5 records, all as they were written" in said
    run("verify", "--noted", note)
    tamper(path, "UPDATE records SET subject = 'x' WHERE sequence = 2")
    done = run("verify", status=1)
    assert "record 2 was changed" in done.stderr
    lines = [json.loads(line) for line in run("verify", "--json", status=1).stdout.splitlines()]
    assert lines[0] == {
        "event": "finding",
        "fault": "changed",
        "first": 2,
        "last": 2,
        "message": "record 2 was changed",
    }
    assert (lines[-1]["event"], lines[-1]["records"]) == ("summary", 5)
    with pytest.raises(ConfigError, match="NUMBER:SHA256"):
        run("verify", "--noted", "7")


def test_an_export_is_recorded_and_holds_the_period(
    home: Path, path: Path, clock: ManualClock
) -> None:
    with AuditLog(path, clock) as log:
        log.record(actor="=cmd()", action="test.write", subject="+1", reason="@x", case="C-1")
        clock.advance(86_400 * 10)
        log.record(actor="Li", action="test.write", subject='quote " and\nline', details={"n": 1})
    with pytest.raises(InputError, match="reason"):
        run("export")
    run("export", "out.csv", "--reason", "asked by the inspector")
    with (home / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["action"] for row in rows] == ["test.write", "test.write", "audit.export"]
    assert (rows[0]["actor"], rows[0]["subject"], rows[0]["reason"]) == ("'=cmd()", "'+1", "'@x")
    assert rows[1]["subject"] == 'quote " and\nline'
    assert (rows[2]["subject"], rows[2]["reason"]) == ("out.csv", "asked by the inspector")
    assert not verify(path).findings
    day = clock.now().astimezone().date()
    done = run("export", "--from", str(day), "--to", str(day), "--format", "jsonl", "--reason", "x")
    (line,) = [json.loads(one) for one in done.stdout.splitlines()]
    assert (line["actor"], line["details"]) == ("Li", {"n": 1})
    before = (clock.now() - timedelta(days=1)).isoformat()
    done = run("export", "--to", before, "--reason", "x")
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert row["actor"] == "'=cmd()"
    with pytest.raises(ConfigError, match="--from"):
        run("export", "--from", "yesterday", "--reason", "x")


def test_no_export_where_it_cannot_be_recorded(home: Path, path: Path, clock: ManualClock) -> None:
    fill(path, clock, 2)
    path.with_name(path.name + ".anchor").unlink()
    with pytest.raises(AuditError):
        run("export", "out.csv", "--reason", "x")
    assert not (home / "out.csv").exists()
    assert not list(home.glob("*.part"))


def test_verify_while_it_is_written(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), "one", "80"], text=True, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        counts = []
        while writer.poll() is None:
            found = verify(path)
            assert found.findings == ()
            counts.append(found.count)
            writer.stdout.readline()
    assert verify(path).count == 80
    assert counts == sorted(counts)


def test_a_time_before_the_first_and_after_the_last(path: Path, clock: ManualClock) -> None:
    fill(path, clock, 2)
    assert not list(records(path, datetime(2030, 1, 1, tzinfo=UTC)))
    assert not list(records(path, until=datetime(2020, 1, 1, tzinfo=UTC)))
