"""The small authority: what its certificates say, what it refuses, what lies on the disk."""

from __future__ import annotations

import json
import os
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipeline.certificates import (
    Authority,
    certificate_info,
    file_stem,
    key_belongs,
    read_certificate,
    read_key,
)
from pipeline.commands.certs import app
from pipeline.config import load
from pipeline.errors import ConfigError, InputError

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "c")
    made.make("authority", NOW)
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


def test_keys_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        authority = Authority(tmp_path / "c")
        authority.make("authority", NOW)
        authority.issue("gate", (), NOW)
    finally:
        os.umask(before)
    assert mode(tmp_path / "c") == 0o700
    for name in ("ca", "gate"):
        assert mode(tmp_path / "c" / f"{name}.key") == 0o600


def test_what_a_servers_and_a_callers_certificate_say(authority: Authority) -> None:
    server = authority.issue("province", ("alerts.example", "10.0.0.5", "::1"), NOW)
    caller = authority.issue("北门 1", (), NOW)
    assert server.hosts == ("alerts.example", "10.0.0.5", "::1")
    assert (caller.name, caller.hosts, caller.path.name) == ("北门 1", (), "北门-1.pem")
    assert NOW - timedelta(days=1) < server.begins < NOW
    assert server.expires - NOW == timedelta(days=730)
    uses = [
        set(read_certificate(one.path).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        for one in (server, caller)
    ]  # fmt: skip
    assert uses == [
        {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH},
        {ExtendedKeyUsageOID.CLIENT_AUTH},
    ]
    for one in (server, caller):
        found = read_certificate(one.path)
        found.verify_directly_issued_by(read_certificate(authority.certificate))
        constraints = found.extensions.get_extension_for_class(x509.BasicConstraints)
        assert not constraints.value.ca
        assert isinstance(found.public_key(), ec.EllipticCurvePublicKey)
        assert key_belongs(found, read_key(one.path.with_suffix(".key"), "key"))
        assert not key_belongs(found, read_key(authority.key, "key"))
    assert [one.authority for one in authority.issued()] == [True, False, False]


def test_the_authority_signs_no_authority_and_outlives_what_it_signs(authority: Authority) -> None:
    found = read_certificate(authority.certificate)
    constraints = found.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)
    late = NOW + timedelta(days=3600)
    assert authority.issue("late", (), late).expires <= found.not_valid_after_utc


def test_openssl_takes_the_files(authority: Authority) -> None:
    made = authority.issue("province", ("localhost",), NOW)
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.load_cert_chain(made.path, made.path.with_suffix(".key"))


def test_nothing_is_overwritten(authority: Authority) -> None:
    authority.issue("gate 1", (), NOW)
    before = {path: path.read_bytes() for path in authority.folder.iterdir()}
    for name in ("gate 1", "gate-1", "ca"):
        with pytest.raises(InputError, match="is there already"):
            authority.issue(name, (), NOW)
    with pytest.raises(InputError, match="is there already"):
        authority.make("again", NOW)
    (authority.folder / "ca.pem").unlink()
    with pytest.raises(InputError, match=r"ca\.key: is there already"):
        authority.make("again", NOW)
    del before[authority.folder / "ca.pem"]
    assert before == {path: path.read_bytes() for path in authority.folder.iterdir()}


@pytest.mark.parametrize("host", ["", "a b", "host:1", "中文", "-x", "a..b", "https://x", "x" * 64])
def test_what_is_no_host_is_refused(host: str, authority: Authority) -> None:
    with pytest.raises(InputError, match="write a host's name or address"):
        authority.issue("gate", (host,), NOW)
    assert not (authority.folder / "gate.key").exists()


@pytest.mark.parametrize("name", ["", " ", "a\n", " a", "x" * 65, "a\x00b"])
def test_what_is_no_name_is_refused(name: str, authority: Authority) -> None:
    with pytest.raises(InputError):
        authority.issue(name, (), NOW)


@given(st.text())
def test_files_never_leave_their_folder(name: str) -> None:
    stem = file_stem(name)
    assert stem
    assert Path("folder", f"{stem}.key").resolve().parent == Path("folder").resolve()


def test_an_authority_without_its_key_or_with_anothers_signs_nothing(
    authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    other.make("other", NOW)
    authority.key.write_bytes(other.key.read_bytes())
    with pytest.raises(InputError, match="does not belong to"):
        authority.issue("gate", (), NOW)
    authority.key.chmod(0o640)
    with pytest.raises(ConfigError, match="others may read this key; chmod 600"):
        authority.issue("gate", (), NOW)
    authority.key.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        authority.issue("gate", (), NOW)


def test_what_is_no_certificate_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("no certificate")
    with pytest.raises(InputError, match=r"x\.pem: is no certificate in PEM"):
        certificate_info(tmp_path / "x.pem")
    with pytest.raises(InputError, match=r"y\.pem: cannot be read"):
        certificate_info(tmp_path / "y.pem")


def test_init_makes_a_set_and_says_what_goes_where(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    done = run("init", "--host", "alerts.example", "--checkpoint", "gate-1",
               "--checkpoint", "北门=north.example", "--folder", str(folder))  # fmt: skip
    assert done.exit_code == 0, done.output
    files = {path.name for path in folder.iterdir()}
    names = ("ca", "province", "gate-1", "北门")
    assert files == {f"{name}.{ending}" for name in names for ending in ("pem", "key")}
    assert "PRIVATE KEY" not in done.output
    again = run("init", "--host", "alerts.example", "--folder", str(folder))
    assert isinstance(again.exception, InputError)
    assert files == {path.name for path in folder.iterdir()}
    done = run("add", "gate-2", "--folder", str(folder))
    assert done.exit_code == 0, done.output
    lines = run("list", "--json", "--folder", str(folder)).output.splitlines()
    found = {one["name"]: one for one in map(json.loads, lines)}
    assert found["province"]["hosts"] == ["alerts.example", "localhost", "127.0.0.1"]
    assert found["gate-2"]["hosts"] == []
    assert "gate-2" in run("list", "--folder", str(folder)).output


def test_what_init_says_is_a_valid_configuration(tmp_path: Path) -> None:
    done = run("init", "--host", "alerts.example", "--checkpoint", "gate-1",
               "--folder", str(tmp_path / "c"))  # fmt: skip
    parts = done.output.split("In its checkpoint.toml:")[1:]
    assert len(parts) == 2
    for part in parts:
        lines = [line for line in part.splitlines() if "=" in line or line.startswith("[")]
        path = tmp_path / "checkpoint.toml"
        path.write_text("\n".join(lines), encoding="utf-8")
        settings = load(path)
        assert settings.alerts.tls is not None
    assert settings.checkpoint == "gate-1"
    assert settings.alerts.target == "alerts.example:50051"


def test_two_names_that_would_share_their_files(tmp_path: Path) -> None:
    done = run("init", "--host", "x", "--checkpoint", "a b", "--checkpoint", "a-b",
               "--folder", str(tmp_path / "c"))  # fmt: skip
    assert isinstance(done.exception, InputError)
    assert not (tmp_path / "c").exists()
