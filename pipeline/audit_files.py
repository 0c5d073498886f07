"""The files of the audit log: database, anchor and lock, opened with errors in plain words."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

from pipeline.chain import Link
from pipeline.errors import AuditError

_SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS base (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    chain TEXT NOT NULL, sequence INTEGER NOT NULL, hash TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS records (
    sequence INTEGER PRIMARY KEY,
    at TEXT NOT NULL, actor TEXT NOT NULL, origin TEXT NOT NULL, action TEXT NOT NULL,
    subject TEXT NOT NULL, reason TEXT, "case" TEXT, details TEXT NOT NULL,
    previous TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS records_at ON records (at);
CREATE TRIGGER IF NOT EXISTS no_change BEFORE UPDATE ON records
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS no_removal BEFORE DELETE ON records
WHEN OLD.sequence > (SELECT sequence FROM base)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
COMMIT;
"""
_PATIENCE_S: Final = 10.0


def open_log(path: Path) -> sqlite3.Connection:
    """Open or make the database, to write; raises ``sqlite3.Error`` where that cannot be."""
    connection = sqlite3.connect(
        path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > _SCHEMA_VERSION:
            raise AuditError(f"{path}: was written by a later version of Checkpoint; upgrade this")
        if version < _SCHEMA_VERSION:
            connection.executescript(_SCHEMA)
            connection.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def open_to_read(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that only reads, also on a disk that cannot be written."""
    if not path.exists():
        raise AuditError(f"{path}: no such audit log: nothing was recorded, or it was removed")
    wal = path.with_name(path.name + "-wal")
    unchanging = not os.access(path.parent, os.W_OK) and not (wal.exists() and wal.stat().st_size)
    how = "immutable=1" if unchanging else "mode=ro"
    uri = f"{path.absolute().as_uri()}?{how}"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_PATIENCE_S)) as connection:
        connection.execute("BEGIN")
        yield connection


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file; it is let go when this process ends, however it ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until_s = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until_s:
                    raise AuditError(
                        f"{path}: another process has held the audit log for {_PATIENCE_S:.0f} s; "
                        "see what hangs, and try again"
                    ) from None
                time.sleep(0.005)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of disk and database into ours: what, and what to do."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if "full" in said or "No space" in said or "quota" in said:
            remedy = "free space on that disk"
        elif any(word in said for word in ("readonly", "unable to open", "denied", "Read-only")):
            remedy = "make the file and its folder writable for this user"
        elif "locked" in said:
            remedy = "another program holds the file; close it"
        elif "I/O" in said or "Input/output" in said:
            remedy = "see whether the disk is sound"
        else:
            remedy = "the file is damaged; " + advice(path)
        raise AuditError(f"{path}: the audit log cannot be used: {said}; {remedy}") from error


def advice(path: Path) -> str:
    """What to do where the log cannot go on."""
    return (
        f"bring {path.name} and {path.name}.anchor back from a backup; if that cannot be, keep "
        "them in another place for whoever looks into it, and a new log begins"
    )


def base_of(connection: sqlite3.Connection) -> Link | None:
    """Where the records kept begin; None in a database without a log."""
    row = connection.execute("SELECT chain, sequence, hash FROM base").fetchone()
    return None if row is None else Link(str(row[0]), int(row[1]), str(row[2]))


def read_anchor(path: Path) -> Link | None:
    """The last record as written beside the database; None where there is no such file."""
    anchor = beside(path, "anchor")
    try:
        said = json.loads(anchor.read_text(encoding="utf-8"))
        return Link(str(said["chain"]), int(said["sequence"]), str(said["hash"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise AuditError(f"{anchor}: is damaged ({error}); {advice(path)}") from error


def beside(path: Path, ending: str) -> Path:
    """A file that belongs to the database."""
    return path.with_name(f"{path.name}.{ending}")


def identity(path: Path) -> tuple[int, int] | None:
    """Which file lies there; None for none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def write_anchor(path: Path, link: Link) -> None:
    """Write the last record beside the database, in one step."""
    part = beside(path, "anchor.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(asdict(link)) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(beside(path, "anchor"))
