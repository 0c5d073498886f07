"""``checkpoint evidence verify`` on real files: whatever is done to one of them is found."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.archive import ARCHIVE_FILE, PassageArchive
from pipeline.audit import AUDIT_FILE, AuditLog
from pipeline.clock import ManualClock
from pipeline.commands.evidence import app
from pipeline.config import RetentionSettings
from pipeline.convert import serialise_passage
from pipeline.errors import ConfigError
from pipeline.evidence import UNBLURRED_FOLDER, EvidenceStore, cut
from pipeline.evidence_chain import Fault
from pipeline.evidence_manifest import HEAD_FILE, beside, parse
from pipeline.evidence_verify import (
    Kept,
    Verification,
    pending_passages,
    verify,
    verify_paths,
)
from pipeline.health import Health
from pipeline.outbox import Outbox
from pipeline.retention import Sweeper
from pipeline.tracking import Sighting
from pipeline.types import Evidence, Frame, Hit, MatchKind, Passage
from tests.support import scenes, watchlists

HOUR = timedelta(hours=1)


class Place:
    """A data folder that passages have been saved to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(datetime.now(UTC) - 3 * HOUR)
        self.archive = PassageArchive(folder / ARCHIVE_FILE, self.clock)
        self.store = self.started()

    @property
    def root(self) -> Path:
        return self.folder / "evidence"

    def started(self) -> EvidenceStore:
        """As after a start of the program."""
        return EvidenceStore(
            self.root, Health(), originals=self.folder / UNBLURRED_FOLDER, clock=self.clock
        )

    def saved(self, name: str, revision: int = 0, *, kept: bool = True) -> Evidence:
        at = self.clock.now()
        reading = scenes.plate(280, 200, 60, scenes.read("辽A12345"))
        image = scenes.frame(0.0, shade=40 + sum(name.encode()) % 150).image
        frame = Frame("gate", 1, at, 0.0, 0.0, image)
        evidence = self.store.save(
            name, revision, cut(frame, Sighting(reading, scenes.car(280, 200, 60)))
        )
        if kept:
            self.archive.keep([passage(name, at, evidence, revision)])
        self.clock.advance(60)
        return evidence

    def file(self, evidence: Evidence) -> Path:
        return self.root / evidence.path

    def verify(self, *, pending: frozenset[str] = frozenset()) -> Verification:
        """An hour later, when no file is young any more."""
        kept = Kept(self.archive, pending, timedelta(hours=24), timedelta(days=180))
        for path in self.folder.rglob("*.j*"):
            os.utime(path, (time.time() - 3600, time.time() - 3600))
        return verify(
            self.root, self.folder / UNBLURRED_FOLDER, kept, self.clock.now() + 0.9 * HOUR
        )


def passage(name: str, at: datetime, evidence: Evidence, revision: int = 0) -> Passage:
    made = watchlists.passage(passage_id=name, revision=revision, closed=True)
    return replace(made, started_at=at, ended_at=at, evidence=replace(evidence, jpeg=b""))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.archive.close()


def found(outcome: Verification) -> set[tuple[Fault, str]]:
    return {(one.fault, Path(one.path).name) for one in outcome.findings}


def test_what_was_saved_is_found_as_it_was_over_restarts(place: Place) -> None:
    for number in range(3):
        place.saved(f"a{number}")
    place.saved("a2", 1)
    place.store = place.started()
    for number in range(2):
        place.saved(f"b{number}")
    outcome = place.verify()
    assert outcome.findings == ()
    assert (outcome.pictures, outcome.manifests, outcome.originals) == (6, 6, 6)
    last = parse(beside(place.root / place.saved("c").path).read_bytes())
    assert outcome.head is not None
    assert (last.chain.id, last.chain.sequence) == (outcome.head.id, outcome.head.sequence + 1)
    assert last.chain.previous == outcome.head.sha256
    assert last.camera == "gate"


