"""Lists as CSV: read, compared with the list in Redis, and written.

UTF-8 (with or without a mark) or GB18030, the Chinese Windows encoding; comma, semicolon or
tab between cells; the columns of ``watchlist.columns``. A cell that a spreadsheet would take
for a formula is written with an apostrophe before it, and read back without.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TextIO

from pipeline.errors import InputError, WatchlistError
from pipeline.types import WatchlistEntry
from watchlist.columns import COLUMNS, cells_of, columns_of, parse_cell
from watchlist.entry import EntryPolicy, is_id, make_entry
from watchlist.store import Watchlist

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠", "'")
_LARGEST_CELL = 10_000
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file: what its cells say, or why it is refused. Lines count from 1.

    ``columns`` are those of the file; ``fields`` holds the cells that are not empty.
    """

    line: int
    fields: Mapping[str, object]
    refusal: str | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that is not taken over, and why."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Replacement:
    """An entry that the file says differently; ``fields`` names what differs."""

    before: WatchlistEntry
    after: WatchlistEntry
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What an import would do to the list at ``version``."""

    version: int
    added: tuple[WatchlistEntry, ...]
    replaced: tuple[Replacement, ...]
    unchanged: int
    bad: tuple[BadRow, ...]

    @property
    def entries(self) -> tuple[WatchlistEntry, ...]:
        """What is to be put on the list."""
        return (*self.added, *(replacement.after for replacement in self.replaced))


def guard(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula; ``unguard`` gives it back."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def unguard(cell: str) -> str:
    """The inverse of ``guard``; other cells are left alone."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def encoding_of(path: Path) -> str:
    """``utf-8-sig`` or ``gb18030``: the one that the whole file is valid in.

    Raises:
        InputError: the file cannot be read, or is valid in neither.
    """
    for encoding in ("utf-8-sig", "gb18030"):
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            with path.open("rb") as file:
                head = file.read(4)
                if head.startswith(b"PK\x03\x04") or b"\x00" in head:
                    raise InputError(f"{path}: is no CSV; save the sheet as CSV (UTF-8)")
                file.seek(0)
                while block := file.read(1 << 20):
                    decoder.decode(block)
                decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        return encoding
    raise InputError(f"{path}: is neither UTF-8 nor GB18030; save the sheet as CSV (UTF-8)")


def read_rows(
    path: Path, now: datetime, progress: Callable[[int], None] | None = None
) -> Iterator[Row]:
    """The lines below the header, empty ones left out. ``progress`` is told the line.

    Raises:
        InputError: the file is no list at all; see ``columns_of``.
    """
    encoding = encoding_of(path)
    with path.open(encoding=encoding, newline="") as file:
        first = file.readline()
        file.seek(0)
        separator = max(",;\t", key=first.count)
        csv.field_size_limit(_LARGEST_CELL)
        reader = csv.reader(file, delimiter=separator, strict=True)
        try:
            columns = columns_of([cell.strip() for cell in next(reader, [])])
        except (InputError, csv.Error) as error:
            raise InputError(f"{path}: {error}") from None
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(line, {}, f"is no CSV: {error}")
                continue
            if progress:
                progress(line)
            if any(cell.strip() for cell in cells):
                yield _row(line, columns, cells, now)


def _row(line: int, columns: tuple[str, ...], cells: list[str], now: datetime) -> Row:
    if len(cells) != len(columns):
        return Row(line, {}, f"has {len(cells)} cells, the header has {len(columns)}")
    fields: dict[str, object] = {}
    for column, cell in zip(columns, cells, strict=True):
        text = unguard(cell.strip())
        if not text:
            continue
        try:
            fields[column] = parse_cell(column, text, now)
        except ValueError as error:
            return Row(line, {}, f"{column}: {error}")
    return Row(line, fields, columns=columns)


def plan_import(
    watchlist: Watchlist,
    rows: Iterable[Row],
    now: datetime,
    policy: EntryPolicy | None = None,
) -> ImportPlan:
    """Compare a file with the list; nothing is changed.

    A row is the entry of its ``id`` column; without one, the entry of the same plate, case
    and category. Entries that the file does not name stay as they are, and so does what an
    entry says in columns that the file does not have.

    Raises:
        StoreUnavailable: Redis is away.
    """
    plan = _Plan(watchlist, now, policy)
    version = watchlist.state().version
    page: list[Row] = []
    for row in rows:
        page.append(row)
        if len(page) >= _PAGE:
            plan.take(page)
            page = []
    plan.take(page)
    return ImportPlan(
        version,
        tuple(plan.added),
        tuple(plan.replaced),
        plan.unchanged,
        tuple(sorted(plan.bad, key=lambda bad: bad.line)),
    )


