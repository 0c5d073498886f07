"""Every command in docs/alerts.md, run against a real service by reflection alone."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from pipeline.access import AccessRole, TokenStore
from pipeline.alerts import CheckpointClient
from pipeline.alerts.auth import Access
from pipeline.alerts.publisher import Publisher
from pipeline.alerts.service import AlertService
from pipeline.alerts.status import Reason, error_info, reason_of
from pipeline.certificates import Authority
from pipeline.clock import SystemClock
from pipeline.config import AlertSettings, TlsSettings
from pipeline.outbox import Outbox
from tests.integration.alerts_support import make_certificates, make_hit, redis_server, submit
from tests.support.waiting import PATIENCE_S

pytestmark = [pytest.mark.grpc, pytest.mark.redis]

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/alerts.md").read_text(encoding="utf-8")


@dataclass
class Command:
    """One grpcurl command line. ``expected``: the error that the line before it names."""

    target: str
    verb: str
    symbol: str = ""
    data: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    headers: list[tuple[str, str]] = field(default_factory=list)
    expected: str = ""


def commands() -> list[Command]:
    found = []
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.S):
        comment = ""
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("#"):
                comment = line.lstrip("# ")
            if line.startswith("grpcurl "):
                found.append(parsed(shlex.split(line)[1:], comment))
                comment = ""
    return found


def parsed(words: list[str], comment: str) -> Command:
    made = Command("", "call", expected=comment)
    rest = []
    while words:
        word = words.pop(0)
        if word in ("-cacert", "-cert", "-key"):
            made.files[word[1:]] = words.pop(0)
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            made.headers.append((name, value))
        elif word == "-d":
            made.data = words.pop(0)
        else:
            assert not word.startswith("-"), word
            rest.append(word)
    made.target = rest[0]
    if rest[1] in ("list", "describe"):
        made.verb = rest[1]
    made.symbol = rest[-1]
    return made


@dataclass
class Site:
    """A province's service as the document has it."""

    service: AlertService
    authority: Authority
    token: str

    def channel(self, command: Command) -> grpc.Channel:
        assert command.target in ("alerts.example:50051", "alerts.example:50052")
        bound = self.service.addresses[command.target.endswith("50052")]
        read = {
            name: (self.authority.folder / file).read_bytes()
            for name, file in command.files.items()
        }
        credentials = grpc.ssl_channel_credentials(
            read["cacert"], read.get("key"), read.get("cert")
        )
        return grpc.secure_channel("localhost:" + bound.rpartition(":")[2], credentials)

    def headers(self, command: Command) -> list[tuple[str, str]]:
        return [
            (name, value.replace("$CHECKPOINT_TOKEN", self.token))
            for name, value in command.headers
        ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    authority = make_certificates(folder / "c", "gate-1")
    tls = TlsSettings(
        certificate=authority.folder / "server.pem",
        key=authority.folder / "server.key",
        client_ca=authority.certificate,
    )
    tokens = TokenStore(folder / "access.sqlite", SystemClock())
    token = tokens.issue("Wang", {AccessRole.APPROVER}, timedelta(days=1), given_by="t").token
    settings = AlertSettings(listen="0.0.0.0:0", listen_tokens="0.0.0.0:0", tls=tls)
    with redis_server(tmp_path_factory.mktemp("redis")) as redis:
        service = AlertService(settings, redis.client(), access=Access(tokens=tokens))
        service.start()
        outbox = Outbox(folder / "outbox.db")
        publisher = Publisher(outbox, service.local_target)
        publisher.start()
        submit(publisher, make_hit(1))
        submit(publisher, make_hit(2))
        assert publisher.flush(PATIENCE_S) == 0
        publisher.stop()
        outbox.close()
        yield Site(service, authority, token)
        assert service.stop(90)


def run(site: Site, command: Command) -> list[Any]:
    """The answers, at most three; the messages are made from what reflection says."""
    headers = site.headers(command)
    with site.channel(command) as channel:
        if command.verb == "list":
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            asked = reflection_pb2.ServerReflectionRequest(list_services="")
            (answer,) = stub.ServerReflectionInfo(iter([asked]), metadata=headers)
            return [one.name for one in answer.list_services_response.service]
        shown = grpc.intercept_channel(channel, _Headers(headers))
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(shown))
        if command.verb == "describe":
            return [one.name for one in pool.FindServiceByName(command.symbol).methods]
        service, _, name = command.symbol.partition("/")
        method = pool.FindServiceByName(service).FindMethodByName(name)
        request = message_factory.GetMessageClass(method.input_type)()
        json_format.Parse(command.data or "{}", request, descriptor_pool=pool)
        answers = channel.stream_stream(
            f"/{command.symbol}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )(iter([request]), metadata=headers, timeout=90)
        found = []
        for answer in answers:
            found.append(json_format.MessageToDict(answer, preserving_proto_field_name=True))
            if len(found) == 3 and name == "Subscribe":
                answers.cancel()
                break
        return found


class _Headers(grpc.StreamStreamClientInterceptor):
    """Adds headers to reflection's calls, as grpcurl does with -H."""

    def __init__(self, headers: list[tuple[str, str]]) -> None:
        self._headers = headers

    def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        return continuation(details._replace(metadata=self._headers), requests)


def test_every_command_does_what_the_document_says(site: Site) -> None:
    found: dict[str, list[Any]] = {}
    reviews: list[Any] = []
    for command in commands():
        if command.expected:
            code, reason = command.expected.partition(":")[0].split()
            with pytest.raises(grpc.RpcError) as caught:
                run(site, command)
            assert caught.value.code().name == code, command
            assert reason_of(caught.value) is Reason(reason), command
            named = command.expected.partition(":")[2].replace(" ", "").split(",")
            info = error_info(caught.value)
            assert info is not None
            assert set(info.metadata) == {name for name in named if name}
        else:
            found[command.symbol] = run(site, command)
            if command.symbol.endswith("ReviewAlert"):
                reviews += found[command.symbol]
    calls = {name.rpartition("/")[2]: answers for name, answers in found.items()}
    assert "checkpoint.v1.Alerts" in calls["list"]
    assert {"Subscribe", "Publish"} <= set(calls["checkpoint.v1.Alerts"])
    assert "cursor" in calls["Subscribe"][0]
    assert [one["alert"]["sequence"] for one in calls["Subscribe"][1:]] != []
    assert {one["hit"]["id"] for one in calls["ListAlerts"][0]["alerts"]} == {"hit-1", "hit-2"}
    assert calls["GetAlert"][0]["history"][0]["kind"] == "HISTORY_KIND_HIT"
    assert calls["GetEvidence"][0]["total_bytes"] == "15"
    confirmed, rejected, taken_back = (one["alert"] for one in reviews)
    assert (confirmed["reviewer"], confirmed["outcome"]) == ("Wang", "stopped")
    assert rejected["review"] == "REVIEW_STATE_REJECTED"
    assert taken_back["review"] == "REVIEW_STATE_UNVERIFIED"
    assert calls["EscalateAlert"][0]["alert"]["escalated_by"] == "Wang"
    assert int(calls["GetStats"][0]["alerts"]) == 2
    assert calls["Publish"][0]["hit_id"] == "gate-1/7/3"
    assert "refusal" not in calls["Publish"][0]


def test_the_documents_python_is_that_of_the_package(site: Site) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    port = site.service.addresses[1].rpartition(":")[2]
    code = code.replace("alerts.example:50052", f"localhost:{port}")
    code = code.replace('Path("ca.pem")', "ca").replace("print(", "found.append((")
    code = code.replace("alert.review)", "alert.review)); break")
    found: list[Any] = []
    exec(code, {"token": site.token, "ca": site.authority.certificate, "found": found})
    assert found[0][1] == "京A12345"
    assert CheckpointClient.__doc__


def test_every_reason_of_the_document_and_every_file_is_there() -> None:
    for name in re.findall(r"\]\((\.\./[^)]+)\)", TEXT):
        assert (ROOT / "docs" / name).is_file()
    assert (ROOT / "proto/baseline.binpb").is_file()
    for name in re.findall(r"`([A-Z]+_[A-Z_]+)`", TEXT):
        assert name in Reason.__members__ or name in grpc.StatusCode.__members__, name
