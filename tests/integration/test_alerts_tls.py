"""TLS and mutual TLS over a real channel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.alerts.client import CheckpointClient
from pipeline.alerts.publisher import Publisher
from pipeline.alerts.service import AlertService
from pipeline.config import AlertSettings, TlsSettings
from pipeline.errors import AlertServiceError, ConfigError
from pipeline.outbox import Outbox
from tests.integration.alerts_support import (
    make_certificates,
    make_hit,
    redis_server,
    submit,
)
from tests.support.waiting import PATIENCE_S

pytestmark = [pytest.mark.grpc, pytest.mark.redis]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture
def guarded(certificates: Path, tmp_path: Path) -> Iterator[tuple[AlertService, str]]:
    """A service on every address of this machine, with mutual TLS."""
    tls = TlsSettings(
        certificate=certificates / "server.pem",
        key=certificates / "server.key",
        client_ca=certificates / "ca.pem",
    )
    with redis_server(tmp_path) as server:
        service = AlertService(AlertSettings(listen="0.0.0.0:0", tls=tls), server.client())
        port = service.start().rpartition(":")[2]
        yield service, f"localhost:{port}"
        assert service.stop(90)


def test_mutual_tls_carries_a_hit_and_refuses_who_shows_no_certificate(
    guarded: tuple[AlertService, str], certificates: Path, tmp_path: Path
) -> None:
    service, target = guarded
    files = {
        "ca": certificates / "ca.pem",
        "cert": certificates / "client.pem",
        "key": certificates / "client.key",
    }
    outbox = Outbox(tmp_path / "outbox.db")
    publisher = Publisher(outbox, target, **files)
    publisher.start()
    submit(publisher, make_hit(1, checkpoint="client"))
    assert publisher.flush(PATIENCE_S) == 0
    publisher.stop()
    outbox.close()
    with CheckpointClient(service.local_target) as client:
        assert next(client.subscribe(0)).id == "hit-1"
    with (
        CheckpointClient(target, files["ca"]) as client,
        pytest.raises(AlertServiceError, match="whether both sides use TLS"),
    ):
        client.list()
    with (
        CheckpointClient(target) as client,
        pytest.raises(AlertServiceError, match=f"alert service at {target}"),
    ):
        next(client.subscribe(0))


def test_a_certificate_of_another_authority_is_refused(
    guarded: tuple[AlertService, str], certificates: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    make_certificates(other)
    _, target = guarded
    ours = CheckpointClient(
        target, certificates / "ca.pem", other / "client.pem", other / "client.key"
    )
    with ours, pytest.raises(AlertServiceError):
        ours.list()
    theirs = CheckpointClient(
        target, other / "ca.pem", certificates / "client.pem", certificates / "client.key"
    )
    with theirs, pytest.raises(AlertServiceError):
        theirs.list()


def test_the_machine_itself_publishes_over_a_socket_of_its_own_user(
    guarded: tuple[AlertService, str], tmp_path: Path
) -> None:
    service, _ = guarded
    socket = Path(service.local_target.removeprefix("unix:"))
    assert socket.parent.stat().st_mode & 0o077 == 0
    outbox = Outbox(tmp_path / "outbox.db")
    publisher = Publisher(outbox, service.local_target)
    publisher.start()
    submit(publisher, make_hit(1))
    assert publisher.flush(PATIENCE_S) == 0
    publisher.stop()
    outbox.close()
    service.stop()
    assert not socket.parent.exists()


def test_a_missing_or_wrong_key_is_said(certificates: Path, tmp_path: Path) -> None:
    def start(key: Path) -> None:
        tls = TlsSettings(certificate=certificates / "server.pem", key=key)
        with redis_server(tmp_path) as server:
            AlertService(AlertSettings(listen="127.0.0.1:0", tls=tls), server.client()).start()

    with pytest.raises(ConfigError, match=r"alerts\.tls\.key = .*gone\.key: cannot be read"):
        start(certificates / "gone.key")
    (tmp_path / "wrong.key").write_text("no key")
    with pytest.raises(ConfigError, match=r"wrong\.key: others may read this key; chmod 600"):
        start(tmp_path / "wrong.key")
    (tmp_path / "wrong.key").chmod(0o600)
    with pytest.raises(AlertServiceError, match="certificate and key belong together"):
        start(tmp_path / "wrong.key")
