"""Number plates as text: one spelling for each plate, and which classes a text can belong to.

Pure functions over strings. The forms themselves stand in ``pipeline.plate_forms``. Grammar flags
or refuses a text; it never repairs one into another plate.
"""

from __future__ import annotations

import re
import unicodedata

from pipeline.errors import WatchlistError
from pipeline.plate_forms import classes_of, is_legal
from pipeline.types import PROVINCES, PlateClass

__all__ = ["classify", "display", "is_legal", "normalise"]

_SEPARATORS = frozenset("·•‧・∙⋅●.")
"""Dots that people and spreadsheets put after the second character; spaces and every kind of
hyphen are stripped as well."""

_CJK = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_PLAIN = re.compile(r"[0-9A-Z?*\u4e00-\u9fff]*")  # nothing to fold: most of a long list


def normalise(text: str) -> str:
    """Bring a plate into its one spelling: ``" 辽a·1234-5 "`` becomes ``"辽A12345"``.

    Folds full-width characters (NFKC), strips dots, spaces and hyphens, and turns ASCII
    letters to upper case. Idempotent. The outcome need not be a legal plate: see ``is_legal``.

    Raises:
        WatchlistError: a character is neither ASCII nor Chinese. Letters that only look
            Latin (Cyrillic А, Greek Ο) are refused by name, never folded: whoever typed
            them may have meant another character.
    """
    if _PLAIN.fullmatch(text):
        return text
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
    return classes_of(text)


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
