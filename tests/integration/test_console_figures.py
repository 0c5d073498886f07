"""Figures over the real console: what is asked for, and how long they outlive the passages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.access import AccessRole
from pipeline.archive import ARCHIVE_FILE, PassageArchive
from pipeline.rollup import FIGURES_FILE, CountedAlert, Rollup
from tests.support import watchlists
from tests.support.console import ConsoleRig, running_console
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.grpc, pytest.mark.redis]

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=3)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleRig]:
    folder = tmp_path_factory.mktemp("console")
    with closing(PassageArchive(folder / ARCHIVE_FILE)) as archive:
        archive.keep(
            replace(
                watchlists.passage(plate, passage_id=f"p{n}", closed=True, evidence=None),
                camera="east" if n % 2 else "gate",
                ended_at=NOON + timedelta(minutes=20 * n),
                reads=reads,
            )
            for n, (plate, reads) in enumerate(
                [("辽A12345", 5), (None, 2), (None, 0), ("辽A12346", 5), ("辽A12345", 5)]
            )
        )
    with closing(Rollup(folder / FIGURES_FILE)) as rollup:
        rollup.note(
            CountedAlert(
                f"a{n}",
                "south" if n == 3 else "north",
                "gate",
                NOON + timedelta(minutes=n),
                "exact",
                "stolen",
                ("confirmed", "rejected", "unverified", "confirmed")[n],
                late=False,
                retracted=False,
                latency_s=0.5 * (n + 1),
            )
            for n in range(4)
        )
    # 24 h are the passages' time: the sweeper deletes all of them when the console starts
    with running_console(folder, checkpoint="north") as made:
        yield made


def test_figures_outlive_the_passages_they_were_counted_from(rig: ConsoleRig) -> None:
    archive = PassageArchive(rig.settings.data_dir / ARCHIVE_FILE)
    with closing(archive):
        rows = archive.ended_before(datetime.now(UTC), has_hit=False, page=100)
        for page in rows:
            archive.forget(page)
        wait_until(lambda: archive.count() == 0)
    asked = {"from": NOON.isoformat(), "to": (NOON + timedelta(hours=2)).isoformat()}
    with rig.person("Li", AccessRole.VIEWER) as browser:
        told = browser.get("/api/figures", params=asked).json()
        days = browser.get("/api/figures", params={**asked, "bucket": "day"}).json()
    assert told["starts"] == [NOON.isoformat(), (NOON + timedelta(hours=1)).isoformat()]
    by_name = {one["camera"]: one for one in told["cameras"]}
    assert set(by_name) == {None, "gate", "east", "south / gate"}
    everything = by_name[None]
    assert everything["series"]["passages"] == [3, 2]
    assert everything["series"]["found"] == [2, 2]
    assert everything["series"]["read"] == [1, 2]
    assert everything["series"]["read_rate"] == [0.5, 1.0]
    assert everything["total"]["capture_rate"] == 0.6
    assert everything["total"]["precision"] == pytest.approx(2 / 3)
    assert by_name["gate"]["total"]["precision"] == 0.5
    assert by_name["gate"]["total"]["latency_p50_s"] == 1.0
    assert by_name["gate"]["total"]["latency_p95_s"] == 1.5
    assert by_name["east"]["total"]["precision"] is None
    assert by_name["east"]["series"]["read_rate"] == [0.0, 1.0]
    (of_all, *_) = days["cameras"]
    assert of_all["total"]["passages"] == 5


def test_what_cannot_be_asked_for_is_said(rig: ConsoleRig) -> None:
    with rig.browser() as nobody:
        assert nobody.get("/api/figures").status_code == 401
    with rig.person("Li", AccessRole.AUDITOR) as browser:
        assert browser.get("/api/figures").status_code == 200
        for query, field in (
            ({"bucket": "week"}, "bucket"),
            ({"from": "yesterday"}, "from"),
            ({"from": "2026-01-02", "to": "2026-01-01"}, "from"),
            ({"from": "2020-01-01", "to": "2026-01-01", "bucket": "day"}, "from"),
            ({"from": "2026-01-01", "to": "2026-03-01", "bucket": "hour"}, "from"),
        ):
            answer = browser.get("/api/figures", params=query)
            assert (answer.status_code, answer.json()["error"]["field"]) == (400, field), query
