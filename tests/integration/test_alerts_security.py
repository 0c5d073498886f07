"""The alert service beyond loopback: who gets in, who may do what, and what is written down."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from checkpoint.v1 import alerts_pb2 as pb
from checkpoint.v1 import alerts_pb2_grpc
from pipeline.access import AccessRole, TokenStore
from pipeline.alerts import CheckpointClient, gate, stats
from pipeline.alerts.auth import Access
from pipeline.alerts.channel import open_channel
from pipeline.alerts.publisher import Publisher
from pipeline.alerts.service import AlertService
from pipeline.alerts.status import Reason, error_info, reason_of
from pipeline.audit import AUDIT_FILE, AuditLog, records
from pipeline.certificates import Authority
from pipeline.clock import SystemClock
from pipeline.config import AccessSettings, AlertSettings, LimitSettings, TlsSettings
from pipeline.convert import hit_to_pb
from pipeline.errors import AlertServiceError, ConfigError
from pipeline.outbox import Outbox
from pipeline.types import HistoryKind, NamedBy, ReviewState
from tests.integration.alerts_support import (
    RedisServer,
    make_certificates,
    make_hit,
    redis_server,
    submit,
)
from tests.support.waiting import PATIENCE_S, wait_until

pytestmark = [pytest.mark.grpc, pytest.mark.redis]

Code = grpc.StatusCode


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_certificates(tmp_path_factory.mktemp("certificates") / "c", "gate-1", "Li Na")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@dataclass
class Guarded:
    """A service on every address of this machine: certificates at one port, tokens at another."""

    service: AlertService
    tokens: TokenStore
    folder: Path
    authority: Authority

    @property
    def machines(self) -> str:
        return "localhost:" + self.service.addresses[0].rpartition(":")[2]

    @property
    def people(self) -> str:
        return "localhost:" + self.service.addresses[1].rpartition(":")[2]

    @property
    def ca(self) -> Path:
        return self.authority.certificate

    def token(self, person: str, *roles: AccessRole) -> str:
        return self.tokens.issue(person, roles, timedelta(days=1), given_by="test").token

    def files(self, name: str) -> dict[str, Path]:
        folder = self.authority.folder
        return {"ca": self.ca, "cert": folder / f"{name}.pem", "key": folder / f"{name}.key"}

    def person(self, token: str) -> CheckpointClient:
        return CheckpointClient(self.people, self.ca, token=token)

    def audited(self) -> list[tuple[str, str, str]]:
        log = self.folder / AUDIT_FILE
        found = records(log) if log.exists() else ()
        return [(one.actor, one.action, one.subject) for one in found]

    @contextlib.contextmanager
    def stub(self, target: str, **files: Path) -> Iterator[Any]:
        with open_channel(target, **{"ca": self.ca, **files}) as channel:
            yield alerts_pb2_grpc.AlertsStub(channel)


@contextlib.contextmanager
def guarded_service(
    authority: Authority, redis: RedisServer, folder: Path, **settings: Any
) -> Iterator[Guarded]:
    redis.client().flushall()
    certificates = authority.folder
    tls = TlsSettings(
        certificate=certificates / "server.pem",
        key=certificates / "server.key",
        client_ca=certificates / "ca.pem",
    )
    tokens = TokenStore(folder / "access.sqlite", SystemClock())
    access = Access(
        AccessSettings(certificates={"Li Na": frozenset({AccessRole.APPROVER})}),
        tokens,
        lambda: AuditLog(folder / AUDIT_FILE, SystemClock()),
    )
    alerts = AlertSettings(
        listen="0.0.0.0:0", listen_tokens="0.0.0.0:0", tls=tls, escalate_after_s=0, **settings
    )
    service = AlertService(alerts, redis.client(), access=access, heartbeat_s=0.1)
    service.start()
    try:
        yield Guarded(service, tokens, folder, authority)
    finally:
        assert service.stop(90)


@pytest.fixture
def guarded(authority: Authority, redis: RedisServer, tmp_path: Path) -> Iterator[Guarded]:
    with guarded_service(authority, redis, tmp_path) as made:
        yield made


@pytest.fixture
def publish(guarded: Guarded, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Publish by the service's own socket."""
    outbox = Outbox(tmp_path / "outbox.db")
    publisher = Publisher(outbox, guarded.service.local_target)
    publisher.start()

    def send(*numbers: int, **how: Any) -> None:
        for number in numbers:
            submit(publisher, make_hit(number, **how))
        assert publisher.flush(PATIENCE_S) == 0

    yield send
    publisher.stop()
    outbox.close()


