"""Tokens on real files and on the command line: who acts, and what never shows a token."""

from __future__ import annotations

import json
import os
import pwd
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipeline.access import (
    AccessRole,
    Person,
    TokenStore,
    acting_person,
    certificate_person,
    require,
    token_store,
)
from pipeline.audit import AUDIT_FILE, records
from pipeline.clock import ManualClock, SystemClock
from pipeline.commands.access import app
from pipeline.config import (
    AccessSettings,
    CheckpointSettings,
    child_environment,
    given_token,
    load,
)
from pipeline.errors import AccessError, ConfigError, InputError, redact

ROLES = st.sets(st.sampled_from(AccessRole), min_size=1)
DAY = timedelta(days=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> TokenStore:
    return TokenStore(tmp_path / "var" / "access.sqlite", clock)


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHECKPOINT_TOKEN", raising=False)


def settings(tmp_path: Path, **access: object) -> CheckpointSettings:
    return CheckpointSettings(
        data_dir=tmp_path / "var", access=AccessSettings.model_validate(access)
    )


def os_user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


@settings_of(max_examples=25, deadline=None)
@given(roles=ROLES, others=st.lists(ROLES, max_size=4), guess=st.text(max_size=80))
def test_only_the_token_itself_names_its_person(
    tmp_path_factory: pytest.TempPathFactory,
    roles: set[AccessRole],
    others: list[set[AccessRole]],
    guess: str,
) -> None:
    store = TokenStore(tmp_path_factory.mktemp("access") / "access.sqlite", ManualClock())
    for number, other in enumerate(others):
        store.issue(f"other {number}", other, DAY, given_by="root")
    issued = store.issue("Wang", roles, DAY, given_by="root")
    assert store.verify(issued.token) == Person("Wang", frozenset(roles), "token")
    token = issued.token
    for wrong in (guess, token[:-1], token + "x", token.swapcase(), token[::-1], issued.record.id):
        if wrong.strip() != token:
            with pytest.raises(AccessError, match="not known"):
                store.verify(wrong)


@given(roles=ROLES, role=st.sampled_from(AccessRole))
def test_a_role_is_had_or_not(roles: set[AccessRole], role: AccessRole) -> None:
    person = Person("Wang", frozenset(roles), "token")
    if role in roles:
        require(person, role, "look")
    else:
        with pytest.raises(AccessError, match=f"Wang may not look: .* role {role} "):
            require(person, role, "look")


def test_a_token_expires(store: TokenStore, clock: ManualClock) -> None:
    issued = store.issue("Wang", [AccessRole.VIEWER], DAY, given_by="root")
    clock.advance(DAY.total_seconds() - 1)
    store.verify(issued.token)
    clock.advance(1)
    with pytest.raises(AccessError, match=f"{issued.record.id} of Wang is expired"):
        store.verify(issued.token)


def test_a_token_is_revoked_once(store: TokenStore, clock: ManualClock) -> None:
    one = store.issue("Wang", [AccessRole.VIEWER], DAY, given_by="root")
    two = store.issue("Li", [AccessRole.EDITOR], DAY, given_by="root")
    gone = store.revoke(one.record.id, revoked_by="root")
    assert (gone.revoked_at, gone.revoked_by) == (clock.now(), "root")
    with pytest.raises(AccessError, match="is revoked"):
        store.verify(one.token)
    assert store.verify(two.token).name == "Li"
    with pytest.raises(AccessError, match="revoked by root before"):
        store.revoke(one.record.id, revoked_by="Li")
    with pytest.raises(AccessError, match="there is none"):
        store.revoke("00000000", revoked_by="Li")


@pytest.mark.parametrize(
    ("person", "roles", "lasts", "said"),
    [
        (" ", [AccessRole.VIEWER], DAY, "person"),
        ("a\nb", [AccessRole.VIEWER], DAY, "person"),
        ("Wang", [], DAY, "role"),
        ("Wang", [AccessRole.VIEWER], timedelta(0), "last"),
    ],
)
def test_what_is_no_token(
    store: TokenStore, person: str, roles: list[AccessRole], lasts: timedelta, said: str
) -> None:
    with pytest.raises(AccessError, match=said):
        store.issue(person, roles, lasts, given_by="root")
    assert store.tokens() == []


def test_the_file_holds_no_token_and_only_its_user_reads_it(store: TokenStore) -> None:
    issued = store.issue("Wang", [AccessRole.VIEWER], DAY, given_by="root")
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert issued.token.encode() not in store.path.read_bytes()
    assert issued.token not in repr(issued)
    assert redact(f"lost {issued.token} here") == "lost *** here"
    store.path.chmod(0o640)
    with pytest.raises(AccessError, match="chmod 600"):
        store.verify(issued.token)


def test_a_damaged_file_lets_nobody_in(store: TokenStore) -> None:
    issued = store.issue("Wang", [AccessRole.VIEWER], DAY, given_by="root")
    store.path.write_bytes(b"not a database" * 100)
    with pytest.raises(AccessError, match="cannot be read"):
        store.verify(issued.token)


def test_without_a_token_the_system_says_who(tmp_path: Path) -> None:
    person = acting_person(settings(tmp_path), None)
    assert (person.name, person.source) == (os_user(), "operating system")
    assert person.roles == frozenset(AccessRole)
    with pytest.raises(AccessError, match="--token-file"):
        acting_person(settings(tmp_path, required=True), None)
    with pytest.raises(AccessError, match="not known"):  # a wrong one never falls back
        acting_person(settings(tmp_path), "checkpoint_wrong")


def test_a_certificate_names_a_person() -> None:
    access = AccessSettings(certificates={"console": frozenset({AccessRole.VIEWER})})
    person = certificate_person(access, "console")
    assert person == Person("console", frozenset({AccessRole.VIEWER}), "certificate")
    with pytest.raises(AccessError, match=r"\[access\.certificates\]"):
        certificate_person(access, "other")


def test_where_our_own_token_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def file(name: str, text: str, mode: int = 0o600) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    configured = settings(tmp_path, token_file=file("configured", "one\n"))
    assert given_token(settings(tmp_path)) is None
    assert given_token(configured) == "one"
    monkeypatch.setenv("CHECKPOINT_TOKEN", "two")
    assert given_token(configured) == "two"
    assert given_token(configured, file("named", " three\n")) == "three"
    for bad, said in (
        (file("open", "four", 0o640), "chmod 600"),
        (file("empty", "\n"), "holds no token"),
        (file("strange", "辽"), "holds no token"),
        (tmp_path / "missing", "No such file"),
    ):
        with pytest.raises(AccessError, match=said) as caught:
            given_token(configured, bad)
        assert "four" not in str(caught.value)


def test_configuration_says_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.toml"
    file.write_text('[access]\nrequired = true\n[access.certificates]\n"a b" = ["viewer"]\n')
    assert load(file).access.certificates == {"a b": frozenset({AccessRole.VIEWER})}
    for text, said in (
        ('[access.certificates]\nx = ["boss"]', "boss"),
        ("[audit]\nkeep_days = 30", "keep_days = 30"),
        ("[retention]\npassages_h = -1", "passages_h = -1"),
        ("[retention.categories]\nnonsense = 3", "nonsense"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=said):
            load(file)


# --- the commands -----------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, status: int = 0) -> Result:
    done = CliRunner().invoke(app, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == status, done.output
    return done


def add(person: str, *roles: str, more: tuple[str, ...] = ()) -> str:
    named = [word for role in roles for word in ("--role", role)]
    return run("add", person, *named, "--reason", "works here", *more).stdout.strip()


def test_give_out_list_and_take_back(home: Path) -> None:
    token = add("Wang", "viewer", "auditor")
    (listed,) = [json.loads(line) for line in run("list", "--json").stdout.splitlines()]
    assert (listed["person"], listed["roles"]) == ("Wang", ["auditor", "viewer"])
    assert token not in run("list").stdout + run("list", "--json", "--all").stdout
    assert token_store(CheckpointSettings()).verify(token).name == "Wang"
    run("revoke", listed["id"], "--reason", "left")
    assert run("list", "--json").stdout == ""
    assert json.loads(run("list", "--json", "--all").stdout)["state"] == "revoked"
    said = list(records(home / "var" / AUDIT_FILE))
    assert [(one.actor, one.action, one.subject, one.reason) for one in said] == [
        (os_user(), "access.add", listed["id"], "works here"),
        (os_user(), "access.revoke", listed["id"], "left"),
    ]
    assert json.loads(said[0].details) == {
        "person": "Wang",
        "roles": ["auditor", "viewer"],
        "days": 90,
        "by": "operating system",
    }
    assert token not in str(said)
    with pytest.raises(InputError, match="reason"):
        run("revoke", listed["id"], "--reason", " ")


def test_a_token_file_is_new_and_only_for_its_user(home: Path) -> None:
    assert add("Wang", "viewer", more=("--out", "token")) == "written to token"
    assert (home / "token").stat().st_mode & 0o777 == 0o600
    token = (home / "token").read_text().strip()
    assert token_store(CheckpointSettings()).verify(token).name == "Wang"
    with pytest.raises(InputError, match="is there already"):
        add("Li", "viewer", more=("--out", "token"))
    assert len(token_store(CheckpointSettings()).tokens()) == 1


def test_where_tokens_are_required_an_approver_gives_them_out(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "checkpoint.toml").write_text("[access]\nrequired = true\n")
    approver = add("Wang", "approver")  # the first: there is nobody else yet
    with pytest.raises(AccessError, match=r"access\.required is set"):
        add("Mallory", "approver")
    monkeypatch.setenv("CHECKPOINT_TOKEN", approver)
    viewer = add("Li", "viewer")
    assert list(records(home / "var" / AUDIT_FILE))[-1].actor == "Wang"
    monkeypatch.setenv("CHECKPOINT_TOKEN", viewer)
    with pytest.raises(AccessError, match=r"Li may not give out a token: .* role approver"):
        add("Mallory", "approver")
    with pytest.raises(AccessError, match="Li may not list the tokens"):
        run("list")


def test_where_it_cannot_be_recorded_no_token_is_given_out(home: Path) -> None:
    add("Wang", "viewer")
    (home / "var" / f"{AUDIT_FILE}.anchor").unlink()
    with pytest.raises(Exception, match="anchor: is missing"):
        add("Li", "viewer", more=("--out", "token"))
    assert [one.person for one in token_store(CheckpointSettings()).tokens()] == ["Wang"]
    assert not (home / "token").exists()


def test_no_token_in_what_the_program_says(home: Path) -> None:
    """The real program with a wrong and with an expired token: nothing it prints holds them."""
    issued = token_store(CheckpointSettings(), ManualClock()).issue(
        "Wang", [AccessRole.AUDITOR], DAY, given_by="root"
    )
    for token in (issued.token, "checkpoint_" + "w" * 43):
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.cli", "-v", "audit", "verify"],
            env={**os.environ, "CHECKPOINT_TOKEN": token},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 1
        assert "token" in done.stderr
        assert token not in done.stdout + done.stderr


def test_a_traceback_in_the_log_shows_no_values() -> None:
    program = """
import structlog
from pipeline import logs
logs.configure()
def verify(token):
    raise ValueError("unexpected")
try:
    verify("checkpoint_" + "s" * 43)
except ValueError:
    structlog.get_logger().exception("failed")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "unexpected" in done.stderr
    assert "ssss" not in done.stderr


def test_other_programs_do_not_inherit_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKPOINT_TOKEN", "checkpoint_" + "i" * 43)
    monkeypatch.setenv("CHECKPOINT_OTHER", "inherited")
    environment = child_environment()
    assert environment["CHECKPOINT_OTHER"] == "inherited"
    assert "iiii" not in str(environment)


def test_a_token_is_seen_by_every_process_at_once(home: Path) -> None:
    store = token_store(CheckpointSettings(), SystemClock())
    token = add("Wang", "viewer")
    assert store.verify(token).name == "Wang"
    with sqlite3.connect(store.path) as other:
        other.execute("UPDATE tokens SET revoked_at = given_at, revoked_by = 'x'")
    other.close()
    with pytest.raises(AccessError, match="revoked"):
        store.verify(token)
