"""A small authority of our own: certificates for a first set-up, and checks of any certificate.

Keys are P-256, on the disk with mode 600. The authority signs leaves alone (path length 0). A
leaf names its owner in the common name; with hosts it may serve (and then call, too), without it
may only call. Nothing is ever overwritten.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pipeline.errors import ConfigError, InputError

AUTHORITY: Final = "ca"
AUTHORITY_DAYS: Final = 3650
LEAF_DAYS: Final = 730
_EARLY: Final = timedelta(hours=1)
"""Certificates begin a little in the past: clocks of checkpoints differ."""
_LONGEST_NAME: Final = 64  # of a common name, by X.520
_LONGEST_HOST: Final = 253
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST: Final = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_KEY: Final = "key"
_CERTIFICATE: Final = "pem"


@dataclass(frozen=True, slots=True)
class CertificateInfo:
    """A certificate without its key. ``fingerprint``: SHA-256, hexadecimal."""

    name: str
    path: Path
    hosts: tuple[str, ...]
    begins: datetime
    expires: datetime
    fingerprint: str
    authority: bool = False


class Authority:
    """The certificates of one folder.

    Every method raises InputError where a file cannot be written, is there already, or is none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def certificate(self) -> Path:
        """What everyone who trusts this authority needs."""
        return self.folder / f"{AUTHORITY}.{_CERTIFICATE}"

    @property
    def key(self) -> Path:
        """What signs; nobody but the authority needs it."""
        return self.folder / f"{AUTHORITY}.{_KEY}"

    def make(self, name: str, now: datetime) -> CertificateInfo:
        """Make the authority itself."""
        _check_name(name)
        self.refuse_existing([AUTHORITY])
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(name)
        built = (
            _builder(subject, subject, key, now, timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return self._write(AUTHORITY, built, key)

    def issue(
        self, name: str, hosts: Sequence[str], now: datetime, days: float = LEAF_DAYS
    ) -> CertificateInfo:
        """Make a key and a certificate for ``name``.

        Args:
            name: the common name: what the alert service knows the owner by.
            hosts: names and addresses that it serves under; none: it only calls.
            now: begin of validity, less a little.
            days: how long it lasts, at most as long as the authority.
        """
        _check_name(name)
        for host in hosts:
            _check_host(host)
        self.refuse_existing([name])
        signer, signing_key = self._signer()
        key = ec.generate_private_key(ec.SECP256R1())
        lasts = min(timedelta(days=days), signer.not_valid_after_utc - now)
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            _builder(_subject(name), signer.subject, key, now, lasts)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()),
                critical=False,
            )
        )
        if hosts:
            uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(host) for host in hosts]),
                critical=False,
            )
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        return self._write(file_stem(name), builder.sign(signing_key, hashes.SHA256()), key)

    def issued(self) -> list[CertificateInfo]:
        """Every certificate in the folder, the authority's first."""
        found = [certificate_info(path) for path in sorted(self.folder.glob(f"*.{_CERTIFICATE}"))]
        return sorted(found, key=lambda one: not one.authority)

    def refuse_existing(self, names: Sequence[str]) -> None:
        """Go on only where none of ``names`` has files yet, and no two would share them."""
        stems = [file_stem(name) for name in names]
        for stem in stems:
            if stems.count(stem) > 1:
                raise InputError(f"{stem}: two names would share these files; choose another name")
            for ending in (_KEY, _CERTIFICATE):
                path = self.folder / f"{stem}.{ending}"
                if path.exists():
                    raise InputError(
                        f"{path}: is there already and is not overwritten; choose another folder "
                        "or name, or move it away first"
                    )

    def _signer(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        certificate = read_certificate(self.certificate)
        try:
            pem = read_key(self.key, "the authority's key")
            key = serialization.load_pem_private_key(pem, None)
        except (ValueError, TypeError) as error:
            raise InputError(f"{self.key}: is no key that can be used: {error}") from None
        if (
            not isinstance(key, ec.EllipticCurvePrivateKey)
            or key.public_key() != certificate.public_key()
        ):
            raise InputError(f"{self.key}: does not belong to {self.certificate}")
        return certificate, key

    def _write(
        self, stem: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> CertificateInfo:
        path = self.folder / f"{stem}.{_CERTIFICATE}"
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            key_path = self.folder / f"{stem}.{_KEY}"
            _write_new(key_path, pem, 0o600)
            try:
                _write_new(path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
            except OSError:
                key_path.unlink()
                raise
        except FileExistsError as error:
            raise InputError(f"{error.filename}: is there already; not overwritten") from None
        except OSError as error:
            raise InputError(
                f"{error.filename or path}: cannot be written: {error.strerror}"
            ) from error
        return certificate_info(path)


def file_stem(name: str) -> str:
    """What the files of ``name`` are called."""
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    return stem or "certificate"


def certificate_info(path: Path) -> CertificateInfo:
    """What a certificate says.

    Raises:
        InputError: it cannot be read, or is none.
    """
    found = read_certificate(path)
    names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    hosts: list[str] = []
    authority = False
    for extension in found.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            hosts = [str(host.value) for host in extension.value]
        elif isinstance(extension.value, x509.BasicConstraints):
            authority = extension.value.ca
    return CertificateInfo(
        name=str(names[0].value) if names else "",
        path=path,
        hosts=tuple(hosts),
        begins=found.not_valid_before_utc,
        expires=found.not_valid_after_utc,
        fingerprint=found.fingerprint(hashes.SHA256()).hex(),
        authority=authority,
    )


def read_certificate(path: Path) -> x509.Certificate:
    """The first certificate of a PEM file.

    Raises:
        InputError: it cannot be read, or is none.
    """
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError:
        raise InputError(f"{path}: is no certificate in PEM") from None


def read_key(path: Path, what: str) -> bytes:
    """A private key that nobody else can read.

    Raises:
        ConfigError: it cannot be read, or others may; names ``what`` and the file.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigError(f"{what} = {path}: others may read this key; chmod 600 {path}")
            return file.read()
    except OSError as error:
        raise ConfigError(f"{what} = {path}: cannot be read: {error.strerror}") from error


def key_belongs(certificate: x509.Certificate, key: bytes) -> bool:
    """Whether a private key in PEM is that of a certificate."""
    try:
        found = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError):
        return False
    return found.public_key() == certificate.public_key()


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    lasts: timedelta,
) -> x509.CertificateBuilder:
    begins = now.astimezone(UTC) - _EARLY
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(max(now + lasts, begins + timedelta(seconds=1)))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return x509.DNSName(host)


def _check_name(name: str) -> None:
    if not name.strip() or name != name.strip() or not name.isprintable():
        raise InputError(f"{name!r}: write the checkpoint's name, as its configuration has it")
    if len(name) > _LONGEST_NAME:
        raise InputError(f"{name!r}: a certificate's name has at most {_LONGEST_NAME} characters")


def _check_host(host: str) -> None:
    if isinstance(_general_name(host) if host.isascii() else None, x509.IPAddress):
        return
    if len(host) > _LONGEST_HOST or not _HOST.fullmatch(host):
        raise InputError(f"{host!r}: write a host's name or address, without a port")


def _write_new(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fsync(file.fileno())
