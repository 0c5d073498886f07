"""How a checkpoint is, as it says itself and as a province sees it. Imports nothing of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class CheckpointState(StrEnum):
    """What a service knows of a checkpoint."""

    EXPECTED = "expected"
    """It is configured, but nothing was heard of it yet."""
    ONLINE = "online"
    SILENT = "silent"
    """Nothing was heard of it for too long."""


@dataclass(frozen=True, slots=True)
class CheckpointReport:
    """How a checkpoint is, in its own words and by its own clock.

    ``waiting_hits`` wait there to be published, the oldest for ``oldest_waiting_s``. The list's
    version and age are None while it cannot be read. ``problems``: what is wrong, by component.
    """

    checkpoint: str
    reported_at: datetime
    started_at: datetime
    version: str
    waiting_hits: int = 0
    oldest_waiting_s: float | None = None
    list_version: int | None = None
    list_age_s: float | None = None
    problems: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckpointStatus:
    """What a service knows of a checkpoint.

    ``lag_s``: how long its latest hit took from the match to the service's store.
    ``clock_ahead_s``: how far its clock is ahead of the service's. None: not known yet.
    """

    checkpoint: str
    state: CheckpointState
    since: datetime
    last_seen_at: datetime | None = None
    lag_s: float | None = None
    clock_ahead_s: float | None = None
    report: CheckpointReport | None = None
