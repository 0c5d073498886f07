"""Patterns against the plain meaning of ``?`` and ``*``."""

from __future__ import annotations

from fnmatch import fnmatchcase

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.plate_forms import is_legal
from tests.support.readings import legal_plates, patterns
from tests.support.watchlists import entry
from watchlist.grammar import classify, normalise
from watchlist.pattern_index import PatternIndex
from watchlist.patterns import (
    check_pattern,
    classes_of_pattern,
    is_legal_pattern,
    matches,
    one_spelling,
    shapes,
)

messy = st.text("辽A1?*警0", max_size=10)


@st.composite
def plates_and_patterns(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Some plates, and patterns of which many fit one of them."""
    plates = draw(st.lists(legal_plates(), min_size=1, max_size=6, unique=True))
    some = patterns(st.sampled_from(plates)) | patterns()
    return plates, draw(st.lists(some, max_size=8, unique=True))


@given(plates_and_patterns())
@settings(deadline=None)
def test_the_index_finds_what_fits_and_nothing_else(drawn: tuple[list[str], list[str]]) -> None:
    plates, listed = drawn
    found = PatternIndex(dict.fromkeys(listed, ())).fitting(plates)
    assert {plate: set(of_plate) for plate, of_plate in found.items()} == {
        plate: fitting
        for plate in plates
        if (fitting := {pattern for pattern in listed if fnmatchcase(plate, pattern)})
    }
    assert all(len(of_plate) == len(set(of_plate)) for of_plate in found.values())


@given(plates_and_patterns())
@settings(deadline=None)
def test_the_definition_is_the_usual_one(drawn: tuple[list[str], list[str]]) -> None:
    plates, listed = drawn
    for pattern in listed:
        for plate in plates:
            assert matches(pattern, plate) == fnmatchcase(plate, pattern)


@given(patterns(), legal_plates())
@settings(deadline=None)
def test_a_pattern_is_its_shapes(pattern: str, plate: str) -> None:
    assert matches(pattern, plate) == any(matches(shape, plate) for shape in shapes(pattern))
    if matches(pattern, plate):
        assert classify(plate) <= classes_of_pattern(pattern)


@given(messy, messy)
@settings(deadline=None)
def test_one_spelling_says_the_same(text: str, plate: str) -> None:
    once = one_spelling(text)
    assert one_spelling(once) == once
    assert fnmatchcase(plate, once) == fnmatchcase(plate, text)


@given(messy)
@settings(deadline=None)
def test_what_is_taken_can_be_indexed(text: str) -> None:
    pattern = one_spelling(text)
    if is_legal_pattern(pattern):
        check_pattern(pattern)
        assert classes_of_pattern(pattern)
        PatternIndex({pattern: ()})


@given(patterns())
@settings(deadline=None)
def test_an_entry_takes_a_pattern_however_it_is_written(pattern: str) -> None:
    wide = pattern.replace("?", "？").replace("*", "＊＊").lower()
    assert entry(f" {wide} ").plate == pattern
    assert normalise(pattern) == pattern
    assert not is_legal(pattern)
