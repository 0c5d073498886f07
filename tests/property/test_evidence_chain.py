"""The chain of manifests: whatever is taken away or changed while it must be there is noticed."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evidence_chain import Fault, Finding, Placed, chain_findings
from pipeline.evidence_manifest import ChainLink, Head, Manifest, Origin, parse

START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = START + timedelta(days=1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TIME = st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1), timezones=st.just(UTC))
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
COUNT = st.integers(0, 2**53)
PIXEL = st.floats(-1e4, 1e4).map(lambda value: round(value, 1))
MANIFEST = st.builds(
    Manifest,
    passage=TEXT,
    revision=COUNT,
    path=TEXT,
    sha256=HEX,
    size=COUNT,
    blurred=st.booleans(),
    plate_corners=st.none() | st.tuples(*[st.tuples(PIXEL, PIXEL)] * 4),
    original_sha256=st.none() | HEX,
    captured_at=TIME,
    media_s=st.floats(0, 1e9),
    camera=TEXT,
    frame=COUNT,
    saved_at=TIME,
    list_version=st.none() | COUNT,
    origin=st.builds(
        Origin,
        TEXT,
        TEXT,
        st.dictionaries(TEXT, st.dictionaries(TEXT, HEX, max_size=2), max_size=2),
    ),
    chain=st.builds(ChainLink, TEXT, COUNT, st.none() | HEX, st.none() | TIME),
)


@given(MANIFEST)
def test_a_manifest_comes_back_from_its_file(manifest: Manifest) -> None:
    content = manifest.to_json()
    assert content.count(b"\n") == 1
    assert parse(content) == manifest


@given(st.binary(max_size=200))
def test_what_is_no_manifest_is_refused_in_one_way(content: bytes) -> None:
    with pytest.raises(ValueError, match="no manifest"):
        parse(content)


def saved(runs: list[int]) -> tuple[list[Placed], Head]:
    """Manifests of several runs of the program, one a minute, and the end of their chain."""
    placed: list[Placed] = []
    head: Head | None = None
    for run, count in enumerate(runs):
        for number in range(1, count + 1):
            at = START + timedelta(minutes=len(placed))
            link = ChainLink(f"run-{run}", number)
            if head is not None:
                link = replace(link, previous=head.sha256, previous_at=head.captured_at)
            name = f"2026-01-01/p{len(placed):03d}-0"
            manifest = Manifest(
                *(f"p{len(placed)}", 0, f"{name}.jpg", "0" * 64, 1, True, None, None),
                *(at, 0.0, "gate", 0, at, None, Origin(), link),
            )
            digest = hashlib.sha256(manifest.to_json()).hexdigest()
            placed.append(Placed(manifest, f"{name}.json", digest))
            head = Head(link.id, number, digest, at)
    assert head is not None
    return placed, head


RUNS = st.lists(st.integers(1, 6), min_size=1, max_size=4)


def findings(placed: list[Placed], head: Head, since: datetime = START) -> list[Finding]:
    since -= timedelta(seconds=1)
    return list(chain_findings(placed, [head], since, LATER))


@given(RUNS, st.randoms())
def test_a_whole_chain_in_any_order_is_sound(runs: list[int], chance: object) -> None:
    placed, head = saved(runs)
    chance.shuffle(placed)  # type: ignore[attr-defined]
    assert findings(placed, head) == []


@given(RUNS, st.data())
def test_what_is_taken_away_is_missed_while_it_must_be_there(
    runs: list[int], data: st.DataObject
) -> None:
    placed, head = saved(runs)
    gone = data.draw(st.sets(st.integers(0, len(placed) - 1), min_size=1))
    left = [one for place, one in enumerate(placed) if place not in gone]
    found = findings(left, head)
    assert {one.fault for one in found} == {Fault.MISSING}


@given(RUNS, st.data())
def test_what_retention_took_is_not_missed(runs: list[int], data: st.DataObject) -> None:
    """Nothing before some time must be there: some of it stays, because it had a hit."""
    placed, head = saved(runs)
    old = data.draw(st.integers(0, len(placed)))
    stay = data.draw(st.sets(st.integers(0, len(placed) - 1)))
    left = [one for place, one in enumerate(placed) if place >= old or place in stay]
    assert findings(left, head, START + timedelta(minutes=old)) == []


@given(RUNS, st.data())
def test_a_manifest_that_was_changed_is_named(runs: list[int], data: st.DataObject) -> None:
    placed, head = saved(runs)
    place = data.draw(st.integers(0, len(placed) - 1))
    changed = replace(placed[place].manifest, camera="another")
    digest = hashlib.sha256(changed.to_json()).hexdigest()
    placed[place] = replace(placed[place], manifest=changed, sha256=digest)
    found = findings(placed, head)
    assert len(found) == 1
    follower = placed[place + 1].path if place + 1 < len(placed) else None
    assert found[0].path in (placed[place].path, follower)


@given(RUNS, st.data())
def test_two_in_one_place_are_named(runs: list[int], data: st.DataObject) -> None:
    placed, head = saved(runs)
    one = data.draw(st.sampled_from(placed))
    twin = replace(one, path=one.path.replace("/p", "/q"), sha256="f" * 64)
    assert Fault.FOREIGN in {found.fault for found in findings([*placed, twin], head)}


@given(RUNS, st.data())
def test_a_chain_made_anew_does_not_hold_what_was_noted(
    runs: list[int], data: st.DataObject
) -> None:
    """Whoever may write every file can make a chain that is sound in itself."""
    placed, _ = saved(runs)
    one = data.draw(st.sampled_from(placed))
    noted = Head(one.manifest.chain.id, one.manifest.chain.sequence, one.sha256, START)
    assert Head.noted(str(noted)) == noted
    assert findings(placed, noted) == []
    forged = [
        replace(
            other,
            manifest=replace(
                other.manifest, chain=replace(other.manifest.chain, id="new", previous=None)
            ),
        )
        for other in placed
    ]
    assert {found.fault for found in findings(forged, noted)} >= {Fault.MISSING}
    again = [replace(other, sha256=f"{place:064d}") for place, other in enumerate(placed)]
    assert Fault.DAMAGED in {found.fault for found in findings(again, noted)}


@pytest.mark.parametrize("text", ["", "a:b", "a:1:00:2026-01-01T00:00:00Z", f"a:x:{'0' * 64}:t"])
def test_what_was_not_noted_so_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - in plain words by the command
        Head.noted(text)
