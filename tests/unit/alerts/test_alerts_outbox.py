"""The outbox: order, idempotence, damage, a full disk, a clock set back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.clock import ManualClock
from pipeline.health import Health
from pipeline.outbox import Outbox, OutboxError
from pipeline.outbox_file import MOST_LOG_BYTES
from pipeline.upward import report_damage
from tests.support.disks import on_small_disk


def fill(path: Path, count: int, size: int = 2_000) -> None:
    outbox = Outbox(path)
    for number in range(count):
        outbox.put(f"hit-{number}", 0, bytes([number % 256]) * size)
    outbox.close()


def test_put_is_idempotent_and_ordered_and_survives_closing(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "deep" / "outbox.db")
    assert outbox.put("b", 0, b"1")
    assert outbox.put("a", 0, b"2")
    assert outbox.put("b", 1, b"3")
    assert not outbox.put("b", 0, b"something else")
    outbox.close()
    outbox = Outbox(tmp_path / "deep" / "outbox.db")
    assert [(one.key, one.payload) for one in outbox.pending()] == [
        (("b", 0), b"1"),
        (("a", 0), b"2"),
        (("b", 1), b"3"),
    ]
    first = outbox.pending(1)[0]
    assert [one.key for one in outbox.pending(10, first.row)] == [("a", 0), ("b", 1)]
    outbox.done([("a", 0), ("never", 7)])
    assert outbox.depth() == 2
    outbox.close()


def test_rows_never_go_back_after_the_outbox_was_empty(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.put("a", 0, b"1")
    row = outbox.pending()[0].row
    outbox.done([("a", 0)])
    outbox.put("b", 0, b"2")
    assert outbox.pending(10, row)[0].key == ("b", 0)
    outbox.close()


def test_a_refused_hit_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.put("a", 0, b"1")
    outbox.refuse(("a", 0), "hit.kind: is missing")
    assert outbox.depth() == 0
    assert outbox.refused() == [(("a", 0), "hit.kind: is missing")]
    outbox.close()


def test_age_follows_the_oldest_and_is_never_negative(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    outbox = Outbox(tmp_path / "outbox.db", clock)
    assert outbox.oldest_age_s() is None
    outbox.put("a", 0, b"1")
    clock.advance(5)
    outbox.put("b", 0, b"2")
    assert outbox.oldest_age_s() == pytest.approx(5)
    clock.advance(-3600)
    assert outbox.oldest_age_s() == 0
    assert [one.hit_id for one in outbox.pending()] == ["a", "b"]
    outbox.close()


def test_wait_returns_when_a_hit_arrives_and_not_before(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    assert not outbox.wait(outbox.arrivals, 0.01)
    before = outbox.arrivals
    outbox.put("a", 0, b"1")
    assert outbox.wait(before, 1.0)
    outbox.close()


def test_a_file_that_is_no_database_is_moved_aside_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "outbox.db"
    path.write_bytes(b"this is no database, and never was one" * 200)
    outbox = Outbox(path)
    assert outbox.recovery is not None
    assert outbox.recovery.moved_to.read_bytes().startswith(b"this is no database")
    assert outbox.recovery.rescued == 0
    assert "outbox damaged" in "".join(capsys.readouterr())
    assert outbox.put("a", 0, b"1")
    outbox.close()


def test_what_can_be_read_from_a_damaged_file_is_rescued(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    fill(path, 200)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8192] = b"\xa5" * 8192
    path.write_bytes(content)
    outbox = Outbox(path)
    assert outbox.recovery is not None
    assert 0 < outbox.recovery.rescued < 200
    assert outbox.depth() == outbox.recovery.rescued
    for one in outbox.pending(200):
        assert one.payload == bytes([int(one.hit_id[4:]) % 256]) * 2_000
    outbox.close()


def test_damage_while_it_is_open_loses_no_new_hit(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    fill(path, 50)
    outbox = Outbox(path)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * 60_000)
    for number in range(5):
        outbox.put(f"new-{number}", 0, b"x" * 6_000)
    keys = {one.hit_id for one in outbox.pending(500)}
    assert keys >= {f"new-{number}" for number in range(5)}
    outbox.close()


def test_a_full_disk_raises_and_goes_on_when_there_is_space(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.put("a", 0, b"1")
    pages = outbox._connection.execute("PRAGMA page_count").fetchone()[0]
    outbox._connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(OutboxError, match="full; free space on that disk"):
        outbox.put("b", 0, b"2" * 100_000)
    outbox._connection.execute("PRAGMA max_page_count=100000")
    assert outbox.put("b", 0, b"2" * 100_000)
    assert [one.hit_id for one in outbox.pending()] == ["a", "b"]
    outbox.close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxError, match="folder cannot be made"):
        Outbox(tmp_path / "file" / "outbox.db")


def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox(path)
    outbox._connection.execute("PRAGMA user_version=9")
    outbox.close()
    with pytest.raises(OutboxError, match="newer Checkpoint"):
        Outbox(path)
    assert list(tmp_path.glob("*damaged*")) == []


def test_several_are_put_all_or_none(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    assert outbox.put_all([("a", 0, b"1", 1), ("b", 0, b"2", 4), ("a", 0, b"3", 1)]) == 2
    pages = outbox._connection.execute("PRAGMA page_count").fetchone()[0]
    outbox._connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(OutboxError, match="full"):
        outbox.put_all([("c", 0, b"4", 1), ("d", 0, bytes(100_000), 1)])
    assert [one.hit_id for one in outbox.pending()] == ["a", "b"]
    assert outbox.depth() == 2
    outbox.close()


def test_a_file_of_an_earlier_version_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with closing(sqlite3.connect(path)) as old, old:
        old.executescript(
            "CREATE TABLE waiting (row INTEGER PRIMARY KEY AUTOINCREMENT, hit_id TEXT NOT NULL,"
            " revision INTEGER NOT NULL, put_at REAL NOT NULL, checksum INTEGER NOT NULL,"
            " payload BLOB NOT NULL, UNIQUE (hit_id, revision));"
            "INSERT INTO waiting VALUES (7, 'old', 0, 0, 0, x'31');"
            "PRAGMA user_version=1;"
        )
    outbox = Outbox(path)
    outbox.put("new", 0, b"2", 1)
    assert [one.key for one in outbox.pending()] == [("old", 0), ("new", 0)]
    assert [name for _, name in outbox.urgent(1)] == ["new"]
    assert outbox.recovery is None
    outbox.close()


def test_damage_lies_there_to_be_seen_until_it_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    path.write_bytes(b"this is no database, and never was one" * 200)
    health = Health()
    with closing(Outbox(path)) as outbox:
        report_damage(outbox, health)
        assert "0 hits were rescued" in health.problems()["data in outbox.db"]
    with closing(Outbox(path)) as outbox:
        assert outbox.recovery is None
        report_damage(outbox, health)
        (left,) = outbox.damaged()
        assert str(left) in health.problems()["data in outbox.db"]
        left.unlink()
        report_damage(outbox, health)
        assert health.problems() == {}


def test_the_log_stays_short_with_and_without_a_link(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    log = path.with_name("outbox.db-wal")
    outbox, number = Outbox(path), 0
    for round_number in range(60):
        for _ in range(10):
            outbox.put(f"hit-{number}", 0, bytes(50_000))
            number += 1
        if round_number % 2:
            outbox.done(one.key for one in outbox.pending(20))
    for _ in range(400):  # nobody calls done
        outbox.put(f"hit-{number}", 0, bytes(50_000))
        number += 1
    assert log.stat().st_size < 2 * MOST_LOG_BYTES
    outbox.close()


FILLED = """
import sys
from pathlib import Path
from pipeline.outbox import Outbox, OutboxError

folder = Path(sys.argv[1])
outbox = Outbox(folder / "outbox.db")
put = 0
try:
    while True:
        outbox.put(f"hit-{put}", 0, bytes(40_000))
        put += 1
except OutboxError as error:
    print(error)
with (folder / "ballast").open("wb", buffering=0) as file:  # and the last block as well
    try:
        while file.write(bytes(512)):
            pass
    except OSError:
        pass
outbox.close()
outbox = Outbox(folder / "outbox.db")
assert outbox.depth() == put, (outbox.depth(), put)
sent = 0
while waiting := outbox.pending(20):
    outbox.done(one.key for one in waiting)
    sent += len(waiting)
assert sent == put, (sent, put)
outbox.put("again", 0, bytes(40_000))
print("put", put, "sent", sent)
"""


def test_a_disk_that_is_full_of_hits_gets_empty_again(tmp_path: Path) -> None:
    done = on_small_disk(tmp_path / "disk", 40 * 1024, FILLED, str(tmp_path / "disk"))
    assert done.returncode == 0, done.stdout + done.stderr
    full, counts = done.stdout.splitlines()[-2:]
    assert "free space on that disk" in full
    assert int(counts.split()[1]) > 200