def refused(call: Callable[[], Any]) -> tuple[Code, Reason | None]:
    with pytest.raises(grpc.RpcError) as caught:
        whole(call)
    return caught.value.code(), reason_of(caught.value)


def whole(call: Callable[[], Any]) -> None:
    """Make a call, and take all its answers."""
    found = call()
    if hasattr(found, "__iter__"):
        list(found)


def calls(stub: Any, metadata: Any = ()) -> dict[str, Callable[[], Any]]:
    """Every call of the service, with a request that would be answered."""
    how = {"metadata": metadata, "timeout": PATIENCE_S}
    report = pb.CheckpointReport(checkpoint="gate-1")
    report.reported_at.GetCurrentTime()
    review = pb.ReviewAlertRequest(id="hit-1", decision="REVIEW_STATE_CONFIRMED")
    return {
        "Publish": lambda: stub.Publish(
            iter([pb.PublishRequest(hit=hit_to_pb(make_hit(1, checkpoint="gate-1")))]), **how
        ),
        "Subscribe": lambda: next(stub.Subscribe(pb.SubscribeRequest(), **how)),
        "ListAlerts": lambda: stub.ListAlerts(pb.ListAlertsRequest(), **how),
        "GetAlert": lambda: stub.GetAlert(pb.GetAlertRequest(id="hit-1"), **how),
        "GetEvidence": lambda: stub.GetEvidence(pb.GetEvidenceRequest(id="hit-1"), **how),
        "ReviewAlert": lambda: stub.ReviewAlert(review, **how),
        "EscalateAlert": lambda: stub.EscalateAlert(pb.EscalateAlertRequest(id="hit-1"), **how),
        "GetStats": lambda: stub.GetStats(pb.GetStatsRequest(), **how),
        "ReportStatus": lambda: stub.ReportStatus(pb.ReportStatusRequest(report=report), **how),
        "ListCheckpoints": lambda: stub.ListCheckpoints(pb.ListCheckpointsRequest(), **how),
    }


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def test_all_calls_are_tried_here() -> None:
    service = pb.DESCRIPTOR.services_by_name["Alerts"]
    assert set(calls(None)) == {method.name for method in service.methods}


def test_nobody_is_anonymous_beyond_loopback(guarded: Guarded) -> None:
    with guarded.stub(guarded.people) as stub:
        for name, call in calls(stub).items():
            assert refused(call) == (Code.UNAUTHENTICATED, Reason.CREDENTIALS_MISSING), name
    with open_channel(guarded.people, guarded.ca) as channel:
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        assert refused(lambda: reflection.ServerReflectionInfo(iter([asked])))[0] is (
            Code.UNAUTHENTICATED
        )
        health = health_pb2_grpc.HealthStub(channel)  # for this machine's own supervisor
        answer = health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        for name in ("Publish", "ListAlerts"):  # what they send is not even read
            call = channel.stream_stream(f"/checkpoint.v1.Alerts/{name}")
            assert refused(lambda call=call: call(iter([b"\xff" * 50])))[0] is Code.UNAUTHENTICATED
    assert guarded.audited() == []


@pytest.mark.parametrize("role", AccessRole)
def test_a_token_opens_what_its_role_may(
    role: AccessRole, guarded: Guarded, publish: Callable[..., None]
) -> None:
    publish(1)
    token = guarded.token("Wang Wei", role)
    reviewers = {AccessRole.EDITOR, AccessRole.APPROVER}
    with guarded.stub(guarded.people) as stub:
        for name, call in calls(stub, bearer(token)).items():
            if name in ("Publish", "ReportStatus"):
                assert refused(call) == (Code.PERMISSION_DENIED, Reason.NOT_A_PUBLISHER)
            elif name == "ReviewAlert" and role not in reviewers:
                assert refused(call) == (Code.PERMISSION_DENIED, Reason.ROLE_MISSING)
            elif name == "EscalateAlert":
                code = Code.FAILED_PRECONDITION if role in reviewers else Code.PERMISSION_DENIED
                assert refused(call)[0] is code
            else:
                whole(call)
    done = [action for actor, action, _ in guarded.audited() if actor == "Wang Wei"]
    assert {"alerts.watch", "alerts.list", "alerts.get", "alerts.evidence"} <= set(done)
    assert ("alerts.review" in done) == (role in reviewers)
    assert ("alerts.review.refused" in done) == (role not in reviewers)
    assert f"alerts.escalate.{'failed' if role in reviewers else 'refused'}" in done


