"""Limits by peer: never more than allowed, never a count that stays, never memory without bound."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.alerts.limits import CallLimits, ip_of, peer_key
from pipeline.alerts.status import CallRefused, Reason
from pipeline.clock import ManualClock
from pipeline.config import LimitSettings


def test_a_peer_may_ask_for_two_seconds_worth_at_once_and_then_at_its_rate() -> None:
    clock = ManualClock()
    limits = CallLimits(LimitSettings(calls_per_s=5), clock)
    for _ in range(10):
        limits.begin("a")
        limits.end("a")
    with pytest.raises(CallRefused) as refused:
        limits.begin("a")
    assert refused.value.reason is Reason.RATE_LIMIT
    assert refused.value.retry_s == pytest.approx(0.2)
    limits.begin("b")  # another is not held back
    clock.advance(refused.value.retry_s)
    limits.begin("a")
    with pytest.raises(CallRefused):
        limits.begin("a")


def test_streams_are_counted_by_peer_and_together() -> None:
    limits = CallLimits(LimitSettings(streams=2, all_streams=3), ManualClock())
    limits.begin("a")
    limits.begin("a")
    with pytest.raises(CallRefused, match="2 calls of this peer are open") as refused:
        limits.begin("a")
    assert refused.value.reason is Reason.STREAM_LIMIT
    limits.begin("b")
    with pytest.raises(CallRefused, match="3 calls are open"):
        limits.begin("b")
    limits.end("a")
    limits.begin("b")


def test_idle_peers_are_forgotten_and_their_number_is_bounded() -> None:
    clock = ManualClock()
    limits = CallLimits(LimitSettings(), clock)
    limits.begin("stays")
    for number in range(30_000):
        limits.begin(f"peer-{number}")
        limits.end(f"peer-{number}")
    assert limits.known_peers <= 10_001
    clock.advance(60)
    for number in range(3):
        limits.begin(f"late-{number}")
    assert limits.known_peers <= 5
    assert limits.open_calls == 4


class Calls(RuleBasedStateMachine):
    """Random calls of a few peers against a plain model of the rules."""

    PEERS = st.sampled_from("abc")

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.settings = LimitSettings(calls_per_s=4, streams=3, all_streams=6)
        self.limits = CallLimits(self.settings, self.clock)
        self.open: list[str] = []
        self.began: list[tuple[str, float]] = []

    @rule(peer=PEERS)
    def begin(self, peer: str) -> None:
        with contextlib.suppress(CallRefused):
            self.limits.begin(peer)
            self.open.append(peer)
            self.began.append((peer, self.clock.monotonic()))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        peer = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.limits.end(peer)

    @rule(seconds=st.floats(0, 5))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def no_more_than_allowed(self) -> None:
        assert self.limits.open_calls == len(self.open) <= self.settings.all_streams
        for peer in "abc":
            assert self.open.count(peer) <= self.settings.streams
            times = [at_s for one, at_s in self.began if one == peer]
            for first, start_s in enumerate(times):  # in every span: its rate, and two seconds more
                for count, end_s in enumerate(times[first:], start=1):
                    assert count <= (end_s - start_s + 2) * self.settings.calls_per_s + 1e-6


TestCalls = Calls.TestCase


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        ("ipv4:192.0.2.7:4711", "192.0.2.7"),
        ("ipv6:[2001:db8:1:2:3::7]:4711", "2001:db8:1:2::/64"),
        ("ipv6:%5B2001:db8:1:2:9::1%5D:80", "2001:db8:1:2::/64"),
        ("ipv6:[::ffff:192.0.2.7]:1", "192.0.2.7"),
        ("unix:", None),
        ("unix:/run/x.sock", None),
        ("ipv4:nonsense", "ipv4:nonsense"),
    ],
)
def test_a_peer_counts_by_its_address(peer: str, key: str | None) -> None:
    assert peer_key(peer) == key


@given(st.text())
def test_any_peer_has_a_bounded_key(peer: str) -> None:
    key = peer_key(peer)
    assert key is None or len(key) <= len(peer.partition(":")[0]) + 65
    ip_of(peer)
