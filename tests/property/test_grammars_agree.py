"""What the reader may say and what the watchlist takes are the same plates."""

from hypothesis import given
from hypothesis import strategies as st

from detectors import decode
from pipeline.types import ALPHABET
from watchlist import grammar

CHARACTERS = "".join(ALPHABET)


@st.composite
def nearly_legal(draw: st.DrawFn) -> str:
    """A text of one of the reader's templates, sometimes with one character changed or cut."""
    template = draw(st.sampled_from(decode.TEMPLATES))
    text = "".join(draw(st.sampled_from(allowed)) for allowed in template)
    match draw(st.integers(0, 3)):
        case 0:
            place = draw(st.integers(0, len(text) - 1))
            return text[:place] + draw(st.sampled_from(CHARACTERS)) + text[place + 1 :]
        case 1:
            return text[:-1]
        case _:
            return text


@given(nearly_legal())
def test_both_call_the_same_texts_legal(text: str) -> None:
    assert decode.is_legal(text) == grammar.is_legal(text)


@given(st.text(CHARACTERS, max_size=9))
def test_both_agree_on_anything(text: str) -> None:
    assert decode.is_legal(text) == grammar.is_legal(text)
