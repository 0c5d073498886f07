"""``checkpoint watchlist`` import, export, history, rollback and acknowledge."""

from __future__ import annotations

import gc
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.progress import Progress

from pipeline.commands.acting import ConfigOption, TokenFileOption
from pipeline.commands.governed import APPROVERS, EDITORS, KEEPERS, READERS, Session, session
from pipeline.commands.output import JsonOption, console, print_line, progress
from pipeline.errors import InputError, WatchlistError
from pipeline.types import WatchlistEntry
from watchlist.importer import ImportPlan, plan_import
from watchlist.neighbours import listed_neighbours
from watchlist.records import Note
from watchlist.sheets import count_lines, read_rows, write_csv, write_workbook
from watchlist.snapshot import take
from watchlist.store import Watchlist
from watchlist.tables import (
    history_table,
    neighbour_record,
    plan_records,
    plural,
    print_neighbours,
    print_plan,
    version_record,
)

log = structlog.get_logger(__name__)
_SHOWN = 20

Neighbours = list[tuple[str, tuple[str, ...]]]


def import_file(
    file: Annotated[Path, typer.Argument(help="CSV (UTF-8 or GB18030) or .xlsx.")],
    apply: Annotated[
        bool, typer.Option("--apply", help="Change the list, as one version.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Apply the good rows although some are bad.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; goes to the audit log.")] = "",
    case: Annotated[str, typer.Option(help="The case it is done for.")] = "",
    config: ConfigOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a file would change, and change it with --apply.

    Plates on the list that are easily taken for new ones are pointed out, without --apply.
    Exit status 1 if a row is bad; then nothing is applied without --skip-bad.
    """
    with session(config, token_file) as acting:
        now = acting.clock.now()
        details: dict[str, object] = {"sha256": _digest(file)}
        with (
            acting.doing(
                "watchlist.import_plan",
                str(file),
                roles=EDITORS,
                reason=reason,
                case=case,
                details=details,
            ),
            acting.watchlist() as watchlist,
            progress() as bar,
            _without_collector(),
        ):
            plan = _plan(acting, watchlist, file, bar)
            alike = [] if apply else _alike(watchlist, plan, bar)
            applied = apply and bool(plan.entries) and (skip_bad or not plan.bad)
            version = plan.version
            if applied:
                details |= {"added": len(plan.added), "replaced": len(plan.replaced)}
                with acting.doing(
                    "watchlist.import",
                    str(file),
                    roles=EDITORS,
                    reason=reason,
                    case=case,
                    details=details,
                ):
                    note = Note(acting.person.name, "import", reason.strip(), case.strip())
                    version = _apply(watchlist, plan, note, bar)
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
            print_line(record)
        for plate, found in alike:
            print_line(neighbour_record(plate, found))
        counts = {"added": len(plan.added), "replaced": len(plan.replaced)}
        counts |= {"unchanged": plan.unchanged, "bad": len(plan.bad), "neighbours": len(alike)}
        print_line({"event": "summary", **counts, "applied": applied, "list_version": version})
    else:
        print_plan(console(), plan)
        print_neighbours(console(), alike)
        if applied:
            console().print(f"Applied: the list is at version {version}.")
        elif apply and plan.bad and plan.entries:
            console().print("Nothing applied: correct the bad rows, or add --skip-bad.")
        elif plan.entries:
            console().print("Nothing applied yet: this was a dry run, add --apply.")
    if plan.bad:
        raise typer.Exit(1)


def export(
    file: Annotated[
        Path | None, typer.Argument(help="CSV or .xlsx to write; default: CSV on stdout.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Expired entries too.")] = False,
    reason: Annotated[str, typer.Option(help="Why; goes to the audit log.")] = "",
    case: Annotated[str, typer.Option(help="The case it is done for.")] = "",
    config: ConfigOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Write the list, as it is at one version; import takes it back.

    CSV is UTF-8 with a mark, as Excel expects.
    """
    with (
        session(config, token_file) as acting,
        acting.doing(
            "watchlist.export",
            str(file or "stdout"),
            roles=KEEPERS,
            reason=reason,
            case=case,
            details={"all": everything},
        ),
        acting.watchlist() as watchlist,
    ):
        snapshot, now = take(watchlist), acting.clock.now()
        entries = sorted(
            (e for e in snapshot.entries() if everything or now < e.expires_at),
            key=lambda entry: entry.id,
        )
        if file is None:
            with progress() as bar:
                count = write_csv(bar.track(entries, description="writing"), sys.stdout)
        else:
            count = _write(entries, file)
            said = plural(count, "entry", "entries")
            console().print(f"{said} of version {snapshot.version} written to {file}")
    log.info("watchlist.exported", entries=count, file=str(file) if file else None)


def history(
    count: Annotated[int, typer.Option(min=1, help="How many versions, the newest first.")] = 20,
    reason: Annotated[str, typer.Option(help="Why; goes to the audit log.")] = "",
    config: ConfigOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the list's versions: who changed it, when and why."""
    with (
        session(config, token_file) as acting,
        acting.doing("watchlist.history", "the list", roles=READERS, reason=reason),
        acting.watchlist() as watchlist,
    ):
        versions = list(islice(watchlist.history.versions(), count))
    if as_json:
        for version in versions:
            print_line(version_record(version))
    elif versions:
        console().print(history_table(versions))
    else:
        console().print("No version is kept: nothing was ever changed.")


def rollback(
    version: Annotated[int, typer.Argument(min=0, help="The version to go back to.")],
    reason: Annotated[str, typer.Option(help="Why; goes to the audit log.")],
    case: Annotated[str, typer.Option(help="The case it is done for.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be.")] = False,
    config: ConfigOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring back what the list said at an earlier version, as a new version.

    What was added since is off the list, what was changed is as it was, and what was cancelled
    matches again: those entries are named.
    """
    if not reason.strip():
        raise WatchlistError("reason: must not be empty; say why")
    with (
        session(config, token_file) as acting,
        acting.doing(
            "watchlist.rollback_plan" if dry_run else "watchlist.rollback",
            f"version {version}",
            roles=APPROVERS,
            reason=reason,
            case=case,
        ),
        acting.watchlist() as watchlist,
    ):
        undone = watchlist.history.undone_by(version)
        back = sorted(watchlist.history.cancelled_since(version))
        now, changed = watchlist.state().version, 0
        if not dry_run:
            note = Note(acting.person.name, "rollback", reason.strip(), case.strip())
            with progress() as bar:
                sending = bar.add_task("going back", total=None)
                change = watchlist.rollback(
                    version, note, lambda sent: bar.update(sending, completed=sent)
                )
            now, changed = change.version, change.changed
    log.info("watchlist.rolled_back", to=version, version=now, undone=len(undone), dry_run=dry_run)
    if as_json:
        for one in undone:
            print_line({"event": "undone", **version_record(one)})
        counts = {"undone": len(undone), "changed": changed, "active_again": back}
        print_line({"event": "summary", "to": version, **counts, "list_version": now})
        return
    if undone:
        console().print(history_table(undone[:_SHOWN], "Taken back"))
    for entry_id in back[:_SHOWN]:
        console().print(f"Cancelled since, and on the list again: {entry_id}")
    if len(back) > _SHOWN:
        console().print(f"… and {len(back) - _SHOWN} more")
    if dry_run:
        said = plural(len(undone), "change", "changes")
        console().print(f"Nothing changed yet: {said} would be taken back.")
    else:
        console().print(f"The list says what it said at version {version}; it is at version {now}.")


def acknowledge(
    reason: Annotated[str, typer.Option(help="Why this is right; goes to the audit log.")],
    config: ConfigOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Say that what Redis holds now is the list, after it has lost data."""
    if not reason.strip():
        raise WatchlistError("reason: must not be empty; say why")
    with (
        session(config, token_file) as acting,
        acting.doing("watchlist.acknowledge", "the list", roles=APPROVERS, reason=reason),
        acting.watchlist() as watchlist,
    ):
        state = watchlist.state()
        lost = watchlist.loss
        watchlist.acknowledge_loss()
    said = plural(state.entries, "entry", "entries")
    if lost is None:
        console().print(f"Nothing was lost: the list is at version {state.version}, {said}.")
    else:
        console().print(f"Version {state.version} with {said} is the list now.")


@contextmanager
def _without_collector() -> Iterator[None]:
    """A million records make no cycles: to look for some takes a tenth of an import's time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _plan(acting: Session, watchlist: Watchlist, file: Path, bar: Progress) -> ImportPlan:
    reading = bar.add_task("reading", total=count_lines(file))
    now = acting.clock.now()
    rows = read_rows(file, now, lambda line: bar.update(reading, completed=line))
    return plan_import(watchlist, rows, now, acting.policy(), acting.person.name)


def _alike(watchlist: Watchlist, plan: ImportPlan, bar: Progress) -> Neighbours:
    if not plan.added:
        return []
    plates: Iterable[str] = (entry.plate for entry in plan.added)
    tracked = bar.track(plates, total=len(plan.added), description="comparing")
    return list(listed_neighbours(watchlist, tracked))


def _apply(watchlist: Watchlist, plan: ImportPlan, note: Note, bar: Progress) -> int:
    sending = bar.add_task("applying", total=len(plan.entries))
    told: Callable[[int], None] = lambda sent: bar.update(sending, completed=sent)  # noqa: E731
    return watchlist.add(plan.entries, note, planned_on=plan.version, progress=told).version


def _write(entries: list[WatchlistEntry], file: Path) -> int:
    part = file.with_name(file.name + ".part")
    try:
        with progress() as bar:
            tracked = bar.track(entries, description="writing")
            if file.suffix.lower() == ".xlsx":
                count = write_workbook(tracked, part)
            else:
                with part.open("w", encoding="utf-8-sig", newline="") as out:
                    count = write_csv(tracked, out)
        part.replace(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return count


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from error