def test_a_review_stands_in_the_name_of_the_token_and_is_written_down_before(
    guarded: Guarded, publish: Callable[..., None]
) -> None:
    publish(1)
    with guarded.person(guarded.token("Wang Wei", AccessRole.EDITOR)) as client:
        with pytest.raises(AlertServiceError, match="cannot act in another name"):
            client.review("hit-1", ReviewState.CONFIRMED, "Li Na")
        alert = client.review("hit-1", ReviewState.CONFIRMED, note="same car", outcome="stopped")
        assert (alert.reviewer, alert.reviewer_named_by) == ("Wang Wei", NamedBy.TOKEN)
        assert (alert.review_note, alert.outcome) == ("same car", "stopped")
        (event,) = [one for one in client.history("hit-1") if one.kind is HistoryKind.REVIEW]
        assert (event.person, event.named_by) == ("Wang Wei", NamedBy.TOKEN)
    _, done = [one for one in records(guarded.folder / AUDIT_FILE) if one.action == "alerts.review"]
    assert (done.actor, done.subject, done.reason) == ("Wang Wei", "hit-1", "same car")
    assert done.origin.startswith(("ipv4:", "ipv6:"))
    assert json.loads(done.details) == {
        "by": "token", "decision": "REVIEW_STATE_CONFIRMED", "outcome": "stopped",
    }  # fmt: skip
    refusals = [
        one for one in records(guarded.folder / AUDIT_FILE) if one.action == "alerts.review.failed"
    ]
    assert json.loads(refusals[0].details)["why"] == "OTHER_PERSON"


def test_what_cannot_be_written_down_is_not_done(
    guarded: Guarded, publish: Callable[..., None]
) -> None:
    publish(1)
    (guarded.folder / AUDIT_FILE).write_bytes(b"this is no audit log" * 100)
    with guarded.stub(guarded.people) as stub:
        mine = calls(stub, bearer(guarded.token("Wang Wei", *AccessRole)))
        for name in ("ReviewAlert", "EscalateAlert", "GetEvidence", "ListAlerts", "Subscribe"):
            assert refused(mine[name]) == (Code.UNAVAILABLE, Reason.AUDIT_UNAVAILABLE), name
    with CheckpointClient(guarded.service.local_target) as client:
        assert client.get("hit-1").review is ReviewState.UNVERIFIED


