"""Killed in the middle: the service, Redis, the publisher. Nothing is lost, nothing doubled."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from checkpoint.v1 import alerts_pb2 as pb
from checkpoint.v1 import alerts_pb2_grpc
from pipeline.alerts.client import CheckpointClient
from pipeline.alerts.publisher import Publisher
from pipeline.alerts.service import AlertService
from pipeline.config import AlertSettings
from pipeline.convert import hit_to_pb, publish_request
from pipeline.errors import AlertServiceError
from pipeline.outbox import Outbox
from pipeline.types import Alert
from tests.integration.alerts_support import (
    make_hit,
    redis_server,
    running_service,
    submit,
)
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S, wait_until

pytestmark = [pytest.mark.grpc, pytest.mark.redis]

CHILD = Path(__file__).with_name("alerts_child.py")


@contextlib.contextmanager
def child(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, str(CHILD), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, "the child ended"
    return line


class Collector:
    """A subscriber in a thread; keeps what arrived."""

    def __init__(self, target: str) -> None:
        self.alerts: list[Alert] = []
        self.error: BaseException | None = None
        self.client = CheckpointClient(target)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            for alert in self.client.subscribe(0, backoff_max_s=0.3):
                self.alerts.append(alert)
        except AlertServiceError as error:
            self.error = error

    def finish(self) -> list[Alert]:
        self.client.close()
        self._thread.join(90)
        assert not self._thread.is_alive()
        assert self.error is None
        return self.alerts


def assert_each_once_in_order(alerts: list[Alert], count: int) -> None:
    times = Counter(alert.id for alert in alerts)
    lost = [number for number in range(count) if f"hit-{number}" not in times]
    doubled = [one for one, often in times.items() if often > 1]
    assert not lost
    assert not doubled
    assert [alert.sequence for alert in alerts] == list(range(1, count + 1))
    assert [alert.id for alert in alerts] == [f"hit-{number}" for number in range(count)]


def test_service_killed_and_restarted_while_hits_flow(tmp_path: Path) -> None:
    port = str(free_port())
    with redis_server(tmp_path) as server, contextlib.ExitStack() as stack:
        service = stack.enter_context(child("service", str(server.socket), port))
        target = first_line(service)
        outbox = Outbox(tmp_path / "outbox.db")
        publisher = Publisher(outbox, target, backoff_max_s=0.3)
        publisher.start()
        collector = Collector(target)
        for number in range(300):
            submit(publisher, make_hit(number, jpeg=b"x" * 5_000))
            time.sleep(0.002)
            if number in (100, 200):
                service.kill()
                service.wait()
                service = stack.enter_context(child("service", str(server.socket), port))
        first_line(service)
        assert publisher.flush(PATIENCE_S) == 0
        wait_until(lambda: len(collector.alerts) >= 300)
        assert publisher.state().connected
        publisher.stop()
        outbox.close()
        assert_each_once_in_order(collector.finish(), 300)


def test_redis_killed_and_restarted_under_load(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path) as server,
        running_service(server.client(), heartbeat_s=0.2) as service,
    ):
        outbox = Outbox(tmp_path / "outbox.db")
        publisher = Publisher(outbox, service.local_target, backoff_max_s=0.3)
        publisher.start()
        collector = Collector(service.local_target)
        for number in range(300):
            submit(publisher, make_hit(number, jpeg=b"x" * 5_000))
            time.sleep(0.002)
            if number in (100, 200):
                server.kill()
                wait_until(lambda: service.problem is not None)
                server.start()
        assert publisher.flush(PATIENCE_S) == 0
        wait_until(lambda: len(collector.alerts) >= 300)
        publisher.stop()
        outbox.close()
        assert_each_once_in_order(collector.finish(), 300)


def test_redis_away_is_told_by_health_and_calls_and_passes(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path) as server,
        running_service(server.client(), heartbeat_s=0.2) as service,
        grpc.insecure_channel(service.local_target) as channel,
        CheckpointClient(service.local_target) as client,
    ):
        health = health_pb2_grpc.HealthStub(channel)

        def serving() -> bool:
            answer = health.Check(health_pb2.HealthCheckRequest())
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

        wait_until(serving)
        server.kill()
        wait_until(lambda: not serving())
        assert "Redis" in (service.problem or "")
        with pytest.raises(AlertServiceError, match=r"Redis.*is away or refuses"):
            client.list()
        with pytest.raises(AlertServiceError, match=r"Redis.*is away or refuses"):
            next(client.subscribe(0))
        stub = alerts_pb2_grpc.AlertsStub(channel)
        with pytest.raises(grpc.RpcError, match="send again") as caught:
            list(stub.Publish(iter([pb.PublishRequest(hit=hit_to_pb(make_hit(1)))])))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        server.start()
        wait_until(serving)
        assert client.list() == []


def test_a_service_starts_without_redis_and_serves_once_it_is_there(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        server.kill()
        with (
            running_service(server.client()) as service,
            CheckpointClient(service.local_target) as client,
        ):
            assert service.problem is not None
            server.start()
            wait_until(lambda: service.problem is None)
            assert client.list() == []


def test_an_emptied_store_is_noticed_and_read_anew(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path) as server,
        running_service(server.client(), heartbeat_s=0.2) as service,
    ):
        outbox = Outbox(tmp_path / "outbox.db")
        publisher = Publisher(outbox, service.local_target)
        publisher.start()
        collector = Collector(service.local_target)
        for number in range(3):
            submit(publisher, make_hit(number))
        assert publisher.flush(PATIENCE_S) == 0
        wait_until(lambda: len(collector.alerts) == 3)
        server.client().flushall()
        wait_until(lambda: service.problem is not None)
        submit(publisher, make_hit(2))  # known to the subscriber already
        submit(publisher, make_hit(3))
        assert publisher.flush(PATIENCE_S) == 0
        wait_until(lambda: len(collector.alerts) == 4)
        publisher.stop()
        outbox.close()
        assert [alert.id for alert in collector.finish()] == ["hit-0", "hit-1", "hit-2", "hit-3"]


def test_publisher_killed_while_it_sends_and_started_again(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox(path)
    for number in range(400):
        outbox.put(*publish_request(make_hit(number)))
    outbox.close()
    with redis_server(tmp_path) as server, running_service(server.client()) as service:
        collector = Collector(service.local_target)
        with child("publish", str(path), service.local_target) as process:
            first_line(process)
            wait_until(lambda: len(collector.alerts) > 20)
            process.kill()
        outbox = Outbox(path)
        assert outbox.recovery is None
        assert outbox.depth() > 0
        publisher = Publisher(outbox, service.local_target)
        publisher.start()
        assert publisher.flush(PATIENCE_S) == 0
        wait_until(lambda: len(collector.alerts) >= 400)
        publisher.stop()
        outbox.close()
        assert_each_once_in_order(collector.finish(), 400)


def test_what_was_put_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    told = -1
    with child("put", str(path), "100000") as process:
        assert process.stdout is not None
        for line in process.stdout:
            told = int(line)
            if told >= 150:
                process.kill()
                break
    outbox = Outbox(path)
    assert outbox.recovery is None
    keys = [one.hit_id for one in outbox.pending(100_000)]
    assert len(keys) > told
    assert keys == [f"hit-{number}" for number in range(len(keys))]
    outbox.close()


def test_hits_wait_while_the_service_is_away_and_go_when_it_comes(tmp_path: Path) -> None:
    port = free_port()
    outbox = Outbox(tmp_path / "outbox.db")
    problems: list[str | None] = []
    publisher = Publisher(outbox, f"127.0.0.1:{port}", backoff_max_s=0.2, report=problems.append)
    publisher.start()
    submit(publisher, make_hit(1))
    assert publisher.flush(0.3) == 1
    state = publisher.state()
    assert not state.connected
    assert state.depth == 1
    assert f"127.0.0.1:{port}" in (state.last_error or "")
    with redis_server(tmp_path) as server:
        service = AlertService(AlertSettings(listen=f"127.0.0.1:{port}"), server.client())
        service.start()
        assert publisher.flush(PATIENCE_S) == 0
        state = publisher.state()
        assert (state.connected, state.last_error, state.published) == (True, None, 1)
        assert problems[-1] is None
        assert problems[0] is not None
        assert publisher.stop() == 0
        assert service.stop(90)
    outbox.close()


def test_a_slow_subscriber_slows_no_other_and_misses_nothing(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server, running_service(server.client()) as service:
        stub = alerts_pb2_grpc.AlertsStub(grpc.insecure_channel(service.local_target))
        asked = pb.SubscribeRequest(after_sequence=0, include_evidence=True)
        slow = stub.Subscribe(asked)
        next(slow)  # the cursor; from here on it reads nothing until the end
        collector = Collector(service.local_target)
        outbox = Outbox(tmp_path / "outbox.db")
        publisher = Publisher(outbox, service.local_target)
        publisher.start()
        for number in range(600):  # far more than a connection and the memory hold
            submit(publisher, make_hit(number, jpeg=b"x" * 50_000))
        assert publisher.flush(PATIENCE_S) == 0
        wait_until(lambda: len(collector.alerts) == 600)
        sequences = []
        for response in slow:
            if response.HasField("alert"):
                assert len(response.alert.hit.passage.evidence.jpeg) == 50_000
                sequences.append(response.alert.sequence)
            if len(sequences) == 600:
                break
        assert sequences == list(range(1, 601))
        slow.cancel()
        publisher.stop()
        outbox.close()
        assert_each_once_in_order(collector.finish(), 600)
