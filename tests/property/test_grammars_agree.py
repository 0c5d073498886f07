"""What the reader may say and what the watchlist takes are the same plates."""

from hypothesis import given
from hypothesis import strategies as st

from detectors import decode
from pipeline.types import ALPHABET
from tests.support.readings import sharp
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


@given(nearly_legal() | st.text(CHARACTERS, min_size=1, max_size=8))
def test_a_plate_that_is_seen_clearly_is_read_if_the_watchlist_takes_it(text: str) -> None:
    read = decode.decode(sharp(text)).text
    assert read == (text if grammar.is_legal(text) else None)
    assert bool(grammar.classify(text)) == grammar.is_legal(text) == decode.is_legal(text)
