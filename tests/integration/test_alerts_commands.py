"""``checkpoint serve`` and ``checkpoint alerts`` as processes of their own."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from pipeline.access import AccessRole, operating_system_person, token_store
from pipeline.alerts.client import CheckpointClient
from pipeline.alerts.publisher import Publisher
from pipeline.audit import AUDIT_FILE, records
from pipeline.commands import alerts
from pipeline.config import load
from pipeline.errors import AlertServiceError, CheckpointError
from pipeline.outbox import Outbox
from pipeline.types import MatchKind
from tests.integration.alerts_support import make_hit, submit
from tests.support.waiting import PATIENCE_S, wait_until

pytestmark = [pytest.mark.grpc, pytest.mark.redis]

RUN = """
import sys
import structlog
import typer
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
from pipeline.commands import alerts, serve
from pipeline.errors import CheckpointError
from tests.support.waiting import PATIENCE_S, wait_until
app = typer.Typer()
app.command()(serve.serve)
app.add_typer(alerts.app, name="alerts")
try:
    app()
except CheckpointError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(error.exit_status)
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={"COLUMNS": "120", "PATH": "/usr/bin:/bin"},
    )


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve")
    path = folder / "checkpoint.toml"
    path.write_text(
        f'data_dir = "{folder}/var"\nroles = ["alerts"]\n[alerts]\nlisten = "127.0.0.1:0"\n'
    )
    return path


@pytest.fixture(scope="module")
def target(config: Path) -> Iterator[str]:
    """A running ``checkpoint serve`` with three alerts in it; ends cleanly within 5 s."""
    process = start("serve", "--config", str(config))
    assert process.stdout is not None
    address = None
    for line in process.stdout:
        if found := re.search(r"address=(127\.0\.0\.1:\d+)", line):
            address = found[1]
            break
    assert address is not None
    outbox = Outbox(config.parent / "outbox.db")
    publisher = Publisher(outbox, address)
    publisher.start()
    for number, kind in enumerate(MatchKind):
        submit(publisher, make_hit(number, kind=kind))
    assert publisher.flush(PATIENCE_S) == 0
    publisher.stop()
    outbox.close()
    yield address
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=90)
    assert process.returncode == 0, rest
    assert time.monotonic() - began < 5
    assert "Traceback" not in rest


def test_watch_prints_alerts_as_json_lines(target: str) -> None:
    done = run("alerts", "watch", "--target", target, "--after", "0", "--json", "--count", "3")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["sequence"] for event in events] == [1, 2, 3]
    assert [event["kind"] for event in events] == ["exact", "possible", "partial"]
    assert events[0]["plate"] == "京A12345"
    assert events[0]["review"] == "unverified"
    assert events[0]["reviewer"] is None


def test_watch_prints_a_table_and_ends_on_ctrl_c(target: str) -> None:
    process = start("alerts", "watch", "--target", target, "--after", "0")
    assert process.stdout is not None
    said = ""
    while "hit-2" not in said:
        said += process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=90)
    assert process.returncode == 0
    assert "Traceback" not in rest
    assert "EXACT" in said
    assert "UNVERIFIED" in said


def test_list_and_review(target: str) -> None:
    done = run("alerts", "review", "hit-1", "confirm", "--reviewer", "Wang Wei", "--target", target)
    assert done.returncode == 0, done.stderr
    assert "CONFIRMED" in done.stdout
    done = run("alerts", "review", "hit-1", "reject", "--reviewer", "Li Na", "--target", target)
    assert done.returncode == 1
    assert "Wang Wei has already confirmed it" in done.stderr
    done = run("alerts", "list", "--target", target, "--json", "--review", "confirmed")
    (event,) = map(json.loads, done.stdout.splitlines())
    assert (event["id"], event["reviewer"], event["note"]) == ("hit-1", "Wang Wei", None)
    done = run("alerts", "list", "--target", target)
    assert [done.stdout.index(name) for name in ("hit-0", "hit-1", "hit-2")] == sorted(
        done.stdout.index(name) for name in ("hit-0", "hit-1", "hit-2")
    )


