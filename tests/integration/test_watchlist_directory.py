"""The directory of the list against the list itself: whatever was changed, however it is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.clock import ManualClock
from pipeline.errors import StoreUnavailable
from pipeline.types import WatchlistEntry
from tests.integration.alerts_support import RedisServer, redis_server
from tests.support import watchlists
from tests.support.watchlists import NOW
from watchlist.directory import Directory, ListedState, StillReading
from watchlist.entry import EntryStatus, status_of
from watchlist.records import Cancellation, Note
from watchlist.store import Watchlist

pytestmark = pytest.mark.redis

PLATES = ("辽A12345", "辽A12346", "京A12345", "辽B?23??", "辽AD12345")
QUERIES = ("", "12345", "辽a·123", "c-1", "辽A1234?", "京*", "wang", "%", "stolen")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as made:
        yield made


def entry(plate: str, case: str, *, days: float = 30, later: bool = False) -> WatchlistEntry:
    begin = NOW + timedelta(days=5) if later else NOW
    return watchlists.entry(
        plate, case_number=case, valid_from=begin, expires_at=NOW + timedelta(days=6 + days)
    )


def state_of(one: WatchlistEntry | Cancellation, clock: ManualClock) -> ListedState:
    if isinstance(one, Cancellation):
        return ListedState.CANCELLED
    return {
        EntryStatus.ACTIVE: ListedState.ACTIVE,
        EntryStatus.PENDING: ListedState.PENDING,
        EntryStatus.EXPIRED: ListedState.EXPIRED,
    }[status_of(one, clock.now())]


def of(one: WatchlistEntry | Cancellation) -> WatchlistEntry:
    return one.entry if isinstance(one, Cancellation) else one


def by_hand(watchlist: Watchlist, query: str) -> list[WatchlistEntry | Cancellation]:
    """What a person would pick out of the whole list."""
    everything: list[WatchlistEntry | Cancellation] = [
        *watchlist.entries(),
        *watchlist.cancellations(),
    ]

    def fits(one: WatchlistEntry) -> bool:
        if "?" in query or "*" in query:
            return fnmatchcase(one.plate, query)
        said = [one.plate, one.id, one.category, one.case_number, one.authoriser]
        plain = query.replace("·", "").upper()
        return query.lower() in " ".join(said).lower() or plain in one.plate

    return sorted((o for o in everything if fits(of(o))), key=lambda o: of(o).id, reverse=True)


def pages(directory: Directory, query: str, state: ListedState | None, limit: int) -> list:
    found, after = [], None
    while True:
        page = directory.page(query, state, after=after, limit=limit, wait_s=20)
        found += page.entries
        after = page.after
        if after is None:
            return found


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("add"),
            st.sampled_from(PLATES),
            st.sampled_from(("C-1", "C-2")),
            st.booleans(),
        ),
        st.tuples(st.just("cancel"), st.integers(0, 5)),
        st.tuples(st.just("move"), st.integers(0, 5), st.sampled_from(PLATES)),
        st.tuples(st.just("back"), st.integers(1, 2)),
        st.tuples(st.just("wait"), st.integers(1, 40)),
        st.just(("look",)),
    ),
    max_size=10,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps, st.sampled_from(QUERIES), st.none() | st.sampled_from(ListedState), st.integers(1, 4))
def test_a_directory_says_what_the_list_says(
    server: RedisServer,
    tmp_path: Path,
    done: list,
    query: str,
    state: ListedState | None,
    limit: int,
) -> None:
    client = server.client()
    client.flushall()
    clock = ManualClock()
    watchlist = Watchlist(client, "checkpoint", clock)
    directory = Directory(watchlist, tmp_path, clock)
    for step in done:
        known = sorted(watchlist.entries(), key=lambda one: one.id)
        if step[0] == "add":
            watchlist.add([entry(step[1], step[2], later=step[3])])
        elif step[0] == "cancel" and known:
            watchlist.cancel(known[step[1] % len(known)].id, reason="found", by="Li")
        elif step[0] == "move" and known:
            before = known[step[1] % len(known)]
            moved = watchlists.entry(step[2], case_number="C-2")
            fields = {name: getattr(moved, name) for name in WatchlistEntry.__slots__}
            watchlist.add([WatchlistEntry(**{**fields, "id": before.id})])
        elif step[0] == "back" and (version := watchlist.state().version) >= step[1]:
            watchlist.rollback(version - step[1], Note("Li", reason="mistake"))
        elif step[0] == "wait":
            clock.advance(step[1] * 86_400.0)
        else:
            directory.page(wait_s=20)
    expected = by_hand(watchlist, query)
    fitting = [one for one in expected if state in (None, state_of(one, clock))]
    assert pages(directory, query, state, limit) == fitting
    page = directory.page(query, wait_s=20)
    assert page.version == watchlist.state().version
    for one in ListedState:
        assert page.counts[one] == sum(state_of(e, clock) is one for e in expected)
    directory.close()
    assert list(tmp_path.glob("directory-*")) == []


def test_a_long_list_is_read_in_the_background(server: RedisServer, tmp_path: Path) -> None:
    client = server.client()
    client.flushall()
    clock = ManualClock()
    watchlist = Watchlist(client, "checkpoint", clock)
    watchlist.add(entry(f"辽A{number:05d}", "C-1") for number in range(9_000))
    directory = Directory(watchlist, tmp_path, clock)
    with pytest.raises(StillReading) as waiting:
        directory.page(wait_s=0.0)
    assert waiting.value.total == 9_000
    page = directory.page("辽A00017", wait_s=60)
    assert [of(one).plate for one in page.entries] == ["辽A00017"]
    threads = [
        threading.Thread(target=directory.page, args=("辽A0001?",), kwargs={"wait_s": 60})
        for _ in range(4)
    ]
    watchlist.add(entry(f"辽B{number:05d}", "C-2") for number in range(600))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert directory.page("C-2", wait_s=60).counts[ListedState.ACTIVE] == 600
    directory.close()


def test_what_was_deleted_without_a_version_is_not_shown(
    server: RedisServer, tmp_path: Path
) -> None:
    client = server.client()
    client.flushall()
    watchlist = Watchlist(client, "checkpoint", ManualClock())
    gone, stays = entry("辽A12345", "C-1"), entry("辽A12346", "C-1")
    watchlist.add([gone, stays])
    directory = Directory(watchlist, tmp_path, ManualClock())
    assert len(directory.page(wait_s=20).entries) == 2
    client.hdel("{checkpoint}:watchlist:plates", "辽A12345")
    assert directory.page(wait_s=20).entries == (stays,)
    assert directory.page(wait_s=20).counts[ListedState.ACTIVE] == 1
    directory.close()


def test_without_redis_or_a_disk_it_says_so(server: RedisServer, tmp_path: Path) -> None:
    client = server.client()
    client.flushall()
    watchlist = Watchlist(client, "checkpoint", ManualClock())
    watchlist.add([entry("辽A12345", "C-1")])
    (tmp_path / "file").write_text("")
    directory = Directory(watchlist, tmp_path / "file", ManualClock())
    with pytest.raises(StoreUnavailable, match="cannot be sorted there"):
        directory.page(wait_s=20)
