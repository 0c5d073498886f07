"""Who acts, and what they may do: persons, their roles, and the tokens that name them.

A token is 256 random bits, shown once when it is given out. The file ``DATA_DIR/access.sqlite``
(mode 600) keeps only its SHA-256, with the person's name, roles and expiry. Whoever may write
that file may give out tokens, so it belongs to the user that runs Checkpoint.

``TokenStore.verify`` depends neither on the command line nor on the environment: a service gives
it what a caller presents. ``acting_person`` is for a program that a person starts.

The enumeration is called ``AccessRole`` because ``pipeline.config.Role`` is what a process does.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import pwd
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pipeline.clock import Clock, SystemClock
from pipeline.config import AccessRole, AccessSettings, CheckpointSettings
from pipeline.errors import AccessError

__all__ = [
    "AccessRole",
    "IssuedToken",
    "Person",
    "TokenRecord",
    "TokenStore",
    "acting_person",
    "certificate_person",
    "new_token_id",
    "operating_system_person",
    "require",
    "token_store",
]

ALL_ROLES: Final = frozenset(AccessRole)
_PREFIX: Final = "checkpoint_"  # so that a token is known as one wherever it turns up
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS tokens (
    id TEXT PRIMARY KEY, person TEXT NOT NULL, roles TEXT NOT NULL, digest BLOB NOT NULL UNIQUE,
    given_at TEXT NOT NULL, given_by TEXT NOT NULL, expires_at TEXT NOT NULL,
    revoked_at TEXT, revoked_by TEXT
);
"""
_COLUMNS: Final = "id, person, roles, given_at, given_by, expires_at, revoked_at, revoked_by"


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts. ``source``: ``token``, ``certificate`` or ``operating system``."""

    name: str
    roles: frozenset[AccessRole]
    source: str


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What is kept of a token; ``id`` names it without giving it away."""

    id: str
    person: str
    roles: frozenset[AccessRole]
    given_at: datetime
    given_by: str
    expires_at: datetime
    revoked_at: datetime | None = None
    revoked_by: str | None = None

    def state(self, now: datetime) -> str:
        """``valid``, ``expired`` or ``revoked``."""
        if self.revoked_at is not None:
            return "revoked"
        return "valid" if now < self.expires_at else "expired"


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token; the one time that it is seen."""

    token: str = field(repr=False)
    record: TokenRecord


class TokenStore:
    """The tokens of one data folder. Each call opens the file anew; any thread may call.

    Every method raises AccessError where the file cannot be used or others may read it.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock

    def issue(
        self,
        person: str,
        roles: Iterable[AccessRole],
        lasts: timedelta,
        *,
        given_by: str,
        token_id: str | None = None,
    ) -> IssuedToken:
        """Give out a token; ``token_id``: one of ``new_token_id``, to record it before.

        Raises:
            AccessError: no name or role is given, or it would not last.
        """
        person, wanted = person.strip(), frozenset(roles)
        if not person or not person.isprintable() or len(person) > 200:
            raise AccessError("person: write the name that shall stand in the audit log")
        if not wanted:
            raise AccessError(f"role: name at least one of {', '.join(AccessRole)}")
        if lasts <= timedelta(0):
            raise AccessError("a token must last for some time")
        now = self._clock.now()
        token = _PREFIX + secrets.token_urlsafe(32)
        record = TokenRecord(token_id or new_token_id(), person, wanted, now, given_by, now + lasts)
        with self._opened(make=True) as connection, connection:
            connection.execute(
                "INSERT INTO tokens (id, person, roles, digest, given_at, given_by, expires_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    record.id,
                    person,
                    " ".join(sorted(wanted)),
                    _digest(token),
                    _iso(record.given_at),
                    given_by,
                    _iso(record.expires_at),
                ),
            )
        return IssuedToken(token, record)

    def tokens(self) -> list[TokenRecord]:
        """All tokens ever given out, the oldest first."""
        with self._opened() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM tokens ORDER BY given_at, id")  # noqa: S608
            return [_record(row) for row in rows]

    def revoke(self, token_id: str, *, revoked_by: str) -> TokenRecord:
        """Take a token back; it is refused once this returns.

        Raises:
            AccessError: there is none with this id, or it was revoked before.
        """
        found = {record.id: record for record in self.tokens()}.get(token_id)
        if found is None:
            raise AccessError(f"token {token_id}: there is none; see 'checkpoint access list'")
        if found.revoked_at is not None:
            raise AccessError(f"token {token_id}: was revoked by {found.revoked_by} before")
        with self._opened(make=True) as connection, connection:
            connection.execute(
                "UPDATE tokens SET revoked_at = ?, revoked_by = ? "
                "WHERE id = ? AND revoked_at IS NULL",
                (_iso(self._clock.now()), revoked_by, token_id),
            )
        return {record.id: record for record in self.tokens()}[token_id]

    def discard(self, *, given_by: str, token_id: str | None = None) -> None:
        """Forget a token that ``given_by`` gave out, or all of them that count no more.

        For tokens that a program gives to itself; it is refused once this returns. A person's
        token is revoked, which leaves its record.
        """
        now = self._clock.now()
        gone = [
            record.id
            for record in self.tokens()
            if record.given_by == given_by
            and (record.id == token_id if token_id else record.state(now) != "valid")
        ]
        if gone:
            with self._opened(make=True) as connection, connection:
                connection.executemany("DELETE FROM tokens WHERE id = ?", [(one,) for one in gone])

    def verify(self, token: str) -> Person:
        """The person whom a token names. Takes as long for any token, known or not.

        Raises:
            AccessError: it is unknown, expired or revoked. The message does not hold it.
        """
        wanted, found = _digest(token), None
        with self._opened() as connection:
            rows = connection.execute(f"SELECT digest, {_COLUMNS} FROM tokens").fetchall()  # noqa: S608
        for digest, *row in rows:
            if hmac.compare_digest(bytes(digest), wanted):
                found = row
        if found is None:
            raise AccessError("the token is not known here; ask for one: 'checkpoint access add'")
        record = _record(found)
        if (state := record.state(self._clock.now())) != "valid":
            raise AccessError(
                f"the token {record.id} of {record.person} is {state}; ask for another"
            )
        return Person(record.person, record.roles, "token")

    @contextlib.contextmanager
    def _opened(self, *, make: bool = False) -> Iterator[sqlite3.Connection]:
        """The file, made when ``make`` says so; an empty one in memory where there is none."""
        try:
            if make:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            there = self.path.exists()
            if there and self.path.stat().st_mode & 0o077:
                raise AccessError(f"{self.path}: others may read it; chmod 600 {self.path}")
            name = self.path if there else ":memory:"
            with contextlib.closing(sqlite3.connect(name, timeout=5.0)) as connection:
                if make or not there:
                    connection.executescript(_SCHEMA)
                yield connection
        except (sqlite3.Error, OSError) as error:
            said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise AccessError(
                f"{self.path}: the tokens cannot be read or written: {said}; see that this user "
                "may, that the disk has space, and that the file is whole"
            ) from error


