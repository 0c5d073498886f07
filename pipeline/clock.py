"""Time as a parameter, so that tests never sleep."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Where a component takes its time from."""

    def monotonic(self) -> float:
        """Seconds that never go backwards; for ages and time-outs."""
        ...

    def now(self) -> datetime:
        """The wall clock, aware, in UTC; for what people read."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic(self) -> float:
        """Seconds since some start, never backwards."""
        return time.monotonic()

    def now(self) -> datetime:
        """The time of day, UTC."""
        return datetime.now(UTC)


class ManualClock:
    """A clock that a test moves by hand."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._monotonic = 1000.0

    def monotonic(self) -> float:
        """Seconds, moved by ``advance`` alone."""
        return self._monotonic

    def now(self) -> datetime:
        """The time of day, moved by ``advance`` alone."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self._monotonic += seconds
        self._now += timedelta(seconds=seconds)


def microseconds_of(moment: datetime) -> int:
    """Whole microseconds since 1970 (UTC) of an aware moment, as files and Redis keep it."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment_of(microseconds: int) -> datetime:
    """The moment so many microseconds after 1970, UTC."""
    return EPOCH + timedelta(microseconds=microseconds)
