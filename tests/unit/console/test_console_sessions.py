"""Sessions and login limits, with a clock that is moved by hand."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.access import AccessRole, Person, TokenStore
from pipeline.clock import ManualClock
from pipeline.config import ConsoleSettings
from pipeline.console.context import ApiError, Session
from pipeline.console.login import OneTimeCode
from pipeline.console.login_limits import LoginLimits
from pipeline.console.session_file import SESSION_FILE, SessionFile
from pipeline.console.sessions import ISSUER, Sessions

LI = Person("Li", frozenset({AccessRole.VIEWER}), "token")
WANG = Person("Wang", frozenset({AccessRole.VIEWER}), "certificate")


class Made:
    """Sessions over a real file of tokens."""

    def __init__(self, folder: Path, **settings: float) -> None:
        self.clock = ManualClock()
        self.tokens = TokenStore(folder / "access.sqlite", self.clock)
        self.ended: list[tuple[str, str]] = []
        self.sessions = Sessions(
            ConsoleSettings.model_validate(settings), self.tokens, self.clock, self._end
        )

    def _end(self, session: Session, why: str) -> None:
        self.ended.append((session.person.name, why))

    def given(self) -> list[str]:
        return [one.person for one in self.tokens.tokens() if one.given_by == ISSUER]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def test_a_session_is_found_by_its_cookie_alone(made: Made) -> None:
    cookie, session = made.sessions.open(WANG)
    assert made.sessions.find(cookie) == session
    for other in ("", cookie[:-1], cookie + "x", session.id, session.token, session.csrf):
        assert made.sessions.find(other) is None
    for secret in (cookie, session.token, session.csrf):
        assert secret not in repr(session)


def test_it_ends_with_its_time_however_much_it_is_used(made: Made) -> None:
    cookie, _ = made.sessions.open(WANG)
    for _ in range(24 * 2 - 1):
        made.clock.advance(900)
        assert made.sessions.find(cookie) is not None or made.clock.monotonic() > 1000 + 12 * 3600
    made.clock.advance(900)
    assert made.sessions.find(cookie) is None
    assert made.ended == [("Wang", "its time is over")]
    assert made.given() == []


def test_it_ends_unused_and_a_followed_feed_uses_it(made: Made) -> None:
    cookie, session = made.sessions.open(WANG)
    for _ in range(5):
        made.clock.advance(3000)
        assert made.sessions.lasts(session)
    made.clock.advance(3599)
    assert made.sessions.find(cookie) is not None
    made.clock.advance(3601)
    assert not made.sessions.lasts(session)
    assert made.ended == [("Wang", "not used for 60 minutes")]


def test_what_nobody_asks_for_is_swept(made: Made) -> None:
    made.sessions.open(WANG)
    made.clock.advance(3601)
    made.sessions.sweep()
    assert (made.sessions.count(), made.given()) == (0, [])


def test_it_ends_when_its_token_is_revoked(made: Made) -> None:
    issued = made.tokens.issue("Li", [AccessRole.EDITOR], timedelta(days=1), given_by="root")
    cookie, _ = made.sessions.open(made.tokens.verify(issued.token), token=issued.token)
    made.tokens.revoke(issued.record.id, revoked_by="root")
    made.clock.advance(6)
    assert made.sessions.find(cookie) is None


def test_it_ends_when_its_token_expires(made: Made) -> None:
    issued = made.tokens.issue("Li", [AccessRole.EDITOR], timedelta(minutes=5), given_by="root")
    cookie, _ = made.sessions.open(made.tokens.verify(issued.token), token=issued.token)
    made.clock.advance(299)
    assert made.sessions.find(cookie) is not None
    made.clock.advance(6)
    assert made.sessions.find(cookie) is None
    assert [one.person for one in made.tokens.tokens()] == ["Li"]  # a person's token stays listed


def test_it_goes_on_only_with_the_certificate_it_began_with(made: Made) -> None:
    until = made.clock.now() + timedelta(minutes=10)
    cookie, session = made.sessions.open(WANG, certificate="aa", until=until)
    assert session.expires_at == until
    assert made.sessions.find(cookie, "aa") is not None
    assert made.sessions.find(cookie, "bb") is None
    assert made.sessions.find(cookie) is None
    assert made.sessions.find(cookie, "aa") is not None


def test_a_token_of_its_own_ends_with_the_session(made: Made) -> None:
    _, session = made.sessions.open(WANG)
    assert made.tokens.verify(session.token).roles == WANG.roles
    assert made.given() == ["Wang"]
    made.sessions.close(session)
    made.sessions.close(session)
    assert made.given() == []
    assert made.ended == [("Wang", "logged out")]


def test_tokens_that_a_crash_left_are_forgotten_once_they_count_no_more(made: Made) -> None:
    made.tokens.issue("gone", [AccessRole.VIEWER], timedelta(hours=1), given_by=ISSUER)
    made.sessions.open(WANG)
    assert sorted(made.given()) == ["Wang", "gone"]
    made.clock.advance(3601)
    made.sessions.open(WANG)
    assert made.given() == ["Wang", "Wang"]


def test_of_too_many_the_one_unused_for_longest_ends(tmp_path: Path) -> None:
    made = Made(tmp_path, sessions=2)
    cookies = []
    for name in ("one", "two", "three"):
        made.clock.advance(1)
        cookies.append(made.sessions.open(Person(name, WANG.roles, "certificate"))[0])
        made.clock.advance(1)
        made.sessions.find(cookies[0])
    found = [made.sessions.find(cookie) is not None for cookie in cookies]
    assert found == [True, False, True]


@given(st.lists(st.sampled_from(["try", "minute", "second", "success"]), max_size=60))
def test_no_more_logins_fail_in_a_minute_than_may(steps: list[str]) -> None:
    clock = ManualClock()
    limits = LoginLimits(5, clock)
    failed: list[float] = []
    for step in steps:
        if step == "minute":
            clock.advance(60)
        elif step == "second":
            clock.advance(1)
        else:
            with contextlib.suppress(ApiError):
                limits.attempt("192.0.2.1")
                if step == "success":
                    limits.succeeded("192.0.2.1")
                else:
                    failed.append(clock.monotonic())
        now = clock.monotonic()
        assert sum(now - at < 60 for at in failed) <= 10  # at once, and again as it fills up
    limits.attempt("192.0.2.2")  # others may go on


def test_who_has_failed_too_often_is_told_when_to_try_again() -> None:
    limits = LoginLimits(2, ManualClock())
    limits.attempt("192.0.2.1")
    limits.attempt("192.0.2.1")
    with pytest.raises(ApiError, match="try again in 30 s") as refused:
        limits.attempt("192.0.2.1")
    assert (refused.value.status, refused.value.retry_s) == (429, 30.0)


def test_the_code_counts_once() -> None:
    changes: list[int] = []
    once = OneTimeCode(enabled=True, changed=lambda: changes.append(1))
    code = once.code
    assert code is not None
    for wrong in ("", "x", code[:-1], code + "x", "\u00e9"):
        assert not once.take(wrong)
    assert once.take(code)
    assert not once.take(code)
    assert once.code not in (None, code)
    assert changes == [1]
    assert not OneTimeCode(enabled=False).take("")


class Runs(Made):
    """Sessions that are kept, over several runs of the program."""

    def __init__(self, folder: Path, **settings: float) -> None:
        super().__init__(folder, **settings)
        self.file = SessionFile(folder / SESSION_FILE)
        self.counting = True
        self.how = settings
        self.begin()

    def begin(self) -> None:
        self.sessions = Sessions(
            ConsoleSettings.model_validate(self.how),
            self.tokens,
            self.clock,
            self._end,
            kept=self.file,
            counts=lambda person, certificate: self.counting,
        )

    def restart(self, after_s: float = 1.0) -> None:
        self.sessions.close_all("the console stops")
        self.clock.advance(after_s)
        self.begin()

    def rows(self) -> int:
        with contextlib.closing(sqlite3.connect(self.file.path)) as connection:
            return int(connection.execute("SELECT count(*) FROM sessions").fetchone()[0])


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_a_restart_keeps_a_session_as_it_was(runs: Runs) -> None:
    token = runs.tokens.issue("Li", LI.roles, timedelta(days=1), given_by="test").token
    with_token, of_li = runs.sessions.open(LI, token=token)
    with_certificate, of_wang = runs.sessions.open(WANG, certificate="a1")
    runs.restart()
    assert runs.sessions.find(with_token) == of_li
    assert runs.sessions.find(with_certificate) is None
    assert runs.sessions.find(with_certificate, "a1") == of_wang
    assert runs.ended == []
    runs.sessions.close(of_li)
    runs.restart()
    assert runs.sessions.find(with_token) is None
    assert runs.sessions.find(with_certificate, "a1") == of_wang


def test_the_file_gives_nothing_away(runs: Runs) -> None:
    cookie, session = runs.sessions.open(WANG)
    content = runs.file.path.read_bytes()
    for secret in (cookie, session.token, session.csrf, session.person.name):
        assert secret.encode() not in content
    assert runs.file.path.stat().st_mode & 0o777 == 0o600
    runs.restart()
    for other in (cookie[:-1], cookie + "x", session.token, "x" * len(cookie)):
        assert runs.sessions.find(other) is None


def test_time_goes_on_while_the_program_is_away(runs: Runs) -> None:
    unused, _ = runs.sessions.open(WANG)
    runs.clock.advance(1800)
    used, _ = runs.sessions.open(LI, token=None)
    runs.restart(1801)
    assert runs.sessions.find(unused) is None
    assert runs.sessions.find(used) is not None
    assert runs.ended == [("Wang", "not used for 60 minutes")]
    for _ in range(12):
        runs.clock.advance(3599)
        runs.restart()
        runs.sessions.find(used)
    assert runs.sessions.find(used) is None
    assert runs.given() == []
    assert runs.rows() == 0


def test_what_was_revoked_or_counts_no_more_meanwhile_is_over(runs: Runs) -> None:
    issued = runs.tokens.issue("Li", LI.roles, timedelta(days=1), given_by="test")
    revoked, _ = runs.sessions.open(LI, token=issued.token)
    refused, _ = runs.sessions.open(WANG)
    runs.tokens.revoke(issued.record.id, revoked_by="Zhao")
    runs.restart()
    assert runs.sessions.find(revoked) is None
    runs.counting = False
    assert runs.sessions.find(refused) is None
    assert runs.rows() == 0
    assert runs.given() == []


def test_sessions_that_nobody_takes_up_again_are_swept_with_their_tokens(runs: Runs) -> None:
    runs.sessions.open(WANG)
    runs.restart(3601)
    assert runs.given() == ["Wang"]
    runs.sessions.sweep()
    assert runs.given() == []
    assert runs.rows() == 0


def test_a_damaged_or_full_file_costs_a_login_and_no_more(runs: Runs) -> None:
    cookie, session = runs.sessions.open(WANG)
    runs.sessions.close_all("the console stops")
    runs.file.path.write_bytes(b"no database" * 1000)
    runs.begin()
    assert runs.sessions.find(cookie) is None
    again, session = runs.sessions.open(WANG)
    assert runs.sessions.find(again) == session
    runs.sessions.close(session)
    assert runs.sessions.find(again) is None


def test_a_logout_that_the_disk_refuses_counts_all_the_same(runs: Runs) -> None:
    token = runs.tokens.issue("Li", LI.roles, timedelta(days=1), given_by="test").token
    cookie, session = runs.sessions.open(LI, token=token)
    with contextlib.closing(sqlite3.connect(runs.file.path)) as connection:
        connection.execute(
            "CREATE TRIGGER stays BEFORE DELETE ON sessions BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    runs.sessions.close(session)
    assert runs.sessions.find(cookie) is None
