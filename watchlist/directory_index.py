"""What the directory searches and sorts: a small SQLite file without a name.

A million entries take about 150 MB in it, and no more than ``_CACHE_MB`` and a page of rows in
memory. It is filled in the order in which Redis gives the list, then sorted once: to keep it sorted
meanwhile would be to read and write it all over for every page.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pipeline.clock import microseconds_of
from pipeline.errors import WatchlistError
from watchlist.grammar import normalise

_CACHE_MB: Final = 32
_FEW: Final = 50_000  # entries in a state that are sorted rather than looked for one by one
_KEPT: Final = 2_000  # entries that were found and are remembered for the next pages
_REMEMBERED: Final = 16  # conditions
_FOUND_US: Final = 10_000_000
_PHRASES: Final = ("category", "authoriser", "requester", "source")
_COLUMNS: Final = """
    id TEXT NOT NULL, cancelled INTEGER NOT NULL, plate TEXT NOT NULL, case_number TEXT NOT NULL,
    phrase INTEGER NOT NULL, valid_us INTEGER NOT NULL, expires_us INTEGER NOT NULL"""
_SCHEMA: Final = f"""
PRAGMA journal_mode=OFF;
PRAGMA synchronous=OFF;
PRAGMA cache_size=-{_CACHE_MB * 1024};
CREATE TABLE phrases (number INTEGER PRIMARY KEY, words TEXT NOT NULL UNIQUE);
CREATE TABLE arrived ({_COLUMNS});
CREATE TABLE entries ({_COLUMNS}, PRIMARY KEY (id, cancelled)) WITHOUT ROWID;
"""
_SORT: Final = """
INSERT OR REPLACE INTO entries SELECT * FROM arrived ORDER BY id, cancelled;
DROP TABLE arrived;
CREATE INDEX by_plate ON entries (plate);
CREATE INDEX by_state ON entries (cancelled, expires_us, valid_us, plate);
"""


class ListedState(StrEnum):
    """Where an entry stands."""

    ACTIVE = "active"
    PENDING = "pending"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


_IN_STATE: Final = {
    ListedState.ACTIVE: "{0}cancelled = 0 AND {0}expires_us > :now AND {0}valid_us <= :now",
    ListedState.PENDING: "{0}cancelled = 0 AND {0}expires_us > :now AND {0}valid_us > :now",
    ListedState.EXPIRED: "{0}cancelled = 0 AND {0}expires_us <= :now",
    ListedState.CANCELLED: "{0}cancelled = 1",
}
"""``{0}``: a plus sign keeps SQLite from taking the index of states, and sorting all it finds."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Where an entry is to be had: with its plate, or under its id among the cancelled ones."""

    id: str
    cancelled: bool
    plate: str

    @property
    def place(self) -> str:
        """What the next page is asked for with."""
        return f"{self.id}.{int(self.cancelled)}"


