"""``checkpoint certs``: a small authority and certificates for a first set-up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipeline.certificates import (
    LEAF_DAYS,
    Authority,
    CertificateInfo,
)
from pipeline.clock import SystemClock
from pipeline.commands.output import JsonOption
from pipeline.errors import InputError

app = typer.Typer(
    help="A small authority, and certificates for a first set-up.", no_args_is_help=True
)

Folder = Annotated[Path, typer.Option(help="Where keys and certificates lie; for this user alone.")]
Days = Annotated[int, typer.Option(min=1, max=3650, help="How long the certificates last.")]
_DEFAULT_FOLDER = Path("certificates")
_HERE = ("localhost", "127.0.0.1")
"""Every service is reached by these, too, from its own machine."""


@app.command("init")
def init(
    host: Annotated[
        list[str],
        typer.Option(help="A name or address that the province's service is reached by; repeat."),
    ],
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(help="A checkpoint's name, or NAME=HOST where it serves itself; repeat."),
    ] = None,
    province: Annotated[str, typer.Option(help="Name of the province's service.")] = "province",
    folder: Folder = _DEFAULT_FOLDER,
    days: Days = LEAF_DAYS,
) -> None:
    """Make an authority, and certificates for the province's service and for checkpoints."""
    authority, now = Authority(folder), SystemClock().now()
    wanted = [(province, (*host, *_HERE)), *(_named(one) for one in checkpoint or ())]
    authority.refuse_existing(["ca", *(name for name, _ in wanted)])
    made = [authority.make(f"Checkpoint authority of {province}"[:64], now)]
    made += [authority.issue(name, hosts, now, days) for name, hosts in wanted]
    _tell(authority, made)
    _tell_province(authority, made[1])
    for one in made[2:]:
        _tell_checkpoint(authority, one, host[0])


@app.command("add")
def add(
    name: Annotated[
        str, typer.Argument(help="The checkpoint's name as in its configuration, or a person's.")
    ],
    host: Annotated[
        list[str] | None, typer.Option(help="A name or address that it serves under; repeat.")
    ] = None,
    folder: Folder = _DEFAULT_FOLDER,
    days: Days = LEAF_DAYS,
) -> None:
    """Make one more certificate by the folder's authority."""
    authority = Authority(folder)
    hosts = (*host, *_HERE) if host else ()
    made = authority.issue(name, hosts, SystemClock().now(), days)
    _tell(authority, [made])
    _tell_checkpoint(authority, made, None)


@app.command("list")
def list_certificates(folder: Folder = _DEFAULT_FOLDER, as_json: JsonOption = False) -> None:
    """Show the folder's certificates: names, validity and fingerprints."""
    found = Authority(folder).issued()
    if not found:
        raise InputError(f"{folder}: holds no certificates; 'checkpoint certs init' makes some")
    if as_json:
        for one in found:
            print(json.dumps(_as_json(one), ensure_ascii=False))
        return
    table = Table("name", "hosts", "until", "SHA-256 fingerprint")
    for one in found:
        hosts = "signs the others" if one.authority else ", ".join(one.hosts) or "calls only"
        until = one.expires.astimezone()
        table.add_row(one.name, hosts, f"{until:%Y-%m-%d}", one.fingerprint)
    Console().print(table)


def _named(text: str) -> tuple[str, tuple[str, ...]]:
    """NAME or NAME=HOST,HOST."""
    name, given, hosts = text.partition("=")
    if given and not hosts:
        raise InputError(f"checkpoint {text!r}: write NAME or NAME=HOST")
    return name, (*hosts.split(","), *_HERE) if hosts else ()


def _tell(authority: Authority, made: list[CertificateInfo]) -> None:
    for one in made:
        until = one.expires.astimezone()
        print(f"{one.path}  {one.name}, until {until:%Y-%m-%d}")
    print(f"Keys lie beside them as .key, mode 600. {authority.key} signs: keep it off line.")


def _tell_province(authority: Authority, server: CertificateInfo) -> None:
    key = server.path.with_suffix(".key")
    print(
        f"\nTo the province's machine: {authority.certificate.name}, {server.path.name}, "
        f"{key.name}. In its checkpoint.toml:\n\n"
        '[alerts]\nlisten = "0.0.0.0:50051"          # machines, with certificates\n'
        'listen_tokens = "0.0.0.0:50052"   # people, with tokens\n'
        f'target_ca = "/etc/checkpoint/{authority.certificate.name}"\n\n'
        "[alerts.tls]\n"
        f'certificate = "/etc/checkpoint/{server.path.name}"\n'
        f'key = "/etc/checkpoint/{key.name}"\n'
        f'client_ca = "/etc/checkpoint/{authority.certificate.name}"\n\n'
        "Then give out tokens there: checkpoint access add PERSON --role viewer --reason …"
    )


def _tell_checkpoint(authority: Authority, one: CertificateInfo, target: str | None) -> None:
    key = one.path.with_suffix(".key")
    print(
        f"\nTo {one.name}: {authority.certificate.name}, {one.path.name}, {key.name}. "
        "In its checkpoint.toml:\n\n"
        f"checkpoint = {json.dumps(one.name, ensure_ascii=False)}\n"
        + ("\n" if one.hosts else 'roles = ["recognise"]\n\n')
        + f'[alerts]\ntarget = "{target or "PROVINCE"}:50051"\n'
        f'target_ca = "/etc/checkpoint/{authority.certificate.name}"\n\n'
        "[alerts.tls]\n"
        f'certificate = "/etc/checkpoint/{one.path.name}"\n'
        f'key = "/etc/checkpoint/{key.name}"'
    )


def _as_json(one: CertificateInfo) -> dict[str, object]:
    return {
        "name": one.name,
        "authority": one.authority,
        "hosts": list(one.hosts),
        "begins": one.begins.isoformat(),
        "expires": one.expires.isoformat(),
        "fingerprint": one.fingerprint,
        "file": str(one.path),
    }
