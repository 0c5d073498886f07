"""Settings of the alert service, and of what a checkpoint sends to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.config.base import Settings


class TlsSettings(Settings):
    """PEM files for TLS; with ``client_ca`` every client must show a certificate.

    A process that publishes to ``alerts.target`` shows this certificate there as its own.
    ``revoked``: SHA-256 fingerprints of client certificates that count no more.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    revoked: tuple[Annotated[str, Field(pattern=r"^([0-9A-Fa-f]{2}:?){32}$")], ...] = ()


class LimitSettings(Settings):
    """What callers of the alert service may ask for; a peer is an address.

    Beyond it a call is told RESOURCE_EXHAUSTED, and when to try again; a connection is closed. How
    many connections one peer may have is for the firewall to say: see docs/province.md.
    """

    calls_per_s: float = Field(default=200.0, gt=0, description="of one peer; twice that at once")
    streams: int = Field(default=500, ge=1, description="calls of one peer that are open at once")
    all_streams: int = Field(default=2000, ge=1, description="of all peers together")
    connections: int = Field(default=2000, ge=1, description="to each address, of all peers")


class AlertSettings(Settings):
    """The alert service: where it listens, and where this checkpoint publishes to.

    With ``tls.client_ca`` whoever calls ``listen`` shows a certificate; ``listen_tokens`` is then a
    second address, for people who have a token and none. ``publishers`` gives the common name of a
    machine's certificate the checkpoints that it may publish for ("*": all); without it every
    certificate may for the checkpoint of its own name. An alert of ``escalate_priority`` or more
    urgent that nobody has reviewed after ``escalate_after_s`` is escalated; 0: never. A reviewer
    can take a decision back within ``undo_s``; 0: never.

    Alerts lie in the watchlist's Redis, or in the PostgreSQL that ``postgres_url`` names:
    ``postgresql://user:password@host1,host2/database``, the password here or in
    ``postgres_password``. Beyond this machine its certificate is verified, unless the URL says
    ``sslmode``.
    """

    listen: str = Field(default="127.0.0.1:50051", pattern=r"^.+:\d{1,5}$")
    listen_tokens: str | None = Field(default=None, pattern=r"^.+:\d{1,5}$")
    target: str | None = Field(default=None, pattern=r"^.+:\d{1,5}$")
    tls: TlsSettings | None = None
    target_ca: Path | None = None
    publishers: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    limits: LimitSettings = LimitSettings()
    escalate_after_s: float = Field(default=300.0, ge=0)
    escalate_priority: int = Field(default=1, ge=1, le=4)
    postgres_url: str | None = Field(default=None, repr=False, pattern=r"^postgres(ql)?://")
    postgres_password: str | None = Field(default=None, repr=False)
    undo_s: float = Field(
        default=10.0, ge=0, le=3600, description="in which a reviewer can take a decision back"
    )


class OutboxSettings(Settings):
    """What a checkpoint sends to ``alerts.target``, and in which order.

    Hits go up in the order in which they were found. With ``urgent_first`` those of that priority,
    or more urgent, go before all others and the newest of them first: after a time without a link
    what can still be acted on is known at once. The feed then has them in the order in which they
    came, not in that in which they happened; ``occurred_at`` tells.
    """

    urgent_first: int = Field(default=0, ge=0, le=4, description="least urgent priority; 0: none")
    report_every_s: float = Field(
        default=10.0, gt=0, le=3600, description="how often the checkpoint says how it is"
    )


class ProvinceSettings(Settings):
    """The watch over checkpoints: one of which nothing is heard for so long is silent."""

    silent_after_s: float = Field(default=60.0, ge=1, le=86_400)