def test_no_service_is_an_error_with_advice(config: Path) -> None:
    done = run("alerts", "watch", "--target", "127.0.0.1:9")
    assert done.returncode == 1
    assert "alert service at 127.0.0.1:9" in done.stderr
    assert "checkpoint serve" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_refuses_to_be_exposed(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.toml"
    path.write_text('[alerts]\nlisten = "0.0.0.0:50051"\n')
    done = run("serve", "--config", str(path))
    assert done.returncode == 2
    assert "expose every alert" in done.stderr


def test_alerts_outlive_a_killed_serve_with_its_embedded_redis(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.toml"
    path.write_text(f'data_dir = "{tmp_path}/var"\n[alerts]\nlisten = "127.0.0.1:0"\n')
    outbox = Outbox(tmp_path / "outbox.db")
    for round_number in range(2):
        process = start("serve", "--config", str(path))
        assert process.stdout is not None
        address = ""
        while not address:
            found = re.search(r"address=(127\.0\.0\.1:\d+)", process.stdout.readline())
            address = found[1] if found else ""
        publisher = Publisher(outbox, address)
        publisher.start()
        submit(publisher, make_hit(round_number))
        assert publisher.flush(PATIENCE_S) == 0
        process.kill()
        process.communicate()
        wait_until(lambda publisher=publisher: not publisher.state().connected)
        publisher.stop()
    outbox.close()
    process = start("serve", "--config", str(path))
    assert process.stdout is not None
    while not (found := re.search(r"address=(127\.0\.0\.1:\d+)", process.stdout.readline())):
        pass
    with CheckpointClient(found[1]) as client:
        assert [alert.id for alert in client.list()] == ["hit-1", "hit-0"]
        with pytest.raises(AlertServiceError, match="there is none"):
            client.get("hit-7")
    process.terminate()
    process.communicate(timeout=90)
    assert process.returncode == 0


def here(*arguments: str, env: dict[str, str] | None = None) -> Result:
    """A command of ``alerts`` in this process: what it prints, and its error."""
    done = CliRunner().invoke(alerts.app, list(arguments), env={"COLUMNS": "120", **(env or {})})
    if isinstance(done.exception, CheckpointError):
        done.exit_code = done.exception.exit_status
    return done


def said_of(done: Result) -> str:
    return f"{done.exception or ''}{done.stderr}"


def test_escalate_stats_and_show(target: str) -> None:
    done = here("escalate", "hit-0", "--note", "two cars", "--target", target, "--json")
    assert done.exit_code == 0, said_of(done)
    event = json.loads(done.stdout)
    assert event["escalation_note"] == "two cars"
    assert event["escalated_by"] == operating_system_person().name
    done = here("review", "hit-0", "reject", "--outcome", "gone", "--target", target)
    assert done.exit_code == 0, said_of(done)
    assert "unchecked" in done.stdout
    assert "ESCALATED" in done.stdout
    done = here("list", "--escalated", "--target", target, "--json")
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["hit-0"]
    done = here("stats", "--target", target, "--json")
    stats = json.loads(done.stdout)
    assert (stats["alerts"], stats["escalated"], stats["by_outcome"]) == (3, 1, {"gone": 1})
    assert "category: stolen" in here("stats", "--target", target).stdout
    done = here("show", "hit-0", "--target", target, "--json")
    history = json.loads(done.stdout)["history"]
    assert [one["kind"] for one in history] == ["hit", "escalation", "review"]
    assert [one["named_by"] for one in history] == [None, "request", "request"]
    assert "escalation" in here("show", "hit-0", "--target", target).stdout
    done = here("review", "hit-0", "withdraw", "--target", target, "--json")
    assert json.loads(done.stdout)["review"] == "unverified", said_of(done)
    assert "taken back" in here("show", "hit-0", "--target", target).stdout


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A ``checkpoint serve`` that requires credentials on loopback, too: configuration, address."""
    folder = tmp_path_factory.mktemp("closed")
    path = folder / "checkpoint.toml"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    path.write_text(
        f'data_dir = "{folder}/var"\n[alerts]\nlisten = "{address}"\n[access]\nrequired = true\n'
    )
    process = start("serve", "--config", str(path))
    assert process.stdout is not None
    while "alert service listens" not in (line := process.stdout.readline()):
        assert line
    yield path, address
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=90)
    assert process.returncode == 0, rest


def test_commands_show_a_token_from_a_file_or_the_environment(
    closed: tuple[Path, str], tmp_path: Path
) -> None:
    config, _ = closed
    issued = token_store(load(config)).issue(
        "Wang Wei", {AccessRole.VIEWER}, timedelta(days=1), given_by="test"
    )
    file = tmp_path / "token"
    file.write_text(issued.token)
    file.chmod(0o600)
    mine = ("--config", str(config))
    done = here("list", *mine)
    assert done.exit_code == 1
    assert "give a token with --token-file or in CHECKPOINT_TOKEN" in said_of(done)
    said = [done]
    for more, env in (
        (("--token-file", str(file)), {}),
        ((), {"CHECKPOINT_TOKEN": issued.token}),
    ):
        done = here("list", *mine, *more, env=env)
        assert (done.exit_code, done.stderr) == (0, "no alerts\n")
        said.append(done)
    done = here("review", "x", "confirm", *mine, "--token-file", str(file))
    assert done.exit_code == 1
    assert "Wang Wei may not review an alert" in said_of(done)
    said.append(done)
    file.chmod(0o644)
    done = here("list", *mine, "--token-file", str(file))
    assert done.exit_code == 1
    assert "chmod 600" in said_of(done)
    for one in (*said, done):
        assert issued.token not in one.output + said_of(one)
    found = records(load(config).data_dir / AUDIT_FILE)
    assert [one.action for one in found if one.actor == "Wang Wei"] == [
        "alerts.list",
        "alerts.list",
        "alerts.review.refused",
    ]