def change(place: Place, files: list[Path]) -> None:
    files[1].write_bytes(files[1].read_bytes()[:-4] + b"\x00\x00\xff\xd9")


def empty(place: Place, files: list[Path]) -> None:
    files[1].write_bytes(b"")


def take_away(place: Place, files: list[Path]) -> None:
    files[1].unlink()


def take_both_away(place: Place, files: list[Path]) -> None:
    files[1].unlink()
    beside(files[1]).unlink()


def take_the_last_away(place: Place, files: list[Path]) -> None:
    files[-1].unlink()
    beside(files[-1]).unlink()


def take_the_manifest_away(place: Place, files: list[Path]) -> None:
    beside(files[1]).unlink()


def swap_pictures(place: Place, files: list[Path]) -> None:
    one, two = files[0].read_bytes(), files[1].read_bytes()
    files[0].write_bytes(two)
    files[1].write_bytes(one)


def swap_with_manifests(place: Place, files: list[Path]) -> None:
    """Whole records exchanged, names and all: the passages know better."""
    swap_pictures(place, files)
    manifests = [parse(beside(file).read_bytes()) for file in files[:2]]
    for file, manifest, other in zip(files, manifests, reversed(manifests), strict=False):
        beside(file).write_bytes(replace(manifest, sha256=other.sha256).to_json())


def change_a_manifest(place: Place, files: list[Path]) -> None:
    manifest = parse(beside(files[1]).read_bytes())
    beside(files[1]).write_bytes(replace(manifest, camera="another").to_json())


def change_the_last_manifest(place: Place, files: list[Path]) -> None:
    manifest = parse(beside(files[-1]).read_bytes())
    beside(files[-1]).write_bytes(replace(manifest, camera="another").to_json())


def break_a_manifest(place: Place, files: list[Path]) -> None:
    beside(files[1]).write_text('{"passage": 1}')


def rename(place: Place, files: list[Path]) -> None:
    beside(files[1]).rename(files[1].with_name("x-0.json"))
    files[1].rename(files[1].with_name("x-0.jpg"))


def put_a_picture_there(place: Place, files: list[Path]) -> None:
    files[0].with_name("new-0.jpg").write_bytes(files[0].read_bytes())


def put_a_forged_pair_there(place: Place, files: list[Path]) -> None:
    manifest = parse(beside(files[0]).read_bytes())
    path = files[0].with_name("new-0.jpg")
    path.write_bytes(files[0].read_bytes())
    forged = replace(manifest, passage="new", path=path.relative_to(place.root).as_posix())
    beside(path).write_bytes(forged.to_json())


def put_a_text_there(place: Place, files: list[Path]) -> None:
    (place.root / "notes.txt").write_text("hello")


def take_the_head_away(place: Place, files: list[Path]) -> None:
    (place.root / HEAD_FILE).unlink()


def change_an_original(place: Place, files: list[Path]) -> None:
    place.root.with_name(UNBLURRED_FOLDER).joinpath(files[1].relative_to(place.root)).write_bytes(
        b"x"
    )


def take_an_original_away(place: Place, files: list[Path]) -> None:
    (place.folder / UNBLURRED_FOLDER / files[1].relative_to(place.root)).unlink()


def put_an_original_there(place: Place, files: list[Path]) -> None:
    path = place.folder / UNBLURRED_FOLDER / files[1].relative_to(place.root)
    path.with_name("new-0.jpg").write_bytes(b"x")


