"""Alerts in a real Redis cluster: every key of theirs is in one slot, and follows it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from redis.crc import key_slot

from pipeline.alerts import CheckpointClient
from pipeline.alerts.publisher import Publisher
from pipeline.alerts.records import NewHit, StoredCheckpoint
from pipeline.alerts.redis_checkpoints import RedisCheckpoints
from pipeline.alerts.redis_store import RedisAlertStore
from pipeline.alerts.service import AlertService
from pipeline.config import AlertSettings, WatchlistSettings
from pipeline.outbox import Outbox
from pipeline.types import NamedBy, ReviewState
from tests.integration.alerts_support import make_hit, submit
from tests.support.redis_servers import bundled, cluster
from tests.support.waiting import PATIENCE_S, wait_until
from watchlist.connection import connect

pytestmark = [pytest.mark.grpc, pytest.mark.redis]

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


def test_every_key_lies_in_the_slot_of_the_list(tmp_path: Path) -> None:
    with cluster(bundled(), tmp_path, *DURABLE) as servers:
        client = connect(WatchlistSettings(redis_url=servers.url, timeout_s=1.0))
        store = RedisAlertStore(client)
        feed = store.connect()
        store.publish([NewHit("hit-1", 0, b"hit", b"jpeg", 1), NewHit("hit-2", 0, b"hit", b"", 2)])
        store.publish([NewHit("hit-2", 0, b"hit", b"", 2)])
        store.escalate("hit-1", "Wang", "", 3, NamedBy.TOKEN)
        store.review("hit-1", "confirmed", "Wang", "", 4)
        store.withdraw("hit-1", "Wang", "", 5, 10)
        store.note_escalation_place(feed.id, 1)
        RedisCheckpoints(store).change(StoredCheckpoint("north", "online", 1, b""))
        slot = key_slot(b"{checkpoint}:watchlist:plates")
        names = list(servers.nodes[0].scan_iter("*"))
        assert len(names) >= 10
        assert {key_slot(name) for name in names} == {slot}
        assert servers.nodes[1].dbsize() == 0
        client.close()
        client.connection_pool.disconnect()


def test_a_service_goes_on_where_its_slot_goes(tmp_path: Path) -> None:
    with cluster(bundled(), tmp_path, *DURABLE) as servers:
        redis = connect(WatchlistSettings(redis_url=servers.url, timeout_s=1.0))
        service = AlertService(AlertSettings(listen="127.0.0.1:0"), redis, heartbeat_s=0.2)
        with CheckpointClient(service.start()) as client:
            outbox = Outbox(tmp_path / "outbox.sqlite")
            publisher = Publisher(outbox, service.local_target, backoff_max_s=0.3)
            publisher.start()
            for number in range(5):
                submit(publisher, make_hit(number))
            assert publisher.flush(PATIENCE_S) == 0
            servers.move(key_slot(b"{checkpoint}:alerts:feed"))
            assert servers.nodes[0].dbsize() == 0
            for number in range(5, 10):
                submit(publisher, make_hit(number))
            assert publisher.flush(PATIENCE_S) == 0
            wait_until(lambda: service.problem is None)
            seen = list(itertools.islice(client.subscribe(0), 10))
            assert [one.sequence for one in seen] == list(range(1, 11))
            assert [one.id for one in seen] == [f"hit-{number}" for number in range(10)]
            decided = client.review("hit-1", ReviewState.CONFIRMED, "Wang")
            assert decided.review is ReviewState.CONFIRMED
            publisher.stop()
            outbox.close()
        assert service.stop(90)
        redis.close()
        redis.connection_pool.disconnect()
