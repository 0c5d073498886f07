"""Entries that are patterns: ``辽A?23??`` looks for every plate that fits.

``?`` stands for one character, ``*`` for any run of them, an empty one too. A pattern stands for
its *shapes*: the texts with ``?`` alone, of the lengths that plates have, that a legal plate can
fit. Pure functions over strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import combinations_with_replacement, pairwise

from pipeline.errors import WatchlistError
from pipeline.plate_forms import FORMS, LENGTHS, PlateForm
from pipeline.types import PlateClass
from watchlist.grammar import display

ONE, RUN = "?", "*"
LEAST_FIXED = 2
"""So many characters of a pattern must be fixed: else it would look for half a province."""
MOST_SHAPES = 32
_WILDCARDS = re.compile(r"[?*]+")


def is_pattern(plate: str) -> bool:
    """True if the plate of an entry is a pattern; what it says need not make sense."""
    return ONE in plate or RUN in plate


def one_spelling(pattern: str) -> str:
    """Bring the wildcards into one spelling: ``**?`` and ``?*`` say the same. Idempotent."""
    return _WILDCARDS.sub(lambda run: ONE * run[0].count(ONE) + RUN * (RUN in run[0]), pattern)


def check_pattern(pattern: str) -> None:
    """Refuse a pattern, in its one spelling, that looks for nothing or for too much.

    Raises:
        WatchlistError: the message begins with what is wrong, not with the field.
    """
    shown = repr(display(pattern[:32]))
    fixed = len(pattern) - pattern.count(ONE) - pattern.count(RUN)
    if fixed < LEAST_FIXED:
        raise WatchlistError(
            f"{shown} fixes {fixed} of a plate's characters; name at least {LEAST_FIXED}, "
            "e.g. 辽A?23??"
        )
    if not shapes(pattern):
        raise WatchlistError(f"{shown} fits no plate; e.g. 辽A?23?? (? is one character, * any)")
    if len(shapes(pattern)) > MOST_SHAPES:
        raise WatchlistError(
            f"{shown} leaves open too much: its * can be read in {len(shapes(pattern))} ways, "
            f"at most {MOST_SHAPES} are allowed; write ? for each character whose place is known"
        )


def is_legal_pattern(pattern: str) -> bool:
    """True if this is a pattern in its one spelling that ``check_pattern`` accepts."""
    if not is_pattern(pattern) or one_spelling(pattern) != pattern:
        return False
    try:
        check_pattern(pattern)
    except WatchlistError:
        return False
    return True


def classes_of_pattern(pattern: str) -> frozenset[PlateClass]:
    """The classes of the plates that can fit."""
    fitting = (f.classes for shape in shapes(pattern) for f in FORMS if _can_fit(shape, f))
    return frozenset[PlateClass]().union(*fitting)


def matches(pattern: str, plate: str) -> bool:
    """Whether a plate fits a pattern. This is the definition; ``PatternIndex`` is the fast way."""
    return _expression(pattern).fullmatch(plate) is not None


@lru_cache(maxsize=65_536)
def shapes(pattern: str) -> tuple[str, ...]:
    """What a pattern stands for: each text with ``?`` alone that some legal plate fits."""
    parts = one_spelling(pattern).split(RUN)
    known = sum(map(len, parts))
    if len(parts) == 1:
        spread: Iterable[str] = parts
    else:
        spread = (s for length in LENGTHS for s in _spread(parts, length - known))
    return tuple(dict.fromkeys(s for s in spread if any(_can_fit(s, form) for form in FORMS)))


def _spread(parts: list[str], open_places: int) -> Iterator[str]:
    """The texts in which the runs between ``parts`` take ``open_places`` characters in all."""
    for cuts in combinations_with_replacement(range(open_places + 1), len(parts) - 2):
        ends = (0, *cuts, open_places)
        runs = [ONE * (end - begin) for begin, end in pairwise(ends)]
        yield parts[0] + "".join(run + part for run, part in zip(runs, parts[1:], strict=True))


def _can_fit(shape: str, form: PlateForm) -> bool:
    return len(shape) == len(form.slots) and all(
        character == ONE or character in allowed
        for character, allowed in zip(shape, form.slots, strict=True)
    )


@lru_cache(maxsize=65_536)
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(
        "".join({ONE: ".", RUN: ".*"}.get(c, re.escape(c)) for c in pattern), re.DOTALL
    )
