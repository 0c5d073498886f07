"""What ``alerts.py`` measures, and what it has found."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured.

    ``rate`` hits a second with a picture of ``picture_bytes``, and as many as go without one, each
    for ``seconds``; then ``fan_rate`` hits a second to ``subscribers`` at once. With ``minutes``
    memory is watched for so long at ``rate`` hits a second without a picture.
    """

    seconds: float = 30.0
    rate: float = 200.0
    picture_bytes: int = 50_000
    subscribers: int = 500
    fan_rate: float = 5.0
    minutes: float = 0.0
    postgres_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Latency:
    """From the moment a hit was due to a subscriber that has it, for ``hits`` of them."""

    hits: int
    rate: float
    picture_bytes: int
    ms: dict[str, float]
    cpu_cores: dict[str, float]


@dataclass(frozen=True, slots=True)
class Sustained:
    """As fast as they go, until a subscriber had them.

    ``rss_mib``: memory of the processes after a third of the time, and at its end.
    """

    hits: int
    hits_per_s: float
    cpu_cores: dict[str, float]
    rss_mib: dict[str, tuple[float, float]]
    store_bytes_per_hit: float


@dataclass(frozen=True, slots=True)
class Fan:
    """The same hits to many subscribers at once; ``missing`` alerts did not arrive."""

    subscribers: int
    rate: float
    alerts: int
    missing: int
    ms: dict[str, float]
    cpu_cores: dict[str, float]
    service_rss_mib: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of the processes in MiB at each ``at_s``, while hits went through at ``rate``.

    ``growth_mib_per_hour``: by a straight line through the samples after the first third.
    """

    rate: float
    hits: int
    at_s: list[float]
    rss_mib: dict[str, list[float]]
    growth_mib_per_hour: dict[str, float]


@dataclass(frozen=True, slots=True)
class Machine:
    """What the figures were measured on. ``sync_ms``: waiting for the disk after 4 KiB, alone;
    ``load``: of everything that ran in the minute before."""

    cores: int
    load: float
    sync_ms: dict[str, float]
    store: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured."""

    machine: Machine
    latency: Latency
    sustained: Sustained
    fan: Fan
    memory: Memory | None
