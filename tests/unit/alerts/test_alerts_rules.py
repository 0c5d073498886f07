"""What the service takes, where it may listen, and what an operator reads."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.alerts.channel import Backoff, dial_target, is_loopback, open_channel
from pipeline.alerts.exposure import listeners, open_here, refuse_exposure
from pipeline.alerts.rules import fault
from pipeline.commands.alert_table import AlertTable
from pipeline.config import AccessSettings, AlertSettings, TlsSettings
from pipeline.convert import hit_to_pb, publish_request
from pipeline.errors import ConfigError
from pipeline.types import Alert, Evidence, Hit, MatchKind, PlateClass, ReviewState
from tests.integration.alerts_support import NOON, make_hit


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.8.8.8:1", "localhost:1", "[::1]:1"])
def test_this_machine_alone_needs_no_tls(listen: str) -> None:
    refuse_exposure(AlertSettings(listen=listen))


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "10.1.2.3:1", "gate.example:1"])
def test_listening_beyond_needs_tls_and_says_what_is_exposed(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"expose every alert, plate and evidence") as caught:
        refuse_exposure(AlertSettings(listen=listen))
    assert listen in str(caught.value)
    assert caught.value.exit_status == 2
    tls = TlsSettings(certificate=Path("c"), key=Path("k"), client_ca=Path("a"))
    refuse_exposure(AlertSettings(listen=listen, tls=tls))


def test_dial_target() -> None:
    assert dial_target("0.0.0.0:7") == "127.0.0.1:7"
    assert dial_target("[::]:7") == "[::1]:7"
    assert dial_target("gate:7") == "gate:7"


def test_backoff_doubles_to_its_cap_and_starts_anew_after_success() -> None:
    backoff = Backoff(0.1, 2.0)
    pauses = [backoff.next_s() for _ in range(200)]
    assert all(0.05 <= pause <= 2.0 for pause in pauses)
    assert pauses[0] <= 0.1
    assert max(pauses) > 1.0
    assert len(set(pauses)) > 50
    backoff.reset()
    assert backoff.next_s() <= 0.1


@pytest.mark.parametrize("target", ["", "gate", "gate:", "gate:99999", "http://gate:1", "a b:1"])
def test_what_is_no_address_is_said(target: str) -> None:
    with pytest.raises(ConfigError, match="write host:port"):
        open_channel(target)
    with pytest.raises(ConfigError, match="host:port"):
        refuse_exposure(AlertSettings.model_construct(listen=target))


def test_client_files_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs both"):
        open_channel("localhost:1", cert=tmp_path / "c.pem")
    with pytest.raises(ConfigError, match=r"ca = .*nowhere\.pem: cannot be read"):
        open_channel("localhost:1", ca=tmp_path / "nowhere.pem")


def test_a_complete_hit_is_taken() -> None:
    assert fault(hit_to_pb(make_hit())) is None
    assert fault(hit_to_pb(make_hit(jpeg=b""))) is None


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        (replace(make_hit(), id=""), "hit.id"),
        (replace(make_hit(), id="x" * 201), "hit.id"),
        (replace(make_hit(), id="x\0"), "hit.id"),
        (replace(make_hit(), checkpoint="x\0"), "hit.checkpoint"),
        (replace(make_hit(), checkpoint=""), "hit.checkpoint"),
        (replace(make_hit(), probability=1.5), "hit.probability"),
        (replace(make_hit(), probability=float("nan")), "hit.probability"),
        (replace(make_hit(), list_age_s=float("inf")), "hit.list_age_s"),
        (
            replace(
                make_hit(),
                passage=replace(make_hit().passage, evidence=Evidence("p", "0" * 64, 0, b"jpeg")),
            ),
            "hit.passage.evidence.sha256",
        ),
    ],
)
def test_a_broken_hit_is_refused_by_field(broken: Hit, field: str) -> None:
    refusal = fault(hit_to_pb(broken))
    assert refusal is not None
    assert refusal.field == field


def test_a_jpeg_that_is_too_large_stays_at_the_checkpoint() -> None:
    outgoing = publish_request(make_hit(jpeg=b"x" * 5_000_000))
    assert len(outgoing.payload) < 10_000


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_says_what_an_operator_must_not_miss(width: int) -> None:
    out = io.StringIO()
    table = AlertTable(Console(file=out, width=width))
    hit = make_hit(7, kind=MatchKind.POSSIBLE, retracted=True)
    wanted = replace(hit.entry, plate="京A12346")
    table.add(Alert(12, replace(hit, entry=wanted, list_age_s=7200.0), NOON))
    unread = replace(make_hit(8).passage, plate=None, plate_class=PlateClass.OTHER)
    table.add(
        Alert(13, replace(make_hit(8), passage=unread), NOON, ReviewState.REJECTED, "Wang", "no")
    )
    said = out.getvalue()
    for words in (
        "POSSIBLE",
        "97.0 %",
        "京A·12345",
        "京A12346",
        "RETRACTED",
        "UNVERIFIED",
        "list 2 h old",
        "#12",
        "stolen",
        "stop and hold",
        "hit-7",
        "unreadable",
        "REJECTED",
        "by Wang",
        "lane 1",
        "east",
        "✗ seen",
        "white",
    ):
        assert words in said, words
    assert max(len(line) for line in said.splitlines()) <= width


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("127.0.0.1:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("unix:/run/x.sock", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("127.0.0.1.example:1", False),
        ("localhost.example:1", False),
        ("192.0.2.1:1", False),
    ],
)
def test_which_addresses_are_this_machines_alone(address: str, here: bool) -> None:
    assert is_loopback(address) is here


def test_credentials_are_asked_for_unless_only_this_machine_can_call() -> None:
    tls = TlsSettings(certificate=Path("c"), key=Path("k"), client_ca=Path("a"))
    here = AlertSettings(listen="127.0.0.1:1")
    beyond = AlertSettings(listen="127.0.0.1:1", listen_tokens="0.0.0.0:2", tls=tls)
    assert open_here(here, AccessSettings())
    assert not open_here(here, AccessSettings(required=True))
    assert not open_here(beyond, AccessSettings())
    assert [one.certificates for one in listeners(beyond)] == [True, False]
