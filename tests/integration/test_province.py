"""A province over mutual TLS: which certificate speaks for whom, and who passes hits on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.alerts.client import CheckpointClient
from pipeline.alerts.publisher import Publisher
from pipeline.alerts.reporter import Reporter
from pipeline.config import (
    AccessRole,
    AccessSettings,
    AlertSettings,
    CheckpointSettings,
    OutboxSettings,
    ProvinceSettings,
    Role,
    SinksSettings,
    TlsSettings,
    WebhookSettings,
)
from pipeline.outbox import Outbox
from pipeline.runtime import Runtime
from pipeline.status import CheckpointReport, CheckpointState
from tests.integration.alerts_support import make_certificates, make_hit, submit
from tests.support.waiting import PATIENCE_S, wait_until

pytestmark = [pytest.mark.grpc, pytest.mark.redis]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@contextmanager
def province(folder: Path, certificates: Path, silent_after_s: float = 60.0) -> Iterator[Runtime]:
    """A province that lets the certificate "client" publish for two checkpoints."""
    settings = CheckpointSettings(
        data_dir=folder / "province",
        roles=(Role.PROVINCE,),
        province=ProvinceSettings(silent_after_s=silent_after_s),
        access=AccessSettings(required=True, certificates={"server": {AccessRole.VIEWER}}),
        alerts=AlertSettings(
            listen="127.0.0.1:0",
            publishers={"client": ("north gate", "south gate")},
            tls=TlsSettings(
                certificate=certificates / "server.pem",
                key=certificates / "server.key",
                client_ca=certificates / "ca.pem",
            ),
        ),
    )
    with Runtime(settings) as runtime:
        yield runtime


def files(certificates: Path) -> dict[str, Path]:
    return {
        "ca": certificates / "ca.pem",
        "cert": certificates / "client.pem",
        "key": certificates / "client.key",
    }


def local(runtime: Runtime) -> CheckpointClient:
    """Whoever may use the service's own socket."""
    assert runtime._service is not None
    return CheckpointClient(runtime._service.local_target)


def command_centre(runtime: Runtime, certificates: Path) -> CheckpointClient:
    """A viewer, by certificate."""
    assert runtime.alert_address is not None
    return CheckpointClient(
        runtime.alert_address,
        certificates / "ca.pem",
        certificates / "server.pem",
        certificates / "server.key",
    )


def test_a_certificate_speaks_for_its_checkpoints_and_no_other(
    tmp_path: Path, certificates: Path
) -> None:
    shown = files(certificates)
    with (
        province(tmp_path, certificates) as runtime,
        closing(Outbox(tmp_path / "outbox.db")) as outbox,
        command_centre(runtime, certificates) as client,
    ):
        assert runtime.alert_address is not None
        problems: list[str | None] = []
        publisher = Publisher(
            outbox, runtime.alert_address, **shown, report=problems.append, backoff_max_s=0.2
        )
        publisher.start()
        submit(publisher, make_hit(1, checkpoint="north gate"))
        submit(publisher, make_hit(2, checkpoint="south gate"))
        assert publisher.flush(PATIENCE_S) == 0
        submit(publisher, make_hit(3, checkpoint="another gate"))
        wait_until(lambda: any(one and "another gate" in one for one in problems))
        assert outbox.depth() == 1, "it waits until it may"
        assert outbox.refused() == []
        publisher.stop()
        assert [alert.hit.checkpoint for alert in client.list()] == ["south gate", "north gate"]

        def report(name: str) -> CheckpointReport:
            return CheckpointReport(name, datetime.now(UTC), datetime.now(UTC), "1")

        reporters = [
            Reporter(runtime.alert_address, lambda name=name: report(name), **shown, every_s=0.2)
            for name in ("north gate", "another gate")
        ]
        for reporter in reporters:
            reporter.start()
        wait_until(lambda: client.checkpoints()[0].report is not None)
        for reporter in reporters:
            reporter.stop()
        online = [("north gate", CheckpointState.ONLINE), ("south gate", CheckpointState.ONLINE)]
        wait_until(lambda: [(one.checkpoint, one.state) for one in client.checkpoints()] == online)


