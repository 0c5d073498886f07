"""``checkpoint bench alerts``: every hit arrives, and the figures say what they are of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.postgres_server import postgres_server
from tests.support.program import checkpoint

pytestmark = [pytest.mark.redis, pytest.mark.grpc]

QUICK = ("bench", "alerts", "--seconds", "1", "--subscribers", "20", "--rate", "50")


def test_figures_for_machines(tmp_path: Path) -> None:
    done = checkpoint(*QUICK, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    latency, sustained, fan = report["latency"], report["sustained"], report["fan"]
    assert 40 <= latency["hits"] <= 60, "the first second is not counted"
    assert latency["picture_bytes"] == 50_000
    for times in (latency["ms"], fan["ms"]):
        assert 0 < times["p50"] <= times["p95"] <= times["p99"] <= times["max"]
    assert sustained["hits"] > sustained["hits_per_s"] > 10
    assert set(sustained["rss_mib"]) == {"publisher", "service", "subscribers"}
    assert (fan["subscribers"], fan["alerts"], fan["missing"]) == (20, 100, 0)
    assert report["machine"]["sync_ms"]["p50"] > 0
    assert report["machine"]["store"].startswith("Redis ")
    assert report["memory"] is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_memory_is_watched_and_another_store_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres_server() as server:
        monkeypatch.setenv("CHECKPOINT_POSTGRES_URL", server.url)
        done = checkpoint(*QUICK, "--minutes", "0.05", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'checkpoint_bench'"
        assert server.execute(schemas) == [(0,)], "nothing is left behind"
    report = json.loads(done.stdout)
    assert report["machine"]["store"].startswith("PostgreSQL ")
    assert "redis" not in report["latency"]["cpu_cores"]
    memory = report["memory"]
    assert memory["hits"] >= 100
    assert memory["at_s"] == sorted(memory["at_s"])
    for name in ("publisher", "service", "subscribers"):
        assert len(memory["rss_mib"][name]) == len(memory["at_s"]) > 5
        assert name in memory["growth_mib_per_hour"]


@pytest.mark.slow
def test_tables_for_people(tmp_path: Path) -> None:
    done = checkpoint(*QUICK, "--picture-kb", "5", "--minutes", "0.05", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "20 subscribers" in done.stdout
    assert "As fast as they go" in done.stdout
    assert "an hour" in done.stdout
    assert "Machine:" in done.stdout
    assert "Traceback" not in done.stderr


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    assert checkpoint("bench", "alerts", "--seconds", "0", cwd=tmp_path).returncode == 2