class _Plan:
    """An import plan in the making."""

    def __init__(self, watchlist: Watchlist, now: datetime, policy: EntryPolicy | None) -> None:
        self._watchlist, self._now, self._policy = watchlist, now, policy
        self._lines: dict[tuple[str, ...], int] = {}
        self.added: list[WatchlistEntry] = []
        self.replaced: list[Replacement] = []
        self.unchanged = 0
        self.bad: list[BadRow] = []

    def take(self, page: list[Row]) -> None:
        """Sort the rows of a page into what they would do."""
        made = [(row, entry) for row in page if (entry := self._entry(row)) is not None]
        stored = self._watchlist.stored(list({entry.plate for _, entry in made}))
        named = [entry.id for row, entry in made if "id" in row.fields]
        cancelled = self._watchlist.cancellations_of(named)
        for row, entry in made:
            if entry.id in cancelled:
                gone = cancelled[entry.id]
                self._refuse(
                    row.line,
                    f"id: {entry.id} was cancelled by {gone.by} ({gone.reason}); "
                    "leave the id empty to put it on the list again",
                )
                continue
            before = _counterpart(row, entry, stored.get(entry.plate, ()))
            if before is None and "id" in row.fields:
                before = self._watchlist.get(entry.id)  # its plate was corrected
            self._sort(row, before, entry)

    def _entry(self, row: Row) -> WatchlistEntry | None:
        if row.refusal is not None:
            self._refuse(row.line, row.refusal)
            return None
        fields = dict(row.fields)
        entry_id = fields.pop("id", None)
        if entry_id is not None and not is_id(str(entry_id)):
            self._refuse(row.line, f"id: {str(entry_id)[:40]!r} is no identifier of an entry")
            return None
        try:
            entry = make_entry(fields, self._now, self._policy, str(entry_id) if entry_id else None)
        except WatchlistError as error:
            self._refuse(row.line, str(error))
            return None
        key = (entry.id,) if entry_id else _sameness(entry)
        first = self._lines.setdefault(key, row.line)
        if first != row.line:
            self._refuse(row.line, f"is the same entry as line {first}")
            return None
        return entry

    def _sort(self, row: Row, before: WatchlistEntry | None, entry: WatchlistEntry) -> None:
        if before is None:
            self.added.append(entry)
            return
        first = self._lines.setdefault((before.id,), row.line)
        if first != row.line:
            self._refuse(row.line, f"is the same entry as line {first}")
            return
        silent = [c for c in COLUMNS if c not in row.columns]
        if "valid_from" not in row.fields:
            silent.append("valid_from")
        kept = {column: getattr(before, column) for column in silent}
        said = {c: getattr(entry, c) for c in COLUMNS if c != "id"} | kept
        said.pop("id", None)
        try:  # what is kept must go with what is new
            after = make_entry(said, self._now, self._policy, before.id)
        except WatchlistError as error:
            self._refuse(row.line, str(error))
            return
        fields = tuple(c for c in COLUMNS if getattr(before, c) != getattr(after, c))
        if fields:
            self.replaced.append(Replacement(before, after, fields))
        else:
            self.unchanged += 1

    def _refuse(self, line: int, message: str) -> None:
        self.bad.append(BadRow(line, message))


def _sameness(entry: WatchlistEntry) -> tuple[str, ...]:
    return entry.plate, entry.case_number, entry.category


def _counterpart(
    row: Row, entry: WatchlistEntry, stored: tuple[WatchlistEntry, ...]
) -> WatchlistEntry | None:
    if "id" in row.fields:
        return next((known for known in stored if known.id == entry.id), None)
    return next((known for known in stored if _sameness(known) == _sameness(entry)), None)


def write_csv(entries: Iterable[WatchlistEntry], file: TextIO) -> int:
    """Write a list that ``read_rows`` takes back; says how many entries."""
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    count = 0
    for count, entry in enumerate(entries, start=1):  # noqa: B007
        writer.writerow([guard(cell) for cell in cells_of(entry)])
    return count
