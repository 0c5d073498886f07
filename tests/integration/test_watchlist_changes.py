"""Large and small changes at once, killed ones, history and rollback, against real servers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.commands.core import Script

from pipeline.clock import ManualClock
from pipeline.errors import StoreUnavailable, WatchlistError
from pipeline.types import WatchlistEntry
from tests.support.redis_servers import running, server
from tests.support.waiting import wait_until
from tests.support.watchlists import entry
from watchlist import changes, scripts
from watchlist.connection import connection_options
from watchlist.history import HistoryLimits
from watchlist.records import Note
from watchlist.rows import MARK
from watchlist.snapshot import take
from watchlist.store import Watchlist

pytestmark = pytest.mark.redis
PLATE = "辽A12345"
PLATES = "{checkpoint}:watchlist:plates"
LOCK = "{checkpoint}:watchlist:lock"
MANY = [f"辽B{number:05}" for number in range(600)]  # more than one script takes

# Makes a large change in a process of its own, which is killed on the way.
CHANGER = """
import sys, time
import redis
from pipeline.clock import ManualClock
from tests.support.watchlists import entry
from watchlist import changes
from watchlist.connection import connection_options
from watchlist.records import Note
from watchlist.store import Watchlist

port, where = int(sys.argv[1]), sys.argv[2]
changes._LEASE_MS = int(sys.argv[3])
client = redis.Redis(port=port, **connection_options(20.0))
watchlist = Watchlist(client, "checkpoint", ManualClock())

def stop():
    print("here", flush=True)
    time.sleep(60)

def entries():
    for number in range(600):
        yield entry(f"辽B{number:05}", reason="new")
    time.sleep(0.3)  # what was made is sent meanwhile
    if where == "staged":
        stop()

if where == "committed":
    changes.Changes._settle = lambda self, token, who: stop()
watchlist.add(entries(), Note("Wang", "import"))
"""


@contextlib.contextmanager
def client_of(port: int) -> Iterator[redis.Redis]:
    client = redis.Redis(port=port, **connection_options(20.0))
    try:
        yield client
    finally:
        client.close()
        client.connection_pool.disconnect()


@pytest.fixture(scope="module", params=["bundled", "installed"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running(server(request.param), tmp_path_factory.mktemp("redis")) as where:
        yield where[1]


@pytest.fixture
def client(port: int) -> Iterator[redis.Redis]:
    with client_of(port) as made:
        made.flushall()
        yield made


@pytest.fixture
def watchlist(client: redis.Redis) -> Watchlist:
    return Watchlist(client, "checkpoint", ManualClock())


def plates(watchlist: Watchlist) -> dict[str, str]:
    return {e.plate: e.reason for e in watchlist.entries()}


def clean(client: redis.Redis) -> bool:
    """Nothing of a large change is left but its history."""
    rows = [*client.hvals(PLATES), *client.hvals("{checkpoint}:watchlist:ids")]
    marks = [row for row in rows if MARK in row]
    states = client.hmget(PLATES, "@pending", "@spoilt")
    return not marks and states == [None, None] and not client.exists(LOCK)


def expire_lock(client: redis.Redis) -> None:
    """As if the time of whoever holds it were over."""
    client.pexpire(LOCK, 1)
    wait_until(lambda: not client.exists(LOCK))


def killed(port: int, where: str, lease_ms: int = 60_000) -> None:
    """A large change of 600 plates, by a process that is killed on the way."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHANGER, str(port), where, str(lease_ms)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "here"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def add_in_between(first: list[WatchlistEntry], act: Callable[[], Any]) -> Iterator[WatchlistEntry]:
    """The first entries, then ``act`` when they have been sent, then more than fit in memory."""
    yield from first
    for number in range(1500):  # until the first are surely staged
        yield entry(f"辽C{number:05}")
    act()
    yield entry("辽D00000")


def test_a_large_change_killed_on_its_way_has_changed_nothing(
    port: int, client: redis.Redis, watchlist: Watchlist
) -> None:
    watchlist.add([entry(MANY[0], reason="old"), entry(PLATE, reason="old")])
    killed(port, "staged")
    before = {MANY[0]: "old", PLATE: "old"}
    assert not clean(client)
    assert plates(watchlist) == before
    assert watchlist.lookup(MANY[:2]).entries.keys() == {MANY[0]}
    state = watchlist.state()
    assert (state.version, state.entries) == (1, 2)
    watchlist.add([entry(MANY[1], reason="small")])  # small changes need not wait
    assert plates(watchlist) == {**before, MANY[1]: "small"}
    expire_lock(client)
    assert watchlist.recover()
    assert clean(client)
    assert not watchlist.recover()
    assert client.keys("*undo*") == []
    assert plates(watchlist) == {**before, MANY[1]: "small"}
    assert watchlist.state().entries == 3


