"""How a command reaches the alert service: its address, certificates and token, in one place.

``with_client`` gives a command the options that they all share and a connected client.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from pipeline.access import operating_system_person
from pipeline.alerts.channel import dial_target
from pipeline.alerts.client import CheckpointClient
from pipeline.commands.acting import ConfigOption, TokenFileOption, settings_from
from pipeline.config import given_token
from pipeline.errors import ConfigError

DEFAULT_TARGET = "127.0.0.1:50051"


@dataclass(frozen=True, slots=True)
class Connected:
    """A connected client. ``person``: who acts, where only the request can say so; else empty."""

    client: CheckpointClient
    person: str


Target = Annotated[
    str | None,
    typer.Option(help="host:port of the alert service; default: the configuration's."),
]
Ca = Annotated[Path | None, typer.Option(help="PEM of the service's authority.")]
Cert = Annotated[Path | None, typer.Option(help="PEM of our own certificate.")]
Key = Annotated[Path | None, typer.Option(help="PEM of our own key, mode 600.")]


@contextmanager
def connected(
    target: Target = None,
    config: ConfigOption = None,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    token_file: TokenFileOption = None,
) -> Iterator[Connected]:
    """A client after the options, or else the configuration, or else the default.

    Raises:
        ConfigError: an address or file cannot be used.
        AccessError: the token cannot be read.
    """
    settings = settings_from(config)
    token = given_token(settings, token_file)
    alerts = settings.alerts
    if target is None and alerts.target is None and alerts.listen_tokens and token and not cert:
        target = dial_target(alerts.listen_tokens)
        ca = ca or alerts.target_ca
    elif target is None:
        target = alerts.target or dial_target(alerts.listen)
        ca = ca or alerts.target_ca
        if ca and alerts.tls and not (cert or key):
            cert, key = alerts.tls.certificate, alerts.tls.key
    if target == dial_target(alerts.listen) and alerts.tls and ca is None:
        raise ConfigError(
            "the service speaks TLS: name its authority as alerts.target_ca or with --ca"
        )
    person = "" if token or cert else operating_system_person().name
    with CheckpointClient(target, ca, cert, key, token=token) as client:
        yield Connected(client, person)


def with_client(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command(connected, …)`` the options of ``connected`` behind its own."""
    shared = inspect.signature(connected)
    hints = get_type_hints(connected, include_extras=True)
    own = list(inspect.signature(command).parameters.values())[1:]
    own_hints = get_type_hints(command, include_extras=True)

    @functools.wraps(command)
    def run(**given: Any) -> None:
        options = {name: given.pop(name) for name in shared.parameters}
        with connected(**options) as connection:
            command(connection, **given)

    parameters = [one.replace(annotation=own_hints[one.name]) for one in own]
    parameters += [
        one.replace(annotation=hints[one.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for one in shared.parameters.values()
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    del run.__wrapped__
    return run
