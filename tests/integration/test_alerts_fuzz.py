"""Random and mutated messages, tokens, certificates and bytes against a real service.

Whatever is sent, the caller gets a status that says so, nobody else is harmed, and nothing stays
behind.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, event, given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from checkpoint.v1 import alerts_pb2 as pb
from checkpoint.v1 import alerts_pb2_grpc
from pipeline.access import AccessRole, TokenStore
from pipeline.alerts import CheckpointClient
from pipeline.alerts.auth import SERVICE, Access
from pipeline.alerts.channel import open_channel
from pipeline.alerts.service import AlertService
from pipeline.alerts.status import reason_of
from pipeline.audit import AUDIT_FILE, AuditLog
from pipeline.certificates import Authority
from pipeline.clock import SystemClock
from pipeline.config import AccessSettings, AlertSettings, LimitSettings, TlsSettings
from pipeline.convert import hit_to_pb
from tests.integration.alerts_support import make_certificates, make_hit, redis_server
from tests.support.waiting import PATIENCE_S

pytestmark = [pytest.mark.grpc, pytest.mark.redis]

Code = grpc.StatusCode
FUZZ = settings_of(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LIMITS = LimitSettings(calls_per_s=100_000, streams=2_000)
METHODS = [method.name for method in pb.DESCRIPTOR.services_by_name["Alerts"].methods]
ANSWERS = {
    Code.OK,
    Code.INVALID_ARGUMENT,
    Code.NOT_FOUND,
    Code.OUT_OF_RANGE,
    Code.FAILED_PRECONDITION,
    Code.ABORTED,
    Code.RESOURCE_EXHAUSTED,
    Code.PERMISSION_DENIED,  # a hit or report of another checkpoint
    Code.CANCELLED,  # by ourselves, where a feed goes on
}


class Target:
    """A service with plain loopback, and one with TLS beyond it, on one store."""

    def __init__(self, redis: Any, folder: Path) -> None:
        self.authority: Authority = make_certificates(folder / "c", "gate-1")
        certificates = self.authority.folder
        self.tokens = TokenStore(folder / "access.sqlite", SystemClock())
        self.token = self.tokens.issue("Wang", AccessRole, timedelta(days=1), given_by="test").token
        access = Access(
            AccessSettings(), self.tokens, lambda: AuditLog(folder / AUDIT_FILE, SystemClock())
        )
        tls = TlsSettings(
            certificate=certificates / "server.pem", key=certificates / "server.key",
            client_ca=certificates / "ca.pem",
        )  # fmt: skip
        far = AlertSettings(listen="0.0.0.0:0", listen_tokens="0.0.0.0:0", tls=tls, limits=LIMITS)
        here = AlertSettings(listen="127.0.0.1:0", limits=LIMITS)
        self.far = AlertService(far, redis.client(), access=access, heartbeat_s=0.1)
        self.here = AlertService(here, redis.client(), heartbeat_s=0.1)
        self.far.start()
        self.here.start()
        self.machines, self.people = (
            "localhost:" + one.rpartition(":")[2] for one in self.far.addresses
        )
        self.plain = self.here.addresses[0]

    def check_serves(self) -> None:
        """It answers as ever, and nothing of what was sent is still open."""
        for service in (self.far, self.here):
            assert service.problem is None
            with CheckpointClient(service.local_target) as client:
                client.list(1)
                for _ in range(100):
                    stats = client.stats()
                    if stats.subscribers == stats.publishers == 0:
                        break
                assert (stats.subscribers, stats.publishers) == (0, 0)

    def close(self) -> None:
        assert self.far.stop(90)
        assert self.here.stop(90)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("fuzz")
    with redis_server(tmp_path_factory.mktemp("redis")) as redis:
        made = Target(redis, folder)
        yield made
        made.check_serves()
        made.close()


@pytest.fixture(scope="module")
def plain(target: Target) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(target.plain) as channel:
        yield channel


@pytest.fixture(scope="module")
def people(target: Target) -> Iterator[grpc.Channel]:
    with open_channel(target.people, target.authority.certificate) as channel:
        yield channel


def _stamped() -> pb.ReportStatusRequest:
    report = pb.ReportStatusRequest(report=pb.CheckpointReport(checkpoint="gate-1"))
    report.report.reported_at.FromSeconds(1_800_000_000)
    return report


WHOLE = {
    "Publish": pb.PublishRequest(hit=hit_to_pb(make_hit(1))),
    "Subscribe": pb.SubscribeRequest(after_sequence=0, checkpoints=["north gate"], kinds=[1]),
    "ListAlerts": pb.ListAlertsRequest(page_size=3, page_token="9", cameras=["east"]),
    "GetAlert": pb.GetAlertRequest(id="hit-1"),
    "ReviewAlert": pb.ReviewAlertRequest(id="hit-1", decision=2, reviewer="Wang", note="no"),
    "EscalateAlert": pb.EscalateAlertRequest(id="hit-1", note="why", person="Wang"),
    "GetEvidence": pb.GetEvidenceRequest(id="hit-1", revision=0),
    "GetStats": pb.GetStatsRequest(checkpoints=["north gate"]),
    "ReportStatus": _stamped(),
    "ListCheckpoints": pb.ListCheckpointsRequest(states=[1]),
}
assert set(WHOLE) == set(METHODS)


SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1) | st.integers(0, 5),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1) | st.integers(0, 5),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(),
    FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32),
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_ENUM: st.integers(0, 20) | st.integers(-(2**31), 2**31 - 1),
}
TEXT = st.sampled_from(["hit-1", "Wang", "north gate", "1"]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=300
)


def fill(draw: st.DrawFn, message: Message, depth: int = 0) -> None:
    """Give any of a message's fields any value of its type."""
    for one in message.DESCRIPTOR.fields:
        if draw(st.integers(0, 3)) == 0:
            continue
        many = one.is_repeated
        if one.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            if depth < 3 and not (many and one.message_type.GetOptions().map_entry):
                inside = getattr(message, one.name)
                fill(draw, inside.add() if many else inside, depth + 1)
            continue
        if one.type == FieldDescriptor.TYPE_BYTES:
            value = draw(st.binary(max_size=40))
        elif one.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            value = draw(TEXT)
        else:
            value = draw(SCALARS[one.cpp_type])
        if many:
            getattr(message, one.name).append(value)
        else:
            setattr(message, one.name, value)


