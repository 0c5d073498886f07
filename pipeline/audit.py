"""The audit log: who did what, when, from where and why, in an append-only, chained database.

Three files: ``NAME`` (SQLite, write-ahead log, ``synchronous=FULL``), ``NAME.anchor`` (the last
record's number and hash, so that a shortened or swapped database is noticed) and ``NAME.lock``
(held while a record is written). Several processes may write at once; each record survives a
crash and a power cut once ``record`` returns.

An action that must be audited is recorded before it is done: ``record`` raises where it cannot
record, and then the action must not be done. The chain itself is in ``pipeline/chain.py``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from pipeline.audit_files import (
    advice,
    base_of,
    beside,
    explained,
    identity,
    locked,
    open_log,
    open_to_read,
    read_anchor,
    write_anchor,
)
from pipeline.chain import (
    COLUMNS,
    PRUNED,
    AuditRecord,
    Fault,
    Finding,
    Link,
    check,
    genesis,
    pruned_details,
    sealed,
)
from pipeline.clock import Clock
from pipeline.config import MINIMUM_AUDIT_DAYS
from pipeline.errors import AuditError, redact

AUDIT_FILE: Final = "audit.sqlite"
"""Name of the log in its data folder."""

_NAMES: Final = ", ".join(f'"{name}"' for name in COLUMNS)
_INSERT: Final = f"INSERT INTO records ({_NAMES}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
_SELECT: Final = f"SELECT {_NAMES} FROM records"  # noqa: S608
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many records were deleted because of their age, and the last one's number."""

    count: int
    last: int


@dataclass(frozen=True, slots=True)
class Verification:
    """What a check of the whole log found. ``head``: its last record, to be noted elsewhere."""

    count: int
    head: Link
    findings: tuple[Finding, ...]


