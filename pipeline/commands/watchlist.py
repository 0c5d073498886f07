"""``checkpoint watchlist``: add, list, check, import, export and cancel entries."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import structlog
import typer
from rich.console import Console
from rich.progress import Progress

from pipeline.clock import Clock, SystemClock
from pipeline.config import CheckpointSettings, load
from pipeline.errors import InputError, WatchlistError
from pipeline.types import WatchlistEntry
from watchlist.columns import parse_cell
from watchlist.entry import CATEGORIES, EntryStatus, make_entry, status_of
from watchlist.grammar import display, is_legal, normalise
from watchlist.importer import plan_import, read_rows, write_csv
from watchlist.store import Watchlist, open_watchlist
from watchlist.tables import (
    cancelled_record,
    entry_record,
    entry_table,
    plan_records,
    plural,
    print_plan,
)

log = structlog.get_logger(__name__)

app = typer.Typer(
    help="The list of plates that checkpoints look for.", no_args_is_help=True, add_completion=False
)

_DEFAULT_FILE = Path("checkpoint.toml")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Configuration file; without it ./checkpoint.toml, else the defaults."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@app.command("add")
def add(
    plate: Annotated[str, typer.Argument(help="The plate, e.g. 辽A12345.")],
    category: Annotated[str, typer.Option(help=f"One of: {', '.join(CATEGORIES)}.")] = "",
    disposition: Annotated[str, typer.Option(help="What the officer is to do.")] = "",
    reason: Annotated[str, typer.Option(help="Why the vehicle is looked for.")] = "",
    case: Annotated[str, typer.Option(help="Case number.")] = "",
    authoriser: Annotated[str, typer.Option(help="Who answers for the entry.")] = "",
    expires: Annotated[str, typer.Option(help="2026-12-31 (the end of that day) or +30d.")] = "",
    priority: Annotated[int, typer.Option(help="1 act now … 4 note.")] = 2,
    requester: Annotated[str, typer.Option(help="Who asks for it; not the authoriser.")] = "",
    valid_from: Annotated[str, typer.Option(help="When it begins; default now.")] = "",
    plate_class: Annotated[str, typer.Option(help="Plate class, e.g. blue.")] = "",
    vehicle_class: Annotated[str, typer.Option(help="Vehicle class, e.g. car.")] = "",
    vehicle_colour: Annotated[str, typer.Option(help="Body colour, e.g. white.")] = "",
    audience: Annotated[
        list[str] | None, typer.Option(help="A checkpoint it is for; repeat it. Default: all.")
    ] = None,
    source: Annotated[str, typer.Option(help="Where the entry comes from.")] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put one plate on the list. Refused without reason, case, authoriser and expiry."""
    clock = SystemClock()
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
    fields: dict[str, Any] = {}
    for column, value in said.items():
        if value.strip():
            try:
                fields[column] = parse_cell(column, value, clock.now())
            except ValueError as error:
                raise WatchlistError(f"{column}: {error}") from None
    entry = make_entry(fields, clock.now())
    with _open(config, clock) as watchlist:
        change = watchlist.add([entry])
    log.info("watchlist.added", entry=entry.id, plate=entry.plate, version=change.version)
    if as_json:
        _print_line({**entry_record(entry, clock.now()), "list_version": change.version})
    else:
        title = f"Added; the list is at version {change.version}"
        _console().print(entry_table(title, [entry], clock.now()))


