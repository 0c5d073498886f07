"""Signatures on what sinks send: HMAC-SHA256 over time and body.

The header ``Checkpoint-Signature: t=1767225600,v1=HEX`` holds the time of sending in seconds since
1970 and, in hexadecimal, HMAC-SHA256 with the shared secret over the ASCII digits of that time, a
full stop, and the body as it was sent. A receiver computes the same, compares in constant time, and
refuses a time that is far from its own: so a body that was caught cannot be sent again later.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from pathlib import Path
from typing import Final

from pipeline.config import SinkSettings
from pipeline.errors import ConfigError

HEADER: Final = "Checkpoint-Signature"
TOLERANCE_S: Final = 300.0
"""How far the time may be from the receiver's own."""

_HEADER: Final = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})")
_LEAST_BYTES: Final = 16


def sign(secret: bytes, body: bytes, now_s: float) -> str:
    """The header's value for a body that is sent at ``now_s`` (seconds since 1970)."""
    moment = int(now_s)
    return f"t={moment},v1={_mac(secret, body, moment)}"


def verify(secret: bytes, body: bytes, header: str, now_s: float) -> bool:
    """Whether ``body`` was signed with ``secret`` not long before or after ``now_s``."""
    found = _HEADER.fullmatch(header)
    if found is None or abs(now_s - int(found[1])) > TOLERANCE_S:
        return False
    return hmac.compare_digest(_mac(secret, body, int(found[1])), found[2])


def secret_of(settings: SinkSettings) -> bytes:
    """The secret that a sink's settings name.

    Raises:
        ConfigError: its file cannot be read, is short, or may be read by others.
    """
    if settings.secret_file is None:
        return (settings.secret or "").encode()
    return _read_secret(settings.secret_file, f"sinks: {settings.name}: secret_file")


def _read_secret(file: Path, what: str) -> bytes:
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if not stat.S_ISREG(mode) or mode & 0o077:
                raise ConfigError(f"{what} = {file}: others may read it; chmod 600 {file}")
            secret = opened.read(4096).strip()
    except OSError as error:
        raise ConfigError(f"{what} = {file}: cannot be read: {error.strerror}") from error
    if len(secret) < _LEAST_BYTES:
        raise ConfigError(
            f"{what} = {file}: holds less than {_LEAST_BYTES} bytes; write there what "
            "'openssl rand -hex 32' says"
        )
    return secret


def _mac(secret: bytes, body: bytes, moment: int) -> str:
    return hmac.new(secret, b"%d." % moment + body, hashlib.sha256).hexdigest()
