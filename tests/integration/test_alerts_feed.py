"""The feed that the alert service follows, with a real Redis behind it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from pipeline.alerts.feed import AlertFeed, feed_event
from pipeline.alerts.records import Feed
from pipeline.alerts.redis_store import RedisAlertStore
from pipeline.alerts.store import NewHit
from pipeline.convert import hit_to_pb
from tests.integration.alerts_support import make_hit, redis_server

pytestmark = pytest.mark.redis


class SlowToSay(RedisAlertStore):
    """Knows how far the feed goes and, once it is ``slow``, says so only later."""

    slow, asked, may_say = Event(), Event(), Event()

    def feed(self) -> Feed:
        state = super().feed()
        if not self.slow.is_set():
            return state
        self.asked.set()
        assert self.may_say.wait(60)
        return state


def test_what_is_stored_while_the_store_answers_replaces_nothing(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server, ThreadPoolExecutor(4) as pool:
        store = SlowToSay(server.client(), "test")
        said: list[str | None] = []

        async def follow() -> None:
            feed = AlertFeed(store, pool, said.append)
            following = asyncio.create_task(feed.follow())
            while feed.problem is not None:
                await asyncio.sleep(0.01)
            store.slow.set()
            assert await asyncio.to_thread(store.asked.wait, 60)
            async with feed.storing:
                hit = hit_to_pb(make_hit(1, jpeg=b"")).SerializeToString()
                await feed.call(store.publish, [NewHit("hit-1", 0, hit, b"", 10**15)])
                page = await feed.call(store.page, 0, 10)
                feed.extend([feed_event(one) for one in page.events])
            assert feed.end == 1
            store.asked.clear()
            store.may_say.set()
            assert await asyncio.to_thread(store.asked.wait, 60)  # it has judged, and asks again
            following.cancel()

        asyncio.run(follow())
    assert said == [None]
