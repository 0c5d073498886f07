"""Checkpoints and the province: reports, silence told to subscribers, restarts, the relay."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
import redis

from checkpoint.v1 import alerts_pb2 as pb
from checkpoint.v1 import alerts_pb2_grpc
from pipeline.alerts.client import CheckpointClient
from pipeline.alerts.publisher import Publisher
from pipeline.alerts.reporter import Reporter, clock_problem
from pipeline.clock import ManualClock
from pipeline.errors import AlertServiceError
from pipeline.outbox import Outbox
from pipeline.status import CheckpointReport, CheckpointState, CheckpointStatus
from tests.integration.alerts_support import (
    RedisServer,
    make_hit,
    redis_server,
    running_service,
    submit,
)
from tests.support.program import checkpoint
from tests.support.waiting import PATIENCE_S, wait_until

pytestmark = [pytest.mark.grpc, pytest.mark.redis]
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def database(server: RedisServer) -> redis.Redis:
    client = server.client()
    client.flushall()
    return client


def report(name: str = "north gate", **more: object) -> CheckpointReport:
    more = {"reported_at": datetime.now(UTC), "started_at": BEGIN, "version": "1.2", **more}
    return CheckpointReport(name, **more)  # type: ignore[arg-type]


class Listener:
    """Hears of checkpoints, and of alerts by the way."""

    def __init__(self, target: str, after: int = 0) -> None:
        self.told: list[CheckpointStatus] = []
        self.alerts: list[str] = []
        self._client = CheckpointClient(target)
        self._thread = threading.Thread(target=self._run, args=(after,), daemon=True)
        self._thread.start()

    def _run(self, after: int) -> None:
        for alert in self._client.subscribe(
            after, on_checkpoint=self.told.append, backoff_max_s=0.2
        ):
            self.alerts.append(alert.id)

    def states(self) -> list[tuple[str, str]]:
        return [(status.checkpoint, status.state.value) for status in self.told]

    def close(self) -> None:
        self._client.close()
        self._thread.join(90)


def test_a_checkpoint_gone_silent_is_told_and_so_is_its_return(
    database: redis.Redis, tmp_path: Path
) -> None:
    clock = ManualClock()
    watch = {"silent_after_s": 60.0, "expected": {"south gate"}, "clock": clock}
    with (
        running_service(database, **watch) as service,
        closing(Listener(service.local_target)) as listener,
        closing(Outbox(tmp_path / "outbox.db")) as outbox,
    ):
        problems = {"camera east": "no connection"}
        how = {"waiting_hits": 7, "list_version": 41, "list_age_s": 3.5, "problems": problems}

        def told() -> CheckpointReport:
            return report(reported_at=clock.now(), **how)

        reporter = Reporter(service.local_target, told, every_s=0.05)
        reporter.start()
        wait_until(lambda: ("north gate", "online") in listener.states())
        publisher = Publisher(outbox, service.local_target)
        publisher.start()
        submit(publisher, make_hit(1))
        assert publisher.flush(PATIENCE_S) == 0
        publisher.stop()
        with CheckpointClient(service.local_target) as client:

            def north_is_heard() -> bool:
                return client.checkpoints()[0].last_seen_at == clock.now()

            clock.advance(59)
            wait_until(north_is_heard)
            clock.advance(2)
            wait_until(lambda: ("south gate", "silent") in listener.states())
            assert ("north gate", "silent") not in listener.states()
            wait_until(lambda: client.checkpoints()[0].lag_s is not None)
            north, south = client.checkpoints()
            assert (north.checkpoint, north.state) == ("north gate", CheckpointState.ONLINE)
            assert north.report is not None
            assert (north.report.waiting_hits, north.report.list_version) == (7, 41)
            assert north.report.problems == problems
            assert north.clock_ahead_s == pytest.approx(0, abs=2)
            assert north.lag_s is not None
            assert (south.state, south.last_seen_at) == (CheckpointState.SILENT, None)
            assert [one.checkpoint for one in client.checkpoints(CheckpointState.SILENT)] == [
                "south gate"
            ]
        reporter.stop()
        clock.advance(61)
        wait_until(lambda: ("north gate", "silent") in listener.states())
        assert listener.told[-1].last_seen_at is not None
        again = Reporter(service.local_target, report, every_s=0.2)
        again.start()
        wait_until(lambda: listener.states()[-1] == ("north gate", "online"))
        again.stop()
        assert listener.alerts == ["hit-1"]


def test_who_did_not_ask_is_not_told(database: redis.Redis) -> None:
    with running_service(database) as service:
        channel = grpc.insecure_channel(service.local_target)
        stub = alerts_pb2_grpc.AlertsStub(channel)
        told = closing(Listener(service.local_target))
        with told as listener:
            message = pb.CheckpointReport(checkpoint="a")
            message.reported_at.GetCurrentTime()
            stub.ReportStatus(pb.ReportStatusRequest(report=message))
            wait_until(lambda: listener.states() == [("a", "online")])
        for wanted in (
            pb.SubscribeRequest(after_sequence=0),
            pb.SubscribeRequest(after_sequence=0, include_checkpoints=True, checkpoints=["b"]),
        ):
            call = stub.Subscribe(wanted)
            kinds = [next(call).WhichOneof("event") for _ in range(2)]
            assert kinds == ["cursor", "cursor"]
            call.cancel()
        channel.close()


def test_silence_is_remembered_over_a_restart_and_told_once(database: redis.Redis) -> None:
    clock = ManualClock()
    with running_service(database, silent_after_s=60.0, clock=clock) as service:
        reporter = Reporter(service.local_target, report, every_s=0.05)
        reporter.start()
        with closing(Listener(service.local_target)) as listener:
            wait_until(lambda: listener.states() == [("north gate", "online")])
            reporter.stop()
            clock.advance(61)
            wait_until(lambda: len(listener.told) == 2)
    with (
        running_service(database, silent_after_s=60.0, clock=clock) as service,
        closing(Listener(service.local_target)) as listener,
        CheckpointClient(service.local_target) as client,
    ):
        wait_until(lambda: len(client.checkpoints()) == 1)
        assert client.checkpoints()[0].state is CheckpointState.SILENT
        wait_until(lambda: len(listener.told) == 2)
        clock.advance(61)
        threading.Event().wait(1.5)  # the watch looks more often
        assert listener.states() == [("north gate", "online"), ("north gate", "silent")]


@pytest.mark.slow
def test_two_services_on_one_store_do_not_call_each_others_silent(database: redis.Redis) -> None:
    with ExitStack() as stack:
        one = stack.enter_context(running_service(database, silent_after_s=8.0))
        other = stack.enter_context(running_service(database, silent_after_s=8.0))
        reporter = Reporter(one.local_target, report, every_s=0.5)
        reporter.start()
        listener = stack.enter_context(closing(Listener(other.local_target)))
        wait_until(lambda: listener.states() == [("north gate", "online")])
        threading.Event().wait(12)
        assert listener.states() == [("north gate", "online")]
        reporter.stop()


def test_reports_that_cannot_be_taken(database: redis.Redis) -> None:
    with running_service(database) as service:
        channel = grpc.insecure_channel(service.local_target)
        stub = alerts_pb2_grpc.AlertsStub(channel)
        good = pb.CheckpointReport(checkpoint="a")
        good.reported_at.GetCurrentTime()
        for change, field in (
            ({"checkpoint": ""}, "report.checkpoint"),
            ({"checkpoint": "x" * 65}, "report.checkpoint"),
            ({"checkpoint": "a", "problems": [pb.Problem()] * 31}, "report.problems"),
        ):
            wrong = pb.CheckpointReport(**change)
            wrong.reported_at.CopyFrom(good.reported_at)
            with pytest.raises(grpc.RpcError, match=field):
                stub.ReportStatus(pb.ReportStatusRequest(report=wrong))
        with pytest.raises(grpc.RpcError, match="reported_at"):
            stub.ReportStatus(pb.ReportStatusRequest(report=pb.CheckpointReport(checkpoint="a")))
        channel.close()


def test_a_service_that_is_away_stops_no_reporter(database: redis.Redis) -> None:
    port = 0
    with running_service(database) as service:
        port = int(service.addresses[0].rpartition(":")[2])
    reporter = Reporter(f"127.0.0.1:{port}", report, every_s=0.2)
    reporter.start()
    threading.Event().wait(0.5)
    reporter.stop()
    with pytest.raises(AlertServiceError), CheckpointClient(f"127.0.0.1:{port}") as client:
        client.checkpoints()


def test_a_clock_that_is_off_is_said_with_its_direction() -> None:
    later = datetime(2026, 3, 1, 0, 1, 40, tzinfo=UTC)
    assert clock_problem(BEGIN, BEGIN, 0.1) is None
    assert "100 s behind" in (clock_problem(BEGIN, later, 0.1) or "")
    assert "100 s ahead of" in (clock_problem(later, BEGIN, 0.1) or "")
    assert clock_problem(BEGIN, later, 99.0) is None, "the answer may have been under way for long"


def test_the_command_line_shows_checkpoints(database: redis.Redis, tmp_path: Path) -> None:
    with running_service(database) as service:
        target = service.addresses[0]
        assert "no checkpoint has reported" in run_checkpoints(target, tmp_path).stderr
        problems = {"camera [red]east[/]": "no connection"}
        reporter = Reporter(target, lambda: report(waiting_hits=7, problems=problems), every_s=0.2)
        reporter.start()
        with CheckpointClient(target) as client:
            wait_until(lambda: len(client.checkpoints(CheckpointState.ONLINE)) == 1)
        shown = run_checkpoints(target, tmp_path).stdout
        assert "north gate" in shown
        assert "[red]east[/]" in shown.replace("\n", ""), "what others wrote is no markup"
        (line,) = run_checkpoints(target, tmp_path, "--json").stdout.splitlines()
        told = json.loads(line)
        assert (told["checkpoint"], told["state"], told["waiting_hits"]) == (
            "north gate",
            "online",
            7,
        )
        assert told["problems"] == problems
        assert run_checkpoints(target, tmp_path, "--state", "silent", "--json").stdout == ""
        reporter.stop()


def run_checkpoints(target: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    done = checkpoint("alerts", "checkpoints", "--target", target, *more, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done