@st.composite
def readable(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """A method, and a message that can be read, with any values in its fields."""
    method = draw(st.sampled_from(METHODS))
    message = type(WHOLE[method])()
    if draw(st.booleans()):
        message.CopyFrom(WHOLE[method])
    fill(draw, message)
    return method, [message.SerializeToString()]


@st.composite
def messages(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """A method, and messages for it: random bytes, or whole ones with bytes changed or cut."""
    method = draw(st.sampled_from(METHODS))
    sent = []
    for _ in range(draw(st.integers(1, 3 if method == "Publish" else 1))):
        if draw(st.booleans()):
            sent.append(draw(st.binary(max_size=300)))
            continue
        message = bytearray(WHOLE[method].SerializeToString())
        for _ in range(draw(st.integers(0, 8))):
            if message:
                message[draw(st.integers(0, len(message) - 1))] = draw(st.integers(0, 255))
        sent.append(
            bytes(message[: draw(st.integers(0, len(message)))]) + draw(st.binary(max_size=8))
        )
    return method, sent


def outcome(
    channel: grpc.Channel, method: str, sent: list[bytes], metadata: Any = ()
) -> grpc.StatusCode:
    """How a raw call ends; one that does not end by itself is cancelled after three answers."""
    call = channel.stream_stream(SERVICE + method)(
        iter(sent), timeout=PATIENCE_S, metadata=metadata
    )
    with contextlib.suppress(grpc.RpcError):
        for _ in itertools.islice(call, 3):
            pass
        if method == "Subscribe":
            call.cancel()
    found: grpc.StatusCode = call.code()
    return found


@given(messages() | readable())
@FUZZ
def test_any_message_over_loopback_gets_a_status(
    plain: grpc.Channel, call: tuple[str, list[bytes]]
) -> None:
    found = outcome(plain, *call)
    event(f"{call[0]}: {found.name}")
    assert found in ANSWERS


@given(messages() | readable())
@FUZZ
def test_any_message_of_a_person_gets_a_status(
    target: Target, people: grpc.Channel, call: tuple[str, list[bytes]]
) -> None:
    metadata = (("authorization", f"Bearer {target.token}"),)
    assert outcome(people, *call, metadata) in ANSWERS


@given(messages())
@FUZZ
def test_any_message_of_a_stranger_is_refused_unread(
    people: grpc.Channel, call: tuple[str, list[bytes]]
) -> None:
    assert outcome(people, *call) is Code.UNAUTHENTICATED


PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300)


@given(PRINTABLE | PRINTABLE.map("Bearer ".__add__), st.sampled_from(METHODS))
@FUZZ
def test_any_header_that_is_no_token_is_refused(
    people: grpc.Channel, header: str, method: str
) -> None:
    sent = [WHOLE[method].SerializeToString()]
    found = outcome(people, method, sent, (("authorization", header.strip()),))
    assert found is Code.UNAUTHENTICATED


@given(st.data())
@FUZZ
def test_a_token_with_any_character_changed_is_refused(
    target: Target, people: grpc.Channel, data: st.DataObject
) -> None:
    token = target.token
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(
        st.characters(min_codepoint=33, max_codepoint=126).filter(token[place].__ne__)
    )
    changed = token[:place] + other + token[place + 1 :]
    stub = alerts_pb2_grpc.AlertsStub(people)
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetStats(pb.GetStatsRequest(), metadata=(("authorization", f"Bearer {changed}"),))
    assert reason_of(caught.value) == "CREDENTIALS_INVALID"


@given(st.data())
@settings_of(FUZZ, max_examples=25)
def test_a_damaged_client_certificate_never_gets_to_a_call(
    target: Target, data: st.DataObject
) -> None:
    folder = target.authority.folder
    lines = (folder / "gate-1.pem").read_bytes().splitlines()
    place = data.draw(st.integers(1, len(lines) - 2))
    column = data.draw(st.integers(0, len(lines[place]) - 1))
    symbol = data.draw(st.sampled_from(b"ABCxyz019+/"))
    lines[place] = lines[place][:column] + bytes([symbol]) + lines[place][column + 1 :]
    pem = b"\n".join(lines) + b"\n"
    if pem.split() == (folder / "gate-1.pem").read_bytes().split():
        return
    credentials = grpc.ssl_channel_credentials(
        target.authority.certificate.read_bytes(), (folder / "gate-1.key").read_bytes(), pem
    )
    with grpc.secure_channel(target.machines, credentials) as channel:
        assert outcome(channel, "ReportStatus", [_stamped().SerializeToString()]) is (
            Code.UNAVAILABLE
        )


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@given(
    st.sampled_from(["plain", "people", "machines"]),
    st.binary(max_size=400) | st.binary(max_size=400).map(PREFACE.__add__),
)
@FUZZ
def test_any_bytes_at_a_port_harm_nobody(target: Target, which: str, sent: bytes) -> None:
    port = int(getattr(target, which).rpartition(":")[2])
    with contextlib.closing(
        socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    ) as connection:
        connection.sendall(sent)
        connection.settimeout(0.02)
        with contextlib.suppress(OSError):
            connection.recv(100)
    with grpc.insecure_channel(target.plain) as channel:
        sent_whole = [WHOLE["GetStats"].SerializeToString()]
        assert outcome(channel, "GetStats", sent_whole) is Code.OK


def test_nothing_stays_behind(target: Target, plain: grpc.Channel, people: grpc.Channel) -> None:
    process = psutil.Process(os.getpid())
    grown = []
    for _ in range(3):
        for method, message in WHOLE.items():
            for channel in (plain, people):
                for sent in (message.SerializeToString(), b"\xff" * 20_000, b""):
                    outcome(channel, method, [sent] * 2)
        grown.append((process.memory_info().rss, process.num_fds(), threading.active_count()))
    target.check_serves()
    (_, _, _), (rss, fds, threads), (rss_after, fds_after, threads_after) = grown
    assert rss_after - rss < 20 * 1024 * 1024
    assert fds_after <= fds + 4
    assert threads_after <= threads + 4
