"""Every error that Checkpoint raises on purpose.

    CheckpointError
    ├── ConfigError          a configuration file or option is wrong          (exit status 2)
    ├── InputError           a picture, video or list cannot be used          (exit status 1)
    ├── SourceError          a camera or file does not deliver frames         (exit status 1)
    ├── WeightsError         a model file is missing, altered or unusable     (exit status 2)
    ├── OutboxError          the disk cannot keep a hit (in outbox.py)        (exit status 1)
    ├── WatchlistError       an entry is refused, or the list is inconsistent (exit status 1)
    ├── StoreUnavailable     Redis or PostgreSQL is away or refuses           (exit status 1)
    ├── AlertServiceError    the alert service is away or refuses             (exit status 1)
    ├── ConsoleError         the console cannot start                         (exit status 1)
    ├── AccessError          who acts is unknown, or may not do that          (exit status 1)
    ├── AuditError           what must be recorded cannot be, or was altered  (exit status 1)
    ├── ArchiveError         passages cannot be kept or searched              (exit status 1)
    ├── ClusterError         the cluster cannot be reached or used            (exit status 1)
    └── ShutdownError        something was lost past the shutdown deadline    (exit status 1)

A message names the file, field or camera, says what is wrong and what to do about it.
It never holds a password: ``redact`` is applied to every URL.
"""

from __future__ import annotations

import re
from typing import ClassVar

_CREDENTIALS = re.compile(r"(?<=://)\S*@")  # to the last @: a password may hold one
_TOKENS = re.compile(r"\bcheckpoint_[A-Za-z0-9_-]{43}")  # as pipeline/access.py makes them
_SECRET_FIELDS = re.compile(r"(?i)\b((?:pass(?:word|wd)?|pwd|token|auth|secret)=)[^&;\s/]*")


def redact(text: str) -> str:
    """Hide tokens, and user and password of every URL in ``text``: ``rtsp://***@host/path``."""
    text = _TOKENS.sub("***", text)
    return _SECRET_FIELDS.sub(r"\1***", _CREDENTIALS.sub("***@", text))


class CheckpointError(Exception):
    """Base of all errors with a message for the user."""

    exit_status: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


class ConfigError(CheckpointError):
    """A configuration file or option is wrong."""

    exit_status = 2


class InputError(CheckpointError):
    """A picture, video or list cannot be used."""


class SourceError(CheckpointError):
    """A camera or file does not deliver frames."""


class WeightsError(CheckpointError):
    """A model file is missing, altered or unusable."""

    exit_status = 2


class WatchlistError(CheckpointError):
    """An entry is refused, or the list is inconsistent."""


class StoreUnavailable(CheckpointError):
    """Redis or PostgreSQL is away or refuses."""


class AlertServiceError(CheckpointError):
    """The alert service is away or refuses."""


class ConsoleError(CheckpointError):
    """The console cannot start."""


class AccessError(CheckpointError):
    """Who acts is unknown, or may not do that; the message never holds a token."""


class AuditError(CheckpointError):
    """The audit log cannot take a record, or was altered: what must be recorded is not done."""


class ArchiveError(CheckpointError):
    """Passages cannot be kept or searched."""


class ClusterError(CheckpointError):
    """The cluster cannot be reached or used."""


class ShutdownError(CheckpointError):
    """Something was lost past the shutdown deadline."""