def test_a_revoked_token_is_refused_and_its_open_feed_is_cut(
    guarded: Guarded, publish: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_RENEW_S", 0.05)
    publish(1)
    issued = guarded.tokens.issue("Wang", {AccessRole.VIEWER}, timedelta(days=1), given_by="t")
    with guarded.person(issued.token) as client:
        feed = client.subscribe(0)
        assert next(feed).id == "hit-1"
        guarded.tokens.revoke(issued.record.id, revoked_by="t")
        with pytest.raises(AlertServiceError, match="is revoked"):
            next(feed)
        with pytest.raises(AlertServiceError, match="is revoked"):
            client.list()


def test_a_machine_publishes_for_its_own_checkpoint_and_what_it_may_not_send_waits(
    guarded: Guarded, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    publisher = Publisher(outbox, guarded.machines, **guarded.files("gate-1"), backoff_max_s=0.2)
    publisher.start()
    submit(publisher, make_hit(1, checkpoint="gate-1"))
    assert publisher.flush(PATIENCE_S) == 0
    submit(publisher, make_hit(2, checkpoint="another"))
    wait_until(lambda: "may publish for gate-1" in (publisher.state().last_error or ""))
    assert outbox.depth() == 1
    assert outbox.refused() == []
    publisher.stop()
    outbox.close()
    with guarded.stub(guarded.machines, **guarded.files("gate-1")) as stub:
        mine = calls(stub)
        for name in ("Subscribe", "ListAlerts", "GetEvidence", "ReviewAlert"):
            assert refused(mine[name]) == (Code.PERMISSION_DENIED, Reason.ROLE_MISSING)
        mine["ReportStatus"]()


def test_a_persons_certificate_reviews_and_publishes_nothing(
    guarded: Guarded, publish: Callable[..., None]
) -> None:
    publish(1)
    with CheckpointClient(guarded.machines, **guarded.files("Li-Na")) as client:
        alert = client.review("hit-1", ReviewState.REJECTED)
        assert (alert.reviewer, alert.reviewer_named_by) == ("Li Na", NamedBy.CERTIFICATE)
    with guarded.stub(guarded.machines, **guarded.files("Li-Na")) as stub:
        assert refused(calls(stub)["Publish"]) == (Code.PERMISSION_DENIED, Reason.NOT_A_PUBLISHER)
    assert ("Li Na", "alerts.review", "hit-1") in guarded.audited()


def test_a_token_names_the_person_behind_a_machines_certificate(
    guarded: Guarded, publish: Callable[..., None]
) -> None:
    publish(1)
    token = guarded.token("Wang Wei", AccessRole.VIEWER)
    with CheckpointClient(guarded.machines, **guarded.files("gate-1"), token=token) as client:
        assert [alert.id for alert in client.list()] == ["hit-1"]
    assert ("Wang Wei", "alerts.list", "alerts") in guarded.audited()


def _of_another_authority(folder: Path) -> Authority:
    return make_certificates(folder, "gate-1")


def _expired(folder: Path, authority: Authority) -> Path:
    (folder / "ca.pem").write_bytes(authority.certificate.read_bytes())
    (folder / "ca.key").write_bytes(authority.key.read_bytes())
    (folder / "ca.key").chmod(0o600)
    long_ago = datetime.now(UTC) - timedelta(days=30)
    return Authority(folder).issue("gate-1", (), long_ago, days=10).path


def test_certificates_that_do_not_count_never_get_to_a_call(
    guarded: Guarded, tmp_path: Path
) -> None:
    other = _of_another_authority(tmp_path / "other")
    expired = _expired(tmp_path, guarded.authority)
    for files in (
        {},
        {"cert": other.folder / "gate-1.pem", "key": other.folder / "gate-1.key"},
        {"cert": expired, "key": expired.with_suffix(".key")},
    ):
        with guarded.stub(guarded.machines, **files) as stub:
            assert refused(calls(stub)["ListAlerts"]) == (Code.UNAVAILABLE, None)
    theirs = {**guarded.files("gate-1"), "ca": other.certificate}
    with guarded.stub(guarded.machines, **theirs) as stub:  # they do not trust us
        assert refused(calls(stub)["ListAlerts"])[0] is Code.UNAVAILABLE
    elsewhere = guarded.machines.replace("localhost", "127.0.0.2")  # a name we have not
    with guarded.stub(elsewhere, **guarded.files("gate-1")) as stub:
        assert refused(calls(stub)["ListAlerts"])[0] is Code.UNAVAILABLE


def test_a_callers_certificate_cannot_serve(
    guarded: Guarded, redis: RedisServer, authority: Authority
) -> None:
    folder = authority.folder
    tls = TlsSettings(certificate=folder / "gate-1.pem", key=folder / "gate-1.key")
    service = AlertService(AlertSettings(listen="127.0.0.1:0", tls=tls), redis.client())
    address = service.start()
    try:
        ours = CheckpointClient(address, authority.certificate)
        with ours, pytest.raises(AlertServiceError):
            ours.list()
    finally:
        assert service.stop(90)


def test_a_revoked_certificate_is_refused(
    authority: Authority, redis: RedisServer, tmp_path: Path
) -> None:
    (info,) = [one for one in authority.issued() if one.name == "gate-1"]
    folder = authority.folder
    tls = TlsSettings(
        certificate=folder / "server.pem", key=folder / "server.key",
        client_ca=folder / "ca.pem", revoked=(info.fingerprint,),
    )  # fmt: skip
    service = AlertService(AlertSettings(listen="0.0.0.0:0", tls=tls), redis.client())
    port = service.start().rpartition(":")[2]
    made = Guarded(service, TokenStore(tmp_path / "a", SystemClock()), tmp_path, authority)
    try:
        with made.stub(f"localhost:{port}", **made.files("gate-1")) as stub:
            for name, call in calls(stub).items():
                found = refused(call)
                assert found == (Code.UNAUTHENTICATED, Reason.CREDENTIALS_INVALID), name
    finally:
        assert service.stop(90)


def test_messages_beyond_their_size_are_refused_and_harm_nobody(guarded: Guarded) -> None:
    token = guarded.token("Wang", *AccessRole)
    with guarded.stub(guarded.people) as stub:
        how = {"metadata": bearer(token), "timeout": PATIENCE_S}
        large = pb.GetAlertRequest(id="x" * 100_000)
        assert refused(lambda: stub.GetAlert(large, **how)) == (
            Code.RESOURCE_EXHAUSTED,
            Reason.MESSAGE_TOO_LARGE,
        )
        many = (*bearer(token), ("x-large", "y" * 100_000))
        assert refused(lambda: stub.GetStats(pb.GetStatsRequest(), metadata=many))[0] is (
            Code.RESOURCE_EXHAUSTED
        )
    files = guarded.files("gate-1")
    ours = grpc.ssl_channel_credentials(
        guarded.ca.read_bytes(), files["key"].read_bytes(), files["cert"].read_bytes()
    )
    unlimited = (("grpc.max_send_message_length", -1),)
    with grpc.secure_channel(guarded.machines, ours, unlimited) as channel:
        huge = pb.PublishRequest(hit=hit_to_pb(make_hit(1, jpeg=b"x" * 9_000_000)))
        publish = alerts_pb2_grpc.AlertsStub(channel).Publish
        assert refused(lambda: publish(iter([huge])))[0] is Code.RESOURCE_EXHAUSTED
    with guarded.person(token) as client:
        assert client.list() == []


def test_a_peer_with_too_many_streams_is_told_when_to_come_back(
    authority: Authority, redis: RedisServer, tmp_path: Path
) -> None:
    with guarded_service(authority, redis, tmp_path, limits=LimitSettings(streams=3)) as guarded:
        token = guarded.token("Wang", AccessRole.VIEWER)
        with guarded.stub(guarded.people) as stub:
            how = {"metadata": bearer(token)}
            open_calls = [stub.Subscribe(pb.SubscribeRequest(), **how) for _ in range(3)]
            for call in open_calls:
                next(call)
            one_more = refused(lambda: stub.GetStats(pb.GetStatsRequest(), **how))
            assert one_more == (Code.RESOURCE_EXHAUSTED, Reason.STREAM_LIMIT)
            open_calls.pop().cancel()
            wait_until(lambda: _answers(lambda: stub.GetStats(pb.GetStatsRequest(), **how)))


def test_a_peer_that_calls_too_often_is_told_when_to_come_back(
    authority: Authority, redis: RedisServer, tmp_path: Path
) -> None:
    with guarded_service(
        authority, redis, tmp_path, limits=LimitSettings(calls_per_s=2)
    ) as guarded:
        how = {"metadata": bearer(guarded.token("Wang", AccessRole.VIEWER))}
        with guarded.stub(guarded.people) as stub:
            open_call = stub.Subscribe(pb.SubscribeRequest(), **how)
            next(open_call)
            found = []
            while Reason.RATE_LIMIT not in found:  # a wrong token counts as much as a right one
                with pytest.raises(grpc.RpcError) as caught:
                    stub.GetStats(pb.GetStatsRequest(), metadata=bearer("wrong"))
                found.append(reason_of(caught.value))
            assert set(found) == {Reason.CREDENTIALS_INVALID, Reason.RATE_LIMIT}
            names = {type(one).__name__ for one in _details(caught.value)}
            assert names == {"ErrorInfo", "RetryInfo"}
            assert next(open_call).HasField("cursor")  # what is open goes on
            open_call.cancel()
        with CheckpointClient(guarded.service.local_target) as own:  # our own is not limited
            for _ in range(60):
                own.list(1)


def _answers(call: Callable[[], Any]) -> bool:
    with contextlib.suppress(grpc.RpcError, AlertServiceError):
        call()
        return True
    return False


def _details(error: grpc.RpcError) -> list[Any]:
    found = []
    for packed in rpc_status.from_call(error).details:
        for kind in (
            error_details_pb2.ErrorInfo,
            error_details_pb2.RetryInfo,
            error_details_pb2.BadRequest,
        ):
            message = kind()
            if packed.Unpack(message):
                found.append(message)
    return found


def test_beyond_so_many_connections_others_are_closed_and_ours_goes_on(
    redis: RedisServer, tmp_path: Path
) -> None:
    settings = AlertSettings(listen="127.0.0.1:0", limits=LimitSettings(connections=3))
    service = AlertService(settings, redis.client())
    host, _, port = service.start().rpartition(":")
    with contextlib.ExitStack() as stack:

        def accepted() -> bool:
            one = stack.enter_context(
                socket.create_connection((host, int(port)), timeout=PATIENCE_S)
            )
            one.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5))
            try:
                return bool(one.recv(1))
            except ConnectionError:
                return False

        assert [accepted() for _ in range(5)] == [True, True, True, False, False]
        with CheckpointClient(service.local_target) as client:
            client.list()
    with CheckpointClient(f"{host}:{port}") as client:  # there is room again
        wait_until(lambda: _answers(client.stats))
    assert service.stop(90)


