"""Entries, import plans and versions as people and machines read them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.types import WatchlistEntry
from watchlist.entry import EntryStatus, iso, status_of, to_json
from watchlist.grammar import display
from watchlist.importer import ImportPlan
from watchlist.records import Cancellation, Version

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
    if plan.added or plan.replaced:
        table = _table("Changes", ["change", "plate", "category", "case", "until", "differs in"])
        changes = chain(
            (("add", entry, "") for entry in plan.added),
            (("replace", r.after, ", ".join(r.fields)) for r in plan.replaced),
        )
        for what, entry, fields in islice(changes, _SHOWN_CHANGES):
            cells = (what, display(entry.plate), entry.category, entry.case_number)
            table.add_row(*map(Text, cells), _until(entry), fields)
        console.print(table)
        if (more := len(plan.added) + len(plan.replaced) - _SHOWN_CHANGES) > 0:
            console.print(f"… and {more} more")
    console.print(
        f"{len(plan.added)} to add, {len(plan.replaced)} to replace, "
        f"{plan.unchanged} as they are, {plural(len(plan.bad), 'bad row', 'bad rows')}."
    )


def print_neighbours(console: Console, alike: Sequence[tuple[str, tuple[str, ...]]]) -> None:
    """New plates that are easily taken for some on the list."""
    if not alike:
        return
    table = _table("Look again: easily taken for one another", ["new plate", "on the list"])
    for plate, found in alike[:_SHOWN_CHANGES]:
        table.add_row(display(plate), ", ".join(map(display, found)))
    console.print(table)
    if len(alike) > _SHOWN_CHANGES:
        console.print(f"… and {len(alike) - _SHOWN_CHANGES} more")


def neighbour_record(plate: str, found: Sequence[str]) -> dict[str, Any]:
    """A new plate, and those on the list that it is easily taken for."""
    return {"event": "neighbour", "plate": plate, "listed": list(found)}


def version_record(version: Version) -> dict[str, Any]:
    """One change of the list; what was not said as None."""
    return {
        "version": version.number,
        "before": version.before,
        "at": iso(version.at),
        "by": version.note.by or None,
        "action": version.note.action,
        "changed": version.changed,
        "reason": version.note.reason or None,
        "case": version.note.case or None,
    }


def history_table(versions: Sequence[Version], title: str = "Versions") -> Table:
    """Changes of the list, one a row."""
    headings = ["version", "when", "who", "what", "changed", "why", "case"]
    table = _table(title, headings)
    for version in versions:
        note = version.note
        when = version.at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        cells = (str(version.number), when, note.by, note.action, str(version.changed))
        table.add_row(*map(Text, (*cells, note.reason, note.case)))
    return table


def plural(count: int, one: str, many: str) -> str:
    """``1 entry``, ``2 entries``."""
    return f"{count} {one if count == 1 else many}"


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in headings:
        whole = heading in {"id", "plate", "category", "until", "version", "when"}
        table.add_column(heading, no_wrap=whole, overflow="fold")
    return table


def _until(entry: WatchlistEntry) -> str:
    """The last day on which an entry matches, in this machine's own time."""
    last = entry.expires_at.astimezone() - timedelta(microseconds=1)
    return last.strftime("%Y-%m-%d")


def _looks(entry: WatchlistEntry) -> str:
    said = (entry.plate_class, entry.vehicle_class, entry.vehicle_colour)
    return " ".join(part for part in said if part)
