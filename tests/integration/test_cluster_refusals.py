"""What ``checkpoint run --cluster`` says where it cannot run; no cluster is started."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.ports import free_port
from tests.support.program import checkpoint
from tests.support.ray_cluster import require_ray

WITHOUT_RAY = (
    "import sys; sys.modules['ray'] = None; sys.argv[0] = 'checkpoint';"
    "from pipeline.cli import main; main()"
)


def write(folder: Path, more: str = "") -> Path:
    file = folder / "checkpoint.toml"
    file.write_text(
        '[watchlist]\nredis_url = "redis://127.0.0.1:1/0"\n'
        f'[[cameras]]\nname = "gate"\nsource = "gate.mp4"\n{more}',
        encoding="utf-8",
    )
    return file


def test_only_one_module_imports_ray() -> None:
    imports = re.compile(r"^\s*(?:import|from)\s+ray\b", re.MULTILINE)
    found = [
        str(path.relative_to(ROOT))
        for folder in ("pipeline", "detectors", "watchlist", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if imports.search(path.read_text(encoding="utf-8"))
    ]
    assert found == ["pipeline/cluster.py"]


@pytest.mark.parametrize("command", ["run", "status"])
def test_without_ray_it_says_how_to_get_it(tmp_path: Path, command: str) -> None:
    words = ["run", "--json"] if command == "run" else ["cluster", "status"]
    on = ["--cluster", "auto", "--config", str(write(tmp_path))]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_RAY, *words, *on],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "pip install 'checkpoint-vehicles[cluster]'" in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_configuration_that_fits_no_cluster(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.toml"
    file.write_text('[[cameras]]\nname = "gate"\nsource = "gate.mp4"\n', encoding="utf-8")
    done = checkpoint("run", "--cluster", "auto", "--config", str(file), cwd=tmp_path)
    assert done.returncode == 2
    assert "watchlist.redis_url" in done.stderr
    done = checkpoint("run", "--cluster", "auto", "--source", "gate.mp4", cwd=tmp_path)
    assert done.returncode == 2
    assert "--config" in done.stderr


def test_settings_are_checked(tmp_path: Path) -> None:
    file = write(tmp_path, "weight = 0\n[cluster]\nsilent_after_s = 0.1\n")
    done = checkpoint("check-config", str(file), cwd=tmp_path)
    assert done.returncode == 2
    assert "cameras.0.weight = 0" in done.stderr
    assert "cluster.silent_after_s = 0.1" in done.stderr


@pytest.mark.parametrize(
    ("address", "status", "says"),
    [
        ("127.0.0.1:{port}", 1, "nobody answers there"),
        ("ray://127.0.0.1:10001", 2, "HOST:PORT"),
        ("somewhere", 2, "HOST:PORT"),
    ],
)
def test_an_address_where_no_cluster_is(
    tmp_path: Path, address: str, status: int, says: str
) -> None:
    require_ray()
    address = address.format(port=free_port())
    on = ("--cluster", address, "--config", str(write(tmp_path)))
    done = checkpoint("run", *on, "--json", cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert says in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