def test_those_that_may_publish_are_expected(tmp_path: Path, certificates: Path) -> None:
    with (
        province(tmp_path, certificates, silent_after_s=1.0) as runtime,
        command_centre(runtime, certificates) as client,
    ):
        assert {one.checkpoint for one in client.checkpoints()} == {"north gate", "south gate"}
        wait_until(
            lambda: {one.state for one in client.checkpoints()} == {CheckpointState.SILENT}, 10
        )


def test_a_checkpoint_with_its_own_service_passes_on_and_reports(
    tmp_path: Path, certificates: Path
) -> None:
    with (
        province(tmp_path, certificates) as far,
        command_centre(far, certificates) as above,
    ):
        assert far.alert_address is not None
        settings = CheckpointSettings(
            checkpoint="north gate",
            data_dir=tmp_path / "checkpoint",
            roles=(Role.ALERTS,),
            outbox=OutboxSettings(report_every_s=0.3),
            alerts=AlertSettings(
                listen="127.0.0.1:0",
                target=far.alert_address,
                target_ca=certificates / "ca.pem",
                tls=TlsSettings(
                    certificate=certificates / "client.pem", key=certificates / "client.key"
                ),
            ),
        )
        with (
            Runtime(settings) as near,
            local(near) as below,
            closing(Outbox(tmp_path / "outbox.db")) as outbox,
        ):
            assert near._service is not None
            publisher = Publisher(outbox, near._service.local_target)
            publisher.start()
            for number in range(5):
                submit(publisher, make_hit(number, checkpoint="north gate"))
            assert publisher.flush(PATIENCE_S) == 0
            wait_until(lambda: len(above.list()) == 5)
            assert above.evidence("hit-3") == below.evidence("hit-3")
            wait_until(lambda: above.checkpoints()[0].report is not None)
            wait_until(lambda: above.checkpoints()[0].state is CheckpointState.ONLINE)
            assert above.checkpoints()[0].checkpoint == "north gate"
            wait_until(lambda: above.checkpoints()[0].report.list_version is not None)  # type: ignore[union-attr]
            near.check()
            assert near.health.problems() == {}
            publisher.stop()
        # while the checkpoint is down nothing is lost, and it goes on where it stopped
        with Runtime(settings) as near, closing(Outbox(tmp_path / "outbox.db")) as outbox:
            assert near._service is not None
            publisher = Publisher(outbox, near._service.local_target)
            publisher.start()
            submit(publisher, make_hit(9, checkpoint="north gate"))
            wait_until(lambda: len(above.list()) == 6)
            publisher.stop()


def test_roles_and_sinks_that_do_not_go_together() -> None:
    with pytest.raises(ValidationError, match="a process of its own"):
        CheckpointSettings(roles=(Role.PROVINCE, Role.ALERTS))
    hook = WebhookSettings(name="desk", url="https://desk.example/", secret="0123456789abcdef")
    with pytest.raises(ValidationError, match="they read the feed"):
        CheckpointSettings(
            roles=(Role.RECOGNISE,),
            alerts=AlertSettings(target="alerts.example:50051"),
            sinks=SinksSettings(webhooks=(hook,)),
        )
    with pytest.raises(ValidationError, match="same name"):
        SinksSettings(webhooks=(hook, hook))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "http://desk.example/"}, "leave this machine"),
        ({"url": "ftp://desk.example/"}, "write https"),
        ({"url": "https://desk.example/", "secret": "short"}, "16"),
        ({"url": "https://desk.example/", "secret": None}, "always signed"),
        ({"url": "https://desk.example/", "events": ("other",)}, "alert"),
    ],
)
def test_webhooks_that_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        WebhookSettings(**{"name": "desk", "secret": "0123456789abcdef"} | settings)  # type: ignore[arg-type]
