"""Settings of who may act, what is recorded, and how long anything is kept."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.config.base import Settings

MINIMUM_AUDIT_DAYS = 184
"""Six months, of which the longest has 184 days."""


class AccessRole(StrEnum):
    """What a person may do. Each is given by itself; none holds another."""

    VIEWER = "viewer"
    """See alerts, passages and the watchlist."""
    EDITOR = "editor"
    """Draft entries of the watchlist."""
    APPROVER = "approver"
    """Answer for entries, review alerts, give out tokens."""
    AUDITOR = "auditor"
    """Verify and export the audit log."""


class AccessSettings(Settings):
    """Who may act. Tokens are given out by ``checkpoint access add``.

    Without ``required`` the operating system's user acts with all roles where no token is given.
    ``certificates`` gives roles to the common names of client certificates.
    """

    required: bool = False
    token_file: Path | None = Field(default=None, description="our own token; mode 600")
    token_days: int = Field(default=90, ge=1, le=366, description="how long a new token lasts")
    certificates: dict[str, frozenset[AccessRole]] = Field(default_factory=dict)


class AuditSettings(Settings):
    """The audit log: how long its records are kept, never less than six months."""

    keep_days: int = Field(default=366, ge=MINIMUM_AUDIT_DAYS)


class RetentionSettings(Settings):
    """What is deleted when. 0 deletes at the next sweep.

    A passage without a hit goes ``passages_h`` hours after its end, one with a hit after
    ``hits_days``, or the days that ``categories`` names for the entry's category: the longest
    counts. An expired or cancelled entry goes after ``entries_days``, a reviewed alert
    ``alerts_days`` after its review.
    """

    passages_h: float = Field(default=24.0, ge=0, le=24 * 3660)
    hits_days: float = Field(default=180.0, ge=0, le=3660)
    categories: dict[str, Annotated[float, Field(ge=0, le=3660)]] = Field(default_factory=dict)
    entries_days: float = Field(default=180.0, ge=0, le=3660)
    alerts_days: float = Field(default=180.0, ge=0, le=3660)
    sweep_every_s: float = Field(default=300.0, gt=0, le=3600)
