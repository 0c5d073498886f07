"""The console's self-check before it listens: what it would expose, and whether it may."""

from __future__ import annotations

from datetime import datetime

import structlog

from pipeline.access import TokenStore
from pipeline.alerts.channel import check_address, is_loopback
from pipeline.alerts.exposure import check_certificate
from pipeline.certificates import certificate_info
from pipeline.config import CheckpointSettings
from pipeline.errors import AccessError, ConfigError, InputError

_log = structlog.get_logger(__name__)


def opens_by_link(settings: CheckpointSettings) -> bool:
    """Whether the program's one-time link lets somebody in: only this machine reaches the console,
    and no credentials are required here."""
    return not settings.access.required and is_loopback(settings.console.listen)


def refuse_exposure(settings: CheckpointSettings, now: datetime) -> None:
    """Refuse to listen beyond this machine without TLS, or where nobody's access is required.

    Raises:
        ConfigError: naming what would be exposed, and to whom; or a TLS file cannot be used.
        AlertServiceError: certificate and key do not belong together.
    """
    console = settings.console
    check_address(console.listen, "console.listen")
    if not is_loopback(console.listen):
        if console.tls is None:
            raise ConfigError(
                f"console.listen = {console.listen}: without TLS this would send every alert, "
                "plate, picture and token in plain text to who listens on the way; set "
                "[console.tls] certificate and key ('checkpoint certs init' makes them), or listen "
                "on 127.0.0.1"
            )
        if not settings.access.required:
            raise ConfigError(
                f"console.listen = {console.listen}: this would open alerts, passages and the "
                "watchlist to a network while nobody's access is required here; set "
                "access.required = true and give out tokens with 'checkpoint access add', or "
                "listen on 127.0.0.1"
            )
    if console.tls is not None:
        check_certificate(console.tls, now, "console.tls", "the console's")
        if console.tls.client_ca is not None:
            try:
                certificate_info(console.tls.client_ca)
            except InputError as error:
                raise ConfigError(f"console.tls.client_ca: {error}") from None


def tell_exposure(
    settings: CheckpointSettings, address: str, tokens: TokenStore, now: datetime
) -> None:
    """Log who may do what there; and where nobody may yet."""
    console = settings.console
    lets = ["persons with a token"]
    if console.tls is not None and console.tls.client_ca is not None:
        lets.append("persons with a certificate that has roles")
    if opens_by_link(settings):
        lets.append("who has the link that the program has printed")
    tell = _log.info if is_loopback(console.listen) else _log.warning
    tell(
        "console exposes alerts, passages, pictures and the watchlist",
        listen=address,
        tls=console.tls is not None,
        lets=" and ".join(lets) + ", each by their roles",
    )
    if len(lets) == 1 and not _any_token(tokens, now):
        _log.warning(
            "nobody can log in there yet: 'checkpoint access add' gives out tokens", listen=address
        )


def _any_token(tokens: TokenStore, now: datetime) -> bool:
    try:
        return any(one.state(now) == "valid" for one in tokens.tokens())
    except AccessError as error:
        _log.error("tokens cannot be looked up: every token is refused", reason=str(error))
        return True