@pytest.mark.parametrize(
    ("do", "expected"),
    [
        (change, {(Fault.DAMAGED, "p1-0.jpg")}),
        (empty, {(Fault.DAMAGED, "p1-0.jpg")}),
        (take_away, {(Fault.MISSING, "p1-0.jpg")}),
        (take_both_away, {(Fault.MISSING, "p1-0.jpg"), (Fault.MISSING, "p2-0.json")}),
        (take_the_last_away, {(Fault.MISSING, "p3-0.jpg"), (Fault.MISSING, HEAD_FILE)}),
        (take_the_manifest_away, {(Fault.MISSING, "p1-0.json"), (Fault.MISSING, "p2-0.json")}),
        (swap_pictures, {(Fault.DAMAGED, "p0-0.jpg"), (Fault.DAMAGED, "p1-0.jpg")}),
        (
            swap_with_manifests,
            {
                (Fault.DAMAGED, "p0-0.jpg"),
                (Fault.DAMAGED, "p1-0.jpg"),
                (Fault.DAMAGED, "p0-0.json"),
                (Fault.DAMAGED, "p1-0.json"),
            },
        ),
        (change_a_manifest, {(Fault.DAMAGED, "p1-0.json")}),
        (change_the_last_manifest, {(Fault.DAMAGED, "p3-0.json")}),
        (break_a_manifest, {(Fault.DAMAGED, "p1-0.json"), (Fault.MISSING, "p2-0.json")}),
        (
            rename,
            {
                (Fault.FOREIGN, "x-0.json"),
                (Fault.FOREIGN, "x-0.jpg"),
                (Fault.MISSING, "p1-0.jpg"),
                (Fault.MISSING, "p2-0.json"),
            },
        ),
        (put_a_picture_there, {(Fault.FOREIGN, "new-0.jpg")}),
        (
            put_a_forged_pair_there,  # it names an unblurred picture, too
            {
                (Fault.FOREIGN, "new-0.jpg"),
                (Fault.FOREIGN, "p0-0.json"),
                (Fault.MISSING, "new-0.jpg"),
            },
        ),
        (put_a_text_there, {(Fault.FOREIGN, "notes.txt")}),
        (take_the_head_away, {(Fault.MISSING, HEAD_FILE)}),
        (change_an_original, {(Fault.DAMAGED, "p1-0.jpg")}),
        (take_an_original_away, {(Fault.MISSING, "p1-0.jpg")}),
        (put_an_original_there, {(Fault.FOREIGN, "new-0.jpg")}),
    ],
)
def test_each_deed_is_found_and_named(
    place: Place, do: Callable[[Place, list[Path]], None], expected: set[tuple[Fault, str]]
) -> None:
    files = [place.file(place.saved(f"p{number}")) for number in range(4)]
    do(place, files)
    assert found(place.verify()) == expected


def test_a_run_whose_last_picture_was_taken_away_before_the_next_began(place: Place) -> None:
    place.saved("p0")
    last = place.file(place.saved("p1", kept=False))  # the archive never knew it
    place.store = place.started()
    place.saved("q0")
    last.unlink()
    beside(last).unlink()
    (place.folder / UNBLURRED_FOLDER / last.relative_to(place.root)).unlink()
    assert found(place.verify()) == {(Fault.MISSING, "q0-0.json")}


def test_what_is_on_its_way_to_the_archive_is_not_foreign(place: Place) -> None:
    evidence = place.saved("p0", kept=False)
    assert found(place.verify()) == {(Fault.FOREIGN, "p0-0.jpg")}
    spool = Outbox(place.folder / "spool.sqlite")
    waiting = passage("p0", place.clock.now(), evidence)
    spool.put("p0.closed", 0, serialise_passage(waiting))
    pending = pending_passages(place.folder / "spool.sqlite")
    assert pending == {"p0"}
    assert place.verify(pending=pending).findings == ()
    spool.close()