def test_an_error_names_the_field_at_fault_for_machines(
    guarded: Guarded, publish: Callable[..., None]
) -> None:
    publish(1)
    with guarded.stub(guarded.people) as stub:
        how = {"metadata": bearer(guarded.token("Wang", AccessRole.APPROVER))}
        with pytest.raises(grpc.RpcError) as caught:
            stub.ReviewAlert(pb.ReviewAlertRequest(id="hit-1", decision=0), **how)
        info, bad = _details(caught.value)
        assert (info.domain, info.reason) == ("checkpoint", "FIELD_INVALID")
        assert [one.field for one in bad.field_violations] == ["decision"]
        decided = pb.ReviewAlertRequest(id="hit-1", decision="REVIEW_STATE_CONFIRMED")
        stub.ReviewAlert(decided, **how)
        other = {"metadata": bearer(guarded.token("Li", AccessRole.APPROVER))}
        with pytest.raises(grpc.RpcError) as caught:
            stub.ReviewAlert(decided, **other)
        found = error_info(caught.value)
        assert found is not None
        assert found.reason == "ALREADY_DECIDED"
        assert (found.metadata["reviewer"], found.metadata["decision"]) == ("Wang", "confirmed")


def test_loopback_is_closed_too_where_credentials_are_required(
    redis: RedisServer, tmp_path: Path
) -> None:
    redis.client().flushall()
    tokens = TokenStore(tmp_path / "access.sqlite", SystemClock())
    service = AlertService(
        AlertSettings(listen="127.0.0.1:0"),
        redis.client(),
        access=Access(AccessSettings(required=True), tokens),
    )
    address = service.start()
    outbox = Outbox(tmp_path / "outbox.db")
    publisher = Publisher(outbox, service.local_target)
    publisher.start()
    try:
        submit(publisher, make_hit(1))
        assert publisher.flush(PATIENCE_S) == 0
        with grpc.insecure_channel(address) as channel:
            stub = alerts_pb2_grpc.AlertsStub(channel)
            for name, call in calls(stub).items():
                found = refused(call)
                assert found == (Code.UNAUTHENTICATED, Reason.CREDENTIALS_MISSING), name
        issued = tokens.issue("Wang", {AccessRole.VIEWER}, timedelta(days=1), given_by="t")
        with CheckpointClient(address, token=issued.token) as client:
            assert [alert.id for alert in client.list()] == ["hit-1"]
    finally:
        publisher.stop()
        outbox.close()
        assert service.stop(90)


