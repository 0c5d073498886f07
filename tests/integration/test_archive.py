"""The archive of passages on real files: what is kept, found, and forgotten."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.archive import ARCHIVE_FILE, PassageArchive, PassageFilter
from pipeline.clock import ManualClock
from pipeline.errors import ArchiveError
from pipeline.types import (
    ALPHABET,
    SLOTS,
    Hit,
    MatchKind,
    Passage,
    PlateClass,
    VehicleClass,
    VehicleColour,
)
from tests.support import watchlists
from tests.support.disks import on_small_disk
from tests.support.watchlists import NOW

PLATES = ("辽A12345", "辽A12346", "辽B12345", "京A12345", "WJ01234")
FULL = """
import sys
from dataclasses import replace
from pathlib import Path
from pipeline.archive import PassageArchive, PassageFilter
from pipeline.errors import ArchiveError
from tests.support import watchlists
archive, kept = PassageArchive(Path(sys.argv[1]) / "passages.sqlite"), 0
try:
    while True:
        passages = [watchlists.passage(passage_id=f"{kept}-{n}", evidence=None) for n in range(50)]
        archive.keep(replace(one, camera="c" * 300) for one in passages)
        kept += 1
except ArchiveError as error:
    print(kept, archive.count(), error)
"""


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[PassageArchive]:
    made = PassageArchive(tmp_path / ARCHIVE_FILE, ManualClock())
    yield made
    made.close()


def hit(passage: Passage, category: str = "stolen", hit_id: str = "hit") -> Hit:
    entry = watchlists.entry(category=category)
    return Hit(hit_id, 0, "north", passage, entry, MatchKind.EXACT, 0.9, 1, 0.0, NOW)


def seen(number: int, plate: str | None = PLATES[0], **fields: object) -> Passage:
    made = watchlists.passage(plate, passage_id=f"p{number}", evidence=f"sha-{number}")
    assert made.evidence is not None
    evidence = replace(made.evidence, path=f"2026-01-01/p{number}-0.jpg")
    ended = NOW + timedelta(seconds=number)
    return replace(made, evidence=evidence, ended_at=ended, **fields)


def test_a_passage_comes_back_as_it_was_without_its_picture(archive: PassageArchive) -> None:
    probs = np.full((SLOTS, len(ALPHABET)), 1 / len(ALPHABET), np.float32)
    archive.keep([replace(seen(1), char_probs=probs)])
    kept = archive.get("p1")
    assert kept is not None
    assert kept.passage.plate == PLATES[0]
    assert kept.passage.char_probs is not None
    assert np.array_equal(kept.passage.char_probs, probs)
    assert kept.passage.evidence is not None
    assert kept.passage.evidence.jpeg == b""
    assert (kept.passage.evidence.path, kept.has_hit) == ("2026-01-01/p1-0.jpg", False)
    assert archive.path.stat().st_mode & 0o777 == 0o600
    assert archive.get("p2") is None


def test_the_newest_revision_stands(archive: PassageArchive) -> None:
    first = seen(1)
    later = replace(first, revision=2, plate=PLATES[1])
    archive.keep([first, later])
    archive.keep([replace(first, revision=1, plate=PLATES[2])])  # overtaken
    archive.keep([replace(later, closed=True)])
    archive.keep([later])
    (kept,) = archive.search()
    assert (kept.passage.revision, kept.passage.plate, kept.passage.closed) == (2, PLATES[1], True)
    assert archive.count() == 1


def test_hits_are_noted_once_and_only_for_passages_that_are_kept(archive: PassageArchive) -> None:
    archive.keep([seen(1), seen(2)], [hit(seen(1)), hit(seen(9))])
    archive.keep([replace(seen(1), revision=1)])
    archive.keep([], [hit(seen(2))])
    assert {one.passage.id: one.has_hit for one in archive.search()} == {"p1": True, "p2": True}
    assert {passage for passage, _ in archive.met(["p1", "p2", "p9"])} == {"p1", "p2"}


@st.composite
def queries(draw: st.DrawFn) -> dict[str, object]:
    pattern = st.sampled_from([*PLATES, "辽A1234?", "辽*", "*2345", "?????", "*", "辽[A*"])
    choice = {
        "plate": pattern,
        "cameras": st.lists(st.sampled_from(["north", "south", "west"]), max_size=2),
        "since": st.integers(0, 20).map(lambda s: NOW + timedelta(seconds=s)),
        "until": st.integers(0, 20).map(lambda s: NOW + timedelta(seconds=s)),
        "plate_class": st.sampled_from([PlateClass.BLUE, PlateClass.WJ]),
        "vehicle_class": st.sampled_from([VehicleClass.CAR, VehicleClass.BUS]),
        "vehicle_colour": st.sampled_from([VehicleColour.RED, VehicleColour.BLUE]),
        "with_hit": st.booleans(),
    }
    wanted = draw(st.sets(st.sampled_from(sorted(choice)), max_size=3))
    return {name: draw(choice[name]) for name in sorted(wanted)}


def fits(passage: Passage, has_hit: bool, query: dict[str, object]) -> bool:
    plate = query.get("plate")
    pattern = str(plate).replace("[", "[[]")
    checks = {
        "plate": lambda _: passage.plate is not None and fnmatchcase(passage.plate, pattern),
        "cameras": lambda names: not names or passage.camera in names,
        "since": lambda moment: passage.ended_at >= moment,
        "until": lambda moment: passage.ended_at < moment,
        "plate_class": lambda value: passage.plate_class is value,
        "vehicle_class": lambda value: passage.vehicle_class is value,
        "vehicle_colour": lambda value: passage.vehicle_colour is value,
        "with_hit": lambda value: has_hit == value,
    }
    return all(checks[name](value) for name, value in query.items())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*PLATES, None]),
            st.sampled_from(["north", "south"]),
            st.sampled_from([PlateClass.BLUE, PlateClass.WJ]),
            st.sampled_from([VehicleClass.CAR, None]),
            st.sampled_from([VehicleColour.RED, None]),
            st.integers(0, 20),
            st.booleans(),
        ),
        max_size=12,
    ),
    st.lists(queries(), min_size=1, max_size=6),
    st.integers(1, 4),
)
def test_search_finds_what_fits_the_latest_first_page_by_page(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple],
    asked: list[dict[str, object]],
    limit: int,
) -> None:
    archive = PassageArchive(tmp_path_factory.mktemp("archive") / ARCHIVE_FILE, ManualClock())
    passages = [
        replace(
            seen(number, plate),
            camera=camera,
            plate_class=plate_class,
            vehicle_class=vehicle_class,
            vehicle_colour=colour,
            ended_at=NOW + timedelta(seconds=second),
        )
        for number, (plate, camera, plate_class, vehicle_class, colour, second, _) in enumerate(
            rows
        )
    ]
    has_hit = {one.id: row[-1] for one, row in zip(passages, rows, strict=True)}
    archive.keep(passages, [hit(one) for one in passages if has_hit[one.id]])
    order = sorted(range(len(passages)), key=lambda at: (passages[at].ended_at, at), reverse=True)
    for query in asked:
        expected = [
            passages[at].id for at in order if fits(passages[at], has_hit[passages[at].id], query)
        ]
        found: list[str] = []
        before = None
        wanted = PassageFilter(**query)  # type: ignore[arg-type]
        while page := archive.search(wanted, before=before, limit=limit):
            found += [one.passage.id for one in page]
            before = page[-1].place
        assert found == expected
        assert archive.count(wanted) == len(expected)
    archive.close()


def test_searches_use_an_index(archive: PassageArchive) -> None:
    archive.keep([seen(1)])
    with sqlite3.connect(archive.path) as connection:
        for where in ("plate = 'x'", "plate GLOB '辽A*'", "camera IN ('a', 'b')", "ended_us > 5"):
            plan = connection.execute(
                f"EXPLAIN QUERY PLAN SELECT * FROM passages WHERE {where}"
            ).fetchall()
            assert "USING INDEX by_" in str(plan), (where, plan)
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT row FROM passages WHERE has_hit = 0 AND ended_us < 5 "
            "AND (ended_us, row) > (1, 1) ORDER BY ended_us, row LIMIT 5"
        ).fetchall()
        assert "by_hit" in str(plan), plan
        assert "TEMP B-TREE" not in str(plan)
    connection.close()


def test_forgotten_is_gone_from_the_file_too(archive: PassageArchive) -> None:
    archive.keep([seen(1, "京A88888"), seen(2)], [hit(seen(1))])
    (with_hit,) = next(iter(archive.ended_before(NOW + timedelta(days=1), has_hit=True, page=9)))
    assert with_hit.categories == ("stolen",)
    assert archive.pictures([with_hit.row]) == ["2026-01-01/p1-0.jpg"]
    assert archive.forget([with_hit]) == 0  # its picture still lies there
    assert archive.forget([with_hit], ["2026-01-01/p1-0.jpg"]) == 1
    assert [one.passage.id for one in archive.search()] == ["p2"]
    assert archive.met(["p1"]) == set()
    archive.close()
    assert "京A88888".encode() not in archive.path.read_bytes()


def test_a_passage_that_got_a_hit_meanwhile_stays(archive: PassageArchive) -> None:
    archive.keep([replace(seen(1), evidence=None)])
    (without,) = next(iter(archive.ended_before(NOW + timedelta(days=1), has_hit=False, page=9)))
    archive.keep([], [hit(seen(1))])
    assert archive.forget([without]) == 0
    assert archive.count() == 1


def test_candidates_come_in_pages_the_oldest_first(archive: PassageArchive) -> None:
    archive.keep([seen(number) for number in (5, 3, 9, 1, 7)])
    pages = archive.ended_before(NOW + timedelta(seconds=8), has_hit=False, page=2)
    ended = [[(one.ended_at - NOW).total_seconds() for one in page] for page in pages]
    assert ended == [[1, 3], [5, 7]]


def test_a_damaged_file_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / ARCHIVE_FILE
    path.write_bytes(b"this is no database " * 500)
    archive = PassageArchive(path, ManualClock())
    archive.keep([seen(1)])
    assert archive.count() == 1
    assert len(list(tmp_path.glob("passages.sqlite.damaged-*"))) == 1
    archive.close()


def test_one_damaged_passage_does_not_hide_the_others(archive: PassageArchive) -> None:
    archive.keep([seen(1), seen(2)])
    with sqlite3.connect(archive.path) as connection:
        connection.execute("UPDATE passages SET payload = X'00' WHERE id = 'p1'")
    connection.close()
    assert [one.passage.id for one in archive.search()] == ["p2"]


def test_a_full_disk_is_said_and_what_was_kept_stays(tmp_path: Path) -> None:
    done = on_small_disk(tmp_path / "disk", 400, FULL, str(tmp_path / "disk"))
    assert done.returncode == 0, done.stderr
    kept, count, *said = done.stdout.split()
    assert int(kept) > 0
    assert int(count) == 50 * int(kept)
    assert "free space on that disk" in " ".join(said)


def test_an_unusable_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    archive = PassageArchive(tmp_path / "file" / ARCHIVE_FILE, ManualClock())
    with pytest.raises(ArchiveError, match="archive of passages cannot be used"):
        archive.keep([seen(1)])
