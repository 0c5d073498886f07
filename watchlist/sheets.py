"""Lists as files: CSV and Excel workbooks, read row by row and written.

CSV in UTF-8 (with or without a mark) or GB18030, the Chinese Windows encoding; comma, semicolon
or tab between cells. Of a workbook (``.xlsx``) the first sheet. The columns are those of
``watchlist.columns``. A cell that a spreadsheet would take for a formula is written with an
apostrophe before it, and read back without.
"""

from __future__ import annotations

import csv
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

from openpyxl import Workbook, load_workbook

from pipeline.errors import InputError
from pipeline.types import PROVINCES, SUFFIXES, WatchlistEntry
from watchlist.columns import COLUMNS, PLAIN, cells_of, columns_of, parse_cell

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠", "'")
_LARGEST_CELL = 10_000
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_TELLING = frozenset(f"{PROVINCES}{SUFFIXES}车号")
_LARGEST_WORKBOOK = 1 << 30  # bytes, unpacked

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file: what its cells say, or why it is refused. Lines count from 1.

    ``columns`` are those of the file; ``fields`` holds the cells that are not empty.
    """

    line: int
    fields: Mapping[str, object]
    refusal: str | None = None
    columns: tuple[str, ...] = ()


def guard(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula; ``unguard`` gives it back."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def unguard(cell: str) -> str:
    """The inverse of ``guard``; other cells are left alone."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def is_workbook(path: Path) -> bool:
    """True if the file's first bytes are those of an ``.xlsx``.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def encoding_of(path: Path) -> str:
    """``utf-8-sig`` or ``gb18030``: the one that the whole file is valid in.

    Raises:
        InputError: the file cannot be read, is valid in neither, or mixes them.
    """
    # lines: the first that is no UTF-8, that can be nothing else, that makes sense as GB18030 alone
    other = first = chance = 0
    said = "is neither UTF-8 nor GB18030"
    try:
        with path.open("rb") as file:
            head = file.read(8)
            if b"\x00" in head or head.startswith(b"\xd0\xcf\x11\xe0"):
                raise InputError(f"{path}: is no CSV; save the sheet as CSV (UTF-8) or as .xlsx")
            file.seek(0)
            for number, line in enumerate(file, start=1):
                if line.isascii():
                    continue
                try:
                    text = line.decode("utf-8")
                    if _is_row(text):
                        first = first or number
                    elif not _CHINESE.search(text) and _is_row(line.decode("gb18030", "replace")):
                        chance = chance or number
                except UnicodeDecodeError:
                    other = other or number
                    line.decode("gb18030")
            if not other and (first or not chance):
                return "utf-8-sig"
            if not first:
                return "gb18030"
            said = f"mixes encodings: line {first} is UTF-8, line {other} is not"
    except UnicodeDecodeError:
        pass
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    raise InputError(f"{path}: {said}; save the sheet as CSV (UTF-8)")


def _is_row(text: str) -> bool:
    """True if this makes sense: some lines of GB18030 are valid UTF-8 by chance, as nonsense."""
    return any(character in _TELLING for character in text)


def read_rows(path: Path, now: datetime, progress: Progress | None = None) -> Iterator[Row]:
    """The lines below the header, empty ones left out. ``progress`` is told the line.

    Raises:
        InputError: the file is no list at all; see ``columns_of``.
    """
    lines = _workbook_lines(path) if is_workbook(path) else _csv_lines(path)
    columns: tuple[str, ...] | None = None
    for line, cells, refusal in lines:
        if columns is None:
            try:
                if refusal:
                    raise InputError(f"line {line}: {refusal}")
                columns = columns_of([cell.strip() for cell in cells])
            except InputError as error:
                raise InputError(f"{path}: {error}") from None
            continue
        if progress and not line % 64:
            progress(line)
        if refusal:
            yield Row(line, {}, refusal)
        elif any(cells) and any(map(str.strip, cells)):
            yield _row(line, columns, cells, now)
    if columns is None:
        raise InputError(f"{path}: is empty; the first line names the columns")


def _csv_lines(path: Path) -> Iterator[tuple[int, Sequence[str], str]]:
    """Line, cells, and why the line is no CSV."""
    encoding = encoding_of(path)
    with path.open(encoding=encoding, newline="") as file:
        first = file.readline(1 << 20)
        file.seek(0)
        separator = max(",;\t", key=first.count)
        before = csv.field_size_limit(_LARGEST_CELL)
        try:
            reader = csv.reader(file, delimiter=separator, strict=True)
            while True:
                line = reader.line_num + 1
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield line, (), f"is no CSV: {error}"
                else:
                    yield line, cells, ""
        finally:
            csv.field_size_limit(before)


def _workbook_lines(path: Path) -> Iterator[tuple[int, Sequence[str], str]]:
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(part.file_size for part in packed.infolist())
            if size > _LARGEST_WORKBOOK:
                raise InputError(f"{path}: is too large unpacked; save the sheet as CSV (UTF-8)")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions, which do not matter here
            book = load_workbook(path, read_only=True, data_only=True)
        with closing(book):
            width = 0
            for line, values in enumerate(book.worksheets[0].iter_rows(values_only=True), start=1):
                cells = [_cell_text(value) for value in values]
                while cells and not cells[-1] and (not width or len(cells) > width):
                    cells.pop()  # Excel says more or fewer empty cells at the end of a row
                cells += [""] * (width - len(cells))
                width = width or len(cells)
                long = next((c for c in cells if len(c) > _LARGEST_CELL), None)
                yield line, cells, "a cell is too long" if long is not None else ""
    except InputError:
        raise
    except Exception as error:  # a damaged workbook fails in as many ways as it has parts
        raise InputError(
            f"{path}: is no workbook that can be read ({type(error).__name__}: {error}); "
            "save the sheet as CSV (UTF-8)"
        ) from error


def _cell_text(value: Any) -> str:
    """A cell as one would type it: a whole number without a point, a date without midnight."""
    match value:
        case None:
            return ""
        case float() if value.is_integer():
            return str(int(value))
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case datetime() | date():
            return value.isoformat()
    return str(value)


def _row(line: int, columns: tuple[str, ...], cells: Sequence[str], now: datetime) -> Row:
    if len(cells) != len(columns):
        return Row(line, {}, f"has {len(cells)} cells, the header has {len(columns)}")
    fields: dict[str, object] = {}
    for column, cell in zip(columns, cells, strict=True):
        text = cell.strip()
        if not text:
            continue
        if text[0] == "'":
            text = unguard(text)
        if column in PLAIN:
            fields[column] = text
            continue
        try:
            fields[column] = _parsed(column, text, now)
        except ValueError as error:
            return Row(line, {}, f"{column}: {error}")
    return Row(line, fields, columns=columns)


_parsed = lru_cache(maxsize=4096)(parse_cell)
"""Most lists say the same few dates, colours and categories again and again."""


def count_lines(path: Path) -> int | None:
    """Lines of a CSV file, for a progress bar; None for a workbook or where it is not known."""
    try:
        if is_workbook(path):
            return None
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except (InputError, OSError):
        return None


def write_csv(entries: Iterable[WatchlistEntry], file: TextIO) -> int:
    """Write a list that ``read_rows`` takes back; says how many entries."""
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    count = 0
    for count, entry in enumerate(entries, start=1):  # noqa: B007
        writer.writerow([guard(cell) for cell in cells_of(entry)])
    return count


def write_workbook(entries: Iterable[WatchlistEntry], path: Path) -> int:
    """Write a list as ``.xlsx``, every cell as text; says how many entries."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet("watchlist")
    sheet.append(COLUMNS)
    count = 0
    for count, entry in enumerate(entries, start=1):  # noqa: B007
        sheet.append([guard(cell) for cell in cells_of(entry)])
    book.save(path)
    return count
