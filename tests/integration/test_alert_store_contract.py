"""What ``pipeline/alerts/store.py`` promises, of every store that there is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from pipeline.alerts import postgres_checkpoints, redis_checkpoints
from pipeline.alerts.postgres_checkpoints import PostgresCheckpoints
from pipeline.alerts.postgres_store import PostgresAlertStore
from pipeline.alerts.records import (
    Act,
    Durability,
    EventKind,
    NewHit,
    ReviewRefusal,
    ReviewRefusedError,
    StoredAlert,
    StoredChange,
    StoredCheckpoint,
    StoredReview,
)
from pipeline.alerts.redis_checkpoints import RedisCheckpoints
from pipeline.alerts.redis_store import RedisAlertStore
from pipeline.alerts.store import AlertStore, CheckpointStore
from pipeline.errors import StoreUnavailable
from pipeline.types import NamedBy
from tests.integration.alerts_support import RedisServer, redis_server
from tests.support.postgres_server import PostgresServer, postgres_server
from tests.support.redis_servers import knowing_waitaof
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.redis


class Kept(Protocol):
    """A store of one kind, whose server can be killed and started again on its files."""

    alerts: AlertStore
    checkpoints: CheckpointStore

    def clear(self) -> None:
        """Empty the store."""

    def durable(self) -> bool:
        """Whether it is durable in the way that was asked for."""

    def kill(self) -> None:
        """kill -9."""

    def start(self) -> None:
        """Start the server again."""


class KeptInRedis:
    def __init__(self, server: RedisServer, durability: Durability) -> None:
        self._server = server
        self._durability = durability
        self._store = RedisAlertStore(server.client(), "test")
        self.alerts: AlertStore = self._store
        self.checkpoints: CheckpointStore = RedisCheckpoints(self._store)
        self.kill, self.start = server.kill, server.start

    def clear(self) -> None:
        self._server.client().flushall()

    def durable(self) -> bool:
        return self._store.durability is self._durability


class KeptInPostgres:
    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.store = PostgresAlertStore(server.url, "te.st")
        self.alerts: AlertStore = self.store
        self.checkpoints: CheckpointStore = PostgresCheckpoints(self.store)
        self.kill, self.start = server.kill, server.start

    def clear(self) -> None:
        self._server.execute('DROP SCHEMA IF EXISTS "te.st" CASCADE')

    def durable(self) -> bool:
        return self.store.durability is Durability.ALWAYS


def _always(stack: ExitStack, folder: Path) -> Kept:
    return KeptInRedis(stack.enter_context(redis_server(folder)), Durability.ALWAYS)


def _asked(stack: ExitStack, folder: Path) -> Kept:
    """Redis that writes to the disk once a second, and is asked whether it has."""
    server = redis_server(folder, "--appendfsync", "everysec", path=knowing_waitaof())
    return KeptInRedis(stack.enter_context(server), Durability.WAITAOF)


def _postgres(stack: ExitStack, folder: Path) -> Kept:
    kept = KeptInPostgres(stack.enter_context(postgres_server()))
    stack.callback(kept.store.close)
    return kept


STORES: dict[str, Callable[[ExitStack, Path], Kept]] = {
    "redis": _always,
    "redis-asked": _asked,
    "postgres": _postgres,
}


@pytest.fixture(scope="module", params=STORES)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kept]:
    with ExitStack() as stack:
        yield STORES[request.param](stack, tmp_path_factory.mktemp("store"))


@pytest.fixture
def kept(server: Kept) -> Kept:
    server.clear()
    server.alerts.connect()
    return server


@pytest.fixture
def store(kept: Kept) -> AlertStore:
    return kept.alerts


def hit(number: int, revision: int = 0, jpeg: bytes = b"") -> NewHit:
    return NewHit(f"hit-{number}", revision, f"{number}.{revision}".encode(), jpeg, 1000 + number)


def events(store: AlertStore, after: int = 0, limit: int = 1000) -> list[tuple[int, str, str]]:
    return [
        (one.sequence, one.name if isinstance(one, StoredChange) else one.id, _kind(one))
        for one in store.page(after, limit).events
    ]


def _kind(one: StoredAlert | StoredChange) -> str:
    return EventKind.CHECKPOINT.value if isinstance(one, StoredChange) else one.kind.value


def confirm(store: AlertStore, alert_id: str, reviewer: str = "Wang", **how: int | None) -> None:
    store.review(alert_id, "confirmed", reviewer, "", 5000, **how)  # type: ignore[arg-type]


def test_it_is_durable_in_the_way_it_says(kept: Kept) -> None:
    assert kept.durable()


def test_hits_get_the_next_numbers_in_order_and_are_known_again(store: AlertStore) -> None:
    first = store.publish([hit(1), hit(2), hit(1, 1)])
    assert [(one.sequence, one.duplicate) for one in first] == [(1, False), (2, False), (3, False)]
    again = store.publish([hit(2), hit(3), hit(1)])
    assert [(one.sequence, one.duplicate) for one in again] == [(2, True), (4, False), (1, True)]
    assert store.feed().last == 4
    assert [one[1] for one in events(store)] == ["hit-1", "hit-2", "hit-1", "hit-3"]


def test_the_same_hit_twice_in_one_step_is_one(store: AlertStore) -> None:
    published = store.publish([hit(1), hit(1), hit(2)])
    assert [(one.sequence, one.duplicate) for one in published] == [
        (1, False),
        (1, True),
        (2, False),
    ]


def test_nothing_to_publish_is_nothing(store: AlertStore) -> None:
    assert store.publish([]) == []
    assert store.feed().last == 0


def test_the_latest_revision_is_the_alert_whatever_comes_late(store: AlertStore) -> None:
    store.publish([hit(1, 0, b"first"), hit(1, 2), hit(1, 1, b"late")])
    alert = store.alert("hit-1")
    assert alert is not None
    assert (alert.hit, alert.sequence) == (b"1.2", 2)
    assert store.evidence("hit-1") == b"late"
    assert store.evidence("hit-1", 0) == b"first"
    assert store.evidence("hit-1", 2) is None
    assert [(one.revision, one.sequence, one.hit) for one in store.revisions("hit-1")] == [
        (0, 1, b"1.0"),
        (2, 2, b"1.2"),
        (1, 3, b"1.1"),
    ]
    assert store.alert("hit-9") is None
    assert store.evidence("hit-9") is None


def test_pages_hold_everything_once_and_say_whether_there_is_more(store: AlertStore) -> None:
    store.publish([hit(number) for number in range(25)])
    seen, after, pages = [], 0, 0
    while True:
        page = store.page(after, 10)
        seen += [one.sequence for one in page.events]
        after, pages = page.last, pages + 1
        if not page.more:
            break
    assert seen == list(range(1, 26))
    assert (after, pages) == (25, 3)
    empty = store.page(25, 10)
    assert (empty.events, empty.last, empty.more) == ([], 25, False)


def test_lists_show_each_alert_once_the_latest_first(store: AlertStore) -> None:
    store.publish([hit(number) for number in range(5)])
    store.publish([hit(1, 1)])
    assert [one.id for one in store.latest(None, 3)] == ["hit-1", "hit-4", "hit-3"]
    below = store.latest(4, 10)
    assert [one.id for one in below] == ["hit-2", "hit-0"]


def test_waiting_returns_at_once_at_an_event_or_in_time(store: AlertStore) -> None:
    assert not store.wait(0, 0.05)
    store.publish([hit(1)])
    began = time.monotonic()
    assert store.wait(0, PATIENCE_S) == 1
    threading.Timer(0.1, lambda: store.publish([hit(2)])).start()
    found = None
    while not found:
        found = store.wait(1, PATIENCE_S)
    assert found == 2
    assert time.monotonic() - began < PATIENCE_S


def test_the_first_decision_stands_and_shows_on_every_event(store: AlertStore) -> None:
    store.publish([hit(1)])
    confirm(store, "hit-1")
    confirm(store, "hit-1")
    with pytest.raises(ReviewRefusedError) as refused:
        store.review("hit-1", "rejected", "Li", "", 6000)
    assert refused.value.why is ReviewRefusal.DECIDED
    assert refused.value.standing is not None
    published = store.publish([hit(1, 1)])
    assert published[0].review is not None
    assert published[0].review.reviewer == "Wang"
    page = store.page(0, 10).events
    assert [(one.sequence, _kind(one)) for one in page] == [(1, "hit"), (2, "review"), (3, "hit")]
    assert all(isinstance(one, StoredAlert) and one.review is not None for one in page)
    assert [(act.act, act.person) for act in store.acts("hit-1")] == [(Act.REVIEW, "Wang")]


def test_decisions_that_cannot_be_taken(store: AlertStore) -> None:
    store.publish([hit(1), hit(1, 1)])
    with pytest.raises(ReviewRefusedError) as refused:
        confirm(store, "hit-9")
    assert refused.value.why is ReviewRefusal.UNKNOWN
    with pytest.raises(ReviewRefusedError) as refused:
        confirm(store, "hit-1", seen_revision=0)
    assert refused.value.why is ReviewRefusal.AMENDED
    assert refused.value.revision == 1
    confirm(store, "hit-1", seen_revision=1)


def test_a_decision_is_taken_back_by_who_took_it_and_in_time(store: AlertStore) -> None:
    store.publish([hit(1), hit(1, 1)])
    store.review("hit-1", "confirmed", "Wang", "seen", 5000, outcome="stopped")
    for who, when, how in (
        ("Li", 5001, NamedBy.REQUEST),
        ("Wang", 5011, NamedBy.REQUEST),
        ("Wang", 5001, NamedBy.TOKEN),
    ):
        with pytest.raises(ReviewRefusedError) as refused:
            store.withdraw("hit-1", who, "", when, 10, how)
        assert refused.value.why is ReviewRefusal.DECIDED
        assert refused.value.standing == StoredReview("confirmed", "Wang", None, 5000)
    store.withdraw("hit-1", "Wang", "slip", 5010, 10)
    store.withdraw("hit-1", "Wang", "slip", 9999, 10)  # again: nothing to take back
    alert = store.alert("hit-1")
    assert alert is not None
    assert alert.review is None
    assert list(store.reviewed_before(10**9)) == []
    assert store.publish([hit(1, 2)])[0].review is None
    store.review("hit-1", "rejected", "Li", "", 6000)
    alert = store.alert("hit-1")
    assert alert is not None
    assert alert.review is not None
    assert (alert.review.reviewer, alert.review.note, alert.review.outcome) == ("Li", None, None)
    assert [(act.act, act.person, act.state, act.note, act.sequence, act.at_us, act.revision)
            for act in store.acts("hit-1")] == [
        (Act.REVIEW, "Wang", "confirmed", "seen", 3, 5000, 1),
        (Act.WITHDRAWAL, "Wang", "unverified", "slip", 4, 5010, 1),
        (Act.REVIEW, "Li", "rejected", None, 6, 6000, 2),
    ]  # fmt: skip
    assert [one[2] for one in events(store)] == ["hit", "hit", "review", "review", "hit", "review"]
    with pytest.raises(ReviewRefusedError) as refused:
        store.withdraw("hit-9", "Wang", "", 5001, 10)
    assert refused.value.why is ReviewRefusal.UNKNOWN
    assert store.forget("hit-1", 6000)
    assert events(store) == []


def test_of_a_withdrawal_and_another_decision_at_once_the_feed_tells_one_story(
    store: AlertStore,
) -> None:
    for number in range(20):
        store.publish([hit(number)])
        confirm(store, f"hit-{number}")
        together = threading.Barrier(2)
        answers: list[bool] = []

        def reject(number: int = number, together: threading.Barrier = together,
                   answers: list[bool] = answers) -> None:  # fmt: skip
            together.wait()
            try:
                store.review(f"hit-{number}", "rejected", "Li", "", 5001)
            except ReviewRefusedError:
                answers.append(False)
            else:
                answers.append(True)

        thread = threading.Thread(target=reject)
        thread.start()
        together.wait()
        store.withdraw(f"hit-{number}", "Wang", "", 5001, 10)
        thread.join()
        alert = store.alert(f"hit-{number}")
        assert alert is not None
        assert (alert.review is not None) is answers[0]
        acts = [act.act for act in store.acts(f"hit-{number}")]
        assert acts == [Act.REVIEW, Act.WITHDRAWAL, *[Act.REVIEW] * answers[0]]


def test_an_escalation_is_an_event_and_stands(store: AlertStore) -> None:
    store.publish([hit(1), hit(2)])
    store.escalate("hit-1", "Wang", "urgent", 7000, NamedBy.TOKEN)
    store.escalate("hit-1", "Wang", "urgent", 7000, NamedBy.TOKEN)
    with pytest.raises(ReviewRefusedError) as refused:
        store.escalate("hit-1", "Li", "", 8000, NamedBy.TOKEN)
    assert refused.value.why is ReviewRefusal.ESCALATED
    confirm(store, "hit-2")
    with pytest.raises(ReviewRefusedError) as refused:
        store.escalate("hit-2", "Li", "", 8000, NamedBy.TOKEN)
    assert refused.value.why is ReviewRefusal.DECIDED
    alert = store.alert("hit-1")
    assert alert is not None
    assert alert.escalation is not None
    assert alert.escalation.person == "Wang"
    assert events(store)[2] == (3, "hit-1", "escalation")


def test_what_is_forgotten_is_gone_whole_and_its_numbers_with_it(store: AlertStore) -> None:
    store.publish([hit(1, 0, b"jpeg"), hit(2), hit(1, 1)])
    confirm(store, "hit-1")
    assert list(store.reviewed_before(6000)) == [("hit-1", 5000)]
    assert not store.forget("hit-1", 4999)
    assert store.forget("hit-1", 5000)
    assert store.alert("hit-1") is None
    assert store.evidence("hit-1", 0) is None
    assert store.acts("hit-1") == []
    assert events(store) == [(2, "hit-2", "hit")]
    page = store.page(2, 10)
    assert (page.events, page.last) == ([], 2)
    assert store.publish([hit(3)])[0].sequence == 5


def test_places_of_escalation_belong_to_one_feed(store: AlertStore) -> None:
    feed = store.feed()
    assert store.escalation_place(feed.id) == 0
    store.note_escalation_place(feed.id, 7)
    assert store.escalation_place(feed.id) == 7
    assert store.escalation_place("another") == 0


def test_what_was_acknowledged_survives_kill_9_with_its_numbers(kept: Kept) -> None:
    store = kept.alerts
    store.publish([hit(1, 0, b"jpeg"), hit(2)])
    confirm(store, "hit-2")
    feed = store.feed()
    kept.kill()
    kept.start()
    assert store.connect() == feed
    assert events(store) == [(1, "hit-1", "hit"), (2, "hit-2", "hit"), (3, "hit-2", "review")]
    assert store.evidence("hit-1") == b"jpeg"
    assert store.publish([hit(2), hit(3)])[1].sequence == 4


def test_away_is_said_by_every_method_and_passes(kept: Kept) -> None:
    store = kept.alerts
    store.publish([hit(1)])
    kept.kill()
    asked: list[Callable[[], object]] = [
        store.connect,
        store.feed,
        lambda: store.publish([hit(2)]),
        lambda: confirm(store, "hit-1"),
        lambda: store.page(0, 10),
        lambda: store.wait(0, 0.1),
        lambda: store.alert("hit-1"),
        lambda: store.latest(None, 10),
        lambda: store.evidence("hit-1"),
        lambda: list(store.reviewed_before(10**9)),
        lambda: store.withdraw("hit-1", "Wang", "", 5001, 10),
        kept.checkpoints.checkpoints,
        lambda: kept.checkpoints.note([StoredCheckpoint("a", "online", 1, b"")]),
        lambda: kept.checkpoints.change(StoredCheckpoint("a", "online", 1, b"")),
    ]
    for ask in asked:
        with pytest.raises(StoreUnavailable, match="away or refuses"):
            ask()
    kept.start()
    assert store.connect().last == 1
    assert [one.sequence for one in store.publish([hit(2)])] == [2]


def test_many_threads_publish_at_once(store: AlertStore) -> None:
    together = threading.Barrier(8)

    def publish(thread: int) -> None:
        together.wait()
        for number in range(20):
            store.publish([hit(1000 * (thread + 1) + number), hit(number)])

    threads = [threading.Thread(target=publish, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = events(store)
    assert [one[0] for one in found] == list(range(1, len(found) + 1))
    ids = [one[1] for one in found]
    assert len(ids) == len(set(ids)) == 180
    for thread in range(1, 9):
        mine = [f"hit-{1000 * thread + number}" for number in range(20)]
        assert [one for one in ids if one in mine] == mine


def checkpoint(state: str, seen_us: int, status: bytes = b"status") -> StoredCheckpoint:
    return StoredCheckpoint("north", state, seen_us, status)


def test_changes_of_checkpoints_are_events_among_the_others(kept: Kept) -> None:
    store, book = kept.alerts, kept.checkpoints
    assert book.checkpoints() == []
    store.publish([hit(1)])
    assert book.change(checkpoint("online", 10)) == 2
    store.publish([hit(2)])
    assert events(store) == [
        (1, "hit-1", "hit"),
        (2, "north", "checkpoint"),
        (3, "hit-2", "hit"),
    ]
    assert store.page(1, 1).events == [StoredChange(2, "north", b"status")]
    assert book.checkpoints() == [checkpoint("online", 10)]
    assert [one.id for one in store.latest(None, 10)] == ["hit-2", "hit-1"]


def test_of_two_services_one_tells_a_change(kept: Kept) -> None:
    book = kept.checkpoints
    assert book.change(checkpoint("online", 10)) == 1
    assert book.change(checkpoint("online", 11)) is None
    book.note([checkpoint("online", 50, b"newer")])
    assert book.change(checkpoint("silent", 40)) is None, "the other has heard of it since"
    assert book.checkpoints() == [checkpoint("online", 50, b"newer")]
    assert book.change(checkpoint("silent", 50)) == 2


def test_a_link_that_comes_and_goes_does_not_fill_the_feed(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (postgres_checkpoints, redis_checkpoints):
        monkeypatch.setattr(module, "_KEPT_CHANGES", 20)
    store, book = kept.alerts, kept.checkpoints
    store.publish([hit(1)])
    for number in range(25):
        assert book.change(checkpoint("silent" if number % 2 else "online", 10)) == number + 2
    found = events(store)
    assert found[0] == (1, "hit-1", "hit")
    assert [one[0] for one in found[1:]] == list(range(7, 27))
