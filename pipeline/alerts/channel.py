"""What every gRPC client of the alert service shares: the channel, and errors in plain words."""

from __future__ import annotations

import ipaddress
import random
import re
from pathlib import Path
from typing import Final

import grpc

from pipeline.certificates import read_key
from pipeline.errors import AlertServiceError, ConfigError

MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
"""Largest message either side takes: a hit with the largest JPEG, twice over."""

_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s/:\[\]]+):(\d{1,5})")
_LARGEST_PORT: Final = 65_535
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_http_proxy", 0),
)

_ADVICE: Final = {
    grpc.StatusCode.UNAVAILABLE: "see whether the service runs there ('checkpoint serve') and "
    "whether both sides use TLS",
    grpc.StatusCode.DEADLINE_EXCEEDED: "it did not answer in time: see its log and try again",
    grpc.StatusCode.UNAUTHENTICATED: "give a token with --token-file or in CHECKPOINT_TOKEN, or a "
    "client certificate with --cert and --key",
    grpc.StatusCode.UNIMPLEMENTED: "the service is older than this client: update it",
}


class Backoff:
    """Pauses between attempts: doubling up to a cap, each drawn at random below it.

    "Full jitter": after an outage many clients come back spread out, not all at once.
    """

    def __init__(self, initial_s: float, max_s: float) -> None:
        self._initial_s = initial_s
        self._max_s = max_s
        self.failures = 0

    def reset(self) -> None:
        """An attempt has succeeded."""
        self.failures = 0

    def next_s(self) -> float:
        """How long to pause after one more failure; at least half of ``initial_s``."""
        cap_s = min(self._max_s, self._initial_s * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return max(self._initial_s / 2, random.uniform(0, cap_s))


def read_pem(path: Path, what: str) -> bytes:
    """Read a certificate or key.

    Raises:
        ConfigError: it cannot be read; the message names ``what`` and the file.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{what} = {path}: cannot be read: {error.strerror}") from error


def check_address(address: str, what: str) -> None:
    """Refuse what gRPC would misunderstand: it takes port 99999 for 34463, for one.

    Raises:
        ConfigError: ``address`` is not ``host:port``.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match[2]) > _LARGEST_PORT:
        raise ConfigError(
            f"{what} = {address!r}: write host:port, for example 127.0.0.1:50051, "
            f"with a port of at most {_LARGEST_PORT}"
        )


def open_channel(
    target: str, ca: Path | None = None, cert: Path | None = None, key: Path | None = None
) -> grpc.Channel:
    """Open a channel to ``target`` (``host:port`` or ``unix:PATH``); nothing is sent yet.

    Over TLS with ``ca`` (PEM of the authority that signed the service's certificate), and beyond
    this machine always, by the system's authorities where ``ca`` is not given; with ``cert`` and
    ``key`` we show a certificate too.

    Raises:
        ConfigError: the target is no address, a file cannot be read, others may read ``key``, or
            one of ``cert`` and ``key`` is missing.
    """
    if not target.startswith("unix:"):
        check_address(target, "the alert service's address")
    if (cert is None) != (key is None):
        raise ConfigError("a client certificate needs both files: give --cert and --key")
    if ca is None and cert is None and is_loopback(target):
        return grpc.insecure_channel(target, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=None if ca is None else read_pem(ca, "ca"),
        private_key=None if key is None else read_key(key, "key"),
        certificate_chain=None if cert is None else read_pem(cert, "cert"),
    )
    return grpc.secure_channel(target, credentials, options=_OPTIONS)


def is_loopback(address: str) -> bool:
    """Whether ``host:port`` or ``unix:PATH`` is reached from this machine alone."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def explain(error: grpc.RpcError, target: str) -> AlertServiceError:
    """The error as one of ours: who, what, and what to do."""
    code: grpc.StatusCode = error.code()
    details = error.details() or code.name.lower()
    advice = _ADVICE.get(code)
    message = f"alert service at {target}: {details}"
    return AlertServiceError(f"{message}; {advice}" if advice else message)


def dial_target(listen: str) -> str:
    """Where a client on the same machine reaches a service that listens on ``listen``."""
    host, _, port = listen.rpartition(":")
    return {"0.0.0.0": f"127.0.0.1:{port}", "[::]": f"[::1]:{port}"}.get(host, listen)  # noqa: S104
