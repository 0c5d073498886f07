"""Reviewed alerts are deleted when their time is over, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from pipeline.alerts.client import CheckpointClient
from pipeline.alerts.records import NewHit
from pipeline.alerts.redis_store import RedisAlertStore
from pipeline.alerts.reviewed import ReviewedAlerts
from pipeline.alerts.store import AlertStore
from pipeline.convert import hit_to_pb
from pipeline.types import NamedBy
from tests.integration.alerts_support import make_hit, redis_server, running_service

pytestmark = [pytest.mark.redis, pytest.mark.grpc]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[redis.Redis]:
    with redis_server(tmp_path) as server:
        yield server.client()


@pytest.fixture
def store(client: redis.Redis) -> AlertStore:
    made = RedisAlertStore(client, own_server=True)
    made.connect()
    return made


def us(days: float) -> int:
    return (BEGIN + timedelta(days=days) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )


def publish(store: AlertStore, number: int, days: float, revision: int = 0) -> str:
    hit = make_hit(number, revision=revision)
    payload = hit_to_pb(hit).SerializeToString()
    store.publish([NewHit(hit.id, revision, payload, b"jpeg", us(days))])
    return hit.id


def review(store: AlertStore, alert_id: str, days: float) -> None:
    store.review(alert_id, "confirmed", "Wang", "", us(days))


def sweep(store: AlertStore, days: float) -> int:
    reviewed = ReviewedAlerts(store)
    return reviewed.delete(reviewed.due(BEGIN + timedelta(days=days)))


def test_an_alert_goes_whole_and_the_others_stay(store: AlertStore, client: redis.Redis) -> None:
    old, young, unreviewed = (publish(store, number, 0) for number in range(3))
    publish(store, 0, 0.1, revision=1)
    store.escalate(old, "checkpoint", "", us(0.5), NamedBy.SERVICE)
    review(store, old, 1)
    store.review(old, "confirmed", "Wang", "more", us(2.5), outcome="stopped")
    review(store, young, 5)
    assert len(store.acts(old)) == 3
    assert sweep(store, 1) == 0
    assert sweep(store, 3) == 1
    assert store.alert(old) is None
    assert store.evidence(old) is None
    assert store.acts(old) == []
    assert [one.id for one in store.latest(None, 10)] == [unreviewed, young]
    assert {one.id for one in store.page(0, 100).events} == {young, unreviewed}
    assert not [key for key in client.keys("*") if old.encode() in key]
    assert store.evidence(young) == store.evidence(unreviewed) == b"jpeg"
    assert len(store.acts(young)) == 1
    assert sweep(store, 3) == 0
    assert sweep(store, 1000) == 1
    assert store.alert(unreviewed) is not None


def test_numbers_are_not_given_out_again(store: AlertStore) -> None:
    one = publish(store, 0, 0)
    review(store, one, 1)
    sweep(store, 10)
    publish(store, 1, 20)
    assert [one.sequence for one in store.page(0, 10).events] == [3]


def test_one_amended_since_its_review_stays_until_that_is_old_too(store: AlertStore) -> None:
    one = publish(store, 0, 0)
    review(store, one, 1)
    publish(store, 0, 8, revision=1)
    assert sweep(store, 5) == 0
    assert sweep(store, 9) == 1


def test_many_pages(store: AlertStore) -> None:
    payload = hit_to_pb(make_hit()).SerializeToString()
    ids = [f"hit-{number:04}" for number in range(1100)]
    store.publish([NewHit(alert_id, 0, payload, b"", us(0)) for alert_id in ids])
    for alert_id in ids[::20]:
        review(store, alert_id, 2)
    assert sweep(store, 3) == 55
    assert {one.id for one in store.latest(None, 2000)} == set(ids) - set(ids[::20])


def test_a_subscriber_from_the_beginning_reads_over_what_is_gone(
    store: AlertStore, client: redis.Redis
) -> None:
    first, second, third = (publish(store, number, 0) for number in range(3))
    review(store, second, 1)
    sweep(store, 2)
    with (
        running_service(client, own_server=True) as service,
        CheckpointClient(service.local_target) as subscriber,
    ):
        alerts = subscriber.subscribe(0)
        assert [next(alerts).id for _ in range(2)] == [first, third]
        assert [one.id for one in subscriber.list()] == [third, first]
