"""Whatever was done, in whatever order: going back gives the list of then, to the byte."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.clock import ManualClock
from pipeline.errors import WatchlistError
from tests.support.redis_servers import bundled, running
from tests.support.watchlists import entry
from watchlist import changes
from watchlist.records import Note
from watchlist.snapshot import take
from watchlist.store import Watchlist

pytestmark = pytest.mark.redis

PLATES = [f"辽A0000{number}" for number in range(4)] + ["辽A?00??"]
ENTRIES = [entry(plate, case_number=f"C-{number}") for plate in PLATES for number in range(3)]

numbers = st.integers(0, len(ENTRIES) - 1)
steps = st.one_of(
    st.tuples(st.just("put"), st.lists(st.tuples(numbers, st.integers(0, 9)), min_size=1)),
    st.tuples(st.just("cancel"), numbers),
    st.tuples(st.just("move"), numbers, st.sampled_from(PLATES)),
    st.tuples(st.just("rollback"), st.integers(0, 12)),
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with running(bundled(), tmp_path_factory.mktemp("redis")) as (host, port):
        made = redis.Redis(host=host, port=port)
        yield made
        made.close()
        made.connection_pool.disconnect()


@pytest.mark.parametrize("large", [False, True])
@example(done=[("put", [(0, 0)]), ("cancel", 0), ("put", [(0, 0), (0, 0), (1, 0)])])
@given(done=st.lists(steps, min_size=1, max_size=12))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_going_back_gives_the_list_of_then(
    client: redis.Redis, large: bool, done: list[tuple[object, ...]]
) -> None:
    client.flushall()
    watchlist = Watchlist(client, "checkpoint", ManualClock())
    with pytest.MonkeyPatch.context() as patched:
        if large:  # every change takes the way of a large one, in pages of two
            patched.setattr(changes, "SMALL", 0)
            patched.setattr(changes, "_PAGE", 2)
        then = {0: _all(client, watchlist)}
        for step in done:
            with contextlib.suppress(WatchlistError):  # cancelled before, or no such version
                _do(watchlist, step)
            version = watchlist.state().version
            now = _all(client, watchlist)
            assert then.setdefault(version, now) == now  # nothing changes without a version
        for version in then:
            watchlist.rollback(version, Note("Li"))
            assert _all(client, watchlist) == then[version]


def _do(watchlist: Watchlist, step: tuple[object, ...]) -> None:
    match step:
        case ("put", list() as puts):
            watchlist.add(replace(ENTRIES[n], reason=f"reason {reason}") for n, reason in puts)
        case ("cancel", int() as number):
            watchlist.cancel(ENTRIES[number].id, reason="found", by="Li")
        case ("move", int() as number, str() as plate):
            known = watchlist.get(ENTRIES[number].id)
            if known is not None:
                watchlist.add([replace(known, plate=plate)])
        case ("rollback", int() as version):
            watchlist.rollback(version, Note("Li"))


def _all(client: redis.Redis, watchlist: Watchlist) -> tuple[object, ...]:
    """Everything that the list says, except of itself; and that it fits together."""
    key = "{checkpoint}:watchlist:"
    ids, cancelled = client.hgetall(f"{key}ids"), client.hgetall(f"{key}cancelled")
    patterns = client.smembers(f"{key}patterns")
    rows = take(watchlist).rows
    entries = list(watchlist.entries())
    assert {e.id.encode(): e.plate.encode() for e in entries} == ids
    assert not ids.keys() & cancelled.keys()
    assert watchlist.state().entries == len(ids)
    assert {plate.encode() for plate in rows if "?" in plate} == patterns
    assert not client.hmget(f"{key}plates", "@pending")[0]
    return rows, ids, cancelled
