"""Publisher, service, store and subscriber together: real gRPC over a real redis-server."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from checkpoint.v1 import alerts_pb2 as pb
from checkpoint.v1 import alerts_pb2_grpc
from pipeline.alerts.client import CheckpointClient
from pipeline.alerts.publisher import Publisher
from pipeline.alerts.records import Durability
from pipeline.alerts.service import SERVICE_NAME, AlertService
from pipeline.config import AlertSettings
from pipeline.convert import hit_to_pb
from pipeline.errors import AlertServiceError, ConfigError
from pipeline.outbox import Outbox
from pipeline.types import Alert, MatchKind, ReviewState
from tests.integration.alerts_support import (
    RedisServer,
    make_hit,
    redis_server,
    running_service,
    submit,
)
from tests.support.redis_servers import knowing_waitaof
from tests.support.waiting import PATIENCE_S, wait_until

pytestmark = [pytest.mark.grpc, pytest.mark.redis]

_OF_PUBLISH = {
    grpc.StatusCode.OK,  # the hit was refused by field, or taken
    grpc.StatusCode.INVALID_ARGUMENT,
}
_OF_OTHERS = {
    grpc.StatusCode.UNKNOWN,  # what grpc.aio answers to a message that cannot be parsed
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
}


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
    with CheckpointClient(service.local_target) as client:
        yield client


@pytest.fixture
def publisher(service: AlertService, tmp_path: Path) -> Iterator[Publisher]:
    outbox = Outbox(tmp_path / "outbox.db")
    publisher = Publisher(outbox, service.local_target)
    publisher.start()
    yield publisher
    publisher.stop()
    outbox.close()


def take(alerts: Iterator[Alert], count: int) -> list[Alert]:
    return list(itertools.islice(alerts, count))


def publish(publisher: Publisher, *numbers: int, **how: object) -> None:
    for number in numbers:
        submit(publisher, make_hit(number, **how))  # type: ignore[arg-type]
    assert publisher.flush(PATIENCE_S) == 0


def test_a_hit_reaches_a_subscriber_whole(publisher: Publisher, client: CheckpointClient) -> None:
    publish(publisher, 1)
    (alert,) = take(client.subscribe(0, evidence=True), 1)
    assert hit_to_pb(alert.hit) == hit_to_pb(make_hit(1))
    assert alert.sequence == 1
    assert alert.review is ReviewState.UNVERIFIED
    (bare,) = take(client.subscribe(0), 1)
    assert bare.hit.passage.evidence is not None
    assert bare.hit.passage.evidence.jpeg == b""
    assert client.evidence("hit-1") == b"\xff\xd8 a picture \xff\xd9"


def test_subscribers_resume_after_a_sequence_in_order_without_gaps(
    publisher: Publisher, client: CheckpointClient
) -> None:
    publish(publisher, *range(700))  # more than the service keeps in memory
    alerts = take(client.subscribe(0), 700)
    assert [alert.sequence for alert in alerts] == list(range(1, 701))
    assert [alert.id for alert in alerts] == [f"hit-{number}" for number in range(700)]
    assert [alert.sequence for alert in take(client.subscribe(690), 10)] == list(range(691, 701))


def test_subscribing_from_now_shows_what_comes_and_nothing_else(
    publisher: Publisher, client: CheckpointClient, service: AlertService
) -> None:
    publish(publisher, 1)
    stub = alerts_pb2_grpc.AlertsStub(client._channel)
    wait_until(lambda: service._feed is not None and service._feed.end == 1)
    call = stub.Subscribe(pb.SubscribeRequest())
    assert next(call).cursor.sequence == 1
    publish(publisher, 2)
    events = (response for response in call if response.HasField("alert"))
    assert next(events).alert.hit.id == "hit-2"
    call.cancel()


def test_a_hit_sent_twice_is_stored_once(client: CheckpointClient, publisher: Publisher) -> None:
    stub = alerts_pb2_grpc.AlertsStub(client._channel)
    request = pb.PublishRequest(hit=hit_to_pb(make_hit(1)))
    first, second = stub.Publish(iter([request, request]))
    assert (first.sequence, first.duplicate) == (1, False)
    assert (second.sequence, second.duplicate) == (1, True)
    publish(publisher, 1)
    publish(publisher, 2)
    assert [alert.id for alert in take(client.subscribe(0), 2)] == ["hit-1", "hit-2"]


def test_revisions_follow_each_other_in_the_feed_and_lists_show_the_latest(
    publisher: Publisher, client: CheckpointClient
) -> None:
    publish(publisher, 1)
    publish(publisher, 2)
    publish(publisher, 1, revision=2, retracted=True, jpeg=b"")
    publish(publisher, 1, revision=1, jpeg=b"late")
    alerts = take(client.subscribe(0), 4)
    assert [(alert.id, alert.hit.revision) for alert in alerts] == [
        ("hit-1", 0),
        ("hit-2", 0),
        ("hit-1", 2),
        ("hit-1", 1),
    ]
    assert [(alert.id, alert.hit.revision) for alert in client.list()] == [
        ("hit-1", 2),
        ("hit-2", 0),
    ]
    assert client.get("hit-1").hit.retracted
    assert client.evidence("hit-1") == b"late"
    assert client.evidence("hit-1", 0).startswith(b"\xff\xd8")
    with pytest.raises(AlertServiceError, match="at revision 2: has no picture"):
        client.evidence("hit-1", 2)


def test_filters(publisher: Publisher, client: CheckpointClient) -> None:
    publish(publisher, 1, camera="west")
    publish(publisher, 2, kind=MatchKind.PARTIAL)
    publish(publisher, 3)
    assert [a.id for a in take(client.subscribe(0, cameras=["west"]), 1)] == ["hit-1"]
    assert [a.id for a in take(client.subscribe(0, kinds=[MatchKind.PARTIAL]), 1)] == ["hit-2"]
    assert [a.id for a in client.list(cameras=["east"])] == ["hit-3", "hit-2"]
    assert [a.id for a in client.list(kinds=[MatchKind.EXACT])] == ["hit-3", "hit-1"]
    assert client.list(checkpoints=["elsewhere"]) == []
    stub = alerts_pb2_grpc.AlertsStub(client._channel)
    call = stub.Subscribe(pb.SubscribeRequest(after_sequence=0, cameras=["none"]))
    assert [next(call).cursor.sequence for _ in range(2)] == [0, 3]  # a cursor past the filtered
    call.cancel()


def test_lists_come_in_pages(publisher: Publisher, client: CheckpointClient) -> None:
    publish(publisher, *range(25))
    stub = alerts_pb2_grpc.AlertsStub(client._channel)
    request, found = pb.ListAlertsRequest(page_size=10), []
    while True:
        page = stub.ListAlerts(request)
        found += [alert.hit.id for alert in page.alerts]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert found == [f"hit-{number}" for number in reversed(range(25))]
    assert [alert.id for alert in client.list(3)] == ["hit-24", "hit-23", "hit-22"]
    with pytest.raises(grpc.RpcError, match="page_token: is none of ours"):
        stub.ListAlerts(pb.ListAlertsRequest(page_token="x"))


def test_the_first_review_stands_and_the_second_learns_who_decided(
    publisher: Publisher, client: CheckpointClient
) -> None:
    publish(publisher, 1)
    alert = client.review("hit-1", ReviewState.CONFIRMED, "Wang Wei", "same car")
    assert (alert.review, alert.reviewer) == (ReviewState.CONFIRMED, "Wang Wei")
    assert alert.review_note == "same car"
    assert client.review("hit-1", ReviewState.CONFIRMED, "Wang Wei").reviewer == "Wang Wei"
    with pytest.raises(AlertServiceError, match="Wang Wei has already confirmed it at 20"):
        client.review("hit-1", ReviewState.REJECTED, "Li Na")
    wait_until(lambda: take(client.subscribe(0), 1)[0].review is ReviewState.CONFIRMED)
    assert [a.id for a in client.list(reviews=[ReviewState.CONFIRMED])] == ["hit-1"]
    stub = alerts_pb2_grpc.AlertsStub(client._channel)
    history = stub.GetAlert(pb.GetAlertRequest(id="hit-1")).reviews
    assert [(one.reviewer, one.note) for one in history] == [("Wang Wei", "same car")]
    call = stub.Subscribe(pb.SubscribeRequest(after_sequence=0, include_reviews=True))
    kinds = [next(call).WhichOneof("event") for _ in range(3)]
    assert kinds == ["cursor", "alert", "reviewed"]
    call.cancel()


def test_of_many_reviews_at_once_one_wins_and_all_others_learn_who(
    publisher: Publisher, client: CheckpointClient
) -> None:
    publish(publisher, 1)
    names = [f"officer {number}" for number in range(12)]
    together = threading.Barrier(len(names))

    def decide(place: int) -> str | None:
        state = (ReviewState.CONFIRMED, ReviewState.REJECTED)[place % 2]
        together.wait()
        try:
            client.review("hit-1", state, names[place])
        except AlertServiceError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(decide, range(len(names))))
    (winner,) = [name for name, answer in zip(names, answers, strict=True) if answer is None]
    assert client.get("hit-1").reviewer == winner
    assert all(f"{winner} has already" in answer for answer in answers if answer)


def test_reviews_that_cannot_be_taken(publisher: Publisher, client: CheckpointClient) -> None:
    publish(publisher, 1)
    publish(publisher, 1, revision=1)
    with pytest.raises(AlertServiceError, match="amended to revision 1 since you saw revision 0"):
        client.review("hit-1", ReviewState.CONFIRMED, "Wang", seen_revision=0)
    with pytest.raises(AlertServiceError, match="hit-9: there is none"):
        client.review("hit-9", ReviewState.CONFIRMED, "Wang")
    with pytest.raises(AlertServiceError, match="reviewer: must name a person"):
        client.review("hit-1", ReviewState.CONFIRMED, "  ")
    assert client.get("hit-1").review is ReviewState.UNVERIFIED


def test_what_is_not_there(client: CheckpointClient) -> None:
    with pytest.raises(AlertServiceError, match="alert x: there is none"):
        client.get("x")
    with pytest.raises(AlertServiceError, match="x: has no picture"):
        client.evidence("x")
    with pytest.raises(AlertServiceError, match="feed ends at 0"):
        next(client.subscribe(99))


def test_a_hit_that_cannot_be_stored_holds_up_no_other(
    publisher: Publisher, client: CheckpointClient
) -> None:
    publish(publisher, 1, checkpoint="")
    publish(publisher, 2)
    assert [alert.id for alert in client.list()] == ["hit-2"]
    assert publisher._outbox.refused() == [
        (("hit-1", 0), "hit.checkpoint: must name the checkpoint in 1 to 200 characters")
    ]
    assert publisher.state().refused == 1


def test_garbage_gets_a_status_and_harms_nobody(
    service: AlertService, publisher: Publisher, client: CheckpointClient
) -> None:
    chance = random.Random(7)
    statuses = set()
    whole = pb.PublishRequest(hit=hit_to_pb(make_hit(1))).SerializeToString()
    with grpc.insecure_channel(service.local_target) as channel:
        for round_number in range(60):
            message = bytearray(whole)
            for _ in range(chance.randrange(1, 30)):
                message[chance.randrange(len(message))] = chance.randrange(256)
            sent = bytes(message) if round_number % 2 else chance.randbytes(200)
            for name in ("Publish", "Subscribe", "ListAlerts", "GetAlert", "ReviewAlert"):
                call = channel.stream_stream(f"/checkpoint.v1.Alerts/{name}")
                answers = call(iter([sent]), timeout=PATIENCE_S)
                most = 1 if name == "Subscribe" else 3  # one that can be read has no end
                with contextlib.suppress(grpc.RpcError):
                    for _ in itertools.islice(answers, most):
                        pass
                answers.cancel()
                statuses.add((name, answers.code()))
    assert {status for name, status in statuses if name == "Publish"} <= _OF_PUBLISH
    assert {status for _, status in statuses} <= _OF_PUBLISH | _OF_OTHERS
    publish(publisher, 77)
    assert client.list(1)[0].id == "hit-77"


def test_health_and_reflection_answer(service: AlertService) -> None:
    with grpc.insecure_channel(service.local_target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE_NAME):
            answer = health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = stub.ServerReflectionInfo(iter([asked]))
        names = {one.name for one in answer.list_services_response.service}
        assert names >= {"checkpoint.v1.Alerts", "grpc.health.v1.Health"}


def test_a_port_in_use_is_said(service: AlertService, server: RedisServer) -> None:
    second = AlertService(AlertSettings(listen=service.addresses[0]), server.client())
    with pytest.raises(AlertServiceError, match="another process uses"):
        second.start()


def test_a_redis_that_may_lose_alerts_is_refused(tmp_path: Path) -> None:
    with redis_server(tmp_path, "--appendfsync", "everysec") as careless:
        version = careless.client().info("server")["redis_version"]
        if tuple(int(part) for part in version.split(".")[:2]) >= (7, 2):
            pytest.skip(f"Redis {version} can be asked by WAITAOF and need not be refused")
        settings = AlertSettings(listen="127.0.0.1:0")
        with pytest.raises(ConfigError, match="appendfsync always"):
            AlertService(settings, careless.client()).start()
        with running_service(careless.client(), own_server=True):
            assert careless.client().config_get("appendfsync")["appendfsync"] == "always"


def test_redis_that_writes_every_second_is_asked_whether_it_has(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path, "--appendfsync", "everysec", path=knowing_waitaof()) as server,
        running_service(server.client()) as service,
        CheckpointClient(service.local_target) as client,
    ):
        assert service._stores.alerts.durability is Durability.WAITAOF
        outbox = Outbox(tmp_path / "outbox.db")
        publisher = Publisher(outbox, service.local_target)
        publisher.start()
        submit(publisher, make_hit(1))
        submit(publisher, make_hit(1, revision=1))
        assert publisher.flush(PATIENCE_S) == 0
        assert [alert.hit.revision for alert in take(client.subscribe(0), 2)] == [0, 1]
        publisher.stop()
        outbox.close()


def test_stopping_ends_every_call_quickly(
    service: AlertService, client: CheckpointClient, publisher: Publisher
) -> None:
    stub = alerts_pb2_grpc.AlertsStub(client._channel)
    calls = [stub.Subscribe(pb.SubscribeRequest()) for _ in range(20)]
    for call in calls:
        next(call)
    wait_until(lambda: publisher.state().connected)
    assert service.stop(PATIENCE_S)
    for call in calls:
        with pytest.raises(grpc.RpcError, match="stopping"):
            list(call)
    wait_until(lambda: not publisher.state().connected)
    wait_until(lambda: publisher.state().last_error is not None)