@dataclass(frozen=True, slots=True)
class Condition:
    """What entries are looked for, as SQL with its values."""

    where: str
    values: dict[str, Any]
    by: str = ""
    """What SQLite must be told: a search of all entries reads them in their order, once."""

    @classmethod
    def of(cls, query: str) -> Condition:
        """Part of a plate, case number or name; an id or its beginning; or a plate with ``?`` for
        one character and ``*`` for any number."""
        query = query.strip()
        if not query:
            return cls("1", {})
        try:
            plate = normalise(query)
        except WatchlistError:
            plate = query.upper()
        if "?" in plate or "*" in plate:
            # patterns stand in the list with the same signs: as a query they stand for characters
            return cls("plate GLOB :glob", {"glob": plate.replace("[", "[[]")})
        return cls(
            "(instr(plate, :plate) OR instr(case_number, :lower) OR id GLOB :id OR phrase IN "
            "(SELECT number FROM phrases WHERE instr(words, :lower)))",
            {"plate": plate, "lower": query.lower(), "id": f"{query.upper().replace('[', '[[]')}*"},
            "NOT INDEXED",
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """What a condition has found at ``at_us``; ``rows``: None where they are too many."""

    at_us: int
    counts: dict[ListedState, int]
    rows: list[tuple[ListedState, Listed]] | None


class Index:
    """One index, filled once and then kept up. Its owner sees to it that one thread at a time uses
    it; every method raises sqlite3.Error where the disk refuses."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="directory-", suffix=".sqlite", dir=folder)
        os.close(handle)
        try:  # without its name nobody else can open it, and it goes with the process
            self._file = sqlite3.connect(name, check_same_thread=False, isolation_level=None)
            self._file.executescript(_SCHEMA)
        finally:
            Path(name).unlink(missing_ok=True)
        self._phrases: dict[str, int] = {}
        self._found: dict[str, _Found] = {}

    def close(self) -> None:
        """Give everything back."""
        self._file.close()

    def fill(self, records: Iterable[tuple[str | bytes, bool]]) -> None:
        """Take in entries as JSON, each with whether it is cancelled; then ``sort`` once."""
        self._insert("arrived", records)

    def sort(self) -> None:
        """All are there: from now on it can be asked and kept up."""
        self._file.executescript(_SORT)

    def put(self, records: Iterable[tuple[str | bytes, bool]]) -> None:
        """Entries that were added or changed."""
        self._insert("entries", records)

    def forget_plates(self, plates: Iterable[str]) -> None:
        """What is listed with some plates is there no more."""
        self._file.executemany(
            "DELETE FROM entries WHERE plate = ? AND cancelled = 0", [(one,) for one in plates]
        )
        self._found.clear()

    def forget(self, names: Iterable[str], cancelled: bool) -> None:
        """Some entries are there no more."""
        self._file.executemany(
            "DELETE FROM entries WHERE id = ? AND cancelled = ?",
            [(one, cancelled) for one in names],
        )
        self._found.clear()

    def page(
        self,
        condition: Condition,
        state: ListedState | None,
        now: datetime,
        *,
        after: str | None,
        limit: int,
    ) -> tuple[list[Listed], dict[ListedState, int]]:
        """Entries that fit, the newest first, and how many there are, by where they stand ``now``.

        What was found is good for some seconds, and for every state and page: whoever turns a page
        does not wait again for a million entries.
        """
        now_us = microseconds_of(now)
        found = self._found.get(repr(condition))
        if found is None or abs(now_us - found.at_us) > _FOUND_US:
            found = self._look(condition, now_us)
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[repr(condition)] = found
        if state is not None and not found.counts[state]:
            return [], found.counts
        if found.rows is not None:
            chosen = (one for stands, one in found.rows if state in (None, stands))
            beyond = (one for one in chosen if after is None or one.place < after)
            return list(islice(beyond, limit)), found.counts
        where, values = [condition.where], condition.values | {"limit": limit}
        by = condition.by
        if state is not None:
            few = condition.where == "1" and found.counts[state] <= _FEW
            by = "INDEXED BY by_state" if few else by
            where.append(_IN_STATE[state].format("" if few else "+"))
            values["now"] = now_us
        if after is not None:
            where.append("(id, cancelled) < (:after_id, :after_cancelled)")
            values["after_id"], _, cancelled = after.partition(".")
            values["after_cancelled"] = int(cancelled == "1")
        rows = self._file.execute(
            f"SELECT id, cancelled, plate FROM entries {by} WHERE {' AND '.join(where)} "  # noqa: S608
            "ORDER BY id DESC, cancelled DESC LIMIT :limit",
            values,
        )
        return [Listed(name, bool(gone), plate) for name, gone, plate in rows], found.counts

    def _look(self, condition: Condition, now_us: int) -> _Found:
        """All that fits where it is not much, else how much it is."""
        values = condition.values | {"now": now_us}
        where = f"FROM entries {condition.by} WHERE {condition.where}"
        stands = "cancelled, expires_us <= :now, valid_us > :now"
        counts = dict.fromkeys(ListedState, 0)
        if condition.where != "1":
            rows = self._file.execute(
                f"SELECT {stands}, id, plate {where} ORDER BY id DESC, cancelled DESC "
                f"LIMIT {_KEPT + 1}",
                values,
            ).fetchall()
            if len(rows) <= _KEPT:
                listed = [
                    (_state(gone, expired, pending), Listed(name, bool(gone), plate))
                    for gone, expired, pending, name, plate in rows
                ]
                for state, _ in listed:
                    counts[state] += 1
                return _Found(now_us, counts, listed)
        sums = ", ".join(f"ifnull(sum({_IN_STATE[state].format('')}), 0)" for state in counts)
        (numbers,) = self._file.execute(f"SELECT {sums} {where}", values)
        counts = dict(zip(counts, numbers, strict=True))
        return _Found(now_us, counts, None)

    def _insert(self, table: str, records: Iterable[tuple[str | bytes, bool]]) -> None:
        self._file.execute("BEGIN")
        self._file.executemany(
            f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            self._parsed(records),
        )
        self._file.execute("COMMIT")
        self._found.clear()

    def _parsed(self, records: Iterable[tuple[str | bytes, bool]]) -> Iterator[Sequence[object]]:
        """Rows of the table. A damaged record is left out, as from matching, which says so."""
        for text, cancelled in records:
            try:
                said = json.loads(text)
                valid, expires = map(
                    datetime.fromisoformat, (said["valid_from"], said["expires_at"])
                )
                row = said["id"], cancelled, said["plate"], (said.get("case_number") or "").lower()
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
            phrase = " ".join(said.get(name) or "" for name in _PHRASES).lower()
            yield *row, self._phrase(phrase), microseconds_of(valid), microseconds_of(expires)

    def _phrase(self, words: str) -> int:
        """The number of what few entries say alone: who wants them and why."""
        number = self._phrases.get(words)
        if number is None:
            number = self._phrases[words] = len(self._phrases)
            self._file.execute("INSERT INTO phrases VALUES (?, ?)", (number, words))
        return number


def _state(cancelled: int, expired: int, pending: int) -> ListedState:
    if cancelled:
        return ListedState.CANCELLED
    if expired:
        return ListedState.EXPIRED
    return ListedState.PENDING if pending else ListedState.ACTIVE