def test_the_next_large_change_takes_away_what_a_killed_one_left(
    port: int, client: redis.Redis, watchlist: Watchlist
) -> None:
    killed(port, "staged")
    with pytest.raises(WatchlistError, match=r"large change of the list by Wang \(import"):
        watchlist.add([entry(plate) for plate in MANY])
    assert 0 < client.pttl(LOCK) <= 60_000
    expire_lock(client)
    assert watchlist.add([entry(plate, reason="mine") for plate in MANY]).version == 1
    assert set(plates(watchlist).values()) == {"mine"}
    assert clean(client)
    assert len(client.keys("*undo*")) == 1


def test_a_change_killed_after_its_commit_holds(
    port: int, client: redis.Redis, watchlist: Watchlist
) -> None:
    watchlist.add([entry(MANY[0], reason="old"), entry(PLATE, reason="old")])
    killed(port, "committed")
    assert not clean(client)
    expected = {**dict.fromkeys(MANY, "new"), PLATE: "old"}
    assert watchlist.state().version == 2
    assert watchlist.state().entries == 602  # MANY[0] has two
    found = watchlist.lookup([MANY[0], MANY[5]]).entries
    assert [e.reason for e in found[MANY[0]]] == ["old", "new"]
    listed = found[MANY[5]][0]
    assert watchlist.get(listed.id) == listed
    watchlist.cancel(listed.id, reason="found", by="Li")
    assert watchlist.get(listed.id) is None
    expire_lock(client)
    assert watchlist.recover()
    assert clean(client)
    assert plates(watchlist).keys() == expected.keys() - {MANY[5]}
    watchlist.rollback(1, Note("Li"))
    assert plates(watchlist) == {MANY[0]: "old", PLATE: "old"}


def test_a_change_that_fails_on_its_way_leaves_nothing(
    client: redis.Redis, watchlist: Watchlist
) -> None:
    def entries() -> Iterator[WatchlistEntry]:
        for plate in MANY:
            yield entry(plate)
        raise RuntimeError("the file ends here")

    with pytest.raises(RuntimeError, match="ends here"):
        watchlist.add(entries())
    assert clean(client)
    assert client.keys("*undo*") == []
    assert watchlist.state().version == 0
    assert watchlist.add([entry(plate) for plate in MANY]).version == 1


def test_small_changes_elsewhere_go_on_during_a_large_one(
    port: int, client: redis.Redis, watchlist: Watchlist
) -> None:
    gone = entry("京A00001")
    watchlist.add([gone])
    with client_of(port) as own:
        editor = Watchlist(own, "checkpoint", ManualClock())

        def act() -> None:
            editor.cancel(gone.id, reason="found", by="Li")
            editor.add([entry(PLATE, reason="small")])
            assert plates(editor) == {PLATE: "small"}

        change = watchlist.add(add_in_between([entry(plate) for plate in MANY], act), planned_on=1)
    assert change.version == 4
    assert plates(watchlist).keys() == {PLATE, *plates(watchlist)}
    assert watchlist.state().entries == 600 + 1500 + 2
    assert watchlist.get(gone.id) is None
    assert clean(client)


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("what", ["add", "cancel", "move"])
def test_whoever_commits_first_wins_and_the_other_is_told(
    port: int, client: redis.Redis, watchlist: Watchlist, what: str, planned: bool
) -> None:
    known = entry(MANY[0], reason="old")
    watchlist.add([known])
    with client_of(port) as own:
        editor = Watchlist(own, "checkpoint", ManualClock())

        def act() -> None:
            if what == "add":
                editor.add([entry(MANY[0], reason="small")])
            elif what == "cancel":
                editor.cancel(known.id, reason="found", by="Li")
            else:
                editor.add([replace(known, plate=PLATE)])

        first = [replace(known, reason="large"), *(entry(plate) for plate in MANY[1:])]
        with pytest.raises(WatchlistError, match="from version 1 to 2 while"):
            watchlist.add(add_in_between(first, act), planned_on=1 if planned else None)
    assert watchlist.state().version == 2
    expected = {"add": {MANY[0]}, "cancel": set(), "move": {PLATE}}[what]
    assert plates(watchlist).keys() == expected
    assert clean(client)


