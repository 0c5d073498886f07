"""Sessions: who is logged in, in memory alone. A restart ends them all.

The browser holds a cookie of 256 random bits; here is only its SHA-256. Each session acts at the
alert service with a token: the person's own, or, where the person showed a certificate or the
program's one-time link, one that is given out for this session and taken back at its end.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from pipeline.access import Person, TokenStore
from pipeline.clock import Clock
from pipeline.config import ConsoleSettings
from pipeline.console.context import Session
from pipeline.errors import AccessError

_log = structlog.get_logger(__name__)

ISSUER: Final = "console session"
"""``given_by`` of the tokens that sessions are given."""

_LOOK_S: Final = 5.0
"""How often a session's token is looked up again: it may have been revoked."""


@dataclass(slots=True, eq=False)
class _Open:
    """One session; owned by ``Sessions`` and changed under its lock."""

    session: Session
    certificate: str | None
    token_id: str | None
    seen_s: float
    looked_s: float
    looking: threading.Lock = field(default_factory=threading.Lock)


class Sessions:
    """All sessions of one console. Any thread may call any method; opening one blocks.

    Args:
        settings: how long they last, and how many there may be.
        tokens: where tokens are verified and given out.
        on_end: told of each session that ends, and why, in words.
    """

    def __init__(
        self,
        settings: ConsoleSettings,
        tokens: TokenStore,
        clock: Clock,
        on_end: Callable[[Session, str], None] = lambda session, why: None,
    ) -> None:
        self._settings = settings
        self._tokens = tokens
        self._clock = clock
        self._on_end = on_end
        self._lock = threading.Lock()
        self._open: dict[bytes, _Open] = {}

    def open(
        self,
        person: Person,
        *,
        token: str | None = None,
        certificate: str | None = None,
        until: datetime | None = None,
    ) -> tuple[str, Session]:
        """Log a person in; gives the cookie's value and the session.

        Args:
            token: the person's own, verified; without it the session is given one.
            certificate: SHA-256 of the certificate that the browser showed: it must go on to.
            until: when that certificate expires.

        Raises:
            AccessError: no token can be given out.
        """
        now = self._clock.now()
        lasts = timedelta(hours=self._settings.session_hours)
        expires_at = min(now + lasts, until or now + lasts)
        token_id: str | None = None
        if token is None:
            self._tokens.discard(given_by=ISSUER)
            issued = self._tokens.issue(
                person.name, person.roles, expires_at - now, given_by=ISSUER
            )
            token, token_id = issued.token, issued.record.id
        cookie = secrets.token_urlsafe(32)
        session = Session(
            id=secrets.token_hex(6),
            person=person,
            expires_at=expires_at,
            token=token,
            csrf=secrets.token_urlsafe(32),
        )
        now_s = self._clock.monotonic()
        with self._lock:
            crowd = sorted(self._open.items(), key=lambda item: item[1].seen_s)
            beyond = crowd[: max(0, len(crowd) + 1 - self._settings.sessions)]
            self._open[_digest(cookie)] = _Open(session, certificate, token_id, now_s, now_s)
        for key, _ in beyond:
            self._end(key, "too many sessions are open: the one unused for longest ends")
        return cookie, session

    def find(self, cookie: str, certificate: str | None = None) -> Session | None:
        """The session of a cookie, which is used by this; None where it is over or never was.

        Blocks now and then, while its token is looked up. ``certificate``: SHA-256 of the one
        that the browser shows now.
        """
        key = _digest(cookie)
        with self._lock:
            found = self._open.get(key)
        if found is None or not self._lasts(key, found):
            return None
        if found.certificate is not None and not hmac.compare_digest(
            found.certificate, certificate or ""
        ):
            return None
        found.seen_s = self._clock.monotonic()
        return found.session

    def lasts(self, session: Session) -> bool:
        """Whether a session that is in use, as by a feed that it follows, still counts.

        It is used by this. Blocks as ``find`` does.
        """
        with self._lock:
            items = [item for item in self._open.items() if item[1].session.id == session.id]
        for key, found in items:
            if self._lasts(key, found):
                found.seen_s = self._clock.monotonic()
                return True
        return False

    def close(self, session: Session, why: str = "logged out") -> None:
        """End a session; a second time changes nothing."""
        with self._lock:
            keys = [key for key, one in self._open.items() if one.session.id == session.id]
        for key in keys:
            self._end(key, why)

    def sweep(self) -> None:
        """End what is over, though nobody asks for it."""
        with self._lock:
            items = list(self._open.items())
        for key, found in items:
            self._lasts(key, found)

    def close_all(self, why: str) -> None:
        """End every session."""
        with self._lock:
            keys = list(self._open)
        for key in keys:
            self._end(key, why)

    def count(self) -> int:
        """How many sessions are open."""
        with self._lock:
            return len(self._open)

    def _lasts(self, key: bytes, found: _Open) -> bool:
        now_s = self._clock.monotonic()
        why = None
        if self._clock.now() >= found.session.expires_at:
            why = "its time is over"
        elif now_s - found.seen_s >= self._settings.idle_minutes * 60:
            why = f"not used for {self._settings.idle_minutes:g} minutes"
        elif now_s - found.looked_s >= _LOOK_S and found.looking.acquire(blocking=False):
            try:
                why = self._token_fault(found.session)
                found.looked_s = now_s
            finally:
                found.looking.release()
        if why is not None:
            self._end(key, why)
        return why is None

    def _token_fault(self, session: Session) -> str | None:
        try:
            person = self._tokens.verify(session.token)
        except AccessError as error:
            return str(error)
        return None if person.roles == session.person.roles else "the token's roles have changed"

    def _end(self, key: bytes, why: str) -> None:
        with self._lock:
            found = self._open.pop(key, None)
        if found is None:
            return
        if found.token_id is not None:
            try:
                self._tokens.discard(given_by=ISSUER, token_id=found.token_id)
            except AccessError as error:
                _log.error("a session's token cannot be taken back", reason=str(error))
        self._on_end(found.session, why)


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).digest()
