"""Sessions on disk, so that a restart of the program throws nobody out.

``DATA_DIR/console-sessions.sqlite`` (mode 600) has for each session the SHA-256 of its cookie, how
long it lasts, and the rest sealed with a key that is made from the cookie itself. Only the browser
has that: whoever reads the file, or a copy of it, gets neither a session nor a person's token.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pipeline.access import Person
from pipeline.clock import microseconds_of, moment_of
from pipeline.config import AccessRole
from pipeline.console.context import Session

_log = structlog.get_logger(__name__)

T = TypeVar("T")

SESSION_FILE: Final = "console-sessions.sqlite"
"""Its name in the data folder."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sessions (
    digest BLOB PRIMARY KEY, expires_us INTEGER NOT NULL, seen_us INTEGER NOT NULL, token_id TEXT,
    sealed BLOB NOT NULL
) WITHOUT ROWID;
"""
_NONCE: Final = 12
_PURPOSE: Final = b"checkpoint console session 1"


@dataclass(frozen=True, slots=True)
class KeptSession:
    """A session as it is kept. ``certificate``: SHA-256 of the one that the browser must show;
    ``token_id``: of a token that was given out for it."""

    session: Session
    certificate: str | None
    token_id: str | None
    seen_at: datetime


class SessionFile:
    """The kept sessions of one console. Any thread may call any method.

    It only ever helps: where the disk refuses, that is logged, and sessions end with the process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, cookie: str, digest: bytes, kept: KeptSession) -> None:
        """Keep a session."""
        row = (
            digest,
            microseconds_of(kept.session.expires_at),
            microseconds_of(kept.seen_at),
            kept.token_id,
            _seal(cookie, digest, _told(kept)),
        )
        self._do(
            lambda file: file.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?)", row)
        )

    def get(self, cookie: str, digest: bytes) -> KeptSession | None:
        """The session of a cookie; None where none is kept."""
        question = "SELECT expires_us, seen_us, token_id, sealed FROM sessions WHERE digest = ?"
        row = self._do(lambda file: file.execute(question, (digest,)).fetchone())
        if row is None:
            return None
        expires_us, seen_us, token_id, sealed = row
        try:
            said = json.loads(_unseal(cookie, digest, sealed))
            roles = frozenset(AccessRole(role) for role in said["roles"])
            person = Person(said["person"], roles, said["source"])
            ends = moment_of(expires_us)
            session = Session(said["id"], person, ends, said["token"], said["csrf"])
            return KeptSession(session, said["certificate"], token_id, moment_of(seen_us))
        except (InvalidTag, ValueError, KeyError, TypeError) as error:
            _log.warning("a kept session is damaged: its person logs in again", reason=repr(error))
            return None

    def seen(self, digests: Mapping[bytes, datetime]) -> None:
        """When some sessions were used last."""
        rows = [(microseconds_of(at), digest) for digest, at in digests.items()]
        self._do(
            lambda file: file.executemany("UPDATE sessions SET seen_us = ? WHERE digest = ?", rows)
        )

    def forget(self, digest: bytes) -> bool:
        """A session has ended; False where that could not be written."""
        gone = "DELETE FROM sessions WHERE digest = ?"
        return self._do(lambda file: file.execute(gone, (digest,))) is not None

    def forget_before(self, now: datetime, unused_since: datetime) -> list[str]:
        """Forget what is over; ids of the tokens that were given out for those sessions."""
        over = "WHERE expires_us <= ? OR seen_us <= ?"
        times = microseconds_of(now), microseconds_of(unused_since)

        def forget(file: sqlite3.Connection) -> list[str]:
            rows = file.execute(f"SELECT token_id FROM sessions {over}", times).fetchall()  # noqa: S608
            if rows:
                file.execute(f"DELETE FROM sessions {over}", times)  # noqa: S608
            return [str(token_id) for (token_id,) in rows if token_id is not None]

        return self._do(forget) or []

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Work on the file, in one transaction; None where the disk refuses, which is logged."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self.path.chmod(0o600)
            with contextlib.closing(sqlite3.connect(self.path, timeout=5.0)) as connection:
                connection.execute(_SCHEMA)
                with connection:
                    return work(connection)
        except (sqlite3.Error, OSError) as error:
            _log.warning(
                "sessions cannot be kept: they end with the program",
                file=str(self.path),
                reason=str(error),
            )
            return None


def _told(kept: KeptSession) -> bytes:
    session, person = kept.session, kept.session.person
    said = {
        "id": session.id,
        "person": person.name,
        "roles": sorted(person.roles),
        "source": person.source,
        "token": session.token,
        "csrf": session.csrf,
        "certificate": kept.certificate,
    }
    return json.dumps(said).encode()


def _key(cookie: str) -> AESGCM:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE)
    return AESGCM(derived.derive(cookie.encode("utf-8", "surrogateescape")))


def _seal(cookie: str, digest: bytes, text: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + _key(cookie).encrypt(nonce, text, digest)


def _unseal(cookie: str, digest: bytes, sealed: bytes) -> bytes:
    return _key(cookie).decrypt(sealed[:_NONCE], sealed[_NONCE:], digest)
