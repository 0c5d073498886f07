"""What every audited command shares: who acts, and the log that says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from pipeline.access import Person, acting_person
from pipeline.audit import AUDIT_FILE, AuditLog
from pipeline.clock import Clock, SystemClock
from pipeline.config import CheckpointSettings, given_token, load

DEFAULT_FILE = Path("checkpoint.toml")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Configuration file; without it ./checkpoint.toml, else the defaults."
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file", help="Your token, in a file of mode 600; else from $CHECKPOINT_TOKEN."
    ),
]


def settings_from(config: Path | None) -> CheckpointSettings:
    """The named configuration, else ./checkpoint.toml, else the defaults."""
    if config is None and DEFAULT_FILE.exists():
        config = DEFAULT_FILE
    return load(config) if config else CheckpointSettings()


def person_acting(
    settings: CheckpointSettings, token_file: Path | None = None, clock: Clock | None = None
) -> Person:
    """Who acts on this command line.

    Raises:
        AccessError: the token is missing, unreadable or not valid.
    """
    return acting_person(settings, given_token(settings, token_file), clock)


def audit_file(settings: CheckpointSettings) -> Path:
    """Where the audit log of a data folder lies."""
    return settings.data_dir / AUDIT_FILE


@contextmanager
def open_audit(settings: CheckpointSettings, clock: Clock | None = None) -> Iterator[AuditLog]:
    """The audit log of a data folder.

    Raises:
        AuditError: it cannot be opened; what must be recorded must not be done.
    """
    with AuditLog(audit_file(settings), clock or SystemClock()) as log:
        yield log
