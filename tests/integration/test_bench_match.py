"""``checkpoint bench match`` over a small list."""

from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from benchmarks import match as bench
from pipeline.commands.bench import app
from pipeline.errors import WatchlistError
from pipeline.types import MatchKind

pytestmark = pytest.mark.redis
SMALL = ["match", "--entries", "3000", "--patterns", "300", "--masks", "40"]
SMALL += ["--seconds", "0.1"]


def test_it_measures_and_agrees_with_a_search_of_the_whole_list() -> None:
    with capture_logs():  # the program sends its log to stderr
        done = CliRunner().invoke(app, [*SMALL, "--json"])
    assert done.exit_code == 0, done.output
    (line,) = done.stdout.splitlines()
    report = json.loads(line)
    assert (report["entries"], report["patterns"], report["masks"]) == (3000, 300, 40)
    assert [speed["plates"] for speed in report["speeds"]] == [1000, 2700]
    for speed in report["speeds"]:
        assert speed["passages_per_s"] > 0
        assert speed["single_ms"]["p50"] <= speed["single_ms"]["p99"] <= speed["single_ms"]["max"]
        assert set(speed["hits"]) == set(MatchKind)
    assert 100 < report["bytes_per_entry"] < 3000
    assert report["checked"] > 0


def test_a_person_reads_a_table() -> None:
    done = CliRunner().invoke(app, SMALL)
    assert done.exit_code == 0, done.output
    assert "300 patterns of 40 masks" in " ".join(done.stdout.split())
    assert "bytes for each entry" in done.stdout


def test_a_wrong_match_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "is_pattern", lambda plate: False)  # the search misses patterns
    with pytest.raises(WatchlistError, match="of the whole list"):
        bench.measure(
            entries=2300, patterns=300, masks=40, seconds=0.1, progress=lambda *said: None
        )


def test_plates_differ() -> None:
    assert len({bench.plate(number) for number in range(50_000)}) == 50_000