def test_secrets_stand_in_no_log_message_or_repr(
    guarded: Guarded, publish: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    publish(1)
    token = guarded.token("Wang", AccessRole.VIEWER)
    said = []
    for given in (token, token[:-1] + "!", "checkpoint_" + "A" * 43):
        with guarded.person(given) as client:
            said.append(repr(client))
            for call in (client.list, lambda client=client: client.review("x", "confirmed")):
                with contextlib.suppress(AlertServiceError, AttributeError):
                    call()
            with contextlib.suppress(AlertServiceError) as error:
                client.escalate("hit-1")
            said.append(repr(error))
    said += capfd.readouterr()
    said.append((guarded.folder / AUDIT_FILE).read_bytes().decode("utf-8", "replace"))
    key = guarded.files("server")["key"].read_text().splitlines()[1]
    for text in said:
        assert token not in text
        assert token[11:30] not in text
        assert key not in text
    assert "call refused" in said[-3] + said[-2]


def test_a_token_never_travels_in_the_clear_beyond_this_machine() -> None:
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; says which address we would use
        address = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    with contextlib.closing(socket.create_server((address, 0))) as listener:
        target = f"{address}:{listener.getsockname()[1]}"
        with CheckpointClient(target, token="checkpoint_secret") as client:
            call = client._stub.GetStats.future(pb.GetStatsRequest(), metadata=client._metadata)
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(PATIENCE_S)
                said = connection.recv(4096)
            call.cancel()
    assert said.startswith(b"\x16\x03")  # a TLS handshake
    assert b"checkpoint_secret" not in said


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"listen": "127.0.0.1:0", "listen_tokens": "0.0.0.0:0"}, "listen_tokens.*without TLS"),
        ({"listen": "127.0.0.1:0", "listen_tokens": "127.0.0.1:0"}, "leave it out"),
    ],
)
def test_what_would_be_exposed_is_refused(
    settings: dict[str, str], said: str, redis: RedisServer
) -> None:
    with pytest.raises(ConfigError, match=said):
        AlertService(AlertSettings(**settings), redis.client())


