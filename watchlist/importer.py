"""Lists compared with the list in Redis: what an import would do, row by row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pipeline.errors import WatchlistError
from pipeline.types import WatchlistEntry
from watchlist.columns import COLUMNS
from watchlist.entry import EntryPolicy, is_id, make_entry, to_json
from watchlist.rows import parse_row
from watchlist.sheets import Row
from watchlist.store import Watchlist

_PAGE = 500


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


def plan_import(
    watchlist: Watchlist,
    rows: Iterable[Row],
    now: datetime,
    policy: EntryPolicy | None = None,
    requester: str | None = None,
) -> ImportPlan:
    """Compare a file with the list; nothing is changed.

    A row is the entry of its ``id`` column; without one, the entry of the same plate, case
    and category. Entries that the file does not name stay as they are, and so does what an
    entry says in columns that the file does not have. ``requester`` asks for the entries for
    which the file names nobody.

    Raises:
        StoreUnavailable: Redis is away.
    """
    plan = _Plan(watchlist, now, policy or EntryPolicy(), requester)
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

    def __init__(
        self, watchlist: Watchlist, now: datetime, policy: EntryPolicy, requester: str | None
    ) -> None:
        self._watchlist, self._now, self._policy = watchlist, now, policy
        self._requester = requester
        self._lines: dict[tuple[str, ...], int] = {}
        self.added: list[WatchlistEntry] = []
        self.replaced: list[Replacement] = []
        self.unchanged = 0
        self.bad: list[BadRow] = []

    def take(self, page: list[Row]) -> None:
        """Sort the rows of a page into what they would do."""
        made = [(row, entry) for row in page if (entry := self._entry(row)) is not None]
        if not made:
            return
        named = [entry.id for row, entry in made if "id" in row.fields]
        cancelled = self._watchlist.cancellations_of(named)
        plates = self._watchlist.plates_of(named)  # another than the row's if that was corrected
        wanted = {entry.plate for _, entry in made} | set(plates.values())
        _, listed = self._watchlist.rows_of(list(wanted))
        for row, entry in made:
            if entry.id in cancelled:
                gone = cancelled[entry.id]
                self._refuse(
                    row.line,
                    f"id: {entry.id} was cancelled by {gone.by} ({gone.reason}); "
                    "leave the id empty to put it on the list again",
                )
            elif _says_the_same(row, entry, listed.get(entry.plate, b"")):
                self.unchanged += 1
            else:
                stored = listed.get(plates.get(entry.id, entry.plate), b"")
                self._sort(row, _counterpart(row, entry, stored), entry)

    def _entry(self, row: Row) -> WatchlistEntry | None:
        if row.refusal is not None:
            self._refuse(row.line, row.refusal)
            return None
        fields = dict(row.fields)
        entry_id = fields.pop("id", None)
        if entry_id is not None and not is_id(str(entry_id)):
            self._refuse(row.line, f"id: {str(entry_id)[:40]!r} is no identifier of an entry")
            return None
        if self._requester:
            fields.setdefault("requester", self._requester)
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


def _says_the_same(row: Row, entry: WatchlistEntry, listed: bytes) -> bool:
    """True if the row, which leaves nothing out, is an entry as it is on the list: nearly all
    rows of an export that comes back, and quicker to see than to read what is on the list."""
    if not listed or "id" not in row.fields or "valid_from" not in row.fields:
        return False
    whole = len(row.columns) == len(COLUMNS)
    return whole and f"{entry.id} {to_json(entry)}".encode() in listed.split(b"\n")


def _counterpart(row: Row, entry: WatchlistEntry, listed: bytes) -> WatchlistEntry | None:
    stored = parse_row(listed) if listed else ()
    if "id" in row.fields:
        return next((known for known in stored if known.id == entry.id), None)
    return next((known for known in stored if _sameness(known) == _sameness(entry)), None)
