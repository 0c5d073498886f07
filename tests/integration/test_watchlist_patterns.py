"""Patterns on the list, against real servers: none is missed, and none outlives its end."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from structlog.testing import capture_logs
from typer.testing import CliRunner

from pipeline.clock import ManualClock
from pipeline.commands.watchlist import app
from pipeline.config import WatchlistSettings
from pipeline.errors import StoreUnavailable, WatchlistError
from pipeline.types import WatchlistEntry
from tests.support.redis_servers import running, server
from tests.support.watchlists import entry
from watchlist.connection import connection_options
from watchlist.embedded import open_redis
from watchlist.records import LookupResult, Note
from watchlist.store import Watchlist

pytestmark = pytest.mark.redis
PLATE, PATTERN = "辽A12345", "辽A?23*"


@pytest.fixture(scope="module", params=["bundled", "installed"])
def at(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int]]:
    with running(server(request.param), tmp_path_factory.mktemp("redis")) as where:
        yield where


@pytest.fixture
def client(at: tuple[str, int]) -> Iterator[redis.Redis]:
    with redis.Redis(host=at[0], port=at[1], **connection_options(5.0)) as opened:
        opened.flushall()
        yield opened


@pytest.fixture
def watchlist(client: redis.Redis) -> Watchlist:
    return Watchlist(client, "checkpoint", ManualClock())


def test_a_plate_is_told_the_patterns_it_fits(watchlist: Watchlist) -> None:
    listed, other = entry(PLATE), entry(PATTERN)
    watchlist.add([listed, other, entry("辽B?23*")])
    found = watchlist.lookup([PLATE, "辽A99999"])
    assert found.entries == {PLATE: (listed,)}
    assert found.patterns == {PLATE: (other,)}
    assert watchlist.get(other.id) == other
    assert watchlist.stored([PATTERN]) == {PATTERN: (other,)}


def test_only_what_makes_sense_gets_onto_the_list(watchlist: Watchlist) -> None:
    for wrong in ("辽A**", "辽*", "*", "*1*2*3*"):
        with pytest.raises(WatchlistError, match="malformed"):
            watchlist.add([replace(entry(PLATE), plate=wrong)])


def test_a_pattern_is_kept_as_long_as_an_entry_has_it(
    watchlist: Watchlist, client: redis.Redis
) -> None:
    one, two = entry(PATTERN), entry(PATTERN, case_number="C-2")
    watchlist.add([one, two])
    assert watchlist.lookup([PLATE]).patterns == {PLATE: (one, two)}
    watchlist.cancel(one.id, reason="found", by="Li")
    assert watchlist.lookup([PLATE]).patterns == {PLATE: (two,)}
    watchlist.add([replace(two, plate="京A?23*")])
    assert watchlist.lookup([PLATE]).patterns == {}
    assert client.smembers("{checkpoint}:watchlist:patterns") == {"京A?23*".encode()}
    watchlist.add([replace(two, plate="京A12345")])  # no pattern any more
    assert watchlist.lookup(["京A12345"]).patterns == {}
    assert not client.exists("{checkpoint}:watchlist:patterns")


def test_another_process_sees_a_change_at_once(watchlist: Watchlist, client: redis.Redis) -> None:
    reader = Watchlist(client, "checkpoint", ManualClock())
    assert reader.lookup([PLATE]).patterns == {}
    listed = entry(PATTERN)
    watchlist.add([listed])
    assert reader.lookup([PLATE]).patterns == {PLATE: (listed,)}
    changed = replace(listed, disposition="follow")
    watchlist.add([changed])
    assert reader.lookup([PLATE]).patterns == {PLATE: (changed,)}
    watchlist.cancel(listed.id, reason="found", by="Li")
    assert reader.lookup([PLATE]).patterns == {}


def test_a_large_change_and_its_rollback(watchlist: Watchlist) -> None:
    old = entry(PATTERN)
    watchlist.add([old])
    many = [entry(f"辽A{number:05}") for number in range(1500)]
    new = [entry("辽A?2?45"), replace(old, reason="more")]
    assert watchlist.add([*new, *many]).version == 2
    assert set(watchlist.lookup([PLATE]).patterns[PLATE]) == set(new)
    watchlist.rollback(1, Note("Li"))
    assert watchlist.lookup([PLATE]).patterns == {PLATE: (old,)}


def test_lost_data_take_the_patterns_along(watchlist: Watchlist, client: redis.Redis) -> None:
    watchlist.add([entry(PATTERN)])
    assert watchlist.lookup([PLATE]).patterns
    client.flushall()
    assert watchlist.lookup([PLATE]).patterns == {}
    assert watchlist.loss is not None
    listed = entry("辽A*")  # another list, with another pattern
    other = Watchlist(client, "checkpoint", ManualClock())
    other.add([listed])
    assert watchlist.lookup([PLATE]).patterns == {PLATE: (listed,)}


def test_a_lookup_is_never_half_of_two_versions(at: tuple[str, int], client: redis.Redis) -> None:
    """Plate and pattern always change together; whoever looks sees them of one version."""
    base = [entry(PLATE), entry(PATTERN)]
    large = [entry(f"京A{number:05}") for number in range(600)]
    Watchlist(client, "checkpoint", ManualClock()).add(base)
    stop = threading.Event()
    wrong: list[LookupResult] = []
    seen: set[str] = set()

    def edit() -> None:
        with redis.Redis(host=at[0], port=at[1], **connection_options(5.0)) as own:
            editor = Watchlist(own, "checkpoint", ManualClock())
            for number in range(40):
                changed = [replace(one, reason=f"round {number}") for one in base]
                more = [replace(one, reason=f"{number}") for one in large] * (number % 10 == 9)
                editor.add([*changed, *more])

    def read() -> None:
        with redis.Redis(host=at[0], port=at[1], **connection_options(5.0)) as own:
            reader = Watchlist(own, "checkpoint", ManualClock())
            while not stop.is_set():
                try:
                    found = reader.lookup([PLATE])
                except StoreUnavailable as error:
                    assert "change faster" in str(error)  # noqa: PT017
                    continue
                said = {e.reason for e in (*found.entries[PLATE], *found.patterns[PLATE])}
                if len(said) != 1:
                    wrong.append(found)
                seen.update(said)

    readers = [threading.Thread(target=read) for _ in range(2)]
    editor = threading.Thread(target=edit)
    for thread in (*readers, editor):
        thread.start()
    editor.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert not wrong
    assert len(seen) > 5


def test_a_damaged_pattern_hides_no_other(watchlist: Watchlist, client: redis.Redis) -> None:
    good: WatchlistEntry = entry("辽A*")
    watchlist.add([entry(PATTERN), good])
    client.hset("{checkpoint}:watchlist:plates", PATTERN, b"x {broken")
    assert watchlist.lookup([PLATE]).patterns == {PLATE: (good,)}


def test_a_pattern_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Added, checked, written as a list and read back."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> str:
        done = CliRunner().invoke(app, list(args))
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    with capture_logs(), open_redis(WatchlistSettings(), Path("var")):
        said = ["--category", "stolen", "--disposition", "stop", "--reason", "reported"]
        said += ["--case", "C-1", "--authoriser", "Wang", "--expires", "+30d"]
        assert "辽A?23*" in run("add", "辽ａ·？23＊", *said)
        (found,) = map(json.loads, run("check", PLATE, "--reason", "stop", "--json").splitlines())
        assert found["listed"] is True
        assert [one["plate"] for one in found["entries"]] == [PATTERN]
        assert "is not on the list" in run("check", "辽A99999", "--reason", "stop")
        run("export", "list.csv")
        assert PATTERN in Path("list.csv").read_text(encoding="utf-8-sig")
        report = run("import", "list.csv", "--json").splitlines()
        assert json.loads(report[-1])["unchanged"] == 1
