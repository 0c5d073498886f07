"""Who calls and what that caller may: every rule, and credentials of any kind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.access import Person, TokenStore
from pipeline.alerts.auth import RULES, SERVICE, Access, Authenticator, Caller, is_here
from pipeline.alerts.status import CallRefused, Reason
from pipeline.certificates import Authority
from pipeline.clock import ManualClock
from pipeline.config import AccessRole, AccessSettings, AlertSettings, TlsSettings
from pipeline.types import NamedBy

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FAR = "ipv4:192.0.2.7:4711"
VIEWER, REVIEWER = {AccessRole.VIEWER}, {AccessRole.EDITOR, AccessRole.APPROVER}
REVIEWS = {SERVICE + "ReviewAlert", SERVICE + "EscalateAlert"}
MACHINES = {SERVICE + "Publish", SERVICE + "ReportStatus"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("auth")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    made = Authority(folder / "certificates")
    made.make("authority", NOW)
    for name in ("gate-1", "北门", "Li Na"):
        made.issue(name, (), NOW)
    return made


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def tokens(tmp_path: Path, clock: ManualClock) -> TokenStore:
    return TokenStore(tmp_path / "access.sqlite", clock)


def authenticator(
    clock: ManualClock, tokens: TokenStore | None = None, *, here: bool = False, **settings: object
) -> Authenticator:
    access = AccessSettings(
        certificates={"Li Na": frozenset({AccessRole.APPROVER})},
        required=bool(settings.pop("required", False)),
    )
    alerts = AlertSettings.model_validate(settings)
    return Authenticator(alerts, Access(access, tokens), clock, open_here=here)


def shown(authority: Authority, name: str) -> dict[str, list[bytes]]:
    return {"x509_pem_cert": [(authority.folder / f"{name}.pem").read_bytes()]}


def bearer(token: str) -> list[tuple[str, str]]:
    return [("user-agent", "x"), ("authorization", f"Bearer {token}")]


def reason(call: object, *arguments: object) -> Reason:
    with pytest.raises(CallRefused) as refused:
        call(*arguments)  # type: ignore[operator]
    return refused.value.reason


def test_every_call_of_the_service_has_a_rule() -> None:
    service = pb.DESCRIPTOR.services_by_name["Alerts"]
    assert set(RULES) == {SERVICE + method.name for method in service.methods}
    assert {name for name, rule in RULES.items() if rule.roles is None} == MACHINES
    assert {name for name, rule in RULES.items() if rule.roles == REVIEWER} == REVIEWS


@pytest.mark.parametrize("method", sorted(RULES))
@pytest.mark.parametrize("role", AccessRole)
def test_roles_by_method(method: str, role: AccessRole) -> None:
    caller = Caller(FAR, Person("Wang", frozenset({role}), "token"))
    allowed = method not in MACHINES and (method not in REVIEWS or role in REVIEWER)
    if allowed:
        caller.check(method)
    else:
        wanted = Reason.NOT_A_PUBLISHER if method in MACHINES else Reason.ROLE_MISSING
        assert reason(caller.check, method) is wanted


@pytest.mark.parametrize("method", ["/checkpoint.v1.Alerts/New", "/other.Service/Call", ""])
def test_a_method_without_a_rule_is_for_nobody(method: str) -> None:
    for caller in (
        Caller(FAR, Person("Wang", frozenset(AccessRole), "token")),
        Caller("unix:", local=True, free=True),
    ):
        assert reason(caller.check, method) is Reason.ROLE_MISSING


def test_a_stranger_from_afar_is_asked_for_credentials(clock: ManualClock) -> None:
    assert reason(authenticator(clock).caller, FAR, {}, []) is Reason.CREDENTIALS_MISSING


def test_this_machine_may_all_where_credentials_are_not_required(clock: ManualClock) -> None:
    caller = authenticator(clock, here=True).caller("ipv4:127.0.0.1:9", {}, [])
    for method in RULES:
        caller.check(method)
    caller.check_publishes("any checkpoint")
    assert caller.named_by() is NamedBy.REQUEST
    assert caller.person_named(" Wang Wei ", "reviewer") == "Wang Wei"


def test_our_own_socket_may_publish_and_no_more_where_they_are_required(
    clock: ManualClock,
) -> None:
    caller = authenticator(clock, required=True).caller("unix:", {}, [])
    caller.check(SERVICE + "Publish")
    caller.check_publishes("any checkpoint")
    assert reason(caller.check, SERVICE + "ListAlerts") is Reason.CREDENTIALS_MISSING


def test_a_token_names_the_person(clock: ManualClock, tokens: TokenStore) -> None:
    issued = tokens.issue("Wang Wei", {AccessRole.EDITOR}, timedelta(days=1), given_by="t")
    known = authenticator(clock, tokens)
    caller = known.caller(FAR, {}, bearer(issued.token))
    assert (caller.person, caller.machine) == (
        Person("Wang Wei", frozenset({AccessRole.EDITOR}), "token"),
        None,
    )
    assert caller.person_named("", "reviewer") == "Wang Wei"
    assert caller.person_named("Wang Wei", "reviewer") == "Wang Wei"
    assert reason(caller.person_named, "Li Na", "reviewer") is Reason.OTHER_PERSON
    assert issued.token not in repr(caller)
    known.renew(caller)
    tokens.revoke(issued.record.id, revoked_by="t")
    assert reason(known.renew, caller) is Reason.CREDENTIALS_INVALID
    assert reason(known.caller, FAR, {}, bearer(issued.token)) is Reason.CREDENTIALS_INVALID


def test_our_own_socket_alone_may_say_where_a_person_sits(
    clock: ManualClock, tokens: TokenStore
) -> None:
    issued = tokens.issue("Wang", {AccessRole.VIEWER}, timedelta(days=1), given_by="t")
    token = issued.token
    told = [*bearer(token), ("checkpoint-origin", "192.0.2.7 console")]
    known = authenticator(clock, tokens, here=True)
    for peer, address in (
        ("unix:/run/alerts.sock", "192.0.2.7 console"),
        ("ipv4:127.0.0.1:4711", "ipv4:127.0.0.1:4711"),
        ("ipv4:198.51.100.1:4711", "ipv4:198.51.100.1:4711"),
    ):
        assert known.caller(peer, {}, told).address == address
    assert known.caller("unix:/run/alerts.sock", {}, bearer(token)).address.startswith("unix:")


def test_an_expired_token_counts_no_more(clock: ManualClock, tokens: TokenStore) -> None:
    issued = tokens.issue("Wang", {AccessRole.VIEWER}, timedelta(days=1), given_by="t")
    known = authenticator(clock, tokens)
    caller = known.caller(FAR, {}, bearer(issued.token))
    clock.advance(86_401)
    assert reason(known.renew, caller) is Reason.CREDENTIALS_INVALID
    assert reason(known.caller, FAR, {}, bearer(issued.token)) is Reason.CREDENTIALS_INVALID


def test_a_wrong_token_is_refused_on_this_machine_too(
    clock: ManualClock, tokens: TokenStore
) -> None:
    known = authenticator(clock, tokens, here=True)
    call = ("ipv4:127.0.0.1:9", {}, bearer("checkpoint_" + "x" * 43))
    assert reason(known.caller, *call) is Reason.CREDENTIALS_INVALID
    assert reason(authenticator(clock, None).caller, *call) is Reason.CREDENTIALS_INVALID


def test_a_broken_token_file_refuses_and_tells_the_caller_no_path(
    clock: ManualClock, tokens: TokenStore
) -> None:
    issued = tokens.issue("Wang", {AccessRole.VIEWER}, timedelta(days=1), given_by="t")
    tokens.path.write_bytes(b"no database" * 100)
    with pytest.raises(CallRefused) as refused:
        authenticator(clock, tokens).caller(FAR, {}, bearer(issued.token))
    assert refused.value.reason is Reason.CREDENTIALS_INVALID
    assert "access.sqlite" not in refused.value.message


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Basic dXNlcjpwYXNz")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer a"), ("authorization", "Bearer b")],
        [("authorization", b"Bearer x")],
        [("authorization", "Bearer " + "x" * 5000)],
        [("authorization", "Bearer ")],
    ],
)
def test_what_is_no_token_is_refused(
    headers: list[tuple[str, str]], clock: ManualClock, tokens: TokenStore
) -> None:
    known = authenticator(clock, tokens)
    assert reason(known.caller, FAR, {}, headers) is Reason.CREDENTIALS_INVALID


def test_a_machine_publishes_for_its_own_checkpoint_alone(
    clock: ManualClock, authority: Authority
) -> None:
    known = authenticator(clock)
    for file, name in (("gate-1", "gate-1"), ("北门", "北门")):
        caller = known.caller(FAR, shown(authority, file), [])
        caller.check(SERVICE + "Publish")
        caller.check_publishes(name)
        assert reason(caller.check_publishes, "gate-2") is Reason.OTHER_CHECKPOINT
        assert reason(caller.check, SERVICE + "ListAlerts") is Reason.ROLE_MISSING


def test_publishers_say_what_a_certificate_may_publish_for(
    clock: ManualClock, authority: Authority
) -> None:
    known = authenticator(clock, publishers={"gate-1": ["a", "b"], "relay": ["*"]})
    caller = known.caller(FAR, shown(authority, "gate-1"), [])
    caller.check_publishes("b")
    assert reason(caller.check_publishes, "gate-1") is Reason.OTHER_CHECKPOINT
    other = known.caller(FAR, shown(authority, "北门"), [])
    assert reason(other.check, SERVICE + "Publish") is Reason.NOT_A_PUBLISHER
    Caller(FAR, machine="relay", checkpoints=frozenset("*")).check_publishes("any")


def test_a_persons_certificate_names_the_person_and_publishes_nothing(
    clock: ManualClock, authority: Authority
) -> None:
    caller = authenticator(clock).caller(FAR, shown(authority, "Li-Na"), [])
    caller.check(SERVICE + "ReviewAlert")
    assert caller.person_named("", "reviewer") == "Li Na"
    assert caller.named_by() is NamedBy.CERTIFICATE
    assert reason(caller.check, SERVICE + "Publish") is Reason.NOT_A_PUBLISHER


def test_a_certificate_that_was_taken_back_or_has_expired(
    clock: ManualClock, authority: Authority
) -> None:
    (info,) = [one for one in authority.issued() if one.name == "gate-1"]
    pairs = [info.fingerprint[at : at + 2].upper() for at in range(0, 64, 2)]
    for fingerprint in (info.fingerprint, ":".join(pairs)):
        tls = TlsSettings(certificate=Path("c"), key=Path("k"), revoked=(fingerprint,))
        known = authenticator(clock, tls=tls)
        call = (FAR, shown(authority, "gate-1"), [])
        assert reason(known.caller, *call) is Reason.CREDENTIALS_INVALID
    known = authenticator(clock)
    caller = known.caller(FAR, shown(authority, "gate-1"), [])
    known.renew(caller)
    clock.advance(731 * 86_400)
    assert reason(known.renew, caller) is Reason.CREDENTIALS_INVALID
    call = (FAR, shown(authority, "gate-1"), [])
    assert reason(known.caller, *call) is Reason.CREDENTIALS_INVALID


def called(known: Authenticator, *shown: Any) -> Caller | CallRefused:
    try:
        return known.caller(*shown)
    except CallRefused as refused:
        return refused


METADATA = st.lists(
    st.tuples(
        st.sampled_from(["authorization", "Authorization", "x", "authorization-bin"]),
        st.text(max_size=80) | st.binary(max_size=80) | st.text(max_size=60).map("Bearer ".__add__),
    ),
    max_size=3,
)


@given(
    peer=st.sampled_from([FAR, "ipv6:[2001:db8::1]:1", "", "unix:", "ipv4:127.0.0.1:1"])
    | st.text(),
    certificate=st.none() | st.binary(max_size=200),
    metadata=METADATA,
    here=st.booleans(),
)
def test_whatever_is_shown_nobody_gets_in_by_it(
    peer: str, certificate: bytes | None, metadata: list[tuple[str, str | bytes]], here: bool
) -> None:
    known = authenticator(ManualClock(NOW), None, here=here)
    seen = {} if certificate is None else {"x509_pem_cert": [certificate]}
    found = called(known, peer, seen, metadata)
    if isinstance(found, CallRefused):
        assert found.code is grpc.StatusCode.UNAUTHENTICATED
    else:
        assert found.person is None
        assert found.local
        assert here or peer.startswith("unix:")


def test_damaged_certificates_never_name_anyone(authority: Authority, clock: ManualClock) -> None:
    whole = (authority.folder / "gate-1.pem").read_bytes()
    known = authenticator(clock)
    for place in range(0, len(whole), 7):
        damaged = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        found = called(known, FAR, {"x509_pem_cert": [damaged]}, [])
        if isinstance(found, CallRefused):
            assert found.reason is Reason.CREDENTIALS_INVALID
        else:  # a bit that TLS would have noticed: the signature
            assert found.person is None


@pytest.mark.parametrize(
    ("peer", "here"),
    [
        ("ipv4:127.0.0.1:1", True),
        ("ipv4:127.8.8.8:1", True),
        ("ipv6:[::1]:1", True),
        ("ipv6:%5B::1%5D:1", True),
        ("unix:", True),
        ("ipv4:192.0.2.1:1", False),
        ("ipv4:127.0.0.1.example:1", False),
        ("", False),
    ],
)
def test_which_peers_are_this_machine(peer: str, here: bool) -> None:
    assert is_here(peer) is here


def details(refused: CallRefused) -> Iterator[object]:
    kinds = (
        error_details_pb2.ErrorInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.RetryInfo,
    )
    for packed in refused.details().details:
        for kind in kinds:
            found = kind()
            if packed.Unpack(found):
                yield found


def test_a_refusal_carries_its_details_and_no_secret() -> None:
    secret = "checkpoint_" + "s" * 43
    refused = CallRefused(
        Reason.FIELD_INVALID, f"note: {secret} " + "长" * 1000, field="note",
        metadata={"id": "hit-1"}, retry_s=1.5,
    )  # fmt: skip
    info, bad, retry = details(refused)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "FIELD_INVALID",
        "checkpoint",
        {"id": "hit-1"},
    )
    assert bad.field_violations[0].field == "note"
    assert retry.retry_delay.ToMilliseconds() == 1500
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert secret not in refused.message
    assert len(refused.details().SerializeToString()) < 6_000


@pytest.mark.parametrize("one", Reason)
def test_every_reason_has_a_code_and_stands_in_the_proto(one: Reason) -> None:
    assert CallRefused(one, "x").code is not grpc.StatusCode.OK
    proto = Path(__file__).parents[3] / "proto/checkpoint/v1/alerts.proto"
    lines = [line for line in proto.read_text().splitlines() if one.value in line]
    assert any(CallRefused(one, "x").code.name in line for line in lines), one