def test_an_older_plan_does_not_overwrite_what_came_after_it(watchlist: Watchlist) -> None:
    known = entry(MANY[0], reason="old")
    watchlist.add([known])
    watchlist.add([replace(known, reason="newer")])
    with pytest.raises(WatchlistError, match=f"from version 1 to 2.* {MANY[0]} was changed"):
        watchlist.add([replace(known, reason="large")] + [entry(p) for p in MANY[1:]], planned_on=1)
    assert plates(watchlist) == {MANY[0]: "newer"}


def test_of_two_large_changes_at_once_one_is_told(port: int, watchlist: Watchlist) -> None:
    told: list[str] = []
    with client_of(port) as own:
        editor = Watchlist(own, "checkpoint", ManualClock())

        def act() -> None:
            with pytest.raises(WatchlistError) as caught:
                editor.add([entry(plate) for plate in MANY], Note("Li", "import"))
            told.append(str(caught.value))

        entries = [entry(plate) for plate in MANY]
        change = watchlist.add(add_in_between(entries, act), Note("Wang", "import"))
    assert (change.version, change.changed) == (1, 600 + 1501)
    assert "by Wang (import, begun 2026-01-01T00:00:00+00:00)" in told[0]


def test_whatever_is_sent_twice_is_done_once(
    watchlist: Watchlist, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """redis-py sends a script again when the connection drops before the answer."""
    once = Script.__call__

    def twice(self: Script, *args: Any, **kwargs: Any) -> Any:
        once(self, *args, **kwargs)
        return once(self, *args, **kwargs)

    monkeypatch.setattr(Script, "__call__", twice)
    listed = entry(PLATE)
    assert watchlist.add([listed]).version == 1
    assert watchlist.add([replace(listed, reason="b")]).changed == 1
    assert watchlist.cancel(listed.id, reason="found", by="Li").entry.reason == "b"
    change = watchlist.add([entry(plate) for plate in MANY])
    assert (change.version, change.changed) == (4, 600)
    assert watchlist.state().entries == 600
    assert watchlist.rollback(1, Note("Li")).version == 5
    assert plates(watchlist) == {PLATE: listed.reason}
    assert watchlist.rollback(4, Note("Li")).version == 6
    assert plates(watchlist).keys() == set(MANY)
    assert clean(client)
    assert [v.number for v in watchlist.history.versions()] == [6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize("count", [1, 600])
def test_an_answer_that_was_lost_is_found_again(
    port: int, watchlist: Watchlist, client: redis.Redis, count: int
) -> None:
    """The script is sent again, and somebody has changed the list in between."""
    watchlist.add([entry(PLATE)])
    once, done = Script.__call__, []

    def lossy(self: Script, *args: Any, **kwargs: Any) -> Any:
        answer = once(self, *args, **kwargs)
        if self.script in {scripts.CHANGE, scripts.COMMIT} and not done:
            done.append(True)
            with client_of(port) as own:
                Watchlist(own, "checkpoint", ManualClock()).add([entry("京A00001")])
            answer = once(self, *args, **kwargs)
        return answer

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Script, "__call__", lossy)
        change = watchlist.add([entry(plate) for plate in MANY[:count]], planned_on=1)
    assert (change.version, change.changed) == (2, count)
    state = watchlist.state()
    assert (state.version, state.entries) == (3, count + 2)
    assert clean(client)


def test_a_history_that_is_cut_short_does_not_hurt_a_change_on_its_way(
    port: int, client: redis.Redis
) -> None:
    watchlist = Watchlist(client, "checkpoint", ManualClock(), limits=HistoryLimits(versions=1))
    settle, base = changes.Changes._settle, [entry(plate) for plate in MANY]

    def late(self: changes.Changes, token: str, who: str) -> None:
        with client_of(port) as own:
            limits = HistoryLimits(versions=1)
            other = Watchlist(own, "checkpoint", ManualClock(), limits=limits)
            other.add([entry(PLATE)])  # the older version would go
            other.history.trim()
        settle(self, token, who)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(changes.Changes, "_settle", late)
        watchlist.add(base)
    assert clean(client)
    watchlist.add([replace(one, reason="next") for one in base])
    assert plates(watchlist) == {**dict.fromkeys(MANY, "next"), PLATE: "reported stolen"}
    assert [v.number for v in watchlist.history.versions()] == [3]


def test_no_script_holds_redis_up(watchlist: Watchlist, client: redis.Redis) -> None:
    client.config_resetstat()
    watchlist.add(entry(f"辽{letter}{n:05}") for letter in "EF" for n in range(4000))
    stats = client.info("commandstats")["cmdstat_evalsha"]
    assert stats["calls"] >= 2 * 8000 / 400
    assert stats["usec"] / stats["calls"] < 20_000  # some 3 ms on a quiet machine
    assert client.config_get("slowlog-log-slower-than")  # the server answers


def test_out_of_memory_in_the_middle_changes_nothing(
    watchlist: Watchlist, client: redis.Redis
) -> None:
    watchlist.add([entry(plate, reason="old") for plate in MANY])
    used = client.info("memory")["used_memory"]
    client.config_set("maxmemory", used + 400_000)
    try:
        with pytest.raises(StoreUnavailable, match="out of memory"):
            watchlist.add(entry(f"辽G{number:05}") for number in range(20_000))
        assert clean(client)  # although there is no memory
        assert watchlist.state().version == 1
        assert plates(watchlist).keys() == set(MANY)
    finally:
        client.config_set("maxmemory", "0")
    assert client.info("memory")["used_memory"] < used + 400_000


def test_a_list_that_is_lost_in_the_middle_is_said(
    port: int, watchlist: Watchlist, client: redis.Redis
) -> None:
    with (
        client_of(port) as own,
        pytest.raises(StoreUnavailable, match="lost the change on its way in"),
    ):
        watchlist.add(add_in_between([entry(p) for p in MANY], own.flushall))
    assert clean(client)
    assert watchlist.state().version == 0


def test_a_plate_takes_only_so_many_entries(watchlist: Watchlist) -> None:
    def many(count: int) -> list[WatchlistEntry]:
        return [entry(PLATE, case_number=f"C-{n}", reason="x" * 400) for n in range(count)]

    with pytest.raises(WatchlistError, match=f"plate {PLATE}: has too many entries"):
        watchlist.add(many(100))
    with pytest.raises(WatchlistError, match="too many entries"):
        watchlist.add(many(900))
    assert watchlist.state().version == 0
    assert watchlist.add(many(60)).changed == 60


def test_history_says_who_and_why(watchlist: Watchlist) -> None:
    listed = entry(PLATE)
    watchlist.add([listed], Note("Wang", "add", "reported", "C-1"))
    watchlist.add([entry(plate) for plate in MANY], Note("Li", "import", "nightly"))
    watchlist.cancel(listed.id, reason="found", by="Zhao", case="C-2")
    watchlist.add([replace(listed, id=entry().id)], Note("Wang", "add"))
    found = [
        (v.number, v.before, v.note.by, v.note.action, v.changed)
        for v in watchlist.history.versions()
    ]
    assert found == [
        (4, 3, "Wang", "add", 1),
        (3, 2, "Zhao", "cancel", 1),
        (2, 1, "Li", "import", 600),
        (1, 0, "Wang", "add", 1),
    ]
    third = list(watchlist.history.versions())[1]
    assert (third.note.reason, third.note.case) == ("found", "C-2")
    assert watchlist.history.cancelled_since(2) == {listed.id}
    assert watchlist.history.cancelled_since(3) == set()


def test_rollback_brings_back_what_was(watchlist: Watchlist, client: redis.Redis) -> None:
    kept, moved, gone = entry(PLATE), entry("京A00001"), entry("京A00002")
    watchlist.add([kept, moved, gone])
    at_one = take(watchlist)
    watchlist.add([replace(moved, plate="京A00009")])
    watchlist.cancel(gone.id, reason="found", by="Li")
    watchlist.add([*(entry(plate) for plate in MANY), replace(kept, reason="changed")])
    at_four = take(watchlist)
    change = watchlist.rollback(1, Note("Zhao", reason="wrong list"))
    assert change.version == 5
    assert take(watchlist).rows == at_one.rows
    assert watchlist.get(gone.id) == gone
    assert watchlist.cancellation(gone.id) is None
    assert watchlist.get(moved.id) == moved
    assert watchlist.state().entries == 3
    assert watchlist.rollback(4, Note("Zhao")).version == 6  # a rollback is a version like others
    assert take(watchlist).rows == at_four.rows
    assert watchlist.cancellation(gone.id) is not None
    assert watchlist.state().entries == 602
    assert watchlist.rollback(6, Note("Zhao")).changed == 0
    newest = next(watchlist.history.versions())
    assert (newest.number, newest.note.action, newest.note.by) == (6, "rollback", "Zhao")
    assert clean(client)


def test_a_rollback_to_nowhere_is_refused(watchlist: Watchlist) -> None:
    watchlist.add([entry(PLATE)])
    with pytest.raises(WatchlistError, match="only at version 1"):
        watchlist.rollback(2, Note("Li"))
    assert watchlist.rollback(0, Note("Li")).version == 2
    assert plates(watchlist) == {}


def test_history_is_capped_and_says_so(client: redis.Redis) -> None:
    limits = HistoryLimits(versions=3)
    watchlist = Watchlist(client, "checkpoint", ManualClock(), limits=limits)
    for number in range(6):
        watchlist.add([entry(f"京A0000{number}")])
    assert [v.number for v in watchlist.history.versions()] == [6, 5, 4]
    with pytest.raises(WatchlistError, match=r"version 2 is no longer kept: .* to version 3"):
        watchlist.rollback(2, Note("Li"))
    with pytest.raises(WatchlistError, match="from version 1 to 6"):
        watchlist.add([entry(PLATE)], planned_on=1)
    assert watchlist.rollback(3, Note("Li")).version == 7
    assert len(plates(watchlist)) == 3


def test_before_images_are_capped_by_their_bytes(client: redis.Redis) -> None:
    limits = HistoryLimits(bytes=100_000)
    watchlist = Watchlist(client, "checkpoint", ManualClock(), limits=limits)
    base = [entry(plate) for plate in MANY]
    for number in range(4):
        watchlist.add([replace(e, reason=f"version {number}") for e in base])
        watchlist.add([entry(f"京A0000{number}")])
    assert len(client.keys("*undo*")) == 0  # each is more than may be kept
    kept = [v.number for v in watchlist.history.versions()]
    assert kept == [8]
    assert 0 < int(client.hget(PLATES, "@history") or 0) < 100
    watchlist.add(base)  # the newest is kept, however large
    assert len(client.keys("*undo*")) == 1
    assert watchlist.rollback(8, Note("Li")).changed == 600


def test_a_version_that_was_skipped_never_was(client: redis.Redis) -> None:
    watchlist = Watchlist(client, "checkpoint", ManualClock())
    watchlist.add([entry(PLATE)])
    watchlist.add([entry("京A00001")])
    client.flushall()
    watchlist.lookup([])
    assert watchlist.add([entry(PLATE)]).version == 3
    with pytest.raises(WatchlistError, match="never was at version 2"):
        watchlist.rollback(2, Note("Li"))
    assert watchlist.rollback(0, Note("Li")).version == 4


def test_a_snapshot_is_of_one_version(port: int, watchlist: Watchlist) -> None:
    """All entries are replaced again and again while the list is read."""
    base = [entry(plate) for plate in MANY]
    watchlist.add(base)
    stop = threading.Event()

    def edit() -> None:
        with client_of(port) as own:
            editor = Watchlist(own, "checkpoint", ManualClock())
            number = 0
            while not stop.is_set():
                number += 1
                size = 600 if number % 3 == 0 else 300
                reason = f"round {number}"
                for part in range(0, 600, size):
                    editor.add([replace(e, reason=reason) for e in base[part : part + size]])

    thread = threading.Thread(target=edit)
    thread.start()
    try:
        for _ in range(6):
            snapshot = take(watchlist)
            reasons = [e.reason for e in snapshot.entries()]
            assert len(reasons) == 600
            halves = {frozenset(reasons[:0])} | {
                frozenset(e.reason for e in snapshot.entries() if (e.plate in half))
                for half in (set(MANY[:300]), set(MANY[300:]))
            }
            assert all(len(half) <= 1 for half in halves)
    finally:
        stop.set()
        thread.join()


def test_a_change_of_no_difference_makes_no_version(
    watchlist: Watchlist, client: redis.Redis
) -> None:
    base = [entry(plate) for plate in MANY]
    watchlist.add(base)
    change = watchlist.add(base)
    assert (change.version, change.changed) == (1, 0)
    assert len(client.keys("*undo*")) == 1
    assert clean(client)


def test_who_waits_for_a_slow_redis_is_not_told_lies(
    watchlist: Watchlist, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_SLOW_PATIENCE_S", 0.3)

    def hang(self: Script, *args: Any, **kwargs: Any) -> Any:
        raise redis.TimeoutError("Timeout reading from socket")

    monkeypatch.setattr(Script, "__call__", hang)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="does not answer in time"):
        watchlist.add([entry(PLATE)])
    assert time.monotonic() - began > 0.2
