"""CTC steps become slots: which step speaks for a character, and where each probability goes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.ctc import slots_of, spread_of
from detectors.decode import decode
from pipeline.types import ALPHABET, BLANK, SLOTS
from tests.support.ppocr import CHARACTERS, Steps, matrix, spell

CHARACTER_COUNT = len(ALPHABET) - 1


def slots(steps: Steps) -> np.ndarray:
    found = slots_of(matrix(steps), spread_of(CHARACTERS))
    assert found.shape == (SLOTS, len(ALPHABET))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    return found


def likeliest(found: np.ndarray) -> str:
    return "".join(ALPHABET[column] for column in found.argmax(axis=1))


def column(character: str) -> int:
    return ALPHABET.index(character)


def test_each_character_takes_a_slot_and_the_rest_is_blank() -> None:
    found = slots(spell("川A66108"))
    assert likeliest(found) == "川A66108"
    assert found[6, column("8")] == pytest.approx(0.9)
    assert found[7, BLANK] == 1


def test_equal_steps_in_a_row_are_one_character_and_the_surest_speaks() -> None:
    found = slots([{"川": 0.6}, {"川": 0.8, "藏": 0.2}, {"川": 0.7}, {"A": 1.0}, {"6": 0.9}])
    assert likeliest(found) == "川A6"
    assert found[0, column("川")] == pytest.approx(0.8)
    assert found[0, column("藏")] == pytest.approx(0.2)


def test_dots_and_spaces_are_no_characters() -> None:
    found = slots([*spell("川A"), {"·": 0.7, "8": 0.2}, {" ": 1.0}, *spell("66108")])
    assert likeliest(found) == "川A66108"


def test_a_foreign_character_keeps_its_place_and_tells_nothing() -> None:
    found = slots([*spell("川A"), {"I": 0.7, "1": 0.2}, *spell("6108")])
    even = 0.7 / CHARACTER_COUNT
    assert found[2, column("1")] == pytest.approx(0.2 + even)
    assert found[2, column("8")] == pytest.approx(even)
    assert found[2, BLANK] == pytest.approx(0.1)
    assert found[3, column("6")] == pytest.approx(0.9)
    assert decode(found).probability < 0.3  # I is never repaired to a certain 1


def test_doubt_about_a_last_character_is_kept() -> None:
    found = slots([*spell("川A6610", 1.0), {"8": 0.45}, {"8": 0.2}, {}])
    assert found[6, column("8")] == pytest.approx(0.45)
    assert found[6, BLANK] == pytest.approx(0.55)
    assert found[7, BLANK] == 1


def test_what_is_left_of_the_last_character_is_not_another_one() -> None:
    found = slots([*spell("川A6610", 1.0), {"8": 1.0}, {"8": 0.45, "B": 0.1}, {}])
    assert found[7, BLANK] == pytest.approx(0.9)
    assert found[7, column("B")] == pytest.approx(0.1)


def test_nothing_but_blank_is_an_empty_plate() -> None:
    found = slots([{}, {"川": 0.1}, {"·": 0.9}, {}])
    assert found[0, BLANK] == pytest.approx(0.9)
    assert likeliest(found) == ""


def test_more_characters_than_a_plate_has_leave_everything_open() -> None:
    found = slots(spell("川AD123456", 1.0))
    assert (found[:, BLANK] == 0).all()
    assert found.max() == pytest.approx(1 / CHARACTER_COUNT)
    assert decode(found).text is None


@given(
    st.text(st.sampled_from(ALPHABET[1:]), min_size=1, max_size=SLOTS),
    st.lists(st.floats(0.51, 1.0), min_size=SLOTS, max_size=SLOTS),
    st.permutations(CHARACTERS),
)
def test_any_text_comes_back_with_its_probabilities(text, probabilities, characters) -> None:
    steps = [s for c, p in zip(text, probabilities, strict=False) for s in ({c: p}, {})]
    found = slots_of(matrix(steps, characters), spread_of(characters))
    assert likeliest(found) == text
    for slot, (character, probability) in enumerate(zip(text, probabilities, strict=False)):
        assert found[slot, column(character)] == pytest.approx(probability, abs=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.floats(0.1, 3.0))
def test_whatever_a_network_says_the_slots_are_distributions(seed, count, peak) -> None:
    logits = np.random.default_rng(seed).normal(size=(count, len(CHARACTERS) + 2)) * 5 * peak
    steps = np.exp(logits - logits.max(axis=1, keepdims=True)).astype(np.float32)
    steps /= steps.sum(axis=1, keepdims=True)
    before = steps.copy()
    found = slots_of(steps, spread_of(CHARACTERS))
    np.testing.assert_array_equal(steps, before)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-4)