@app.command("list")
def list_entries(
    everything: Annotated[
        bool, typer.Option("--all", help="Expired, pending and cancelled entries too.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the list."""
    clock = SystemClock()
    with _open(config, clock) as watchlist:
        state = watchlist.state()
        entries = sorted(
            (e for e in watchlist.entries() if everything or _is_active(e, clock)),
            key=lambda entry: entry.id,
        )
        cancelled = list(watchlist.cancellations()) if everything else []
    now = clock.now()
    if as_json:
        for entry in entries:
            _print_line(entry_record(entry, now))
        for gone in cancelled:
            _print_line(cancelled_record(gone, now))
        return
    title = f"Watchlist, version {state.version}: {plural(len(entries), 'entry', 'entries')}"
    if not entries and not cancelled:
        _console().print(f"{title}. Add one: checkpoint watchlist add PLATE …")
    else:
        _console().print(entry_table(title, entries, now, cancelled))


@app.command("check")
def check(
    plate: Annotated[str, typer.Argument(help="The plate to look up.")],
    reason: Annotated[str, typer.Option(help="Why it is looked up; goes to the log.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a plate is on the list now. A reason is required and logged."""
    clock = SystemClock()
    if not reason.strip():
        raise WatchlistError("reason: must not be empty; say why the plate is looked up")
    wanted = normalise(plate)
    if not is_legal(wanted):
        raise WatchlistError(f"plate: {display(wanted)!r} has the form of no plate; e.g. 辽A12345")
    with _open(config, clock) as watchlist:
        found = watchlist.lookup([wanted])
    entries = found.entries.get(wanted, ())
    log.info("watchlist.checked", plate=wanted, reason=reason.strip(), listed=bool(entries))
    now = clock.now()
    if as_json:
        _print_line(
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
        _console().print(entry_table(title, entries, now))
    else:
        _console().print(f"{display(wanted)} is not on the list, version {found.version}.")


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV, UTF-8 or GB18030.")],
    apply: Annotated[
        bool, typer.Option("--apply", help="Change the list, as one version.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Apply the good rows although some are bad.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a CSV file would change, and change it with --apply.

    Exit status 1 if a row is bad; then nothing is applied without --skip-bad.
    """
    clock = SystemClock()
    now = clock.now()
    with _open(config, clock) as watchlist, _progress() as bar:
        reading = bar.add_task("reading", total=_line_count(file))
        rows = read_rows(file, now, lambda line: bar.update(reading, completed=line))
        plan = plan_import(watchlist, rows, now)
        applied = apply and bool(plan.entries) and (skip_bad or not plan.bad)
        version = plan.version
        if applied:
            sending = bar.add_task("applying", total=len(plan.entries))
            change = watchlist.add(
                plan.entries,
                planned_on=plan.version,
                progress=lambda sent: bar.update(sending, completed=sent),
            )
            version = change.version
    for bad in plan.bad:
        print(f"error: {file}:{bad.line}: {bad.message}", file=sys.stderr)
    log.info(
        "watchlist.imported" if applied else "watchlist.import_planned",
        file=str(file),
        added=len(plan.added),
        replaced=len(plan.replaced),
        bad=len(plan.bad),
        version=version,
    )
    if as_json:
        for record in plan_records(plan, now):
            _print_line(record)
        counts = {"added": len(plan.added), "replaced": len(plan.replaced)}
        counts |= {"unchanged": plan.unchanged, "bad": len(plan.bad)}
        _print_line({"event": "summary", **counts, "applied": applied, "list_version": version})
    else:
        print_plan(_console(), plan)
        if applied:
            _console().print(f"Applied: the list is at version {version}.")
        elif apply and plan.bad and plan.entries:
            _console().print("Nothing applied: correct the bad rows, or add --skip-bad.")
        elif plan.entries:
            _console().print("Nothing applied yet: this was a dry run, add --apply.")
    if plan.bad:
        raise typer.Exit(1)


@app.command("export")
def export(
    file: Annotated[Path | None, typer.Argument(help="CSV to write; default: stdout.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Expired entries too.")] = False,
    config: ConfigOption = None,
) -> None:
    """Write the list as CSV (UTF-8 with a mark, as Excel expects); import takes it back."""
    clock = SystemClock()
    with _open(config, clock) as watchlist:
        entries = sorted(
            (e for e in watchlist.entries() if everything or clock.now() < e.expires_at),
            key=lambda entry: entry.id,
        )
    if file is None:
        count = _write(entries, sys.stdout)
    else:
        part = file.with_name(file.name + ".part")
        try:
            with part.open("w", encoding="utf-8-sig", newline="") as out:
                count = _write(entries, out)
            part.replace(file)
        except OSError as error:
            raise InputError(f"{file}: cannot be written: {error.strerror}") from error
        finally:
            part.unlink(missing_ok=True)
        _console().print(f"{plural(count, 'entry', 'entries')} written to {file}")
    log.info("watchlist.exported", entries=count, file=str(file) if file else None)


@app.command("cancel")
def cancel(
    entry_id: Annotated[str, typer.Argument(metavar="ID", help="The entry, see list.")],
    reason: Annotated[str, typer.Option(help="Why it is taken off the list.")],
    by: Annotated[str, typer.Option(help="Who takes it off.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an entry off the list; it no longer matches once this returns."""
    clock = SystemClock()
    with _open(config, clock) as watchlist:
        gone = watchlist.cancel(entry_id.strip().upper(), reason=reason, by=by)
    log.info("watchlist.cancelled", entry=gone.entry.id, reason=gone.reason, by=gone.by)
    if as_json:
        _print_line(cancelled_record(gone, clock.now()))
    else:
        _console().print(f"{display(gone.entry.plate)} ({gone.entry.id}) is off the list.")


@contextmanager
def _open(config: Path | None, clock: Clock) -> Iterator[Watchlist]:
    if config is None and _DEFAULT_FILE.exists():
        config = _DEFAULT_FILE
    settings = load(config) if config else CheckpointSettings()
    with open_watchlist(settings.watchlist, settings.data_dir, clock) as watchlist:
        yield watchlist


def _console() -> Console:
    return Console(file=sys.stdout, highlight=False)


def _progress() -> Progress:
    """A bar on stderr that goes away when all is done; none where nobody watches."""
    return Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def _print_line(record: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")


def _is_active(entry: WatchlistEntry, clock: Clock) -> bool:
    return status_of(entry, clock.now()) is EntryStatus.ACTIVE


def _write(entries: list[WatchlistEntry], out: TextIO) -> int:
    with _progress() as bar:
        return write_csv(bar.track(entries, description="writing"), out)


def _line_count(file: Path) -> int:
    """Lines of a file, for the progress bar; 0 if it cannot be read (said later)."""
    try:
        with file.open("rb") as opened:
            return sum(block.count(b"\n") for block in iter(lambda: opened.read(1 << 20), b""))
    except OSError:
        return 0
