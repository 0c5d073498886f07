"""What is shipped: the wheel, its dependencies, the example configurations, the repository."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from pipeline import config
from tests.conftest import ROOT, require

MIB = 1 << 20
EXAMPLES = sorted((ROOT / "deploy").rglob("*.toml"))
VARIABLES = {
    "REDIS_PASSWORD": "secret",
    "CAMERA_PASSWORD": "secret",
    "CAMERA_URL": "rtsp://camera/1",
    "CHECKPOINT_NAME": "north",
    "MQTT_PASSWORD": "secret",
    "POSTGRES_PASSWORD": "secret",
}


@pytest.fixture(scope="session")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT]
    built = subprocess.run(command, capture_output=True, text=True)
    require(built.returncode == 0, f"pip cannot build the wheel: {built.stderr.strip()[-300:]}")
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_wheel_holds_packages_weights_and_clip(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    top = {name.split("/")[0] for name in names}
    assert {"pipeline", "detectors", "watchlist", "benchmarks", "checkpoint"} <= top
    # `proto` would shadow proto-plus, which Ray Serve imports by that name.
    assert not {"proto", "tests", "deploy"} & top
    assert {"checkpoint/v1/alerts_pb2.py", "checkpoint/v1/alerts_pb2_grpc.py"} <= set(names)
    assert [name for name in names if re.match(r"detectors/weights/.*\.(onnx|xml)$", name)]
    assert [name for name in names if name.endswith(".mp4")], "the demo's clip is missing"
    assert "pipeline/alerts/migrations/0001_alerts.sql" in names
    page = {"index.html", "app.js", "style.css", "vendor/htm-preact.js", "vendor/preact.LICENSE"}
    assert {f"pipeline/console/static/{name}" for name in page} <= set(names)


def test_wheel_imports_outside_the_checkout(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    code = "import checkpoint.v1.alerts_pb2 as a, pipeline.cli as c; print(a.__file__, c.__file__)"
    # -P and PYTHONPATH: the wheel's files win over the checkout's editable install.
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert all(Path(name).is_relative_to(tmp_path) for name in ran.stdout.split())


def test_weights_are_small_enough_to_ship() -> None:
    weights = [path for path in (ROOT / "detectors" / "weights").rglob("*") if path.is_file()]
    assert weights, "no weights are there"
    assert sum(path.stat().st_size for path in weights) <= 30 * MIB


def test_base_install_is_light(project: dict) -> None:
    base = {_name(requirement) for requirement in project["project"]["dependencies"]}
    heavy = {"torch", "torchvision", "ray", "paddlepaddle", "paddleocr", "paddlex", "ultralytics"}
    assert not base & heavy
    assert set(project["project"]["optional-dependencies"]) == {
        "gpu",
        "train",
        "paddleocr",
        "cluster",
        "sinks",
        "postgres",
        "bench",
        "dev",
    }


def test_licence_is_the_one_declared(project: dict) -> None:
    assert project["project"]["license"] == "AGPL-3.0-or-later"
    assert "GNU AFFERO GENERAL PUBLIC LICENSE" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "AGPL-3.0-or-later" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_example_configuration_is_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    settings = config.load(path)
    exposed = not settings.alerts.listen.startswith("127.")
    assert settings.alerts.tls is not None or not exposed


def test_what_the_example_comments_out_is_valid_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    text = (ROOT / "deploy" / "checkpoint.toml").read_text(encoding="utf-8")
    path = tmp_path / "checkpoint.toml"
    path.write_text(re.sub(r"^# (?=\[|\w+ = )", "", text, flags=re.M), encoding="utf-8")
    settings = config.load(path)
    assert settings.cameras[0].lanes
    assert settings.alerts.tls is not None
    assert settings.recognition.weights_dir is not None


def test_compose_mounts_what_is_there() -> None:
    yaml = pytest.importorskip("yaml")
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    made = {Path(secret["file"]).name for secret in compose["secrets"].values()}
    assert made == {"ca.pem", "alerts.pem", "alerts.key", "recognise.pem", "recognise.key"}
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (ROOT / source).is_file()
        assert set(service.get("secrets", [])) <= set(compose["secrets"])


def test_no_file_names_a_machine_or_a_registry(tracked: list[Path]) -> None:
    hosts = ("pypi" + ".org", "python" + "hosted", "npmjs" + ".org", "deb.debian" + ".org")
    forbidden = re.compile("|".join([r"(?<![\w.])/(?:work|root)/", *map(re.escape, hosts)]))
    found = []
    for path in tracked:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
            for number, line in enumerate(text.splitlines(), start=1)
            if forbidden.search(line)
        ]
    assert not found, "\n".join(found)


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()
