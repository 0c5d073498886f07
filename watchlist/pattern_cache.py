"""The list's patterns in memory, as they are at one version of the list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from watchlist.pattern_index import PatternIndex
from watchlist.rows import parse_row


class Stamped(Protocol):
    """What the list says of itself, as far as patterns go."""

    @property
    def lineage(self) -> str:
        """Which list this is."""
        ...

    @property
    def patterns(self) -> bytes | None:
        """The version that last changed a pattern; None: none ever did."""
        ...


@dataclass(frozen=True, slots=True)
class _Held:
    stamp: tuple[str, bytes | None] = ("", None)
    rows: Mapping[str, bytes] = field(default_factory=dict)
    index: PatternIndex = field(default_factory=lambda: PatternIndex({}))


class PatternCache:
    """Reads the patterns anew whenever one has changed. Any thread may call it.

    Args:
        texts: asks Redis for the texts of all patterns, perhaps of some that have gone.
        rows: asks Redis for the lines of some of them, and for what the list says of itself, in
            one step.
    """

    def __init__(
        self,
        texts: Callable[[], list[str]],
        rows: Callable[[Sequence[str]], tuple[Stamped, list[bytes | None]]],
    ) -> None:
        self._texts = texts
        self._rows = rows
        self._held = _Held()

    def at(self, meta: Stamped) -> PatternIndex | None:
        """The patterns as they were when the list said ``meta``.

        None if one has changed since: look at the list again.
        """
        held, stamp = self._held, (meta.lineage, meta.patterns)
        if meta.patterns is None:
            return _Held().index if held.rows else held.index
        if held.stamp == stamp:
            return held.index
        now, values = self._rows(texts := self._texts())
        if (now.lineage, now.patterns) != stamp:
            return None  # nor can the texts be trusted to be those of now
        rows = {text: row for text, row in zip(texts, values, strict=True) if row is not None}
        before = held.index.entries
        entries = {
            text: before[text] if held.rows.get(text) == row else tuple(parse_row(row))
            for text, row in rows.items()
        }
        self._held = _Held(stamp, rows, PatternIndex(entries))
        return self._held.index
