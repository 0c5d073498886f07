from __future__ import annotations

import pytest

from pipeline.errors import WatchlistError
from pipeline.types import PlateClass
from watchlist.grammar import classify, display, is_legal, normalise


@pytest.mark.parametrize(
    ("plate", "plate_class"),
    [
        ("辽A12345", PlateClass.BLUE),
        ("辽A12345", PlateClass.YELLOW_DOUBLE),
        ("辽BK2N45", PlateClass.BLUE),
        ("辽O1234A", PlateClass.BLUE),
        ("京AD12345", PlateClass.GREEN_SMALL),
        ("京AKA2345", PlateClass.GREEN_SMALL),
        ("沪B12345F", PlateClass.GREEN_LARGE),
        ("辽A1234警", PlateClass.POLICE),
        ("辽A1234学", PlateClass.COACH),
        ("辽A1234挂", PlateClass.TRAILER),
        ("粤Z1234港", PlateClass.HK_MACAU),
        ("粤ZA23B澳", PlateClass.HK_MACAU),
        ("224578使", PlateClass.EMBASSY),
        ("使224578", PlateClass.EMBASSY),
        ("沪22478领", PlateClass.CONSULATE),
        ("沪A2478领", PlateClass.CONSULATE),
        ("WJ12345", PlateClass.WJ),
        ("WJ京1234X", PlateClass.WJ),
        ("VA12345", PlateClass.ARMY),
        ("辽X1234应急", PlateClass.EMERGENCY),
        ("应急辽123S", PlateClass.EMERGENCY),
    ],
)
def test_legal_forms(plate: str, plate_class: PlateClass) -> None:
    assert plate_class in classify(plate)
    assert is_legal(plate)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A12345",
        "辽A1234",
        "辽A123456",
        "辽I12345",
        "辽A1234I",
        "辽A1234O",
        "辽AABC45",  # three letters in the serial
        "京AL12345",  # L is no new-energy letter
        "辽辽12345",
        "辽A12345\n",
        "粤A1234港",
        "辽A?2345",
    ],
)
def test_other_texts_are_no_plate(text: str) -> None:
    assert not is_legal(text)
    assert classify(text) == frozenset()


@pytest.mark.parametrize(
    "written",
    [
        "辽A12345",
        " 辽a·12345 ",
        "辽A-123-45",
        "辽Ａ１２３４５",
        "辽A・12345",
        "辽 A—12345",
        "辽A●12345",
    ],
)
def test_one_spelling(written: str) -> None:
    assert normalise(written) == "辽A12345"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("辽А12345", "CYRILLIC CAPITAL LETTER A"),
        ("辽A1234Ο", "GREEK CAPITAL LETTER OMICRON"),
        ("辽Aı2345", "LATIN SMALL LETTER DOTLESS I"),
        ("辽A1\u200b2345", "ZERO WIDTH SPACE"),
        ("辽A123\x0045", "U+0000"),
        ("辽A12345😀", "GRINNING FACE"),
    ],
)
def test_strangers_are_named_and_refused(written: str, name: str) -> None:
    with pytest.raises(WatchlistError, match=name.replace("+", r"\+")):
        normalise(written)


def test_display_puts_the_dot_back() -> None:
    assert display("辽A12345") == "辽A·12345"
    assert display("224578使") == "224578使"
    assert normalise(display("京AD12345")) == "京AD12345"
