"""The sweeper on a real data folder: it deletes on time, and says so before it does."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipeline.archive import ARCHIVE_FILE, PassageArchive
from pipeline.audit import AUDIT_FILE, AuditLog, records, verify
from pipeline.chain import AuditRecord
from pipeline.clock import ManualClock
from pipeline.config import RetentionSettings
from pipeline.evidence import UNBLURRED_FOLDER
from pipeline.health import Health
from pipeline.retention import RemoteSweep, Sweeper
from pipeline.types import Hit, MatchKind, Passage
from tests.support import watchlists
from tests.support.waiting import PATIENCE_S, wait_until

HOUR, DAY = 3600.0, 86_400.0


class Remote:
    """A store elsewhere; says what it was asked."""

    def __init__(self) -> None:
        self.count = 0
        self.asked: list[datetime] = []
        self.deleted = 0

    def due(self, before: datetime) -> list[int]:
        self.asked.append(before)
        return list(range(self.count))

    def delete(self, due: Sequence[int]) -> int:
        self.deleted += len(due)
        self.count = 0
        return len(due)


class Place:
    """A data folder with its archive, its evidence and its audit log."""

    def __init__(self, folder: Path, **periods: object) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.health = Health()
        self.archive = PassageArchive(folder / ARCHIVE_FILE, self.clock)
        self.remote = Remote()
        self.settings = RetentionSettings.model_validate(periods)
        self.sweeper = Sweeper(
            self.settings,
            184,
            folder,
            lambda: AuditLog(folder / AUDIT_FILE, self.clock),
            self.archive,
            [RemoteSweep("reviewed alerts", 10, self.remote, every_s=HOUR)],
            self.health,
            self.clock,
        )

    def passage(self, name: str, *categories: str, pictures: int = 1) -> None:
        """One that has just ended, with its pictures on the disk."""
        now = self.clock.now()
        made = replace(
            watchlists.passage(passage_id=name), started_at=now, ended_at=now, closed=True
        )
        assert made.evidence is not None
        for revision in range(pictures):
            path = f"{now:%Y-%m-%d}/{name}-{revision}.jpg"
            file = self.folder / "evidence" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"jpeg")
            last = replace(made, revision=revision, evidence=replace(made.evidence, path=path))
            self.archive.keep([last])
        self.archive.keep([], [self.hit(made, one) for one in categories])

    def hit(self, passage: Passage, category: str) -> Hit:
        entry = watchlists.entry(category=category)
        hit_id = f"{passage.id}-{category}"
        now = self.clock.now()
        return Hit(hit_id, 0, "north", passage, entry, MatchKind.EXACT, 0.9, 1, 0.0, now)

    def kept(self) -> set[str]:
        return {one.passage.id for one in self.archive.search()}

    def files(self) -> set[str]:
        evidence = self.folder / "evidence"
        return {str(path.relative_to(evidence)) for path in evidence.rglob("*")}

    def recorded(self) -> list[AuditRecord]:
        assert not verify(self.folder / AUDIT_FILE).findings
        return list(records(self.folder / AUDIT_FILE))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path, hits_days=3, categories={"wanted": 20})
    yield made
    made.archive.close()


def test_each_goes_when_its_time_is_over_with_all_its_pictures(place: Place) -> None:
    place.passage("without", pictures=3)
    place.passage("hit", "stolen")
    place.passage("long", "stolen", "wanted")
    place.sweeper.sweep()
    assert place.kept() == {"without", "hit", "long"}
    assert place.recorded() == []
    place.clock.advance(DAY + 1)
    place.passage("young")
    place.sweeper.sweep()
    assert place.kept() == {"hit", "long", "young"}
    assert place.files() == {
        "2026-01-01",
        "2026-01-01/hit-0.jpg",
        "2026-01-01/long-0.jpg",
        "2026-01-02",
        "2026-01-02/young-0.jpg",
    }
    place.clock.advance(3 * DAY)
    place.sweeper.sweep()
    assert place.kept() == {"long"}
    assert place.files() == {"2026-01-01", "2026-01-01/long-0.jpg"}
    place.clock.advance(20 * DAY)
    place.sweeper.sweep()
    assert place.kept() == place.files() == set()
    assert place.health.problems() == {}


def test_the_audit_log_says_how_many_and_of_which_time_and_no_plate(place: Place) -> None:
    place.passage("without", pictures=2)
    place.passage("hit", "stolen")
    place.clock.advance(4 * DAY)
    place.sweeper.sweep()
    (said,) = place.recorded()
    assert (said.actor, said.action, said.subject) == (
        "checkpoint",
        "retention.delete",
        "passages",
    )
    now = place.clock.now()
    assert json.loads(said.details) == {
        "count": 2,
        "with_hit": 1,
        "pictures": 3,
        "stray_files": 0,
        "before": (now - timedelta(days=1)).isoformat(),
        "with_hit_before": (now - timedelta(days=3)).isoformat(),
    }
    assert "辽" not in str(said)
    place.sweeper.sweep()
    assert len(place.recorded()) == 1  # nothing to do, nothing to say


def test_where_it_cannot_be_recorded_nothing_is_deleted(place: Place) -> None:
    place.passage("without")
    place.remote.count = 3
    place.clock.advance(2 * DAY)
    place.sweeper.sweep()
    place.passage("another")
    place.clock.advance(2 * DAY)
    (place.folder / f"{AUDIT_FILE}.anchor").unlink()
    place.remote.count, place.remote.deleted = 3, 0
    place.sweeper.sweep()
    assert place.kept() == {"another"}
    assert "2026-01-03/another-0.jpg" in place.files()
    assert place.remote.deleted == 0
    problems = place.health.problems()
    assert set(problems) == {
        "retention of passages",
        "retention of reviewed alerts",
        "retention of audit log",
    }
    assert "not deleted" in problems["retention of passages"]


def test_zero_hours_keep_nothing_without_a_hit(tmp_path: Path) -> None:
    place = Place(tmp_path, passages_h=0)
    place.passage("without")
    place.passage("hit", "stolen")
    place.clock.advance(1)
    place.sweeper.sweep()
    assert place.kept() == {"hit"}
    place.archive.close()


def test_what_lies_elsewhere_is_swept_too(place: Place) -> None:
    place.remote.count = 3
    place.sweeper.sweep()
    assert place.remote.asked == [place.clock.now() - timedelta(days=10)]
    assert place.remote.deleted == 3
    place.sweeper.sweep()
    assert len(place.remote.asked) == 1
    place.clock.advance(DAY)
    place.sweeper.sweep()
    assert len(place.remote.asked) == 2
    (said,) = place.recorded()
    assert (said.subject, json.loads(said.details)["count"]) == ("reviewed alerts", 3)


def test_files_that_nobody_knows_go_after_the_longest_period(place: Place) -> None:
    place.passage("known", "wanted")
    stray = place.folder / "evidence" / "2026-01-01" / "lost-0.jpg"
    stray.write_bytes(b"jpeg")
    aside = place.folder / "passages.sqlite.damaged-20260101T000000.0Z"
    aside.write_bytes(b"plates")
    os.utime(aside, (place.clock.now().timestamp(),) * 2)
    own = place.folder / "evidence" / "readme.txt"
    own.write_text("not ours")
    place.clock.advance(15 * DAY)
    place.sweeper.sweep()
    assert stray.exists()
    assert aside.exists()
    place.clock.advance(7 * DAY)
    place.archive.keep([], [])
    place.sweeper.sweep()
    assert not stray.exists()
    assert not aside.exists()
    assert own.exists()
    assert json.loads(place.recorded()[-1].details)["stray_files"] in (1, 2)


def test_manifests_and_originals_that_nobody_knows_go_too_and_those_of_kept_ones_stay(
    place: Place,
) -> None:
    day = f"{place.clock.now():%Y-%m-%d}"
    files = {}
    for name in ("lost", "kept"):
        for root, ending in (("evidence", "jpg"), ("evidence", "json"), (UNBLURRED_FOLDER, "jpg")):
            file = files[name, root, ending] = place.folder / root / day / f"{name}-0.{ending}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"x")
    place.clock.advance(22 * DAY)
    place.passage("kept")  # still kept, though its picture lies in an old folder
    place.archive.keep(
        [
            replace(one.passage, evidence=replace(one.passage.evidence, path=f"{day}/kept-0.jpg"))
            for one in place.archive.search()
            if one.passage.evidence is not None
        ]
    )
    place.sweeper.sweep()
    assert {name for (name, *_), file in files.items() if file.exists()} == {"kept"}
    assert sum(file.exists() for file in files.values()) == 3


def test_todays_empty_folder_stays_for_the_next_picture(place: Place) -> None:
    today = place.folder / "evidence" / f"{place.clock.now():%Y-%m-%d}"
    today.mkdir(parents=True)
    place.clock.advance(DAY)
    place.sweeper.sweep()
    assert today.exists()
    place.clock.advance(2 * DAY)
    place.sweeper.sweep()
    assert not today.exists()


def test_a_picture_that_cannot_be_deleted_is_said_and_its_passage_stays(place: Place) -> None:
    place.passage("without")
    picture = place.folder / "evidence" / "2026-01-01" / "without-0.jpg"
    picture.unlink()
    picture.mkdir()  # what unlink refuses, whoever asks
    place.clock.advance(2 * DAY)
    place.sweeper.sweep()
    assert place.kept() == {"without"}
    assert "not deleted" in place.health.problems()["retention of passages"]
    picture.rmdir()
    place.sweeper.sweep()
    assert place.kept() == set()
    assert place.health.problems() == {}


def test_old_audit_records_go(place: Place) -> None:
    place.remote.count = 1
    place.sweeper.sweep()
    place.clock.advance(190 * DAY)
    place.remote.count = 1
    place.sweeper.sweep()
    said = place.recorded()
    assert [one.action for one in said] == ["retention.delete", "audit.prune"]
    assert said[0].sequence == 2


def test_many_go_at_once(place: Place) -> None:
    now = place.clock.now()
    one = replace(watchlists.passage(evidence=None), ended_at=now)
    place.archive.keep(replace(one, id=str(number)) for number in range(11_000))
    place.clock.advance(2 * DAY)
    place.sweeper.sweep()
    assert place.archive.count() == 0
    counts = [json.loads(said.details)["count"] for said in place.recorded()]
    assert sum(counts) == 11_000


def test_its_thread_sweeps_soon_after_the_start_and_again(tmp_path: Path) -> None:
    place = Place(tmp_path, sweep_every_s=0.05)
    place.passage("one")
    place.clock.advance(2 * DAY)
    place.sweeper.start()
    wait_until(lambda: place.kept() == set())
    place.passage("two")
    place.clock.advance(2 * DAY)
    wait_until(lambda: place.kept() == set())
    place.sweeper.stop(PATIENCE_S)
    place.archive.close()
