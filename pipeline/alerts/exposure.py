"""Where the alert service listens, and the self-check before it does.

It refuses to listen beyond this machine in a way that would let anyone in, and says what each
address lets whom do. Who is let in is decided by ``auth.py``; here it is made sure that it can be.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import grpc
import structlog

from pipeline.alerts.auth import Access
from pipeline.alerts.channel import check_address, is_loopback, read_pem
from pipeline.certificates import certificate_info, key_belongs, read_certificate, read_key
from pipeline.config import AccessSettings, AlertSettings, TlsSettings
from pipeline.errors import AccessError, AlertServiceError, ConfigError, InputError

_log = structlog.get_logger(__name__)

_SOON: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Listener:
    """One address, and what a caller must show to connect to it."""

    setting: str
    address: str
    tls: TlsSettings | None
    certificates: bool
    """Every caller shows a client certificate."""

    def credentials(self) -> grpc.ServerCredentials | None:
        """What gRPC listens with; None: plain text.

        Raises:
            ConfigError: a file cannot be read, or others may read the key.
        """
        if self.tls is None:
            return None
        key = read_key(self.tls.key, "alerts.tls.key")
        pair = key, read_pem(self.tls.certificate, "alerts.tls.certificate")
        if not self.certificates or self.tls.client_ca is None:
            return grpc.ssl_server_credentials([pair])
        return grpc.ssl_server_credentials(
            [pair],
            root_certificates=read_pem(self.tls.client_ca, "alerts.tls.client_ca"),
            require_client_auth=True,
        )


def listeners(settings: AlertSettings) -> list[Listener]:
    """The addresses of a service."""
    mutual = settings.tls is not None and settings.tls.client_ca is not None
    found = [Listener("alerts.listen", settings.listen, settings.tls, mutual)]
    if settings.listen_tokens is not None:
        found.append(Listener("alerts.listen_tokens", settings.listen_tokens, settings.tls, False))
    return found


def open_here(settings: AlertSettings, access: AccessSettings) -> bool:
    """Whether callers need no credentials: only this machine can call, and none are required."""
    return not access.required and all(is_loopback(one.address) for one in listeners(settings))


def refuse_exposure(settings: AlertSettings) -> None:
    """Refuse to listen beyond this machine without TLS.

    Raises:
        ConfigError: naming what would be exposed, and to whom; or the address is none.
    """
    for one in listeners(settings):
        check_address(one.address, one.setting)
        if one.tls is None and not is_loopback(one.address):
            raise ConfigError(
                f"{one.setting} = {one.address}: without TLS this would expose every alert, "
                "plate and evidence picture, and the right to publish and review them, to everyone "
                "who reaches this machine; set [alerts.tls] certificate, key and client_ca "
                "('checkpoint certs init' makes them), or listen on 127.0.0.1"
            )
    if settings.listen_tokens is not None and not (settings.tls and settings.tls.client_ca):
        raise ConfigError(
            "alerts.listen_tokens: is for people beside an alerts.listen that takes certificates; "
            "set alerts.tls.client_ca, or leave it out: alerts.listen takes tokens as well"
        )


def check_certificate(
    tls: TlsSettings, now: datetime, setting: str = "alerts.tls", whose: str = "the alert service's"
) -> None:
    """See that a server's own certificate and key can be used.

    Args:
        setting: where they are set, for messages.
        whose: the server's, for the log.

    Raises:
        ConfigError: a file cannot be read, the certificate has expired, or others may read the key.
        AlertServiceError: certificate and key do not belong together.
    """
    key = read_key(tls.key, f"{setting}.key")
    read_pem(tls.certificate, f"{setting}.certificate")
    try:
        info = certificate_info(tls.certificate)
        certificate = read_certificate(tls.certificate)
    except InputError as error:
        raise ConfigError(f"{setting}.certificate: {error}") from None
    if not key_belongs(certificate, key):
        raise AlertServiceError(
            f"{setting}: certificate and key belong together, but {tls.key} is not the key of "
            f"{tls.certificate}"
        )
    if now >= info.expires:
        raise ConfigError(
            f"{setting}.certificate = {tls.certificate}: has expired on "
            f"{info.expires:%Y-%m-%d}; take a new one ('checkpoint certs add' makes one)"
        )
    if info.expires - now < _SOON:
        _log.warning(
            f"{whose} certificate expires soon",
            certificate=str(tls.certificate),
            expires=f"{info.expires:%Y-%m-%d}",
        )
    if not info.hosts:
        _log.warning(
            f"{whose} certificate names no host: no client will accept it",
            certificate=str(tls.certificate),
        )


def tell_exposure(settings: AlertSettings, access: Access, now: datetime) -> None:
    """Log, for each address, who may do what there; and where nobody may yet."""
    here = open_here(settings, access.settings)
    for one in listeners(settings):
        if here:
            lets = "everyone on this machine publish, watch and review, without credentials"
        elif one.certificates:
            lets = (
                "machines with a certificate publish; persons with a certificate or token watch "
                "and review by their roles"
            )
        else:
            lets = "persons with a token watch and review by their roles"
        tell = _log.info if is_loopback(one.address) else _log.warning
        tell(
            "alert service exposes alerts, plates and evidence pictures",
            listen=one.address,
            tls=one.tls is not None,
            lets=lets,
        )
        if not here and not one.certificates and not _any_token(access, now):
            _log.warning(
                "nobody can get in there yet: 'checkpoint access add' gives out tokens",
                listen=one.address,
            )


def _any_token(access: Access, now: datetime) -> bool:
    try:
        found = access.tokens.tokens() if access.tokens else []
    except AccessError as error:
        _log.error("tokens cannot be looked up: every token is refused", reason=str(error))
        return True
    return any(one.state(now) == "valid" for one in found)
