"""Settings of the watchlist and of matching."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from pipeline.config.base import Settings

MOST_ENTRY_DAYS = 3660.0
CATEGORIES = (
    "stolen",
    "wanted",
    "cloned_plate",
    "missing_person",
    "expired_inspection",
    "unpaid_accident",
    "other",
)
"""Categories that an entry may have unless the configuration names others."""


class WatchlistSettings(Settings):
    """Where the watchlist lives, and what its entries must keep to.

    No ``redis_url`` means an embedded Redis in the data folder. Else it is one of
    ``redis://host:6379/0``, ``rediss://…`` (TLS), ``unix:///path/to.sock``,
    ``redis+sentinel://host1:26379,host2/service/db`` and ``redis+cluster://host1,host2``, the last
    two with TLS as ``rediss+…``. User and password stand in the URL or in ``user`` and
    ``password``; a Sentinel's own in ``sentinel_user`` and ``sentinel_password``.
    """

    redis_url: str | None = Field(default=None, repr=False)
    key_prefix: str = Field(default="checkpoint", min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    timeout_s: float = Field(default=2.0, gt=0)
    user: str | None = None
    password: str | None = Field(default=None, repr=False)
    sentinel_user: str | None = None
    sentinel_password: str | None = Field(default=None, repr=False)
    tls_ca: Path | None = Field(default=None, description="PEM; None: the system's authorities")
    tls_certificate: Path | None = Field(default=None, description="PEM, shown to the server")
    tls_key: Path | None = None
    stale_after_s: float = Field(default=86_400.0, gt=0, description="of the list's age: degraded")
    history_versions: int = Field(default=1000, ge=1)
    history_mib: int = Field(default=512, ge=1, description="of before-images, for rollback")
    entry_days: float = Field(
        default=400.0, gt=0, le=MOST_ENTRY_DAYS, description="an entry's longest life"
    )
    categories: dict[str, float | None] = Field(
        default_factory=lambda: dict.fromkeys(CATEGORIES), description="and its own longest life"
    )

    @field_validator("categories")
    @classmethod
    def _named(cls, categories: dict[str, float | None]) -> dict[str, float | None]:
        if not categories:
            raise ValueError("name at least one category")
        for name, days in categories.items():
            if not re.fullmatch(r"[a-z0-9]+(?:_[a-z0-9]+)*", name) or len(name) > 64:
                raise ValueError(f"{name!r}: write a category as lower_case_words")
            if days is not None and not 0 < days <= MOST_ENTRY_DAYS:
                raise ValueError(f"{name}: its days must lie between 0 and {MOST_ENTRY_DAYS}")
        return categories

    @model_validator(mode="after")
    def _key_with_certificate(self) -> WatchlistSettings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        return self


class MatchingSettings(Settings):
    """What counts as meeting an entry of the watchlist.

    A reading that is less likely than ``possible_floor`` meets nothing; 1 leaves the voted plate
    alone. At most ``most_readings`` of a passage are looked up. With ``mismatch_lowers`` an exact
    hit on another class or colour than the entry names counts as possible only.
    """

    possible_floor: float = Field(default=0.05, ge=0.001, le=1)
    most_readings: int = Field(default=20, ge=1, le=1000)
    mismatch_lowers: bool = False
