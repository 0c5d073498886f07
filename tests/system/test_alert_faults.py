"""Faults at random moments under load: every accepted hit arrives once, in order, whatever dies.

``make faults`` runs 20 rounds of each and prints the counts; without it a few rounds are run.
``kill -9`` leaves what the kernel has taken in; a power cut is what waiting for the disk is for.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.alert_rig import Counts, Rig, until
from tests.support.disks import small_disk

pytestmark = [
    pytest.mark.slow,
    pytest.mark.grpc,
    pytest.mark.redis,
    pytest.mark.timeout(1800),
]

Fault = Callable[[Rig, random.Random], None]


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--fault-rounds"))


def run(rig: Rig, fault: Fault, rounds: int, seed: int) -> Counts:
    """Let a fault happen again and again; after each, alerts must come again by themselves."""
    chance = random.Random(seed)
    with rig:
        for _ in range(rounds):
            time.sleep(chance.uniform(0.05, 0.5))
            fault(rig, chance)
            rig.goes_on()
            rig.rounds += 1
        counts = rig.finish()
    print(f"{fault.__name__}: {counts}")
    return counts


def assert_nothing_lost(counts: Counts) -> None:
    assert counts.lost == 0, counts
    assert counts.duplicated == 0, counts
    assert counts.disordered == 0, counts
    assert counts.accepted > 50, counts
    assert counts.delivered >= counts.accepted, counts


def publisher_killed(rig: Rig, chance: random.Random) -> None:
    victim = chance.choice(rig.checkpoints)
    victim.kill()
    time.sleep(chance.uniform(0, 0.3))
    victim.start()


def service_killed(rig: Rig, chance: random.Random) -> None:
    rig.kill_service()
    time.sleep(chance.uniform(0, 0.3))
    rig.start_service()


def redis_killed(rig: Rig, chance: random.Random) -> None:
    rig.redis.kill()
    time.sleep(chance.uniform(0, 0.5))
    rig.redis.start()


def link_cut(rig: Rig, chance: random.Random) -> None:
    link = chance.choice([rig.up, rig.down])
    chance.choice([link.cut, link.freeze])()
    time.sleep(chance.uniform(0.05, 1.0))
    if chance.random() < 0.5:  # what was under way on a frozen link is lost
        link.cut()
    link.restore()


def everything_killed(rig: Rig, chance: random.Random) -> None:
    kills = [rig.redis.kill, rig.kill_service, *(one.kill for one in rig.checkpoints)]
    chance.shuffle(kills)
    for kill in kills:
        kill()
        time.sleep(chance.uniform(0, 0.1))
    starts = [rig.redis.start, rig.start_service, *(one.start for one in rig.checkpoints)]
    chance.shuffle(starts)
    for start in starts:
        start()
        time.sleep(chance.uniform(0, 0.3))


@pytest.mark.parametrize(
    "fault",
    [publisher_killed, service_killed, redis_killed, link_cut, everything_killed],
    ids=lambda fault: fault.__name__,
)
def test_nothing_is_lost_doubled_or_out_of_order(tmp_path: Path, rounds: int, fault: Fault) -> None:
    counts = run(Rig(tmp_path), fault, rounds, seed=7)
    assert_nothing_lost(counts)


def test_the_outbox_on_a_full_disk(tmp_path: Path, rounds: int) -> None:
    with small_disk(tmp_path / "north", kib=32 * 1024) as disk:

        def outbox_full(rig: Rig, chance: random.Random) -> None:
            victim = rig.checkpoints[0]
            victim.look()
            before = victim.refused

            def refused() -> bool:
                victim.look()
                return victim.refused > before

            rig.up.cut()  # else the space of what was published is used again and again
            disk.fill()
            until(refused, 30, "a refusal")
            if chance.random() < 0.5:  # what it held in memory was not accepted
                victim.kill()
                victim.start()
                time.sleep(chance.uniform(0, 0.5))
            chance.choice([rig.up.restore, disk.free])()
            time.sleep(chance.uniform(0, 0.5))
            rig.up.restore()
            disk.free()

        rig = Rig(tmp_path, disk.inside)
        rig.checkpoints[0].picture_bytes = 25_000
        counts = run(rig, outbox_full, rounds, seed=7)
    assert_nothing_lost(counts)
    assert counts.refused > 0


def test_the_store_on_a_full_disk(tmp_path: Path, rounds: int) -> None:
    """Redis ends itself where it cannot write; whoever starts it again finds what it took."""
    with small_disk(tmp_path / "data", kib=256 * 1024) as disk:

        def store_full(rig: Rig, chance: random.Random) -> None:
            disk.fill()
            until(rig.redis.ended, 20, "the end of Redis")
            time.sleep(chance.uniform(0, 0.3))
            disk.free()
            rig.redis.start()

        where = ("--dir", str(tmp_path / "data"), "--unixsocket", str(tmp_path / "r.sock"))
        rig = Rig(tmp_path, redis_options=where)
        rig.redis.inside = disk.inside
        counts = run(rig, store_full, rounds, seed=7)
    assert_nothing_lost(counts)
