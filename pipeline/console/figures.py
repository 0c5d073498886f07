"""Figures of a checkpoint by camera and time, from the counts that are kept. Pure.

Everything is counted in whole hours of UTC; a day is one of ``zone``, and an hour belongs to the
day in which it begins.

What the rates can tell, and what not:

read rate       passages with a plate read, over those on which a plate was found. Vehicles with a
                dirty or hidden plate on which none was found do not count.
capture rate    passages with a plate read, over all passages: of vehicles that were noticed. A
                vehicle that no frame showed well enough to be noticed is in neither number.
precision       alerts that a person confirmed, over those that a person confirmed or rejected.
                None while nobody has decided any.
latency         from the last frame that an alert's first revision rests on until the alert
                service has it; late matches are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from enum import StrEnum
from heapq import merge
from math import ceil

from pipeline.rollup import AlertHour, PassageHour


class Bucket(StrEnum):
    """How much time one figure covers."""

    HOUR = "hour"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one camera, or of all, in one bucket or in the whole time.

    The rates are None where there was nothing to divide by.
    """

    passages: int = 0
    found: int = 0
    read: int = 0
    alerts: int = 0
    confirmed: int = 0
    rejected: int = 0
    latencies_s: tuple[float, ...] = ()
    """In ascending order."""

    @property
    def read_rate(self) -> float | None:
        """Plates read, of those found."""
        return _share(self.read, self.found)

    @property
    def capture_rate(self) -> float | None:
        """Passages with a plate read, of all."""
        return _share(self.read, self.passages)

    @property
    def precision(self) -> float | None:
        """Alerts confirmed, of those decided."""
        return _share(self.confirmed, self.confirmed + self.rejected)

    def latency_s(self, share: float) -> float | None:
        """The latency that ``share`` of the alerts do not exceed (nearest rank), seconds."""
        if not self.latencies_s:
            return None
        return self.latencies_s[max(0, ceil(share * len(self.latencies_s)) - 1)]


@dataclass(frozen=True, slots=True)
class Figures:
    """``cameras``: for each camera its tallies, one for each of ``starts``."""

    bucket: Bucket
    starts: tuple[datetime, ...]
    cameras: Mapping[str, tuple[Tally, ...]]

    def of_all(self) -> tuple[Tally, ...]:
        """All cameras together."""
        return tuple(total(column) for column in zip(*self.cameras.values(), strict=True)) or (
            (Tally(),) * len(self.starts)
        )


def starts_of(
    since: datetime, until: datetime, bucket: Bucket, zone: tzinfo | None = None
) -> tuple[datetime, ...]:
    """Where the buckets begin that together hold everything from ``since`` to ``until``, in UTC;
    then where the last one ends. ``zone``: of the days; None: this machine's own."""
    found = [_start(since, bucket, zone)]
    while found[-1] < until:
        if bucket is Bucket.HOUR:
            found.append(found[-1] + timedelta(hours=1))
        else:  # a day may have 23 or 25 hours
            found.append(_start(found[-1] + timedelta(hours=36), bucket, zone))
    return tuple(found)


def figures(
    passages: Iterable[PassageHour],
    alerts: Iterable[AlertHour],
    starts: Sequence[datetime],
    bucket: Bucket,
    checkpoint: str,
    zone: tzinfo | None = None,
) -> Figures:
    """Sort hours into buckets.

    Args:
        passages: of this checkpoint; what is in none of the buckets is left out.
        alerts: of this checkpoint or, with the service of a province, of many.
        starts: see ``starts_of``.
        checkpoint: this one's name: cameras of another go by ``CHECKPOINT / CAMERA``.
        zone: of the days; None: this machine's own.
    """
    places = {start: place for place, start in enumerate(starts[:-1])}
    tallies: dict[str, dict[int, list[Tally]]] = {}

    def count(camera: str, hour: datetime, tally: Tally) -> None:
        place = places.get(_start(hour, bucket, zone))
        if place is not None:
            tallies.setdefault(camera, {}).setdefault(place, []).append(tally)

    for one in passages:
        count(one.camera, one.hour, Tally(one.passages, one.found, one.read))
    for of in alerts:
        name = of.camera if of.checkpoint == checkpoint else f"{of.checkpoint} / {of.camera}"
        tally = Tally(0, 0, 0, of.alerts, of.confirmed, of.rejected, of.latencies_s)
        count(name, of.hour, tally)
    cameras = {
        camera: tuple(total(by_place.get(place, ())) for place in range(len(places)))
        for camera, by_place in sorted(tallies.items())
    }
    return Figures(bucket, tuple(starts[:-1]), cameras)


def total(tallies: Iterable[Tally]) -> Tally:
    """All of them together."""
    tallies = list(tallies)
    return Tally(
        sum(one.passages for one in tallies),
        sum(one.found for one in tallies),
        sum(one.read for one in tallies),
        sum(one.alerts for one in tallies),
        sum(one.confirmed for one in tallies),
        sum(one.rejected for one in tallies),
        tuple(merge(*(one.latencies_s for one in tallies))),
    )


def _start(moment: datetime, bucket: Bucket, zone: tzinfo | None) -> datetime:
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if bucket is Bucket.HOUR:
        return hour
    midnight = datetime.combine(hour.astimezone(zone).date(), time())
    local = midnight.replace(tzinfo=zone) if zone else midnight.astimezone()
    return local.astimezone(UTC)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
