"""``checkpoint audit``: verify the audit log, and export a part of it."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console

from pipeline.access import AccessRole, require
from pipeline.audit import records
from pipeline.audit import verify as verify_log
from pipeline.chain import COLUMNS, AuditRecord, Link
from pipeline.clock import SystemClock
from pipeline.commands.acting import (
    ConfigOption,
    TokenFileOption,
    audit_file,
    open_audit,
    person_acting,
    settings_from,
)
from pipeline.errors import ConfigError, InputError
from watchlist.sheets import guard
from watchlist.tables import plural

app = typer.Typer(help="The record of who did what, and why.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
_DIGITS = 64


class Format(StrEnum):
    """How an export is written."""

    CSV = "csv"
    JSONL = "jsonl"


@app.command("verify")
def verify(
    noted: Annotated[
        str | None,
        typer.Option(metavar="NUMBER:SHA256", help="A record as you noted it at an earlier check."),
    ] = None,
    config: ConfigOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find every record that was changed, removed or moved; exit status 1 if there is one."""
    settings = settings_from(config)
    require(person_acting(settings, token_file), AccessRole.AUDITOR, "verify the audit log")
    path = audit_file(settings)
    found = verify_log(path, _note(noted) if noted else None)
    for finding in found.findings:
        if as_json:
            print(json.dumps({"event": "finding", **asdict(finding)}))
        print(f"error: {path}: {finding.message}", file=sys.stderr)
    head = found.head
    if as_json:
        summary = {
            "event": "summary",
            "records": found.count,
            "findings": len(found.findings),
            "last": head.sequence,
            "sha256": head.hash,
        }
        print(json.dumps(summary))
    elif not found.findings:
        print(
            f"{path}: {plural(found.count, 'record', 'records')}, all as they were written.\n"
            f"Note this somewhere else, to hold the log to it later: {head.sequence}:{head.hash}"
        )
    if found.findings:
        raise typer.Exit(1)


@app.command("export")
def export(
    file: Annotated[Path | None, typer.Argument(help="File to write; default: stdout.")] = None,
    since: Annotated[
        str, typer.Option("--from", help="First day, 2026-01-31, or a time; default: the first.")
    ] = "",
    until: Annotated[
        str, typer.Option("--to", help="Last day, included, or a time; default: now.")
    ] = "",
    reason: Annotated[str, typer.Option(help="Why; goes to the audit log.")] = "",
    kind: Annotated[
        Format | None, typer.Option("--format", help="Default: by the file's name, else CSV.")
    ] = None,
    config: ConfigOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Write the records of a period; that this was done is recorded first."""
    settings = settings_from(config)
    clock = SystemClock()
    acting = person_acting(settings, token_file, clock)
    require(acting, AccessRole.AUDITOR, "export the audit log")
    if not reason.strip():
        raise InputError("reason: must not be empty; say why the log is exported with --reason")
    begin, end = _moment("--from", since, last=False), _moment("--to", until, last=True)
    if kind is None:
        lines = file is not None and file.suffix in {".jsonl", ".ndjson", ".json"}
        kind = Format.JSONL if lines else Format.CSV
    path = audit_file(settings)
    with _output(file, "utf-8-sig" if kind is Format.CSV else "utf-8") as out:
        with open_audit(settings, clock) as log:
            log.record(
                actor=acting.name,
                action="audit.export",
                subject=str(file) if file else "stdout",
                reason=reason.strip(),
                details={
                    "from": begin.isoformat() if begin else None,
                    "to": end.isoformat() if end else None,
                    "format": kind,
                    "by": acting.source,
                },
            )
        write = _csv_writer(out) if kind is Format.CSV else _json_writer(out)
        count = 0
        for record in records(path, begin, end):
            write(record)
            count += 1
    if file is not None:
        Console(highlight=False).print(
            f"{plural(count, 'record', 'records')} written to {file}", soft_wrap=True
        )


def _csv_writer(out: TextIO) -> Callable[[AuditRecord], None]:
    """Rows that no spreadsheet takes for formulas; the JSON lines hold the text as it is."""
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)

    def write(record: AuditRecord) -> None:
        values = (getattr(record, name) for name in COLUMNS)
        writer.writerow(["" if value is None else guard(str(value)) for value in values])

    return write


def _json_writer(out: TextIO) -> Callable[[AuditRecord], None]:
    def write(record: AuditRecord) -> None:
        line: dict[str, Any] = asdict(record)
        with suppress(ValueError):  # one that was tampered with is shown as it is
            line["details"] = json.loads(record.details)
        out.write(json.dumps(line, ensure_ascii=False) + "\n")

    return write


@contextmanager
def _output(file: Path | None, encoding: str) -> Iterator[TextIO]:
    """The file, whole or not at all; or stdout."""
    if file is None:
        yield sys.stdout
        return
    part = file.with_name(file.name + ".part")
    try:
        with part.open("w", encoding=encoding, newline="") as out:
            yield out
        part.replace(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _moment(option: str, text: str, *, last: bool) -> datetime | None:
    """A day or a time in this machine's own zone; the end of the day where it is the last."""
    if not text.strip():
        return None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(
            f"{option} = {text!r}: write a day as 2026-01-31, or a time as 2026-01-31T08:00"
        ) from None
    whole_day = found.time() == time() and "T" not in text and ":" not in text
    moment = found.astimezone() if found.tzinfo is None else found
    return (moment + timedelta(days=1) if last and whole_day else moment).astimezone(UTC)


def _note(text: str) -> Link:
    number, _, digits = text.strip().partition(":")
    if not number.isdigit() or len(digits) != _DIGITS:
        raise ConfigError(f"--noted = {text!r}: write it as 'verify' said it, NUMBER:SHA256")
    return Link("", int(number), digits.lower())
