"""Plates that are easily taken for one another: by people who type and by cameras that read.

Only points them out: whoever adds ``辽A8B123`` while ``辽A88123`` is on the list may mean that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pipeline.types import PROVINCES
from watchlist.grammar import is_legal
from watchlist.store import Watchlist

_GROUPS = ("8B", "2Z", "0DQ", "5S", "378", "17")
_PROVINCE_GROUPS = ("京琼", "津沪浙湘渝", "浙新", "皖浙川京", "苏蒙藏", "冀藏", "鲁鄂粤", "甘吉")
"""Provinces whose characters share a part, or that readers were seen to confuse."""
_PAGE = 500


def _alike(groups: Iterable[str]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for group in groups:
        for one in group:
            found.setdefault(one, set()).update(set(group) - {one})
    return {one: "".join(sorted(others)) for one, others in found.items()}


_ALIKE = _alike((*_GROUPS, *_PROVINCE_GROUPS))


def neighbours(plate: str) -> Iterator[str]:
    """The legal plates that differ from ``plate`` in one character that looks alike."""
    for at, character in enumerate(plate):
        if at and character in PROVINCES:
            continue
        for other in _ALIKE.get(character, ""):
            text = f"{plate[:at]}{other}{plate[at + 1 :]}"
            if is_legal(text):
                yield text


def listed_neighbours(
    watchlist: Watchlist, plates: Iterable[str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """For each plate that has some: its neighbours on the list, expired ones too.

    Plates that are themselves on the list are looked at as well.

    Raises:
        StoreUnavailable: Redis is away.
    """
    page: list[str] = []
    for plate in plates:
        page.append(plate)
        if len(page) >= _PAGE:
            yield from _of_page(watchlist, page)
            page = []
    yield from _of_page(watchlist, page)


def _of_page(watchlist: Watchlist, page: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    candidates = {plate: tuple(neighbours(plate)) for plate in page}
    wanted = list(dict.fromkeys(text for texts in candidates.values() for text in texts))
    if not wanted:
        return
    _, listed = watchlist.rows_of(wanted)
    if not listed:
        return
    for plate, texts in candidates.items():
        found = tuple(text for text in texts if text in listed)
        if found:
            yield plate, found
