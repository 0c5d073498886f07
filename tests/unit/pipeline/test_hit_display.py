"""A possible or a partial hit never looks like an exact one, wherever a person sees it."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from pipeline import events
from pipeline.commands.alert_table import AlertTable
from pipeline.commands.alerts import alert_event
from pipeline.config import MatchingSettings
from pipeline.display import KIND_STYLES, RunDisplay, meaning, percent
from pipeline.matching import hit_of, match_entries
from pipeline.types import Alert, Hit, MatchKind, VehicleColour
from tests.support.readings import sharp
from tests.support.watchlists import NOW, entry, passage

DOUBTED = sharp("辽A12345", s6={"6": 0.3})
BLUE_GROUND = "48;2;11;78;162"
"""The escape for the ground of a blue plate."""


def hit(wanted: str, *, lowers: bool = False) -> Hit:
    """The hit of one passage, read as 辽A12345 and perhaps as 辽A12346, and one entry."""
    seen = passage("辽A12345", probability=0.7, vehicle_colour=VehicleColour.BLACK)
    seen = replace(seen, char_probs=DOUBTED)
    listed = entry(wanted, vehicle_colour="white" if lowers else None)
    ((match,),) = match_entries([seen], [listed], MatchingSettings(mismatch_lowers=lowers))
    return hit_of(seen, match, checkpoint="north", list_version=3, list_age_s=1.0, at=NOW)


CASES = [
    (hit("辽A12345"), MatchKind.EXACT, ""),
    (hit("辽A12346"), MatchKind.POSSIBLE, "likelier is 辽A·12345"),
    (hit("辽A12345", lowers=True), MatchKind.POSSIBLE, "the plate is wanted, the vehicle differs"),
    (hit("辽A?23*"), MatchKind.PARTIAL, "fits a pattern as 辽A·12345"),
]


def shown(on_run: bool, one: Hit, width: int = 200) -> tuple[str, str]:
    """What is printed of a hit, with and without the terminal's escapes."""
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system="truecolor")
    if on_run:
        RunDisplay(console).hit(one)
    else:
        AlertTable(console).add(Alert(1, one, NOW))
    plain = io.StringIO()
    bare = Console(file=plain, width=width, no_color=True)
    if on_run:
        RunDisplay(bare).hit(one)
    else:
        AlertTable(bare).add(Alert(1, one, NOW))
    return out.getvalue(), plain.getvalue()


@pytest.mark.parametrize(("one", "kind", "words"), CASES)
def test_a_run_says_the_kind_and_what_it_rests_on(one: Hit, kind: MatchKind, words: str) -> None:
    assert (one.kind, meaning(one)) == (kind, words)
    coloured, plain = shown(True, one)
    labels = {MatchKind.EXACT: "▲ HIT", MatchKind.POSSIBLE: "△ POSSIBLE",
              MatchKind.PARTIAL: "◇ PARTIAL"}  # fmt: skip
    assert [label in plain for label in labels.values()] == [k is kind for k in labels]
    assert words in plain
    # only the exact hit shows the wanted plate as a plate
    assert (BLUE_GROUND in coloured) == (kind is MatchKind.EXACT)


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize(("one", "kind", "words"), CASES)
def test_the_table_of_alerts_does_too(one: Hit, kind: MatchKind, words: str, width: int) -> None:
    _, plain = shown(False, one, width)
    assert [k.value.upper() in plain for k in MatchKind] == [k is kind for k in MatchKind]
    for word in words.split():
        assert word.replace("辽A·12345", "12345") in plain
    if kind is MatchKind.PARTIAL:
        assert "辽A?23*" in plain
        assert "≠" not in plain


def test_each_kind_has_its_own_colours() -> None:
    assert set(KIND_STYLES) == set(MatchKind)
    assert len(set(KIND_STYLES.values())) == len(MatchKind)


def test_a_retracted_hit_says_so_first() -> None:
    for one, _, _ in CASES:
        _, plain = shown(True, replace(one, retracted=True))
        assert plain.split()[:2] == ["↺", "RETRACTED"]
        assert "HIT" not in plain


def test_an_unread_plate_is_said() -> None:
    unread = replace(passage(None), char_probs=sharp("辽A12345", s0={"皖": 0.4}))
    ((match,),) = match_entries([unread], [entry("皖A12345")])
    one = hit_of(unread, match, checkpoint="north", list_version=3, list_age_s=1.0, at=NOW)
    assert meaning(one) == "one reading of a plate that was not read surely"
    assert "40.0 %" in shown(True, one)[1]
    assert "unreadable" in shown(False, one)[1]


def test_machines_are_told_the_reading_and_the_mismatches() -> None:
    said = {one.entry.plate: events.hit(one) for one, _, _ in CASES}
    assert "reading" not in events.hit(CASES[0][0])
    assert said["辽A12346"]["reading"] == "辽A12346"
    assert said["辽A?23*"]["reading"] == "辽A12345"
    lowered = events.hit(CASES[2][0])
    assert (lowered["kind"], lowered["mismatches"]) == ("possible", ["vehicle_colour"])
    for one, kind, _ in CASES:
        event = alert_event(Alert(1, one, NOW))
        assert (event["kind"], event["reading"]) == (kind.value, one.reading)


@pytest.mark.parametrize(
    ("probability", "shown"),
    [(0.99999, "99.9 %"), (1.0, "100.0 %"), (0.0, "0.0 %"), (0.9755, "97.5 %")],
)
def test_what_is_not_certain_never_shows_as_certain(probability: float, shown: str) -> None:
    assert percent(probability) == shown
