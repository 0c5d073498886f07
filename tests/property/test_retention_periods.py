"""What is deleted when: pure decisions from times and settings."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive import Candidate
from pipeline.config import RetentionSettings
from pipeline.retention import day_of, is_due, longest, shortest_of_hits

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAYS = st.floats(0, 400)
CATEGORIES = ("stolen", "wanted", "other")
SETTINGS = st.builds(
    RetentionSettings,
    passages_h=st.floats(0, 400),
    hits_days=DAYS,
    categories=st.dictionaries(st.sampled_from(CATEGORIES), DAYS),
)
MET = st.lists(st.sampled_from(CATEGORIES), min_size=1, max_size=4).map(tuple)
AGES = st.timedeltas(timedelta(seconds=-10), timedelta(days=500))
PASSAGES = st.builds(
    lambda age, met: Candidate(1, NOW - age, met is not None, met or ()),
    AGES,
    st.none() | MET,
)


@given(PASSAGES, SETTINGS)
def test_it_goes_when_its_period_is_over_and_not_before(
    passage: Candidate, settings: RetentionSettings
) -> None:
    if passage.has_hit:
        days = [settings.categories.get(one, settings.hits_days) for one in passage.categories]
        period = timedelta(days=max(days))
    else:
        period = timedelta(hours=settings.passages_h)
    assert is_due(passage, NOW, settings) == (NOW - passage.ended_at > period)


@given(PASSAGES, SETTINGS, st.timedeltas(timedelta(0), timedelta(days=100)))
def test_what_is_due_stays_due(
    passage: Candidate, settings: RetentionSettings, later: timedelta
) -> None:
    if is_due(passage, NOW, settings):
        assert is_due(passage, NOW + later, settings)


@given(PASSAGES.filter(lambda one: one.has_hit), SETTINGS, st.sampled_from(CATEGORIES))
def test_one_more_hit_never_shortens_its_time(
    passage: Candidate, settings: RetentionSettings, category: str
) -> None:
    more = replace(passage, categories=(*passage.categories, category))
    if is_due(more, NOW, settings):
        assert is_due(passage, NOW, settings)


@given(PASSAGES, SETTINGS)
def test_the_shortest_and_longest_period_bound_all(
    passage: Candidate, settings: RetentionSettings
) -> None:
    age = NOW - passage.ended_at
    if age > longest(settings):
        assert is_due(passage, NOW, settings)
    if passage.has_hit and age <= shortest_of_hits(settings):
        assert not is_due(passage, NOW, settings)


@given(PASSAGES)
def test_zero_keeps_nothing_that_has_ended(passage: Candidate) -> None:
    settings = RetentionSettings(passages_h=0, hits_days=0)
    assert is_due(passage, NOW, settings) == (passage.ended_at < NOW)


@given(st.dates())
def test_a_day_folder_and_nothing_else_is_a_day(day: object) -> None:
    found = day_of(Path("evidence") / str(day))
    assert found is not None
    assert found.date() == day
    for other in (f"{day}.jpg", f"x{day}", "evidence", ".", "2026-13-01"):
        assert day_of(Path(other)) is None
