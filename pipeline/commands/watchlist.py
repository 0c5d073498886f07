"""``checkpoint watchlist``: add, edit, list, check, cancel; and what works on many at once."""

from __future__ import annotations

from typing import Annotated

import structlog
import typer

from pipeline.clock import Clock
from pipeline.commands.acting import ConfigOption, TokenFileOption
from pipeline.commands.governed import CANCELLERS, EDITORS, READERS, session
from pipeline.commands.output import JsonOption, console, print_line
from pipeline.commands.watchlist_bulk import (
    acknowledge,
    export,
    history,
    import_file,
    rollback,
)
from pipeline.config import CATEGORIES
from pipeline.errors import WatchlistError
from pipeline.types import WatchlistEntry
from watchlist.columns import COLUMNS, parse_fields
from watchlist.entry import EntryStatus, make_entry, status_of
from watchlist.grammar import display, is_legal, normalise
from watchlist.neighbours import listed_neighbours
from watchlist.records import Note
from watchlist.tables import cancelled_record, entry_record, entry_table, plural

log = structlog.get_logger(__name__)

app = typer.Typer(
    help="The list of plates that checkpoints look for.", no_args_is_help=True, add_completion=False
)
app.command("import")(import_file)
app.command("export")(export)
app.command("history")(history)
app.command("rollback")(rollback)
app.command("acknowledge")(acknowledge)

_CATEGORY_HELP = f"One of: {', '.join(CATEGORIES)}; or of those in the configuration."


