"""The vote's laws: order does not matter, agreement never lowers confidence, doubt stays honest."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.types import ALPHABET, SLOTS, PlateClass, PlateRead
from pipeline.voting import Vote, agreement

TEXT = "辽A12345"


def make_read(seed: int, sharpness: float, text: str = TEXT) -> PlateRead:
    """A read whose likeliest text is ``text``, the surer the larger ``sharpness``."""
    rng = np.random.default_rng(seed)
    probs = rng.random((SLOTS, len(ALPHABET)))
    for slot in range(SLOTS):
        column = ALPHABET.index(text[slot]) if slot < len(text) else 0
        probs[slot, column] = probs[slot].max() * (1.0 + sharpness)
    probs = (probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)
    classes = rng.random(len(PlateClass)).astype(np.float32)
    best = tuple(float(probs[slot].max()) for slot in range(len(text)))
    return PlateRead(
        text, PlateClass.BLUE, float(np.prod(best)), best, probs, classes / classes.sum()
    )


def confidence(vote: Vote, text: str = TEXT) -> float:
    slots = [ALPHABET.index(text[slot]) if slot < len(text) else 0 for slot in range(SLOTS)]
    product = float(np.prod([vote.char_probs[slot, column] for slot, column in enumerate(slots)]))
    return vote.honest(text, product)


reads = st.builds(make_read, st.integers(0, 10**6), st.floats(0.01, 500.0))


@given(st.lists(reads, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_order_does_not_matter(some: list[PlateRead], shuffler) -> None:
    shuffled = list(some)
    shuffler.shuffle(shuffled)
    one = sum((Vote.of(read) for read in some), Vote())
    other = sum((Vote.of(read) for read in shuffled), Vote())
    np.testing.assert_allclose(one.char_probs, other.char_probs, atol=1e-5)
    assert one.best_reads == other.best_reads
    assert one.reads == other.reads == len(some)


@given(st.lists(reads, min_size=1, max_size=6), reads)
def test_an_agreeing_read_never_lowers_confidence(some: list[PlateRead], more: PlateRead) -> None:
    before = sum((Vote.of(read) for read in some), Vote())
    after = before + Vote.of(more)
    assert confidence(after) >= confidence(before) - 1e-5


@given(st.lists(reads, min_size=1, max_size=8))
def test_doubt_never_falls_faster_than_the_reads_grow(some: list[PlateRead]) -> None:
    vote = sum((Vote.of(read) for read in some), Vote())
    best = max(read.probability for read in some)
    assert 1.0 - confidence(vote) >= (1.0 - best) / len(some) - 1e-6


@given(reads)
def test_distributions_are_distributions(read: PlateRead) -> None:
    vote = Vote.of(read) + Vote.of(read)
    np.testing.assert_allclose(vote.char_probs.sum(axis=1), 1.0, atol=1e-5)


def test_one_confident_misread_is_outvoted() -> None:
    wrong = make_read(1, 1e6, "辽A12346")
    right = [make_read(seed, 1e3) for seed in range(2, 5)]
    vote = sum((Vote.of(read) for read in [wrong, *right]), Vote())
    assert ALPHABET[int(vote.char_probs[6].argmax())] == "5"


def test_agreement_tells_two_plates_apart() -> None:
    one = make_read(1, 1e6).char_probs
    conflicts, overlap = agreement(one, make_read(2, 1e6, "皖G98765").char_probs)
    assert conflicts >= 5
    assert overlap < 0.5
    assert agreement(one, make_read(3, 1e6).char_probs)[0] == 0
