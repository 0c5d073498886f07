"""How much one peer may ask of the alert service: calls at once, and calls a second. Pure.

One object belongs to the service's event loop. What it keeps is bounded: a peer that has no open
call and a full allowance is forgotten, and there are never more peers than ``_MOST_PEERS``.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from pipeline.alerts.status import CallRefused, Reason
from pipeline.clock import Clock
from pipeline.config import LimitSettings

_BURST_S: Final = 2.0
_MOST_PEERS: Final = 10_000


@dataclass(slots=True)
class _Peer:
    open: int
    allowance: float
    at_s: float


class CallLimits:
    """Counts calls by peer.

    Each peer has an allowance of ``calls_per_s`` a second that grows up to two seconds' worth, and
    may have ``streams`` calls open; all together may have ``all_streams`` open.
    """

    def __init__(self, settings: LimitSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._peers: OrderedDict[str, _Peer] = OrderedDict()
        self._open = 0

    @property
    def open_calls(self) -> int:
        """How many calls are open now."""
        return self._open

    @property
    def known_peers(self) -> int:
        """How many peers are remembered."""
        return len(self._peers)

    def begin(self, peer: str) -> None:
        """Count a new call; ``end`` must follow it.

        Raises:
            CallRefused: the peer asks too often, or has too many calls open, or all have.
        """
        settings, now_s = self._settings, self._clock.monotonic()
        most = settings.calls_per_s * _BURST_S
        found = self._peers.pop(peer, None) or _Peer(0, most, now_s)
        found.allowance = min(
            most, found.allowance + max(0.0, now_s - found.at_s) * settings.calls_per_s
        )
        found.at_s = now_s
        self._peers[peer] = found
        self._forget_idle(now_s)
        if found.allowance < 1:
            wait_s = (1 - found.allowance) / settings.calls_per_s
            raise CallRefused(
                Reason.RATE_LIMIT,
                f"more than {settings.calls_per_s:g} calls a second; wait {wait_s:.2f} s",
                retry_s=wait_s,
            )
        found.allowance -= 1
        if found.open >= settings.streams:
            raise CallRefused(
                Reason.STREAM_LIMIT,
                f"{found.open} calls of this peer are open, as many as there may be; end some",
                retry_s=1.0,
            )
        if self._open >= settings.all_streams:
            raise CallRefused(
                Reason.STREAM_LIMIT,
                f"{self._open} calls are open, as many as there may be; try again later",
                retry_s=5.0,
            )
        found.open += 1
        self._open += 1

    def end(self, peer: str) -> None:
        """A call that ``begin`` has counted is over."""
        self._open -= 1
        if (found := self._peers.get(peer)) is not None:
            found.open -= 1

    def _forget_idle(self, now_s: float) -> None:
        """Forget the peer that was heard of longest ago, where nothing of it is left."""
        while len(self._peers) > 1:
            name, oldest = next(iter(self._peers.items()))
            if oldest.open:
                self._peers.move_to_end(name)
                return
            if now_s - oldest.at_s < _BURST_S and len(self._peers) <= _MOST_PEERS:
                return
            del self._peers[name]


def peer_key(peer: str) -> str | None:
    """What a gRPC peer ("ipv4:192.0.2.1:4711") counts as: its address, of IPv6 the /64 network.

    None: a Unix socket, which only this user can open and which has no limit.
    """
    kind, _, rest = peer.partition(":")
    if kind == "unix":
        return None
    address = ip_of(peer)
    if address is None:
        return f"{kind}:{rest[:64]}"
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def ip_of(peer: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address of a gRPC peer; None where it is no IP peer."""
    kind, _, rest = peer.replace("%5B", "[").replace("%5D", "]").partition(":")
    if kind not in ("ipv4", "ipv6"):
        return None
    try:
        address = ipaddress.ip_address(rest.rpartition(":")[0].strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
