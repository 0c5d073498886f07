"""The container, built for real and started: Debian's buildah on a base from mmdebstrap.

Neither needs a daemon or an image registry, so this runs wherever apt does, as root. The base is
the release of this machine; the Dockerfile only asks for apt and a Python.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT, require
from tests.support.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
CONFIG = """
data_dir = "/tmp/checkpoint"
roles = ["alerts"]
[alerts]
listen = "127.0.0.1:{port}"
"""
SERVE_AND_ASK = """
set -u
printf '%s' "$1" >/tmp/checkpoint.toml
checkpoint serve --config /tmp/checkpoint.toml &
for _ in $(seq 100); do
    answer=$(python /opt/checkpoint/healthcheck.py /tmp/checkpoint.toml) && break
    kill -0 $! || break
    sleep 0.2
done
echo "health: $answer"
kill -TERM $!
wait $!
echo "status: $?"
"""


@dataclass(frozen=True)
class Buildah:
    """Buildah with a storage of its own."""

    storage: Path
    driver: str

    def __call__(self, *arguments: str, timeout_s: float = 600) -> str:
        """Run one command and return its standard output."""
        ran = self.run(*arguments, timeout_s=timeout_s)
        assert ran.returncode == 0, f"{ran.args}\n{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}"
        return ran.stdout.strip()

    def run(self, *arguments: str, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
        """Run one command, whatever its exit status."""
        places = [f"--root={self.storage}/root", f"--runroot={self.storage}/run"]
        return subprocess.run(
            ["buildah", f"--storage-driver={self.driver}", *places, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    for tool in ("buildah", "mmdebstrap"):
        require(shutil.which(tool), f"{tool} is not installed: apt-get install {tool}")
    require(os.geteuid() == 0, "building an image with buildah's chroot isolation takes root")
    storage = tmp_path_factory.mktemp("buildah")
    # Overlay is faster by far, but does not work inside every container.
    overlay = Buildah(storage, "overlay")
    tool = overlay if overlay.run("info").returncode == 0 else Buildah(storage, "vfs")
    yield tool
    tool.run("rm", "--all")
    shutil.rmtree(storage, ignore_errors=True)


@pytest.fixture(scope="module")
def base(buildah: Buildah) -> str:
    """An image of this machine's release: its essential packages and apt, nothing else."""
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    rootfs = buildah.storage / "rootfs"
    made = subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=apt", release, rootfs],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    require(made.returncode == 0, f"mmdebstrap failed: {made.stderr.strip()[-500:]}")
    # The way out may pass a proxy with an authority of its own: trust whom this machine trusts.
    if BUNDLE.exists():
        trusted = rootfs / "usr/local/share/ca-certificates"
        trusted.mkdir(parents=True, exist_ok=True)
        shutil.copy(BUNDLE, trusted / "build-machine.crt")
    container = buildah("from", "scratch")
    buildah("copy", "-q", container, str(rootfs), "/")
    buildah("commit", "-q", "--rm", container, "localhost/base")
    shutil.rmtree(rootfs)
    return "localhost/base"


@pytest.fixture(scope="module")
def image(buildah: Buildah, base: str) -> str:
    name = "localhost/checkpoint"
    where = ["--isolation=chroot", "--network=host", "--pull-never", "--format=docker"]
    buildah("bud", *where, f"--build-arg=BASE={base}", "--target=cpu", f"--tag={name}", str(ROOT))
    return name


@pytest.fixture(scope="module")
def container(buildah: Buildah, image: str) -> str:
    return buildah("from", "--pull-never", image)


def _run(buildah: Buildah, container: str, *command: str) -> subprocess.CompletedProcess[str]:
    where = ["--isolation=chroot", "--network=host"]
    return buildah.run("run", *where, container, "--", *command, timeout_s=120)


def test_image_says_how_to_run_and_watch_it(buildah: Buildah, image: str) -> None:
    described = json.loads(buildah("inspect", "--type=image", image))["Docker"]["config"]
    assert described["User"] == "10001:10001"
    assert described["Entrypoint"] == ["checkpoint"]
    assert described["Cmd"] == ["run", "--config", "/etc/checkpoint/checkpoint.toml"]
    assert described["Healthcheck"]["Test"][0] == "CMD"
    assert "/var/lib/checkpoint" in described["Volumes"]
    assert described["Labels"]["org.opencontainers.image.licenses"] == "AGPL-3.0-or-later"


def test_container_is_not_root_and_has_no_compiler(buildah: Buildah, container: str) -> None:
    ran = _run(
        buildah, container, "sh", "-c", "id -u; touch /var/lib/checkpoint/x; which gcc cc pip"
    )
    assert ran.stdout.split() == ["10001"], ran.stderr


def test_command_line_answers(buildah: Buildah, container: str) -> None:
    told = _run(buildah, container, "checkpoint", "--help")
    assert told.returncode == 0, told.stderr
    assert "recognise" in told.stdout
    config = _run(
        buildah, container, "checkpoint", "check-config", "/etc/checkpoint/checkpoint.toml"
    )
    assert config.returncode == 0, config.stderr


def test_service_is_healthy_and_stops_when_told(buildah: Buildah, container: str) -> None:
    script = ["sh", "-c", SERVE_AND_ASK, "sh", CONFIG.format(port=free_port())]
    ran = _run(buildah, container, *script)
    assert "health: SERVING" in ran.stdout, ran.stdout + ran.stderr
    assert ran.stdout.strip().endswith("status: 0"), ran.stdout + ran.stderr


def test_demo_runs_in_the_container(buildah: Buildah, container: str) -> None:
    ran = _run(buildah, container, "checkpoint", "demo", "--seconds", "5")
    assert ran.returncode == 0, ran.stdout + ran.stderr
