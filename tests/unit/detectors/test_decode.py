import re
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.decode import TEMPLATES, decode, is_legal
from pipeline.types import ALPHABET, BLANK, SLOTS

P = "[京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新]"
S = "[0-9A-HJ-NP-Z]"
RULES = [
    rf"{P}[A-HJ-Z](?=(?:[0-9]*[A-HJ-NP-Z]){{0,2}}[0-9]*$){S}{{5}}",
    rf"{P}[A-HJ-NP-Z][A-HJK]{S}[0-9]{{4}}",
    rf"{P}[A-HJ-NP-Z][0-9]{{5}}[A-HJK]",
    rf"{P}[A-HJ-Z]{S}{{4}}[学警挂]",
    rf"粤Z{S}{{4}}[港澳]",
    r"[0-9]{6}使|使[0-9]{6}",
    rf"{P}(?:[0-9]{{5}}|[A-HJ-NP-Z][0-9]{{4}})领",
    rf"WJ{P}?[0-9]{{4}}{S}",
    r"[A-HJ-Z]{2}[0-9]{5}",
    rf"(?:{P}[XS][0-9]{{4}}|京[0-9]{{5}})应急",
    rf"应急{P}[0-9]{{3}}[XS]",
]


def by_rules(text: str) -> bool:
    return any(re.fullmatch(rule, text) for rule in RULES)


def distribution(choices: list[dict[str, float]]) -> np.ndarray:
    """Slots with the given characters ('' is blank), the rest of the mass spread evenly."""
    table = np.full((SLOTS, len(ALPHABET)), 1e-9, np.float32)
    for slot, options in enumerate(choices):
        for character, mass in options.items():
            table[slot, ALPHABET.index(character)] = mass
    for slot in range(len(choices), SLOTS):
        table[slot, BLANK] = 1.0
    return table / table.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "text",
    [
        "辽A12345",
        "京AD12345",
        "沪A12345D",
        "苏B1234警",
        "粤Z1A2B港",
        "224578使",
        "使014578",
        "沪22478领",
        "WJ京12345",
        "WJ12345",
        "VA12345",
        "辽X1234应急",
        "鲁O12345",
        "浙A1234挂",
    ],
)
def test_legal_texts(text: str) -> None:
    assert is_legal(text)
    assert by_rules(text)


@pytest.mark.parametrize("text", ["", "辽A1234", "辽AABC45", "AA12345X", "辽A1234I", "辽辽12345"])
def test_illegal_texts(text: str) -> None:
    assert not is_legal(text)


@settings(max_examples=300)
@given(st.sampled_from(TEMPLATES).flatmap(lambda t: st.tuples(*(st.sampled_from(s) for s in t))))
def test_templates_follow_the_rules(characters: tuple[str, ...]) -> None:
    assert by_rules("".join(characters))


@settings(max_examples=300)
@given(st.text(alphabet="".join(ALPHABET[1:]), min_size=5, max_size=8))
def test_legality_agrees_with_the_rules(text: str) -> None:
    assert is_legal(text) == by_rules(text)


slot = st.dictionaries(
    st.sampled_from(["辽", "京", "A", "D", "O", "0", "1", "学", "领", "W", "J", ""]),
    st.floats(0.02, 1.0),
    min_size=1,
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(slot, min_size=SLOTS, max_size=SLOTS))
def test_the_best_legal_text_is_found_exactly(choices: list[dict[str, float]]) -> None:
    """Against brute force over every combination of the characters that carry mass."""
    table = distribution(choices)
    best_text, best = None, 0.0
    for combination in product(*(options for options in choices)):
        text = "".join(combination)
        blanks_last = "" not in combination or all(
            c == "" for c in combination[combination.index("") :]
        )
        if not blanks_last or not by_rules(text):
            continue
        mass = float(
            np.prod([np.float64(table[i, ALPHABET.index(c)]) for i, c in enumerate(combination)])
        )
        if mass > best:
            best_text, best = text, mass
    decoded = decode(table, floor=1e-7)
    if best > 1e-6:
        assert decoded.text is not None
        legal = "".join(decoded.text)
        assert is_legal(legal)
        total = decoded.probability * float(table[len(legal) :, BLANK].astype(np.float64).prod())
        assert total == pytest.approx(best, rel=1e-4)
        if total > best * 1.001:
            assert legal == best_text


def test_probabilities_are_those_of_the_distribution() -> None:
    serial = [{str(i): 0.8, "Q": 0.2} for i in range(5)]
    table = distribution([{"辽": 0.9, "京": 0.1}, {"A": 1.0}, *serial])
    decoded = decode(table)
    assert decoded.text == "辽A01234"
    assert decoded.text_probabilities == pytest.approx([0.9, 1.0, *[0.8] * 5], rel=1e-4)
    assert decoded.probability == pytest.approx(0.9 * 0.8**5, rel=1e-4)


def test_an_illegal_argmax_gives_way_to_a_legal_text_of_the_same_distribution() -> None:
    table = distribution([{"辽": 1}, {"0": 0.6, "O": 0.4}, *({"1": 1} for _ in range(5))])
    assert decode(table).text == "辽O11111"


def test_what_is_too_unlikely_is_no_read() -> None:
    table = distribution([{"A": 1}] * 7)
    decoded = decode(table)
    assert decoded.text is None
    assert decoded.text_probabilities == ()
    assert decode(np.full((SLOTS, len(ALPHABET)), 1 / len(ALPHABET), np.float32)).text is None


def test_blank_pictures_are_no_read() -> None:
    assert decode(distribution([])).text is None