@app.command("add")
def add(
    plate: Annotated[str, typer.Argument(help="The plate, e.g. 辽A12345, or a pattern: 辽A?23??.")],
    category: Annotated[str, typer.Option(help=_CATEGORY_HELP)] = "",
    disposition: Annotated[str, typer.Option(help="What the officer is to do.")] = "",
    reason: Annotated[str, typer.Option(help="Why the vehicle is looked for.")] = "",
    case: Annotated[str, typer.Option(help="Case number.")] = "",
    authoriser: Annotated[str, typer.Option(help="Who answers for the entry.")] = "",
    expires: Annotated[str, typer.Option(help="2026-12-31 (the end of that day) or +30d.")] = "",
    priority: Annotated[int, typer.Option(help="1 act now … 4 note.")] = 2,
    requester: Annotated[
        str, typer.Option(help="Who asks for it, not the authoriser; default: who acts.")
    ] = "",
    valid_from: Annotated[str, typer.Option(help="When it begins; default now.")] = "",
    plate_class: Annotated[str, typer.Option(help="Plate class, e.g. blue.")] = "",
    vehicle_class: Annotated[str, typer.Option(help="Vehicle class, e.g. car.")] = "",
    vehicle_colour: Annotated[str, typer.Option(help="Body colour, e.g. white.")] = "",
    audience: Annotated[
        list[str] | None, typer.Option(help="A checkpoint it is for; repeat it. Default: all.")
    ] = None,
    source: Annotated[str, typer.Option(help="Where the entry comes from.")] = "",
    config: ConfigOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put one plate on the list. Refused without reason, case, authoriser and expiry.

    Plates on the list that are easily taken for this one are pointed out.
    """
    said = {
        "plate": plate,
        "category": category,
        "priority": str(priority),
        "disposition": disposition,
        "reason": reason,
        "case_number": case,
        "authoriser": authoriser,
        "requester": requester,
        "valid_from": valid_from,
        "expires_at": expires,
        "plate_class": plate_class,
        "vehicle_class": vehicle_class,
        "vehicle_colour": vehicle_colour,
        "audience": ";".join(audience or ()),
        "source": source,
    }
    with session(config, token_file) as acting:
        now = acting.clock.now()
        fields = parse_fields(said, now)
        fields.setdefault("requester", acting.person.name)
        entry = make_entry(fields, now, acting.policy())
        with (
            acting.doing(
                "watchlist.add",
                entry.plate,
                roles=EDITORS,
                reason=entry.reason,
                case=entry.case_number,
                details=_audited(entry),
            ),
            acting.watchlist() as watchlist,
        ):
            alike = [
                near for _, found in listed_neighbours(watchlist, [entry.plate]) for near in found
            ]
            note = Note(acting.person.name, "add", entry.reason, entry.case_number)
            change = watchlist.add([entry], note)
    log.info("watchlist.added", entry=entry.id, plate=entry.plate, version=change.version)
    if as_json:
        record = {**entry_record(entry, now), "list_version": change.version, "neighbours": alike}
        print_line(record)
    else:
        title = f"Added; the list is at version {change.version}"
        console().print(entry_table(title, [entry], now))
        if alike:
            plates = ", ".join(map(display, alike))
            console().print(f"Look again: also on the list, and easily taken for it: {plates}")


@app.command("edit")
def edit(
    entry_id: Annotated[str, typer.Argument(metavar="ID", help="The entry, see list.")],
    why: Annotated[str, typer.Option(help="Why it is changed; goes to the audit log.")],
    plate: Annotated[str | None, typer.Option(help="The plate.")] = None,
    category: Annotated[str | None, typer.Option(help=_CATEGORY_HELP)] = None,
    disposition: Annotated[str | None, typer.Option(help="What the officer is to do.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why the vehicle is looked for.")] = None,
    case: Annotated[str | None, typer.Option(help="Case number.")] = None,
    authoriser: Annotated[str | None, typer.Option(help="Who answers for the entry.")] = None,
    expires: Annotated[str | None, typer.Option(help="2026-12-31 or +30d.")] = None,
    priority: Annotated[int | None, typer.Option(help="1 act now … 4 note.")] = None,
    requester: Annotated[str | None, typer.Option(help="Who asks for it.")] = None,
    valid_from: Annotated[str | None, typer.Option(help="When it begins.")] = None,
    plate_class: Annotated[str | None, typer.Option(help="Plate class.")] = None,
    vehicle_class: Annotated[str | None, typer.Option(help="Vehicle class.")] = None,
    vehicle_colour: Annotated[str | None, typer.Option(help="Body colour.")] = None,
    audience: Annotated[
        list[str] | None, typer.Option(help="A checkpoint it is for; repeat it.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Where the entry comes from.")] = None,
    config: ConfigOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what an entry says; what is not named stays, and '' takes a field away."""
    said = {
        "plate": plate,
        "category": category,
        "priority": None if priority is None else str(priority),
        "disposition": disposition,
        "reason": reason,
        "case_number": case,
        "authoriser": authoriser,
        "requester": requester,
        "valid_from": valid_from,
        "expires_at": expires,
        "plate_class": plate_class,
        "vehicle_class": vehicle_class,
        "vehicle_colour": vehicle_colour,
        "audience": None if audience is None else ";".join(audience),
        "source": source,
    }
    named = {name: text for name, text in said.items() if text is not None}
    entry_id = entry_id.strip().upper()
    _stated("why", why)
    with session(config, token_file) as acting:
        now = acting.clock.now()
        with (
            acting.doing(
                "watchlist.edit",
                entry_id,
                roles=EDITORS,
                reason=why,
                case=case or "",
                details={"fields": named},
            ),
            acting.watchlist() as watchlist,
        ):
            version = watchlist.state().version
            before = watchlist.get(entry_id)
            if before is None:
                raise WatchlistError(f"entry {entry_id}: is not on the list; see watchlist list")
            kept = {c: getattr(before, c) for c in COLUMNS if c != "id" and c not in named}
            fields = kept | parse_fields(named, now)
            after = make_entry(fields, now, acting.policy(), entry_id)
            note = Note(acting.person.name, "edit", why.strip(), after.case_number)
            change = watchlist.add([after], note, planned_on=version)
    log.info("watchlist.edited", entry=after.id, plate=after.plate, version=change.version)
    if as_json:
        print_line({**entry_record(after, now), "list_version": change.version})
    else:
        title = f"Changed; the list is at version {change.version}"
        console().print(entry_table(title, [after], now))


@app.command("list")
def list_entries(
    everything: Annotated[
        bool, typer.Option("--all", help="Expired, pending and cancelled entries too.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why it is looked at; goes to the audit log.")] = "",
    config: ConfigOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the list."""
    with (
        session(config, token_file) as acting,
        acting.doing("watchlist.list", "the list", roles=READERS, reason=reason),
        acting.watchlist() as watchlist,
    ):
        clock = acting.clock
        state = watchlist.state()
        entries = sorted(
            (e for e in watchlist.entries() if everything or _is_active(e, clock)),
            key=lambda entry: entry.id,
        )
        cancelled = list(watchlist.cancellations()) if everything else []
    now = clock.now()
    if as_json:
        for entry in entries:
            print_line(entry_record(entry, now))
        for gone in cancelled:
            print_line(cancelled_record(gone, now))
        return
    title = f"Watchlist, version {state.version}: {plural(len(entries), 'entry', 'entries')}"
    if not entries and not cancelled:
        console().print(f"{title}. Add one: checkpoint watchlist add PLATE …")
    else:
        console().print(entry_table(title, entries, now, cancelled))


@app.command("check")
def check(
    plate: Annotated[str, typer.Argument(help="The plate to look up.")],
    reason: Annotated[str, typer.Option(help="Why it is looked up; goes to the audit log.")],
    case: Annotated[str, typer.Option(help="The case it is looked up for.")] = "",
    config: ConfigOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a plate is on the list now. A reason is required and recorded."""
    _stated("reason", reason)
    wanted = normalise(plate)
    if not is_legal(wanted):
        raise WatchlistError(f"plate: {display(wanted)!r} has the form of no plate; e.g. 辽A12345")
    with (
        session(config, token_file) as acting,
        acting.doing("watchlist.check", wanted, roles=READERS, reason=reason, case=case),
        acting.watchlist() as watchlist,
    ):
        found = watchlist.lookup([wanted])
        now = acting.clock.now()
    entries = (*found.entries.get(wanted, ()), *found.patterns.get(wanted, ()))
    log.info("watchlist.checked", plate=wanted, reason=reason.strip(), listed=bool(entries))
    if as_json:
        print_line(
            {
                "plate": wanted,
                "listed": bool(entries),
                "entries": [entry_record(entry, now) for entry in entries],
                "list_version": found.version,
                "list_age_s": round(found.age_s, 3),
            }
        )
    elif entries:
        title = f"{display(wanted)} is on the list, version {found.version}"
        console().print(entry_table(title, entries, now))
    else:
        console().print(f"{display(wanted)} is not on the list, version {found.version}.")


@app.command("cancel")
def cancel(
    entry_id: Annotated[str, typer.Argument(metavar="ID", help="The entry, see list.")],
    reason: Annotated[str, typer.Option(help="Why it is taken off the list.")],
    by: Annotated[str, typer.Option(help="Who takes it off; default: who acts.")] = "",
    config: ConfigOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an entry off the list; it no longer matches once this returns."""
    entry_id = entry_id.strip().upper()
    _stated("reason", reason)
    with session(config, token_file) as acting:
        who = acting.for_whom(by)
        with (
            acting.doing(
                "watchlist.cancel", entry_id, roles=CANCELLERS, reason=reason, details={"for": who}
            ),
            acting.watchlist() as watchlist,
        ):
            gone = watchlist.cancel(entry_id, reason=reason, by=who)
        now = acting.clock.now()
    log.info("watchlist.cancelled", entry=gone.entry.id, reason=gone.reason, by=gone.by)
    if as_json:
        print_line(cancelled_record(gone, now))
    else:
        console().print(f"{display(gone.entry.plate)} ({gone.entry.id}) is off the list.")


def _stated(option: str, text: str) -> None:
    if not text.strip():
        raise WatchlistError(f"{option}: must not be empty; say why")


def _audited(entry: WatchlistEntry) -> dict[str, object]:
    return {
        "entry": entry.id,
        "category": entry.category,
        "authoriser": entry.authoriser,
        "requester": entry.requester,
        "expires_at": entry.expires_at.isoformat(),
    }


def _is_active(entry: WatchlistEntry, clock: Clock) -> bool:
    return status_of(entry, clock.now()) is EntryStatus.ACTIVE