class AuditLog:
    """The log in one file; made when missing, with mode 600. Any thread may call any method.

    Raises:
        AuditError: the file cannot be opened or made, is damaged, or has lost records.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._file: tuple[int, int] | None = None
        self._connection: sqlite3.Connection | None = None
        with self._writing():
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a later ``record`` opens it again."""
        with self._lock:
            self._disconnect()

    def record(
        self,
        *,
        actor: str,
        action: str,
        subject: str,
        reason: str | None = None,
        case: str | None = None,
        origin: str = "",
        details: Mapping[str, object] | None = None,
    ) -> int:
        """Add one record; on return it is on the disk. Returns its sequence number.

        Args:
            actor: the person's name, or ``checkpoint`` for what the program does by itself.
            action: what is done, for example ``watchlist.add``.
            subject: to what: an id, a plate, a file.
            reason, case: why, where one was given.
            origin: from where; empty: this machine's name.
            details: what else belongs to it; anything that JSON can hold. Never a secret.

        Raises:
            AuditError: it could not be recorded, so the action must not be done.
        """
        with self._writing() as (connection, last):
            record = self._sealed(last, actor, action, subject, reason, case, origin, details)
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_INSERT, _row(record))
            write_anchor(self.path, Link(last.chain, record.sequence, record.hash))
        return record.sequence

    def prune(self, before: datetime, *, actor: str = "checkpoint") -> Pruned | None:
        """Delete the records older than ``before``, and record that; None if there is none.

        Those of the last ``MINIMUM_AUDIT_DAYS`` days stay, whatever ``before`` says. The chain
        can be verified as before: it then begins at the last record deleted.

        Raises:
            AuditError: nothing was deleted.
        """
        now = self._clock.now()
        cutoff = _stamp(min(before, now - timedelta(days=MINIMUM_AUDIT_DAYS)))
        with self._writing() as (connection, last):
            write_anchor(self.path, last)  # it must not lie among what is deleted
            base = base_of(connection)
            first_kept = connection.execute(
                "SELECT min(sequence) FROM records WHERE at >= ?", (cutoff,)
            ).fetchone()[0]
            until = int(last.sequence if first_kept is None else first_kept - 1)
            if base is None or until <= base.sequence:
                return None
            found = connection.execute("SELECT hash FROM records WHERE sequence = ?", (until,))
            new_base = Link(base.chain, until, str(found.fetchone()[0]))
            count = until - base.sequence
            details = {**pruned_details(new_base, count), "before": cutoff}
            subject = f"records {base.sequence + 1} to {until}"
            record = self._sealed(last, actor, PRUNED, subject, "retention", None, "", details)
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("UPDATE base SET sequence = ?, hash = ?", (until, new_base.hash))
                connection.execute("DELETE FROM records WHERE sequence <= ?", (until,))
                connection.execute(_INSERT, _row(record))
            write_anchor(self.path, Link(last.chain, record.sequence, record.hash))
        return Pruned(count, until)

    def _sealed(
        self,
        last: Link,
        actor: str,
        action: str,
        subject: str,
        reason: str | None,
        case: str | None,
        origin: str,
        details: Mapping[str, object] | None,
    ) -> AuditRecord:
        if not actor.strip() or not action.strip():
            raise AuditError("an audit record must say who and what: actor and action")
        return sealed(
            AuditRecord(
                sequence=last.sequence + 1,
                at=_stamp(self._clock.now()),
                actor=_clean(actor),
                origin=_clean(origin or socket.gethostname()),
                action=_clean(action),
                subject=_clean(subject),
                reason=None if reason is None else _clean(reason),
                case=None if case is None else _clean(case),
                details=_json(details or {}),
                previous=last.hash,
            )
        )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[tuple[sqlite3.Connection, Link]]:
        """Hold the log alone; gives the connection and the last record, checked by the anchor."""
        with self._lock, explained(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with locked(beside(self.path, "lock")):
                connection = self._connect()
                yield connection, self._checked_end(connection)

    def _connect(self) -> sqlite3.Connection:
        """The connection to the file that lies there now: someone may have moved the old one."""
        there = identity(self.path)
        if self._connection is None or there is None or there != self._file:
            self._disconnect()
            anchor = read_anchor(self.path)
            if there is None and anchor is not None and anchor.sequence:
                raise AuditError(
                    f"{self.path}: is missing, though {anchor.sequence} records were written to "
                    f"it; {advice(self.path)}"
                )
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self._connection = open_log(self.path)
            self._file = identity(self.path)
            if base_of(self._connection) is None:
                self._begin(self._connection, anchor)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _begin(self, connection: sqlite3.Connection, anchor: Link | None) -> None:
        """Begin a chain; the anchor comes first, so that no record is ever without one."""
        base = anchor or genesis(secrets.token_hex(16))
        if base.sequence:
            raise AuditError(
                f"{self.path}: is empty, though {base.sequence} records were written to it; "
                f"{advice(self.path)}"
            )
        write_anchor(self.path, base)
        with connection:
            connection.execute(
                "INSERT INTO base VALUES (1, ?, ?, ?)", (base.chain, base.sequence, base.hash)
            )

    def _checked_end(self, connection: sqlite3.Connection) -> Link:
        """The last record, which must not lie before the anchor or be another one."""
        base, anchor = base_of(connection), read_anchor(self.path)
        if base is None or anchor is None or anchor.chain != base.chain:
            what = "belongs to another log" if anchor else "is missing"
            raise AuditError(
                f"{beside(self.path, 'anchor')}: {what}, so nobody can say whether "
                f"{self.path.name} is whole; {advice(self.path)}"
            )
        row = connection.execute(
            "SELECT sequence, hash FROM records ORDER BY sequence DESC LIMIT 1"
        ).fetchone()
        last = Link(base.chain, int(row[0]), str(row[1])) if row else base
        at_anchor = connection.execute(
            "SELECT hash FROM records WHERE sequence = ?", (anchor.sequence,)
        ).fetchone()
        found = str(at_anchor[0]) if at_anchor else base.hash if anchor == base else None
        if found != anchor.hash:
            raise AuditError(
                f"{self.path}: should hold record {anchor.sequence} as its anchor has it and does "
                f"not (it ends at {last.sequence}): see 'checkpoint audit verify'; "
                f"{advice(self.path)}"
            )
        return last


def verify(path: Path, noted: Link | None = None) -> Verification:
    """Check the whole log; it may be written to meanwhile, and is never changed by this.

    Args:
        path: the database.
        noted: sequence and hash of a record, as noted elsewhere at an earlier time; its
            ``chain`` is not looked at.

    Raises:
        AuditError: there is no log, or the file is so damaged that it cannot be read.
    """
    with explained(path):
        anchor = read_anchor(path)  # first: whatever is written from now on lies beyond it
        with open_to_read(path) as connection:
            base = base_of(connection)
            if base is None:
                raise AuditError(f"{path}: holds no audit log; {advice(path)}")
            links = [("the anchor", anchor)] if anchor else []
            if noted is not None:
                links.append(("the note", Link(base.chain, noted.sequence, noted.hash)))
            count, last = 0, base

            def rows() -> Iterator[AuditRecord]:
                nonlocal count, last
                for row in connection.execute(f"{_SELECT} ORDER BY sequence"):
                    record = AuditRecord(*row)
                    count, last = count + 1, Link(base.chain, record.sequence, record.hash)
                    yield record

            findings = list(check(base, rows(), links))
    if anchor is None:
        message = f"{beside(path, 'anchor').name} is missing: records may be missing at the end"
        findings.append(Finding(Fault.MISSING, last.sequence + 1, last.sequence + 1, message))
    return Verification(count, last, tuple(findings))


def records(
    path: Path, since: datetime | None = None, until: datetime | None = None
) -> Iterator[AuditRecord]:
    """The records from ``since`` up to before ``until``, in order.

    Raises:
        AuditError: there is no log, or it cannot be read.
    """
    low = _stamp(since) if since else ""
    high = _stamp(until) if until else "~"
    with explained(path), open_to_read(path) as connection:
        query = f"{_SELECT} WHERE at >= ? AND at < ? ORDER BY sequence"
        for row in connection.execute(query, (low, high)):
            yield AuditRecord(*row)


def _row(record: AuditRecord) -> tuple[Any, ...]:
    return tuple(getattr(record, name) for name in COLUMNS)


def _stamp(moment: datetime) -> str:
    """Of one width, so that text sorts as time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _clean(text: str) -> str:
    """Text that every reader shows as it is: no control characters, no credentials."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", redact(text))


def _json(details: Mapping[str, object]) -> str:
    text = json.dumps(_redacted(details), ensure_ascii=False, sort_keys=True, default=str)
    return text.encode("utf-8", "backslashreplace").decode()


def _redacted(value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(key): _redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(item) for item in value]
    return value
