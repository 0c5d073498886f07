"""Number plates as text: one spelling for each plate, and which classes a text can belong to.

Pure functions over strings. The forms follow GA 36-2018 as gathered in the project's design
notes. Grammar flags or refuses a text; it never repairs one into another plate.
"""

from __future__ import annotations

import re
import unicodedata

from pipeline.errors import WatchlistError
from pipeline.types import PROVINCES, PlateClass

_SEPARATORS = frozenset("·•‧・∙⋅●.")
"""Dots that people and spreadsheets put after the second character; spaces and every kind of
hyphen are stripped as well."""

_CJK = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")

_LETTER = "A-HJ-NP-Z"  # no I, no O
_P, _S = f"[{PROVINCES}]", f"[0-9{_LETTER}]"
_FORMS: tuple[tuple[re.Pattern[str], frozenset[PlateClass]], ...] = tuple(
    (re.compile(form), frozenset(classes))
    for form, classes in (
        (  # an ordinary serial holds at most two letters; O may stand as the issuing letter
            rf"{_P}[A-HJ-Z](?=(?:[0-9]*[{_LETTER}]){{0,2}}[0-9]*$){_S}{{5}}",
            (
                PlateClass.BLUE,
                PlateClass.YELLOW_SINGLE,
                PlateClass.YELLOW_DOUBLE,
                PlateClass.MOTORCYCLE,
                PlateClass.TEMPORARY,
                PlateClass.TRACTOR,
                PlateClass.OTHER,
            ),
        ),
        (rf"{_P}[{_LETTER}][A-HJK]{_S}[0-9]{{4}}", (PlateClass.GREEN_SMALL,)),
        (rf"{_P}[{_LETTER}][0-9]{{5}}[A-HJK]", (PlateClass.GREEN_LARGE,)),
        (rf"{_P}[A-HJ-Z]{_S}{{4}}警", (PlateClass.POLICE, PlateClass.MOTORCYCLE)),
        (rf"{_P}[A-HJ-Z]{_S}{{4}}学", (PlateClass.COACH, PlateClass.MOTORCYCLE)),
        (rf"{_P}[A-HJ-Z]{_S}{{4}}挂", (PlateClass.TRAILER,)),
        (rf"粤Z{_S}{{4}}[港澳]", (PlateClass.HK_MACAU,)),
        (r"(?:[0-9]{6}使|使[0-9]{6})", (PlateClass.EMBASSY,)),
        (rf"{_P}(?:[0-9]{{5}}|[{_LETTER}][0-9]{{4}})领", (PlateClass.CONSULATE,)),
        (rf"WJ{_P}?[0-9]{{4}}[0-9{_LETTER}]", (PlateClass.WJ,)),
        (r"[A-Z]{2}[0-9]{5}", (PlateClass.ARMY,)),
        (rf"(?:{_P}[XS][0-9]{{4}}|京[0-9]{{5}})应急", (PlateClass.EMERGENCY,)),
        (rf"应急{_P}[0-9]{{3}}[XS]", (PlateClass.EMERGENCY,)),
    )
)


def normalise(text: str) -> str:
    """Bring a plate into its one spelling: ``" 辽a·1234-5 "`` becomes ``"辽A12345"``.

    Folds full-width characters (NFKC), strips dots, spaces and hyphens, and turns ASCII
    letters to upper case. Idempotent. The outcome need not be a legal plate: see ``is_legal``.

    Raises:
        WatchlistError: a character is neither ASCII nor Chinese. Letters that only look
            Latin (Cyrillic А, Greek Ο) are refused by name, never folded: whoever typed
            them may have meant another character.
    """
    kept: list[str] = []
    for character in unicodedata.normalize("NFKC", text):
        if character in _SEPARATORS or character.isspace() or _is_hyphen(character):
            continue
        if not (character.isascii() and character.isprintable()) and not _CJK.match(character):
            raise WatchlistError(_stranger(character, text))
        kept.append(character.upper() if character.isascii() else character)
    return "".join(kept)


def classify(text: str) -> frozenset[PlateClass]:
    """The plate classes that a normalised ``text`` can belong to; empty: no legal plate."""
    classes: frozenset[PlateClass] = frozenset()
    for form, of_form in _FORMS:
        if form.fullmatch(text):
            classes |= of_form
    return classes


def is_legal(text: str) -> bool:
    """True if a normalised ``text`` has the form of a plate of any class."""
    return any(form.fullmatch(text) for form, _ in _FORMS)


def display(plate: str) -> str:
    """A normalised plate as people write it: ``辽A·12345``; other forms are left alone."""
    if len(plate) >= 7 and plate[0] in PROVINCES and plate[1].isascii() and plate[1].isalpha():
        return f"{plate[:2]}·{plate[2:]}"
    return plate


def _is_hyphen(character: str) -> bool:
    return unicodedata.category(character) == "Pd" or character == "\u2212"


def _stranger(character: str, text: str) -> str:
    name = unicodedata.name(character, "unnamed character")
    shown = character if character.isprintable() else "a character that cannot be shown"
    what = f"{shown} (U+{ord(character):04X}, {name})"
    shown_text = "".join(c if c.isprintable() else "\ufffd" for c in text[:32])
    if character.isalpha():
        return (
            f"plate {shown_text!r}: {what} only looks like a plate's character; "
            "type the Latin letter, digit or Chinese character that the plate shows"
        )
    return f"plate {shown_text!r}: {what} stands on no plate; remove it"
