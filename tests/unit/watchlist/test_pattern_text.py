from __future__ import annotations

import pytest

from pipeline.errors import WatchlistError
from pipeline.types import PlateClass
from tests.support.watchlists import entry
from watchlist.pattern_index import PatternIndex
from watchlist.patterns import classes_of_pattern, is_legal_pattern, is_pattern, shapes


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("辽A?23??", {"辽A?23??"}),
        ("辽A*", {"辽A?????", "辽A??????"}),
        ("辽*警", {"辽?????警"}),
        ("*A12345", {"?A12345", "??A12345"}),
        ("辽A12345*", {"辽A12345", "辽A12345?"}),
        ("*使*12", {"?????使12", "使????12"} - {"?????使12"}),
    ],
)
def test_shapes(pattern: str, expected: set[str]) -> None:
    assert set(shapes(pattern)) == expected


@pytest.mark.parametrize(
    ("plate", "said"),
    [
        ("辽*", "fixes 1 of a plate's characters; name at least 2"),
        ("???????", "fixes 0"),
        ("*", "fixes 0"),
        ("辽A??", "fits no plate"),
        ("辽A???????", "fits no plate"),
        ("辽I?2345", "fits no plate"),
        ("辽AABC?1", "fits no plate"),
        ("*1*2*3*", "leaves open too much: its \\* can be read in 52 ways, at most 32"),
    ],
)
def test_what_no_pattern_may_be_is_said_of_its_field(plate: str, said: str) -> None:
    with pytest.raises(WatchlistError, match=f"plate: .*{said}"):
        entry(plate)


def test_a_patterns_class_must_be_possible() -> None:
    assert entry("辽*警", plate_class="police").plate_class is PlateClass.POLICE
    with pytest.raises(WatchlistError, match="plate_class: 辽\\*警 can only be one of"):
        entry("辽*警", plate_class="blue")
    assert classes_of_pattern("京A?1234?") == {PlateClass.GREEN_SMALL, PlateClass.GREEN_LARGE}


@pytest.mark.parametrize("plate", ["辽A12345", "辽A?*?23", "辽A**", "辽*"])
def test_what_does_not_go_onto_the_list_as_a_pattern(plate: str) -> None:
    assert not is_legal_pattern(plate)


def test_two_entries_of_one_pattern_are_kept_together() -> None:
    listed = (entry("辽A?23??"), entry("辽A?23??", case_number="C-2"))
    index = PatternIndex({"辽A?23??": listed, "京B*": (entry("京B*"),)})
    assert index.fitting(["辽A12345", "京C12345", "辽A12845"]) == {"辽A12345": ("辽A?23??",)}
    assert index.entries["辽A?23??"] == listed
    assert index.masks == 2


def test_no_pattern_fits_nothing() -> None:
    assert PatternIndex({}).fitting(["辽A12345"]) == {}
    assert PatternIndex({"辽A?23??": ()}).fitting([]) == {}
    assert not is_pattern("辽A12345")


def test_many_plates_are_taken_in_pages() -> None:
    index = PatternIndex({"辽A0??1?": ()})
    plates = [f"辽A{number:05}" for number in range(5000)]
    fitting = [plate for plate in plates if plate[2] == "0" and plate[5] == "1"]
    assert list(index.fitting(plates)) == fitting