def new_token_id() -> str:
    """A name for a token that does not give it away."""
    return secrets.token_hex(4)


def token_store(settings: CheckpointSettings, clock: Clock | None = None) -> TokenStore:
    """The tokens of the configured data folder."""
    return TokenStore(settings.data_dir / "access.sqlite", clock or SystemClock())


def acting_person(
    settings: CheckpointSettings, token: str | None, clock: Clock | None = None
) -> Person:
    """Who acts in a program that a person has started; ``token``: see ``config.given_token``.

    Without a token it is the operating system's user, with all roles, unless the configuration
    requires one.

    Raises:
        AccessError: the token is not valid, or is missing where one is required.
    """
    if token is not None:
        return token_store(settings, clock).verify(token)
    if settings.access.required:
        raise AccessError(
            "access.required is set: give a token with --token-file or in CHECKPOINT_TOKEN"
        )
    return operating_system_person()


def operating_system_person() -> Person:
    """The user that this process runs as, by the system's own list of users."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # a container may run as a user that has no name
        name = f"uid {number}"
    return Person(name, ALL_ROLES, "operating system")


def certificate_person(settings: AccessSettings, common_name: str) -> Person:
    """The person whom a client certificate names, once TLS has verified it.

    Raises:
        AccessError: the configuration gives no role to this common name.
    """
    roles = settings.certificates.get(common_name)
    if not roles:
        raise AccessError(
            f"certificate {common_name!r}: name its roles in [access.certificates] first"
        )
    return Person(common_name, roles, "certificate")


def require(person: Person, role: AccessRole, action: str) -> None:
    """Go on only where ``person`` has ``role``; ``action`` says what for, as in "add an entry".

    Raises:
        AccessError: the person has not; the message names role and action.
    """
    if role not in person.roles:
        has = ", ".join(sorted(person.roles)) or "none"
        raise AccessError(
            f"{person.name} may not {action}: that needs the role {role} (has: {has})"
        )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()


def _record(row: tuple[str, ...] | list[str]) -> TokenRecord:
    identifier, person, roles, given_at, given_by, expires_at, revoked_at, revoked_by = row
    return TokenRecord(
        identifier,
        person,
        frozenset(AccessRole(role) for role in roles.split()),
        datetime.fromisoformat(given_at),
        given_by,
        datetime.fromisoformat(expires_at),
        datetime.fromisoformat(revoked_at) if revoked_at else None,
        revoked_by,
    )


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
