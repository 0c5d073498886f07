"""The readings of a plate against a search of every combination of characters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.readings import Reading, readings, readings_of
from pipeline.types import ALPHABET, SLOTS, CharProbs
from tests.support.readings import by_brute_force, distribution, doubtful, sharp
from tests.support.watchlists import passage

floors = st.floats(0.001, 1.0)
ceilings = st.integers(1, 30)


def expected(table: CharProbs, floor: float, ceiling: int) -> tuple[Reading, ...]:
    likely = [Reading(text, p) for text, p in by_brute_force(table).items() if p >= floor]
    return tuple(sorted(likely, key=lambda one: (-one.probability, one.text))[:ceiling])


@given(st.lists(doubtful(), min_size=1, max_size=4), floors, ceilings)
@settings(max_examples=200, deadline=None)
def test_all_likely_readings_are_found_and_no_other(
    tables: list[CharProbs], floor: float, ceiling: int
) -> None:
    found = readings(np.stack(tables), floor, ceiling)
    assert found == [expected(table, floor, ceiling) for table in tables]


@given(st.lists(st.tuples(doubtful(), floors), min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_each_plate_has_its_own_floor(drawn: list[tuple[CharProbs, float]]) -> None:
    tables, each = zip(*drawn, strict=True)
    found = readings(np.stack(tables), np.array(each), 30)
    assert found == [expected(table, floor, 30) for table, floor in drawn]


@given(doubtful(), st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_a_reading_at_the_floor_counts(table: CharProbs, which: int) -> None:
    """Rounding must not decide: the floor is the very probability of one of the readings."""
    worths = sorted(by_brute_force(table).values(), reverse=True)
    if not worths or worths[0] < 0.001:
        return
    floor = max(worths[min(which, len(worths)) - 1], 0.001)
    assert readings(table[None], floor, 1000)[0] == expected(table, floor, 1000)


def test_no_distribution_is_no_reading() -> None:
    even = np.full((1, SLOTS, len(ALPHABET)), 1 / len(ALPHABET), np.float32)
    assert readings(even, 0.001, 10) == [()]
    assert readings(np.full_like(even, np.nan), 0.001, 10) == [()]
    assert readings(even[:0], 0.05, 10) == []


def test_a_character_behind_a_gap_is_no_reading() -> None:
    slots = [{c: 1.0} for c in "辽A1234"]
    assert readings(distribution([*slots, {"": 1.0}, {"5": 1.0}])[None], 0.05, 10) == [()]


@given(doubtful(), st.floats(0.3, 1.0), floors, ceilings)
@settings(max_examples=200, deadline=None)
def test_the_readings_of_a_passage(
    table: CharProbs, probability: float, floor: float, ceiling: int
) -> None:
    """The voted plate stands with the passage's probability, its cap goes to the others."""
    legal = by_brute_force(table)
    plate = max(legal, key=lambda text: legal[text])
    voted = passage(plate, probability=probability)
    (found,) = readings_of([replace(voted, char_probs=table)], floor, ceiling)
    assert found[0] == Reading(plate, probability)
    doubt = 1 - legal[plate]
    share = max(1.0, (1 - probability) / doubt) if doubt > 1e-6 else 1.0
    likely = {t: p * share for t, p in legal.items() if t != plate}
    others = {one.text: one.probability for one in found[1:]}
    assert list(others.values()) == sorted(others.values(), reverse=True)
    surely = {text for text, p in likely.items() if p >= floor * 1.001}
    perhaps = {text for text, p in likely.items() if p >= floor * 0.999}
    if len(perhaps) < ceiling:
        assert surely <= set(others) <= perhaps
    assert len(found) <= ceiling
    for text, p in others.items():
        assert p == pytest.approx(min(1.0, likely[text]), rel=1e-3)
    if probability <= legal[plate]:
        assert sum(one.probability for one in found) <= 1 + 1e-6


@given(doubtful(), floors)
@settings(max_examples=50, deadline=None)
def test_a_plate_that_was_not_called_keeps_its_readings(table: CharProbs, floor: float) -> None:
    unread = replace(passage(None), char_probs=table)
    assert readings_of([unread], floor, 30) == [expected(table, floor, 30)]


def test_many_agreeing_reads_leave_the_doubt_that_the_cap_left() -> None:
    """What the product of many reads calls impossible is possible while the vote is capped."""
    table = sharp("辽A12345", s6={"6": 1e-6, "8": 1e-9})
    (sure,) = readings_of(
        [replace(passage("辽A12345", probability=0.99), char_probs=table)], 0.05, 9
    )
    assert sure == (Reading("辽A12345", 0.99),)
    (capped,) = readings_of(
        [replace(passage("辽A12345", probability=0.9), char_probs=table)], 0.05, 9
    )
    assert [one.text for one in capped] == ["辽A12345", "辽A12346"]
    assert capped[1].probability == pytest.approx(0.1, rel=0.01)


def test_a_doubt_of_the_length_is_a_doubt() -> None:
    """The passage's probability speaks of its characters, not of the blank behind them."""
    table = sharp("辽AD1234", s7={"5": 0.2})
    one = replace(passage("辽AD1234", probability=0.999), char_probs=table)
    (found,) = readings_of([one], 0.05, 9)
    assert found == (Reading("辽AD1234", 0.999), Reading("辽AD12345", pytest.approx(0.2)))


def test_a_passage_without_a_distribution_has_its_plate_alone() -> None:
    odd = replace(passage("辽A12346"), char_probs=np.ones((1, len(ALPHABET)), np.float32))
    assert readings_of([passage("辽A12345"), passage(None), odd], 0.05, 9) == [
        (Reading("辽A12345", 0.98),),
        (),
        (Reading("辽A12346", 0.98),),
    ]