def test_pictures_from_before_there_were_manifests_are_known_by_their_passages(
    place: Place,
) -> None:
    old = place.root / "2026-01-01" / "old-0.jpg"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"an old picture")
    at = place.clock.now() - 48 * HOUR
    digest = "7e0a1cb86ae8d5c7d2d2b5e0c4d6fb0e" * 2
    made = passage("old", at, Evidence("2026-01-01/old-0.jpg", digest, 0.0, b""))
    place.archive.keep([made])
    place.saved("p0")
    assert found(place.verify()) == {(Fault.DAMAGED, "old-0.jpg")}
    evidence = made.evidence
    assert evidence is not None
    right = replace(evidence, sha256=hashlib.sha256(b"an old picture").hexdigest())
    place.archive.keep([replace(made, evidence=right, revision=1)])
    outcome = place.verify()
    assert (outcome.findings, outcome.bare) == ((), 1)


def test_what_retention_deletes_is_no_finding_and_takes_everything_along(place: Place) -> None:
    for number in range(4):
        place.saved(f"p{number}")
    hit = place.archive.get("p1")
    assert hit is not None
    entry = watchlists.entry(now=place.clock.now())
    place.archive.keep(
        [],
        [Hit("h", 0, "north", hit.passage, entry, MatchKind.EXACT, 0.9, 1, 0.0, entry.valid_from)],
    )
    place.clock.advance(25 * 3600)
    place.saved("young")
    sweeper = Sweeper(
        RetentionSettings(),
        184,
        place.folder,
        lambda: AuditLog(place.folder / AUDIT_FILE, place.clock),
        place.archive,
        [],
        Health(),
        place.clock,
    )
    sweeper.sweep()
    for folder in (place.root, place.folder / UNBLURRED_FOLDER):
        assert {path.name for path in folder.rglob("*.jpg")} == {"p1-0.jpg", "young-0.jpg"}
    assert {path.name for path in place.root.rglob("*.json")} == {"p1-0.json", "young-0.json"}
    assert place.verify().findings == ()


def test_pictures_that_were_handed_over_are_checked_by_their_manifests(
    place: Place, tmp_path: Path
) -> None:
    files = [place.file(place.saved(f"p{number}")) for number in range(4)]
    away = tmp_path / "case-17"
    away.mkdir()
    for file in (files[0], files[3]):
        for one in (file, beside(file)):
            (away / one.name).write_bytes(one.read_bytes())
    now = datetime.now(UTC)
    assert verify_paths([away], now).findings == ()
    assert verify_paths([away / "p0-0.jpg"], now).pictures == 1
    (away / "p0-0.jpg").write_bytes((away / "p3-0.jpg").read_bytes())
    (finding,) = verify_paths([away / "p0-0.jpg", away / "p3-0.jpg"], now).findings
    assert finding.fault is Fault.DAMAGED
    assert "p3-0.jpg" in finding.message


def test_the_command_names_what_is_wrong_and_says_so_by_its_status(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    run = CliRunner().invoke
    files = [place.file(place.saved(f"p{number}")) for number in range(3)]
    place.verify()
    where = ["verify", "--data-dir", str(place.folder)]
    sound = run(app, where)
    assert sound.exit_code == 0, sound.output
    assert "3 pictures, all as they were saved" in sound.output
    note = sound.output.split("later: ")[1].strip()
    assert run(app, [*where, "--noted", note]).exit_code == 0
    other = note.replace(":3:", ":2:")
    assert run(app, [*where, "--noted", other]).exit_code == 1
    assert isinstance(run(app, [*where, "--noted", "3"]).exception, ConfigError)
    files[1].write_bytes(b"another")
    wrong = run(app, where)
    assert wrong.exit_code == 1
    assert "p1-0.jpg" in wrong.output
    assert "damaged" in wrong.output
    lines = [json.loads(line) for line in run(app, [*where, "--json"]).stdout.splitlines()]
    assert [line["event"] for line in lines] == ["finding", "summary"]
    assert lines[0]["fault"] == "damaged"
    assert lines[1]["findings"] == 1
    assert run(app, ["verify", str(files[0])]).exit_code == 0
    assert run(app, ["verify", str(files[1])]).exit_code == 1
    nowhere = run(app, ["verify", str(place.folder / "nowhere")])
    assert "nowhere" in str(nowhere.exception)
