"""The container's health check asks a real alert service, with and without TLS."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, require
from tests.support.ports import free_port

pytestmark = [pytest.mark.grpc, pytest.mark.redis]

SERVE = """
import sys
from pathlib import Path
from pipeline.commands.serve import serve
serve(Path(sys.argv[1]))
"""
DEADLINE_S = 90.0


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require(shutil.which("openssl"), "openssl is not installed: apt-get install openssl")
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run(
        [ROOT / "deploy/compose/make-certificates.sh", "box.example"],
        env={**os.environ, "CERTIFICATES": str(folder)},
        check=True,
        capture_output=True,
    )
    return folder


def _configure(path: Path, tls: str) -> Path:
    port = free_port()
    path.write_text(
        f'data_dir = "{path.parent}/data"\nroles = ["alerts"]\n'
        f'[alerts]\nlisten = "127.0.0.1:{port}"\n{tls}'
    )
    return path


def _ask(config: Path) -> subprocess.CompletedProcess[str]:
    script = ROOT / "deploy/container/healthcheck.py"
    return subprocess.run([sys.executable, script, config], capture_output=True, text=True)


def _tls(folder: Path, more: str = "") -> str:
    return (
        f'target_ca = "{folder}/ca.pem"\n[alerts.tls]\n'
        f'certificate = "{folder}/alerts.pem"\nkey = "{folder}/alerts.key"\n{more}'
    )


@pytest.mark.parametrize("kind", ["plain", "tls", "mutual"])
def test_health_follows_the_service(kind: str, certificates: Path, tmp_path: Path) -> None:
    tls = {
        "plain": "",
        "tls": _tls(certificates),
        "mutual": _tls(certificates, f'client_ca = "{certificates}/ca.pem"\n'),
    }[kind]
    config = _configure(tmp_path / "checkpoint.toml", tls)
    service = subprocess.Popen([sys.executable, "-c", SERVE, config], stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + DEADLINE_S
        while (answer := _ask(config)).returncode and time.monotonic() < until:
            assert service.poll() is None, service.communicate()[1].decode()
            time.sleep(0.1)
        assert (answer.returncode, answer.stdout.strip()) == (0, "SERVING"), answer.stderr
    finally:
        service.terminate()
        service.communicate(timeout=DEADLINE_S)
    away = _ask(config)
    assert away.returncode == 1
    assert away.stdout.startswith("not serving: UNAVAILABLE")


def test_a_process_without_the_service_counts_as_healthy(tmp_path: Path) -> None:
    config = tmp_path / "checkpoint.toml"
    config.write_text('roles = ["recognise"]\n[alerts]\ntarget = "alerts.example:50051"\n')
    assert _ask(config).returncode == 0


def test_a_wrong_configuration_is_told(tmp_path: Path) -> None:
    answer = _ask(tmp_path / "absent.toml")
    assert answer.returncode == 1
    assert "no such file" in answer.stdout
