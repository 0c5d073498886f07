"""What the list says of itself, in the hash of its plates; ``watchlist.rows`` names the fields.

Version and lineage tell a list that has lost its data, the times how old it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pipeline.errors import StoreUnavailable
from watchlist.rows import SCHEMA

ABOUT: Final = (
    "@version",
    "@updated_at",
    "@heartbeat",
    "@lineage",
    "@schema",
    "@bulk",
    "@patterns",
)
"""The fields, in the order of ``About.of``."""


@dataclass(frozen=True, slots=True)
class About:
    """What one read has found. ``bulk``, ``patterns``: see ``watchlist.rows``."""

    version: int
    updated_at: datetime | None
    beaten_at: datetime | None
    lineage: str
    bulk: bytes | None
    patterns: bytes | None

    @classmethod
    def of(cls, values: Sequence[bytes | None], where: str) -> About:
        """Understand the values of ``ABOUT``; ``where``: the address of Redis.

        Raises:
            StoreUnavailable: a later version of Checkpoint has written the list.
        """
        version, updated_at, heartbeat, lineage, schema = (
            value.decode() if value else "" for value in values[:5]
        )
        if int(schema or 0) > SCHEMA:
            raise StoreUnavailable(
                f"Redis at {where}: the watchlist was written by a later "
                "version of Checkpoint; upgrade this one"
            )
        moments = _moment(updated_at), _moment(heartbeat)
        return cls(int(version or 0), *moments, lineage, *values[5:])

    def age_s(self, now: datetime) -> float:
        """Seconds since the last change or heartbeat; 0 for a list that nobody has begun."""
        moments = [moment for moment in (self.updated_at, self.beaten_at) if moment]
        if not moments or not self.version:
            return 0.0
        return max(0.0, (now - max(moments)).total_seconds())


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
