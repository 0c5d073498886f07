"""Sinks from a real store to real receivers: nothing lost, and what comes twice has its key."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import redis

from pipeline.alerts.client import CheckpointClient
from pipeline.alerts.publisher import Publisher
from pipeline.alerts.records import NewHit, StoredCheckpoint
from pipeline.alerts.redis_checkpoints import RedisCheckpoints
from pipeline.alerts.redis_store import RedisAlertStore
from pipeline.clock import SystemClock
from pipeline.config import MqttSettings, SinksSettings, WebhookSettings
from pipeline.convert import hit_to_pb
from pipeline.convert_status import status_to_pb
from pipeline.errors import ConfigError
from pipeline.health import Health
from pipeline.outbox import Outbox
from pipeline.sinks.all import Sinks
from pipeline.sinks.base import Sink, SinkError
from pipeline.sinks.cursors import SINKS_FILE, Cursors, Place
from pipeline.sinks.mqtt import MqttSink
from pipeline.sinks.relay import RelaySink
from pipeline.sinks.runner import SinkRunner
from pipeline.sinks.signing import verify
from pipeline.sinks.webhook import WebhookSink
from pipeline.status import CheckpointState, CheckpointStatus
from tests.integration.alerts_support import (
    NOON,
    RedisServer,
    make_certificates,
    make_hit,
    redis_server,
    running_service,
)
from tests.support.receivers import WebReceiver, broker, web_receiver
from tests.support.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.redis
SECRET = "0123456789abcdef0123"
JPEG = b"\xff\xd8 a picture \xff\xd9"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def database(server: RedisServer) -> redis.Redis:
    client = server.client()
    client.flushall()
    return client


@pytest.fixture
def store(database: redis.Redis) -> RedisAlertStore:
    made = RedisAlertStore(database)
    made.connect()
    return made


@pytest.fixture
def receiver() -> Iterator[WebReceiver]:
    with web_receiver() as made:
        yield made


def publish(store: RedisAlertStore, *numbers: int, revision: int = 0, jpeg: bytes = JPEG) -> None:
    """Store hits as the service does: the picture beside the hit."""
    new = []
    for number in numbers:
        message = hit_to_pb(make_hit(number, revision=revision, jpeg=jpeg))
        message.passage.evidence.ClearField("jpeg")
        new.append(NewHit(message.id, revision, message.SerializeToString(), jpeg, 10**15))
    store.publish(new)


def webhook(receiver: WebReceiver, **more: Any) -> WebhookSettings:
    url = f"http://127.0.0.1:{receiver.port}/hook"
    return WebhookSettings(**{"name": "desk", "url": url, "secret": SECRET, "begin": "all"} | more)


@contextmanager
def running(
    sink: Sink, store: RedisAlertStore, folder: Path, report: Callable[[str | None], None] = print
) -> Iterator[SinkRunner]:
    """One sink at work, with its place in ``folder``."""
    with closing(Cursors(folder / SINKS_FILE)) as cursors:
        runner = SinkRunner(sink, store, cursors, report, backoff_s=(0.02, 0.1))
        runner.start()
        try:
            yield runner
        finally:
            runner.stop(90)


def bodies(receiver: WebReceiver) -> list[dict[str, Any]]:
    return [json.loads(one.body) for one in list(receiver.posted)]


def ids(receiver: WebReceiver) -> list[str]:
    return [one["id"] for one in bodies(receiver)]


def test_every_kind_of_event_is_posted_signed_and_in_order(
    store: RedisAlertStore, receiver: WebReceiver, tmp_path: Path
) -> None:
    publish(store, 1, 2)
    store.review("hit-1", "confirmed", "Wang", "same car", 10**15)
    status = CheckpointStatus("north gate", CheckpointState.SILENT, NOON, last_seen_at=NOON)
    RedisCheckpoints(store).change(
        StoredCheckpoint("north gate", "silent", 1, status_to_pb(status).SerializeToString())
    )
    sink = WebhookSink(webhook(receiver), SystemClock())
    with running(sink, store, tmp_path):
        wait_until(lambda: len(receiver.posted) == 4)
    told = bodies(receiver)
    assert [one["event"] for one in told] == ["alert", "alert", "review", "checkpoint"]
    assert [one["sequence"] for one in told] == [1, 2, 3, 4]
    assert told[0]["plate"] == "京A12345"
    assert (told[2]["id"], told[2]["review"], told[2]["reviewer"]) == ("hit-1", "confirmed", "Wang")
    assert (told[3]["checkpoint"], told[3]["state"]) == ("north gate", "silent")
    assert "evidence_jpeg" not in told[0]
    feed = store.feed().id
    for one, body in zip(receiver.posted, told, strict=True):
        assert one.path == "/hook"
        signature = one.headers["Checkpoint-Signature"]
        assert verify(SECRET.encode(), one.body, signature, time.time())
        assert one.headers["Checkpoint-Event"] == body["event"]
        assert one.headers["Idempotency-Key"] == body["key"] == f"{feed}:{body['sequence']}"


def test_a_decision_that_is_taken_back_is_told_as_one(
    store: RedisAlertStore, receiver: WebReceiver, tmp_path: Path
) -> None:
    publish(store, 1)
    with running(WebhookSink(webhook(receiver), SystemClock()), store, tmp_path):
        store.review("hit-1", "confirmed", "Wang", "same car", 10**15)
        wait_until(lambda: len(receiver.posted) == 2)
        store.withdraw("hit-1", "Wang", "", 10**15 + 1, 10)
        wait_until(lambda: len(receiver.posted) == 3)
    told = [(one["event"], one["review"], one["reviewer"]) for one in bodies(receiver)]
    assert told[1:] == [("review", "confirmed", "Wang"), ("review", "unverified", None)]


def test_only_what_is_wanted_and_the_picture_where_it_is(
    store: RedisAlertStore, receiver: WebReceiver, tmp_path: Path
) -> None:
    publish(store, 1)
    store.review("hit-1", "confirmed", "Wang", "", 10**15)
    publish(store, 2)
    wanted = webhook(receiver, events=("alert",), evidence=True)
    with running(WebhookSink(wanted, SystemClock()), store, tmp_path):
        wait_until(lambda: len(receiver.posted) == 2)
        wait_until(lambda: _place(tmp_path) == 3)
    assert ids(receiver) == ["hit-1", "hit-2"]
    assert base64.b64decode(bodies(receiver)[0]["evidence_jpeg"]) == JPEG


def _place(folder: Path) -> int:
    with closing(Cursors(folder / SINKS_FILE)) as cursors:
        place = cursors.place("desk")
    return place.sequence if place else -1


def test_a_receiver_that_fails_gets_it_again_and_nothing_passes_it(
    store: RedisAlertStore, receiver: WebReceiver, tmp_path: Path
) -> None:
    publish(store, *range(10))
    receiver.answers.extend([204, 500, None, 503, 204, 429, 401])
    problems: list[str | None] = []
    sink = WebhookSink(webhook(receiver), SystemClock())
    with running(sink, store, tmp_path, problems.append) as runner:
        wait_until(lambda: len(receiver.posted) == 10)
        wait_until(lambda: runner.delivered == 10)
    assert ids(receiver) == [f"hit-{number}" for number in range(10)]
    said = [one for one in problems if one]
    assert any("answered 500" in one for one in said)
    assert any("answered 401" in one for one in said)
    assert problems[-1] is None
    assert all("/hook" not in one for one in said), "an address may hold a secret"


def test_what_will_never_be_taken_is_set_aside_and_holds_up_nothing(
    store: RedisAlertStore, receiver: WebReceiver, tmp_path: Path
) -> None:
    publish(store, 1, 2, 3)
    receiver.answers.extend([204, 422])
    with running(WebhookSink(webhook(receiver), SystemClock()), store, tmp_path):
        wait_until(lambda: len(receiver.posted) == 2)
    assert ids(receiver) == ["hit-1", "hit-3"]
    with closing(Cursors(tmp_path / SINKS_FILE)) as cursors:
        ((key, reason),) = cursors.refused("desk")
    assert key == f"{store.feed().id}:2"
    assert "answered 422" in reason


def test_retry_after_is_kept_to(
    store: RedisAlertStore, receiver: WebReceiver, tmp_path: Path
) -> None:
    publish(store, 1)
    receiver.answers.append(503)
    receiver.retry_after = "1"
    began_s = time.monotonic()
    with running(WebhookSink(webhook(receiver), SystemClock()), store, tmp_path):
        wait_until(lambda: len(receiver.posted) == 1)
    assert time.monotonic() - began_s > 0.9


def test_it_goes_on_where_it_stopped_and_begins_where_it_was_told(
    store: RedisAlertStore, receiver: WebReceiver, tmp_path: Path
) -> None:
    publish(store, 1, 2)
    late = webhook(receiver, begin="now")
    with running(WebhookSink(late, SystemClock()), store, tmp_path):
        wait_until(lambda: _place(tmp_path) == 2)
        publish(store, 3)
        wait_until(lambda: len(receiver.posted) == 1)
    publish(store, 4, 5)
    with running(WebhookSink(late, SystemClock()), store, tmp_path):
        wait_until(lambda: len(receiver.posted) == 3)
    assert ids(receiver) == ["hit-3", "hit-4", "hit-5"]


def test_a_store_that_was_replaced_is_sent_whole(
    store: RedisAlertStore, receiver: WebReceiver, tmp_path: Path, database: redis.Redis
) -> None:
    publish(store, 1)
    with running(WebhookSink(webhook(receiver), SystemClock()), store, tmp_path):
        wait_until(lambda: len(receiver.posted) == 1)
        database.flushall()
        store.connect()
        publish(store, 7, 8)
        wait_until(lambda: len(receiver.posted) == 3)
    assert ids(receiver) == ["hit-1", "hit-7", "hit-8"]
    keys = [one["key"] for one in bodies(receiver)]
    assert len(set(keys)) == 3


def test_a_store_that_is_away_for_a_while(receiver: WebReceiver, tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    problems: list[str | None] = []
    with redis_server(folder) as own:
        store = RedisAlertStore(own.client())
        store.connect()
        publish(store, 1)
        sink = WebhookSink(webhook(receiver), SystemClock())
        with running(sink, store, tmp_path, problems.append):
            wait_until(lambda: len(receiver.posted) == 1)
            own.kill()
            wait_until(lambda: any(one and "away or refuses" in one for one in problems))
            own.start()
            publish(store, 2)
            wait_until(lambda: len(receiver.posted) == 2)
            wait_until(lambda: problems[-1] is None)
    assert ids(receiver) == ["hit-1", "hit-2"]


def test_killed_between_delivery_and_place_it_sends_again_with_the_same_key(
    store: RedisAlertStore, receiver: WebReceiver, tmp_path: Path
) -> None:
    publish(store, 1, 2)
    with running(WebhookSink(webhook(receiver), SystemClock()), store, tmp_path):
        wait_until(lambda: _place(tmp_path) == 2)
    with closing(Cursors(tmp_path / SINKS_FILE)) as cursors:
        cursors.keep("desk", Place(store.feed().id, 1))  # as if the process had died before
    with running(WebhookSink(webhook(receiver), SystemClock()), store, tmp_path):
        wait_until(lambda: len(receiver.posted) == 3)
    keys = [one.headers["Idempotency-Key"] for one in receiver.posted]
    assert keys[1] == keys[2] != keys[0]


def test_over_tls_the_receivers_certificate_is_checked(
    store: RedisAlertStore, tmp_path: Path
) -> None:
    make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    publish(store, 1)
    problems: list[str | None] = []
    with web_receiver(context) as receiver:
        url = f"https://localhost:{receiver.port}/"
        known = webhook(receiver, url=url, ca=tmp_path / "ca.pem")
        unknown = webhook(receiver, url=url, name="other")
        with running(WebhookSink(unknown, SystemClock()), store, tmp_path, problems.append):
            wait_until(lambda: any(one and "certificate" in one.lower() for one in problems))
        assert receiver.posted == []
        with running(WebhookSink(known, SystemClock()), store, tmp_path):
            wait_until(lambda: len(receiver.posted) == 1)


def test_secrets_lie_in_files_that_nobody_else_reads(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("short")
    with web_receiver() as receiver:
        settings = webhook(receiver, secret=None, secret_file=file)
        for mode, text, said in (
            (0o644, SECRET, "chmod 600"),
            (0o600, "short", "less than 16 bytes"),
        ):
            file.write_text(text)
            file.chmod(mode)
            with pytest.raises(ConfigError, match=said):
                WebhookSink(settings, SystemClock())
        file.write_text(SECRET + "\n")
        WebhookSink(settings, SystemClock()).close()
        file.unlink()
        with pytest.raises(ConfigError, match="cannot be read"):
            WebhookSink(settings, SystemClock())


def test_health_names_the_sink_and_all_stop_together(
    store: RedisAlertStore, receiver: WebReceiver, tmp_path: Path, database: redis.Redis
) -> None:
    publish(store, 1)
    health = Health()
    receiver.answers.extend([500] * 3)
    settings = SinksSettings(webhooks=(webhook(receiver), webhook(receiver, name="second")))
    sinks = Sinks(settings, tmp_path, lambda: RedisAlertStore(database), health, SystemClock())
    sinks.start()
    wait_until(lambda: any(name.startswith("sink ") for name in health.problems()))
    wait_until(lambda: len(receiver.posted) == 2)
    wait_until(lambda: not health.problems())
    began_s = time.monotonic()
    sinks.stop(90)
    assert time.monotonic() - began_s < 60


class MqttListener:
    """A subscriber at the broker, with what it got."""

    def __init__(self, port: int, user: str | None = None, password: str | None = None) -> None:
        self.messages: list[Any] = []
        self.client: Any = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        if user:
            self.client.username_pw_set(user, password)
        ready = threading.Event()
        self.client.on_message = lambda client, data, message: self.messages.append(message)
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert ready.wait(90)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def mqtt(port: int, **more: Any) -> MqttSettings:
    given = {"name": "broker", "host": "127.0.0.1", "port": port, "tls": False, "secret": SECRET}
    return MqttSettings(**given | {"begin": "all", "timeout_s": 3} | more)


def test_mqtt_publishes_signed_events_under_their_topics(
    store: RedisAlertStore, tmp_path: Path
) -> None:
    publish(store, 1, 2)
    store.review("hit-2", "rejected", "Li", "", 10**15)
    with broker(tmp_path) as server, closing(MqttListener(server.port)) as listener:
        sink = MqttSink(mqtt(server.port), SystemClock())
        with running(sink, store, tmp_path):
            wait_until(lambda: len(listener.messages) == 3)
        topics = [message.topic for message in listener.messages]
        assert topics == ["checkpoint/north gate/alert"] * 2 + ["checkpoint/north gate/review"]
        for number, message in enumerate(listener.messages, start=1):
            given = dict(message.properties.UserProperty)
            assert message.qos == 1
            assert verify(
                SECRET.encode(), message.payload, given["checkpoint-signature"], time.time()
            )
            body = json.loads(message.payload)
            assert given["idempotency-key"] == body["key"]
            assert (body["sequence"], body["event"]) == (number, given["checkpoint-event"])


def test_a_broker_that_goes_and_comes_loses_nothing(store: RedisAlertStore, tmp_path: Path) -> None:
    problems: list[str | None] = []
    with ExitStack() as stack:
        server = stack.enter_context(broker(tmp_path))
        listener = MqttListener(server.port)
        sink = MqttSink(mqtt(server.port), SystemClock())
        stack.enter_context(running(sink, store, tmp_path, problems.append))
        publish(store, *range(20))
        wait_until(lambda: len(listener.messages) == 20)
        listener.close()
        server.stop()
        publish(store, *range(20, 40))
        wait_until(lambda: any(problems))
        server.start()
        wait_until(lambda: problems[-1] is None and _sequence(tmp_path, "broker") == 40)
        again = stack.enter_context(closing(MqttListener(server.port)))
        publish(store, 40)
        wait_until(lambda: len(again.messages) >= 1)
        got = {json.loads(message.payload)["id"] for message in listener.messages}
        assert got == {f"hit-{number}" for number in range(20)}


def _sequence(folder: Path, name: str) -> int:
    with closing(Cursors(folder / SINKS_FILE)) as cursors:
        place = cursors.place(name)
    return place.sequence if place else -1


def test_a_broker_that_does_not_let_us_is_said(store: RedisAlertStore, tmp_path: Path) -> None:
    publish(store, 1)
    problems: list[str | None] = []
    with broker(tmp_path, "allow_anonymous false") as server:
        sink = MqttSink(mqtt(server.port), SystemClock())
        with running(sink, store, tmp_path, problems.append):
            wait_until(lambda: any(one and "ot authorized" in one for one in problems))
    (tmp_path / "acl").write_text("topic read #\n")
    problems.clear()
    where = tmp_path / "acl"
    with broker(tmp_path, "allow_anonymous true", f"acl_file {where}") as server:
        sink = MqttSink(mqtt(server.port), SystemClock())
        with running(sink, store, tmp_path, problems.append):
            wait_until(lambda: any(one and "does not take it" in one for one in problems))
    assert _sequence(tmp_path, "broker") <= 0


@pytest.mark.grpc
def test_a_checkpoint_with_its_own_service_passes_hits_on_to_the_province(
    store: RedisAlertStore, tmp_path: Path
) -> None:
    (tmp_path / "province").mkdir()
    publish(store, *range(5))
    with (
        redis_server(tmp_path / "province") as far,
        closing(Outbox(tmp_path / "relay.sqlite")) as outbox,
        running(RelaySink(outbox), store, tmp_path),
        running_service(far.client()) as province,
        CheckpointClient(province.local_target) as client,
    ):
        publisher = Publisher(outbox, province.local_target)
        publisher.start()
        wait_until(lambda: len(client.list()) == 5)
        store.review("hit-1", "confirmed", "Wang", "", 10**15)
        publish(store, 1, revision=1)
        wait_until(lambda: client.get("hit-1").hit.revision == 1)
        assert client.evidence("hit-1", 0) == JPEG
        assert publisher.flush(PATIENCE_S) == 0
        publisher.stop()


def test_a_relay_whose_outbox_is_full_keeps_its_place(
    store: RedisAlertStore, tmp_path: Path
) -> None:
    publish(store, 1, jpeg=bytes(100_000))
    with closing(Outbox(tmp_path / "relay.sqlite")) as outbox:
        pages = outbox._connection.execute("PRAGMA page_count").fetchone()[0]
        outbox._connection.execute(f"PRAGMA max_page_count={pages}")
        problems: list[str | None] = []
        with running(RelaySink(outbox), store, tmp_path, problems.append):
            wait_until(lambda: any(one and "full" in one for one in problems))
            outbox._connection.execute("PRAGMA max_page_count=100000")
            wait_until(lambda: outbox.depth() == 1)


def test_a_sink_that_breaks_is_tried_again(store: RedisAlertStore, tmp_path: Path) -> None:
    class Broken:
        name, events, evidence, begin = "broken", ("alert",), False, "all"

        def __init__(self) -> None:
            self.failures: list[Exception] = [
                RuntimeError("a mistake of ours"),
                SinkError("later", done=1),
            ]
            self.got: list[str] = []

        def deliver(self, events: Any) -> None:
            if self.failures:
                failure = self.failures.pop(0)
                if isinstance(failure, SinkError):
                    self.got += [one.key for one in events[: failure.done]]
                raise failure
            self.got += [one.key for one in events]

        def close(self) -> None:
            pass

    publish(store, 1, 2, 3)
    sink = Broken()
    with running(sink, store, tmp_path):
        wait_until(lambda: len(sink.got) == 3)
    assert [one.rpartition(":")[2] for one in sink.got] == ["1", "2", "3"]
