"""``checkpoint access``: give out, list and take back the tokens that name persons."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console
from rich.table import Table

from pipeline.access import (
    AccessRole,
    Person,
    TokenRecord,
    TokenStore,
    acting_person,
    new_token_id,
    operating_system_person,
    require,
    token_store,
)
from pipeline.audit import AuditLog
from pipeline.clock import SystemClock
from pipeline.commands.acting import ConfigOption, TokenFileOption, open_audit, settings_from
from pipeline.config import CheckpointSettings, given_token
from pipeline.errors import AccessError, InputError

app = typer.Typer(help="The tokens that name persons and give them roles.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@app.command("add")
def add(
    person: Annotated[str, typer.Argument(help="The name that shall stand in the audit log.")],
    role: Annotated[list[AccessRole], typer.Option(help="What the person may do; repeat it.")],
    reason: Annotated[str, typer.Option(help="Why; goes to the audit log.")],
    days: Annotated[
        int | None, typer.Option(min=1, max=366, help="How long it lasts; default: token_days.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the token to this new file, mode 600.")
    ] = None,
    config: ConfigOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give out a token. It is shown this once and kept nowhere."""
    settings = settings_from(config)
    lasts = timedelta(days=days or settings.access.token_days)
    why = _stated(reason)
    with (
        _managing(settings, token_file, "give out a token") as (store, acting, audit),
        _new_file(out) as file,
    ):
        token_id = new_token_id()
        audit.record(
            actor=acting.name,
            action="access.add",
            subject=token_id,
            reason=why,
            details={
                "person": person.strip(),
                "roles": sorted(role),
                "days": lasts.days,
                "by": acting.source,
            },
        )
        issued = store.issue(person, role, lasts, given_by=acting.name, token_id=token_id)
        if file is not None:
            file.write(issued.token + "\n")
    record = _as_json(issued.record, SystemClock().now())
    if as_json:
        shown = {} if out is not None else {"token": issued.token}
        print(json.dumps({**record, **shown}, ensure_ascii=False))
        return
    until = issued.record.expires_at.astimezone()
    print(
        f"Token {issued.record.id} for {issued.record.person} "
        f"({', '.join(sorted(issued.record.roles))}), until {until:%Y-%m-%d}:",
        file=sys.stderr,
    )
    print(issued.token if out is None else f"written to {out}")


@app.command("list")
def list_tokens(
    everything: Annotated[
        bool, typer.Option("--all", help="Expired and revoked ones too.")
    ] = False,
    config: ConfigOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which tokens there are; never the tokens themselves."""
    settings = settings_from(config)
    now = SystemClock().now()
    acting = acting_person(settings, given_token(settings, token_file))
    if AccessRole.AUDITOR not in acting.roles:
        require(acting, AccessRole.APPROVER, "list the tokens")
    tokens = [
        one for one in token_store(settings).tokens() if everything or one.state(now) == "valid"
    ]
    if as_json:
        for one in tokens:
            print(json.dumps(_as_json(one, now), ensure_ascii=False))
        return
    table = Table("id", "person", "roles", "until", "given by", "state")
    for one in tokens:
        until = one.expires_at.astimezone()
        roles = ", ".join(sorted(one.roles))
        table.add_row(one.id, one.person, roles, f"{until:%Y-%m-%d}", one.given_by, one.state(now))
    if tokens:
        Console().print(table)
    else:
        Console().print("No tokens. Give one out: checkpoint access add PERSON --role …")


@app.command("revoke")
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="Of the token, see list.")],
    reason: Annotated[str, typer.Option(help="Why; goes to the audit log.")],
    config: ConfigOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a token back; it is refused once this returns."""
    settings = settings_from(config)
    why = _stated(reason)
    with _managing(settings, token_file, "take back a token") as (store, acting, audit):
        audit.record(
            actor=acting.name,
            action="access.revoke",
            subject=token_id,
            reason=why,
            details={"by": acting.source},
        )
        gone = store.revoke(token_id, revoked_by=acting.name)
    if as_json:
        print(json.dumps(_as_json(gone, SystemClock().now()), ensure_ascii=False))
    else:
        print(f"Token {gone.id} of {gone.person} is revoked.")


@contextmanager
def _managing(
    settings: CheckpointSettings, token_file: Path | None, action: str
) -> Iterator[tuple[TokenStore, Person, AuditLog]]:
    """Who may manage tokens: an approver; and the user who owns the data folder as long as
    there is no approver with a token yet, so that there can be a first one."""
    clock = SystemClock()
    store = token_store(settings, clock)
    token = given_token(settings, token_file)
    try:
        acting = acting_person(settings, token, clock)
    except AccessError:
        approvers = (
            one
            for one in store.tokens()
            if one.state(clock.now()) == "valid" and AccessRole.APPROVER in one.roles
        )
        if token is not None or any(approvers):
            raise
        acting = operating_system_person()
    require(acting, AccessRole.APPROVER, action)
    with open_audit(settings, clock) as audit:
        yield store, acting, audit


@contextmanager
def _new_file(path: Path | None) -> Iterator[TextIO | None]:
    """A file that only this user can read, opened before anything is done; gone if that fails."""
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InputError(f"{path}: is there already; name a new file for the token") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _stated(reason: str) -> str:
    if not reason.strip():
        raise InputError("reason: must not be empty; it stands in the audit log")
    return reason.strip()


def _as_json(record: TokenRecord, now: datetime) -> dict[str, object]:
    return {
        "id": record.id,
        "person": record.person,
        "roles": sorted(record.roles),
        "given_at": record.given_at.isoformat(),
        "given_by": record.given_by,
        "expires_at": record.expires_at.isoformat(),
        "state": record.state(now),
        "revoked_by": record.revoked_by,
    }
