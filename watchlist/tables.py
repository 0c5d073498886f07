"""Entries and import plans as people and machines read them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.types import WatchlistEntry
from watchlist.entry import EntryStatus, iso, status_of, to_json
from watchlist.grammar import display
from watchlist.importer import ImportPlan
from watchlist.records import Cancellation

_SHOWN_CHANGES = 20


def entry_record(entry: WatchlistEntry, now: datetime) -> dict[str, Any]:
    """An entry with all its fields, what is not known as None, and its status."""
    record: dict[str, Any] = dict.fromkeys(WatchlistEntry.__slots__)
    record |= json.loads(to_json(entry))
    return {**record, "audience": list(entry.audience), "status": status_of(entry, now)}


def cancelled_record(gone: Cancellation, now: datetime) -> dict[str, Any]:
    """A cancelled entry, with who cancelled it, when and why."""
    said = {"reason": gone.reason, "by": gone.by, "at": iso(gone.at)}
    return {**entry_record(gone.entry, now), "status": "cancelled", "cancelled": said}


def plan_records(plan: ImportPlan, now: datetime) -> Iterator[dict[str, Any]]:
    """What an import would do, one record for each entry added, replaced or refused."""
    for entry in plan.added:
        yield {"event": "add", "entry": entry_record(entry, now)}
    for change in plan.replaced:
        after = entry_record(change.after, now)
        yield {"event": "replace", "entry": after, "fields": list(change.fields)}
    for bad in plan.bad:
        yield {"event": "bad", "line": bad.line, "message": bad.message}


def entry_table(
    title: str,
    entries: Sequence[WatchlistEntry],
    now: datetime,
    cancelled: Sequence[Cancellation] = (),
) -> Table:
    """The entries as a table; columns in which nobody says anything are left out."""
    rows = [(entry, str(status_of(entry, now))) for entry in entries]
    rows += [(gone.entry, f"cancelled: {gone.reason} ({gone.by})") for gone in cancelled]
    looks = any(_looks(entry) for entry, _ in rows)
    status = any(said != EntryStatus.ACTIVE for _, said in rows)
    headings = ["id", "plate", "category", "to do", "case", "until"]
    table = _table(title, [*headings, *["looks"] * looks, *["status"] * status])
    for entry, said in rows:
        cells = [
            entry.id,
            display(entry.plate),
            f"{entry.priority} {entry.category}",
            entry.disposition,
            entry.case_number,
            _until(entry),
            *[_looks(entry)] * looks,
            *[said] * status,
        ]
        style = "" if said == EntryStatus.ACTIVE else "dim"
        table.add_row(*map(Text, cells), style=style)
    return table


def print_plan(console: Console, plan: ImportPlan) -> None:
    """What an import would do: the first changes as a table, then the counts."""
    if plan.entries:
        table = _table("Changes", ["change", "plate", "category", "case", "until", "differs in"])
        changes = [("add", entry, "") for entry in plan.added]
        changes += [("replace", r.after, ", ".join(r.fields)) for r in plan.replaced]
        for what, entry, fields in changes[:_SHOWN_CHANGES]:
            cells = (what, display(entry.plate), entry.category, entry.case_number)
            table.add_row(*map(Text, cells), _until(entry), fields)
        console.print(table)
        if len(changes) > _SHOWN_CHANGES:
            console.print(f"… and {len(changes) - _SHOWN_CHANGES} more")
    console.print(
        f"{len(plan.added)} to add, {len(plan.replaced)} to replace, "
        f"{plan.unchanged} as they are, {plural(len(plan.bad), 'bad row', 'bad rows')}."
    )


def plural(count: int, one: str, many: str) -> str:
    """``1 entry``, ``2 entries``."""
    return f"{count} {one if count == 1 else many}"


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in headings:
        whole = heading in {"id", "plate", "category", "until"}
        table.add_column(heading, no_wrap=whole, overflow="fold")
    return table


def _until(entry: WatchlistEntry) -> str:
    """The last day on which an entry matches, in this machine's own time."""
    last = entry.expires_at.astimezone() - timedelta(microseconds=1)
    return last.strftime("%Y-%m-%d")


def _looks(entry: WatchlistEntry) -> str:
    said = (entry.plate_class, entry.vehicle_class, entry.vehicle_colour)
    return " ".join(part for part in said if part)
