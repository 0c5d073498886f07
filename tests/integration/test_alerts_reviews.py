"""Reviews, outcomes, escalations, history and statistics: real gRPC, a real redis-server."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.alerts import CheckpointClient
from pipeline.alerts.publisher import Publisher
from pipeline.alerts.service import AlertService
from pipeline.clock import ManualClock
from pipeline.config import AlertSettings
from pipeline.errors import AlertServiceError
from pipeline.outbox import Outbox
from pipeline.types import Alert, HistoryKind, MatchKind, NamedBy, ReviewState
from tests.integration.alerts_support import (
    RedisServer,
    make_hit,
    redis_server,
    running_service,
    submit,
)
from tests.support.waiting import PATIENCE_S, wait_until

pytestmark = [pytest.mark.grpc, pytest.mark.redis]

CONFIRMED, REJECTED = ReviewState.CONFIRMED, ReviewState.REJECTED
UNVERIFIED = ReviewState.UNVERIFIED
Publish = Callable[..., None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def service(server: RedisServer) -> Iterator[AlertService]:
    server.client().flushall()
    with running_service(server.client(), heartbeat_s=0.2) as service:
        yield service


@pytest.fixture
def client(service: AlertService) -> Iterator[CheckpointClient]:
    with CheckpointClient(service.addresses[0]) as client:
        yield client


@pytest.fixture
def publish(service: AlertService, tmp_path: Path) -> Iterator[Publish]:
    with publishing(service, tmp_path) as send:
        yield send


class publishing:  # noqa: N801 (read as a function)
    """Publish hits to a service; urgent ones have priority 1."""

    def __init__(self, service: AlertService, folder: Path) -> None:
        self._outbox = Outbox(folder / "outbox.db")
        self._publisher = Publisher(self._outbox, service.local_target)

    def __enter__(self) -> Publish:
        self._publisher.start()
        return self._send

    def __exit__(self, *_: object) -> None:
        self._publisher.stop()
        self._outbox.close()

    def _send(self, *numbers: int, priority: int = 1, category: str = "stolen", **how: Any) -> None:
        for number in numbers:
            hit = make_hit(number, **how)
            entry = replace(hit.entry, priority=priority, category=category)
            submit(self._publisher, replace(hit, entry=entry))
        assert self._publisher.flush(PATIENCE_S) == 0


def take(alerts: Iterator[Alert], count: int) -> list[Alert]:
    return list(itertools.islice(alerts, count))


def test_on_loopback_the_requests_name_is_taken_and_marked_as_such(
    publish: Publish, client: CheckpointClient
) -> None:
    publish(1)
    alert = client.review("hit-1", CONFIRMED, "Wang Wei")
    assert (alert.reviewer, alert.reviewer_named_by) == ("Wang Wei", NamedBy.REQUEST)
    assert alert.reviewed_at is not None
    assert abs(datetime.now(UTC) - alert.reviewed_at) < timedelta(minutes=1)


def test_an_outcome_comes_with_the_decision_or_later_and_history_keeps_all(
    publish: Publish, client: CheckpointClient
) -> None:
    publish(1)
    publish(1, revision=1)
    client.review("hit-1", CONFIRMED, "Wang", "same car")
    client.review("hit-1", CONFIRMED, "Wang")  # again: nothing new
    client.review("hit-1", CONFIRMED, "Wang", outcome="stopped")
    alert = client.review("hit-1", CONFIRMED, "Wang", "driver held", outcome="handed over")
    assert (alert.review_note, alert.outcome) == ("driver held", "handed over")
    publish(1, revision=2, retracted=True)
    with pytest.raises(AlertServiceError, match="Wang has already confirmed it"):
        client.review("hit-1", CONFIRMED, "Li", outcome="gone")
    history = client.history("hit-1")
    assert [(one.kind, one.revision, one.note, one.outcome) for one in history] == [
        (HistoryKind.HIT, 0, None, None),
        (HistoryKind.HIT, 1, None, None),
        (HistoryKind.REVIEW, 1, "same car", None),
        (HistoryKind.DOCUMENT, 1, None, "stopped"),
        (HistoryKind.DOCUMENT, 1, "driver held", "handed over"),
        (HistoryKind.HIT, 2, None, None),
    ]
    sequences = [one.sequence for one in history]
    assert sequences == sorted(set(sequences))
    hits = [one.hit for one in history if one.hit is not None]
    assert [one.retracted for one in hits] == [False, False, True]
    assert all(one.passage.plate == "京A12345" for one in hits)
    alert = client.get("hit-1")  # a new revision takes nothing back
    assert (alert.review, alert.outcome, alert.hit.retracted) == (CONFIRMED, "handed over", True)


def test_subscribers_see_reviews_and_escalations_where_they_ask_for_them(
    publish: Publish, client: CheckpointClient
) -> None:
    publish(1, 2)
    client.escalate("hit-1", "Wang", "two cars")
    client.review("hit-1", CONFIRMED, "Li", outcome="stopped")
    seen = take(client.subscribe(0, reviews=True, escalations=True), 4)
    assert [(one.id, one.escalated_by, one.reviewer) for one in seen][2:] == [
        ("hit-1", "Wang", "Li"),  # each as it stands now
        ("hit-1", "Wang", "Li"),
    ]
    (first,) = take(client.subscribe(0), 1)
    assert (first.id, first.outcome, first.escalated_by) == ("hit-1", "stopped", "Wang")
    (last,) = take(client.subscribe(seen[2].sequence, reviews=True), 1)
    assert last.sequence == seen[3].sequence


def test_a_slip_is_taken_back_and_everybody_who_asks_is_told(
    server: RedisServer, clock: ManualClock, tmp_path: Path
) -> None:
    server.client().flushall()
    running = Escalating(server, clock, undo_s=10)
    with running as client, publishing(running.service, tmp_path) as publish:
        publish(1)
        client.review("hit-1", CONFIRMED, "Wang", "same car", outcome="stopped")
        clock.advance(9)
        with pytest.raises(AlertServiceError, match=r"already confirmed it at .*; only Wang can"):
            client.withdraw("hit-1", "Li")
        alert = client.withdraw("hit-1", "Wang", "wrong row")
        assert (alert.review, alert.reviewer, alert.outcome) == (UNVERIFIED, None, None)
        assert client.withdraw("hit-1", "Wang").review is UNVERIFIED
        assert [one.id for one in client.list(reviews=[UNVERIFIED])] == ["hit-1"]
        client.review("hit-1", REJECTED, "Li")
        clock.advance(11)
        with pytest.raises(AlertServiceError, match=r"Li has already rejected it .*within 10 s"):
            client.withdraw("hit-1", "Li")
        told = [(one.kind, one.person, one.decision, one.note) for one in client.history("hit-1")]
        assert told[1:] == [
            (HistoryKind.REVIEW, "Wang", CONFIRMED, "same car"),
            (HistoryKind.WITHDRAWAL, "Wang", UNVERIFIED, "wrong row"),
            (HistoryKind.REVIEW, "Li", REJECTED, None),
        ]
        assert len(take(client.subscribe(0, reviews=True), 4)) == 4
        assert client.stats().rejected == 1


def test_who_watches_sees_a_withdrawal_as_it_comes(
    publish: Publish, client: CheckpointClient
) -> None:
    publish(1)
    seen = client.subscribe(0, reviews=True)
    assert [one.review for one in take(seen, 1)] == [UNVERIFIED]
    client.review("hit-1", CONFIRMED, "Wang")
    assert [one.review for one in take(seen, 1)] == [CONFIRMED]
    client.withdraw("hit-1", "Wang")
    assert [(one.review, one.reviewer) for one in take(seen, 1)] == [(UNVERIFIED, None)]
    (again,) = take(client.subscribe(0), 1)
    assert again.review is UNVERIFIED, "what is kept in memory follows"


def test_what_was_taken_back_goes_up_when_nobody_decides(
    server: RedisServer, clock: ManualClock, tmp_path: Path
) -> None:
    server.client().flushall()
    running = Escalating(server, clock)
    with running as client, publishing(running.service, tmp_path) as publish:
        publish(1)
        client.review("hit-1", CONFIRMED, "Wang")
        client.withdraw("hit-1", "Wang")
        clock.advance(61)
        publish(2)  # wakes the escalator
        wait_until(lambda: client.list(escalated_only=True))
        assert [one.id for one in client.list(escalated_only=True)] == ["hit-1"]


def test_a_withdrawal_with_an_outcome_is_refused(
    publish: Publish, client: CheckpointClient
) -> None:
    publish(1)
    with pytest.raises(AlertServiceError, match="outcome: must be empty"):
        client.review("hit-1", UNVERIFIED, "Wang", outcome="stopped")


def test_of_many_escalations_at_once_one_wins_and_a_decision_ends_it(
    publish: Publish, client: CheckpointClient
) -> None:
    publish(1, 2)
    together = threading.Barrier(8)

    def escalate(number: int) -> str | None:
        together.wait()
        try:
            client.escalate("hit-1", f"officer {number}")
        except AlertServiceError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(escalate, range(8)))
    (winner,) = [number for number, answer in enumerate(answers) if answer is None]
    assert all(f"officer {winner} has already escalated it" in one for one in answers if one)
    again = client.escalate("hit-1", f"officer {winner}")
    assert again.escalated_by == f"officer {winner}"
    client.review("hit-2", REJECTED, "Li")
    with pytest.raises(AlertServiceError, match="Li has already rejected it"):
        client.escalate("hit-2", "Wang")
    with pytest.raises(AlertServiceError, match="hit-9: there is none"):
        client.escalate("hit-9", "Wang")
    with pytest.raises(AlertServiceError, match="person: must name a person"):
        client.escalate("hit-1", " ")
    assert [one.id for one in client.list(escalated_only=True)] == ["hit-1"]


def test_lists_filter_by_category_and_priority(publish: Publish, client: CheckpointClient) -> None:
    publish(1)
    publish(2, priority=3)
    publish(3, priority=3, category="wanted")
    assert [one.id for one in client.list(max_priority=2)] == ["hit-1"]
    assert [one.id for one in client.list(categories=["wanted"])] == ["hit-3"]
    assert [one.id for one in take(client.subscribe(0, categories=["wanted"]), 1)] == ["hit-3"]
    assert [one.id for one in take(client.subscribe(0, max_priority=1), 1)] == ["hit-1"]


def test_statistics_count_what_became_of_a_periods_alerts(
    publish: Publish, client: CheckpointClient
) -> None:
    publish(1, 2)
    publish(3, priority=3, category="wanted", kind=MatchKind.POSSIBLE, checkpoint="south gate")
    publish(1, revision=1, retracted=True)
    client.escalate("hit-2", "Wang")
    client.review("hit-2", CONFIRMED, "Wang", outcome="stopped")
    stats = client.stats()
    assert (stats.alerts, stats.unverified, stats.confirmed, stats.rejected) == (3, 2, 1, 0)
    assert (stats.escalated, stats.retracted, stats.complete) == (1, 1, True)
    assert stats.by_category == {"stolen": 2, "wanted": 1}
    assert stats.by_kind == {"exact": 2, "possible": 1}
    assert stats.by_checkpoint == {"north gate": 2, "south gate": 1}
    assert stats.by_priority == {1: 2, 3: 1}
    assert stats.by_outcome == {"stopped": 1}
    assert stats.median_review_s is not None
    assert 0 <= stats.median_review_s < 60
    assert stats.oldest_unverified_s is not None
    assert stats.publishers == 1
    assert client.stats(checkpoints=["south gate"]).alerts == 1
    assert client.stats(datetime.now(UTC) + timedelta(hours=1)).alerts == 0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC))


class Escalating:
    """A service whose time we move by hand."""

    def __init__(self, server: RedisServer, clock: ManualClock, **settings: Any) -> None:
        self.clock = clock
        alerts = AlertSettings(listen="127.0.0.1:0", escalate_after_s=60, **settings)
        self.service = AlertService(alerts, server.client(), clock=clock)

    def __enter__(self) -> CheckpointClient:
        self.service.start()
        self.client = CheckpointClient(self.service.addresses[0])
        return self.client

    def __exit__(self, *_: object) -> None:
        self.client.close()
        assert self.service.stop(90)


def test_what_nobody_reviews_in_time_goes_up_by_itself(
    server: RedisServer, clock: ManualClock, tmp_path: Path
) -> None:
    server.client().flushall()
    running = Escalating(server, clock)
    with running as client, publishing(running.service, tmp_path) as publish:
        publish(1, 2, 4)
        publish(3, priority=2)
        publish(4, revision=1, retracted=True)
        client.review("hit-2", REJECTED, "Li")
        clock.advance(59)
        publish(5)
        assert client.list(escalated_only=True) == []
        clock.advance(2)
        publish(6)  # wakes the escalator
        wait_until(lambda: client.list(escalated_only=True))
        (up,) = client.list(escalated_only=True)
        assert (up.id, up.escalated_by, up.escalation_named_by) == (
            "hit-1",
            "checkpoint",
            NamedBy.SERVICE,
        )
        assert up.review is ReviewState.UNVERIFIED
        event = client.history("hit-1")[-1]
        assert (event.kind, event.person) == (HistoryKind.ESCALATION, "checkpoint")
        assert client.review("hit-1", CONFIRMED, "Wang").escalated_by == "checkpoint"


def test_what_waited_when_the_service_ended_goes_up_after_the_next_start(
    server: RedisServer, clock: ManualClock, tmp_path: Path
) -> None:
    server.client().flushall()
    first = Escalating(server, clock)
    with first, publishing(first.service, tmp_path) as publish:
        publish(1, 2)
    clock.advance(3600)
    with Escalating(server, clock) as client:
        wait_until(lambda: len(client.list(escalated_only=True)) == 2)
    with Escalating(server, clock) as client:  # and not again
        wait_until(lambda: client.stats().alerts == 2)
        kinds = [one.kind for one in client.history("hit-1")]
        assert kinds == [HistoryKind.HIT, HistoryKind.ESCALATION]


def test_priority_says_what_is_escalated(
    server: RedisServer, clock: ManualClock, tmp_path: Path
) -> None:
    server.client().flushall()
    running = Escalating(server, clock, escalate_priority=3)
    with running as client, publishing(running.service, tmp_path) as publish:
        publish(1, priority=3)
        publish(2, priority=4)
        clock.advance(61)
        publish(3, priority=4)
        wait_until(lambda: client.list(escalated_only=True))
        assert [one.id for one in client.list(escalated_only=True)] == ["hit-1"]