def test_an_expired_certificate_of_the_service_is_said_at_the_start(
    authority: Authority, redis: RedisServer, tmp_path: Path
) -> None:
    expired = _expired(tmp_path, authority)
    tls = TlsSettings(certificate=expired, key=expired.with_suffix(".key"))
    service = AlertService(AlertSettings(listen="127.0.0.1:0", tls=tls), redis.client())
    with pytest.raises(ConfigError, match="has expired on"):
        service.start()


def test_the_service_says_what_it_exposes(
    authority: Authority, redis: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with guarded_service(authority, redis, tmp_path):
        wait_until(lambda: True)
    said = capsys.readouterr().out
    assert said.count("exposes alerts, plates and evidence pictures") == 2
    assert "machines with a certificate publish" in said
    assert "persons with a token watch" in said
    assert said.count("nobody can get in there yet") == 1  # with certificates one may


def test_a_call_that_takes_too_long_is_given_up(
    guarded: Guarded, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_LONGEST_S", 0.05)
    how = {"metadata": bearer(guarded.token("Wang", AccessRole.VIEWER))}
    with guarded.stub(guarded.people) as stub:
        redis.client().client_pause(300)
        late = refused(lambda: stub.GetAlert(pb.GetAlertRequest(id="hit-1"), **how))
        assert late == (Code.DEADLINE_EXCEEDED, Reason.DEADLINE)
        wait_until(lambda: guarded.service.problem is None)


def test_a_mistake_of_ours_is_told_without_what_is_inside(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("at redis://user:hunter2@host/0")

    monkeypatch.setattr(stats, "count", broken)
    how = {"metadata": bearer(guarded.token("Wang", AccessRole.VIEWER))}
    with guarded.stub(guarded.people) as stub:
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetStats(pb.GetStatsRequest(), **how)
        assert (caught.value.code(), reason_of(caught.value)) == (Code.INTERNAL, Reason.INTERNAL)
        assert "redis" not in caught.value.details()
        stub.ListAlerts(pb.ListAlertsRequest(), **how)
    said = capfd.readouterr().out
    assert "call failed" in said
    assert "redis://***@host/0" in said
    assert "hunter2" not in said


def test_whoever_does_not_read_a_picture_is_cut(
    guarded: Guarded, publish: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(1, jpeg=b"\xff\xd8" + b"x" * 3_900_000)
    monkeypatch.setattr(gate, "_LONGEST_S", 0.3)
    how = {"metadata": bearer(guarded.token("Wang", AccessRole.VIEWER))}
    small = (("grpc.http2.lookahead_bytes", 65_536), ("grpc.http2.bdp_probe", 0))
    ours = grpc.ssl_channel_credentials(guarded.ca.read_bytes())
    with grpc.secure_channel(guarded.people, ours, small) as channel:
        stub = alerts_pb2_grpc.AlertsStub(channel)
        call = stub.GetEvidence(pb.GetEvidenceRequest(id="hit-1"), **how)
        next(call)
        time.sleep(0.6)
        assert refused(lambda: call) == (Code.DEADLINE_EXCEEDED, Reason.DEADLINE)
        whole(lambda: stub.GetEvidence(pb.GetEvidenceRequest(id="hit-1"), **how))
