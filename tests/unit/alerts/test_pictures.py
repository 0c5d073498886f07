"""Pictures along with alerts: read once, bounded, and only where there is one."""

from __future__ import annotations

import asyncio

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.pictures import Pictures


def response(number: int, revision: int = 0, *, named: bool = True) -> pb.SubscribeResponse:
    made = pb.SubscribeResponse()
    made.alert.sequence = number
    made.alert.hit.id = f"hit-{number}"
    made.alert.hit.revision = revision
    if named:
        made.alert.hit.passage.evidence.path = f"{number}.jpg"
    return made


class Store:
    """Counts how often it is asked."""

    def __init__(self, **pictures: bytes) -> None:
        self.pictures = pictures
        self.asked = 0

    async def fetch(self, alert_id: str, revision: int) -> bytes | None:
        self.asked += 1
        return self.pictures.get(alert_id.replace("-", "_"))


def along(pictures: Pictures, made: pb.SubscribeResponse) -> pb.SubscribeResponse | None:
    whole = asyncio.run(pictures.along(made.alert.sequence, made))
    return None if whole is None else pb.SubscribeResponse.FromString(whole)


def test_a_picture_is_read_and_made_into_bytes_once() -> None:
    store = Store(hit_1=b"jpeg")
    pictures = Pictures(store.fetch)
    made = response(1)
    first = asyncio.run(pictures.along(1, made))
    assert first is not None
    assert pb.SubscribeResponse.FromString(first).alert.hit.passage.evidence.jpeg == b"jpeg"
    assert made.alert.hit.passage.evidence.jpeg == b"", "the shared message stays as it was"
    assert asyncio.run(pictures.along(1, made)) is first
    assert store.asked == 1


def test_one_that_was_just_stored_is_at_hand() -> None:
    store = Store()
    pictures = Pictures(store.fetch)
    pictures.keep("hit-1", 0, b"new")
    whole = along(pictures, response(1))
    assert whole is not None
    assert whole.alert.hit.passage.evidence.jpeg == b"new"
    assert store.asked == 0


def test_without_a_picture_there_is_none() -> None:
    pictures = Pictures(Store().fetch)
    assert along(pictures, response(1, named=False)) is None
    assert along(pictures, response(2)) is None


def test_memory_is_bounded() -> None:
    store = Store()
    pictures = Pictures(store.fetch, kept_bytes=10_000)
    for number in range(100):
        pictures.keep(f"hit-{number}", 0, bytes(1_000))
        along(pictures, response(number))
    assert pictures._pictures._bytes <= 10_000
    assert pictures._responses._bytes <= 10_000
    pictures.clear()
    assert along(pictures, response(99)) is None
