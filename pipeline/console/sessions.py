"""Sessions: who is logged in. They outlive the program where a ``SessionFile`` keeps them.

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
from pipeline.console.session_file import KeptSession, SessionFile
from pipeline.errors import AccessError

_log = structlog.get_logger(__name__)

ISSUER: Final = "console session"
"""``given_by`` of the tokens that sessions are given."""

_LOOK_S: Final = 5.0
"""How often a session's token is looked up again: it may have been revoked."""
_TELL_S: Final = 60.0
"""How often the use of a session is written down."""


@dataclass(slots=True, eq=False)
class _Open:
    """One session; owned by ``Sessions`` and changed under its lock."""

    session: Session
    certificate: str | None
    token_id: str | None
    seen_s: float
    looked_s: float
    told_s: float
    """When its use was last written down."""
    looking: threading.Lock = field(default_factory=threading.Lock)


class Sessions:
    """All sessions of one console. Any thread may call any method; opening one blocks.

    Args:
        settings: how long they last, and how many there may be.
        tokens: where tokens are verified and given out.
        on_end: told of each session that ends, and why, in words.
        kept: where sessions are kept for the next run of the program; None: nowhere.
        counts: whether a person who came in before, with this certificate, still may: what the
            configuration says may have changed with the restart.
    """

    def __init__(
        self,
        settings: ConsoleSettings,
        tokens: TokenStore,
        clock: Clock,
        on_end: Callable[[Session, str], None] = lambda session, why: None,
        *,
        kept: SessionFile | None = None,
        counts: Callable[[Person, str | None], bool] = lambda person, certificate: True,
    ) -> None:
        self._settings = settings
        self._tokens = tokens
        self._clock = clock
        self._on_end = on_end
        self._kept = kept
        self._counts = counts
        self._lock = threading.Lock()
        self._open: dict[bytes, _Open] = {}
        self._over: set[bytes] = set()
        """Sessions that have ended and that the disk has not let go."""

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
            self._open[_digest(cookie)] = _Open(session, certificate, token_id, now_s, now_s, now_s)
        for key, _ in beyond:
            self._end(key, "too many sessions are open: the one unused for longest ends")
        if self._kept is not None:
            made = KeptSession(session, certificate, token_id, now)
            self._kept.put(cookie, _digest(cookie), made)
        return cookie, session

    def find(self, cookie: str, certificate: str | None = None) -> Session | None:
        """The session of a cookie, which is used by this; None where it is over or never was.

        Blocks now and then, while its token is looked up. ``certificate``: SHA-256 of the one
        that the browser shows now.
        """
        key = _digest(cookie)
        with self._lock:
            found = self._open.get(key)
        if found is None:
            found = self._taken_up(cookie, key)
        if found is None or not self._lasts(key, found):
            return None
        if found.certificate is not None and not hmac.compare_digest(
            found.certificate, certificate or ""
        ):
            return None
        self._use(key, found)
        return found.session

    def lasts(self, session: Session) -> bool:
        """Whether a session that is in use, as by a feed that it follows, still counts.

        It is used by this. Blocks as ``find`` does.
        """
        with self._lock:
            items = [item for item in self._open.items() if item[1].session.id == session.id]
        for key, found in items:
            if self._lasts(key, found):
                self._use(key, found)
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
        if self._kept is not None:
            self._tell(dict(items))
            now, idle = self._clock.now(), timedelta(minutes=self._settings.idle_minutes)
            for token_id in self._kept.forget_before(now, now - idle):
                self._take_back(token_id)

    def close_all(self, why: str) -> None:
        """End every session; those that are kept go on with the next run of the program."""
        with self._lock:
            items = dict(self._open)
            if self._kept is not None:
                self._open.clear()
        if self._kept is not None:
            self._tell(items)
            return
        for key in items:
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

    def _taken_up(self, cookie: str, key: bytes) -> _Open | None:
        """A session of an earlier run of the program, where it still counts."""
        if self._kept is None or key in self._over:
            return None
        kept = self._kept.get(cookie, key)
        if kept is None:
            return None
        unused_s = max((self._clock.now() - kept.seen_at).total_seconds(), 0.0)
        now_s = self._clock.monotonic()
        found = _Open(kept.session, kept.certificate, kept.token_id, now_s - unused_s, now_s, now_s)
        found.looked_s -= _LOOK_S  # its token may have been revoked meanwhile
        with self._lock:
            found = self._open.setdefault(key, found)
        if not self._counts(kept.session.person, kept.certificate):
            self._end(key, "this way of logging in counts no more")
            return None
        return found

    def _use(self, key: bytes, found: _Open) -> None:
        found.seen_s = self._clock.monotonic()
        if self._kept is not None and found.seen_s - found.told_s >= _TELL_S:
            self._tell({key: found})

    def _tell(self, items: dict[bytes, _Open]) -> None:
        """Write down when sessions were used last."""
        if self._kept is None or not items:
            return
        now, now_s = self._clock.now(), self._clock.monotonic()
        seen = {key: now - timedelta(seconds=now_s - one.seen_s) for key, one in items.items()}
        self._kept.seen(seen)
        for one in items.values():
            one.told_s = now_s

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
        if self._kept is not None and not self._kept.forget(key):
            self._over.add(key)
        if found.token_id is not None:
            self._take_back(found.token_id)
        self._on_end(found.session, why)

    def _take_back(self, token_id: str) -> None:
        try:
            self._tokens.discard(given_by=ISSUER, token_id=token_id)
        except AccessError as error:
            _log.error("a session's token cannot be taken back", reason=str(error))


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).digest()
