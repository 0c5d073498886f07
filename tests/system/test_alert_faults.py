"""Faults at random moments under load: every accepted hit arrives once, in order, whatever dies.

A test run kills everything, with alerts in Redis; ``make test-all`` runs a few rounds of each
fault, ``make faults`` 20 of each, and prints the counts.
``kill -9`` leaves what the kernel has taken in; a power cut is what waiting for the disk is for.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from tests.support.alert_rig import Counts, PostgresStore, RedisStore, Rig, StoreServer, until
from tests.support.disks import small_disk

pytestmark = [
    pytest.mark.slow,
    pytest.mark.grpc,
    pytest.mark.redis,
    pytest.mark.timeout(1800),
]

Fault = Callable[[Rig, random.Random], None]
Table = dict[str, Counts]


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--fault-rounds"))


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    """Counts by fault; printed at the end."""
    counts: Table = {}
    yield counts
    names = [one.name for one in fields(Counts)]
    wide = max((len(name) for name in counts), default=0)
    print("\n\n" + " ".join(["fault".ljust(wide), *(f"{name:>10}" for name in names)]))
    for fault, found in counts.items():
        numbers = (f"{getattr(found, name):>10,}" for name in names)
        print(" ".join([fault.ljust(wide), *numbers]))


def run(rig: Rig, fault: Fault, rounds: int, seed: int) -> Counts:
    """Let a fault happen again and again; after each, alerts must come again by themselves."""
    chance = random.Random(seed)
    with rig:
        for _ in range(rounds):
            time.sleep(chance.uniform(0.05, 0.5))
            fault(rig, chance)
            rig.goes_on()
            rig.rounds += 1
        return rig.finish()


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


def store_killed(rig: Rig, chance: random.Random) -> None:
    rig.store.kill()
    time.sleep(chance.uniform(0, 0.5))
    rig.store.start()


def link_cut(rig: Rig, chance: random.Random) -> None:
    link = chance.choice([rig.up, rig.down])
    chance.choice([link.cut, link.freeze])()
    time.sleep(chance.uniform(0.05, 1.0))
    if chance.random() < 0.5:  # what was under way on a frozen link is lost
        link.cut()
    link.restore()


def everything_killed(rig: Rig, chance: random.Random) -> None:
    kills = [rig.store.kill, rig.kill_service, *(one.kill for one in rig.checkpoints)]
    chance.shuffle(kills)
    for kill in kills:
        kill()
        time.sleep(chance.uniform(0, 0.1))
    starts = [rig.store.start, rig.start_service, *(one.start for one in rig.checkpoints)]
    chance.shuffle(starts)
    for start in starts:
        start()
        time.sleep(chance.uniform(0, 0.3))


STORES: dict[str, Callable[[Path], StoreServer]] = {
    "redis": RedisStore,
    "postgres": lambda folder: PostgresStore(),
}
FAULTS = [publisher_killed, service_killed, store_killed, link_cut, everything_killed]
RUNS = [
    pytest.param(
        store,
        fault,
        id=f"{store}-{fault.__name__}",
        marks=[] if (store, fault) == ("redis", everything_killed) else pytest.mark.long,
    )
    for store in STORES
    for fault in FAULTS
]


@pytest.mark.parametrize(("store", "fault"), RUNS)
def test_nothing_is_lost_doubled_or_out_of_order(
    tmp_path: Path, rounds: int, table: Table, store: str, fault: Fault
) -> None:
    counts = run(Rig(tmp_path, STORES[store](tmp_path)), fault, rounds, seed=7)
    table[f"{fault.__name__} ({store})"] = counts
    assert_nothing_lost(counts)


@pytest.mark.long
def test_the_outbox_on_a_full_disk(tmp_path: Path, rounds: int, table: Table) -> None:
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
            until(refused, 120, "a refusal")
            if chance.random() < 0.5:  # what it held in memory was not accepted
                victim.kill()
                victim.start()
                time.sleep(chance.uniform(0, 0.5))
            chance.choice([rig.up.restore, disk.free])()
            time.sleep(chance.uniform(0, 0.5))
            rig.up.restore()
            disk.free()

        rig = Rig(tmp_path, RedisStore(tmp_path), disk.inside)
        rig.checkpoints[0].picture_bytes = 25_000
        counts = table["outbox_full (redis)"] = run(rig, outbox_full, rounds, seed=7)
    assert_nothing_lost(counts)
    assert counts.refused > 0


@pytest.mark.long
def test_the_store_on_a_full_disk(tmp_path: Path, rounds: int, table: Table) -> None:
    """Redis ends itself where it cannot write; whoever starts it again finds what it took."""
    with small_disk(tmp_path / "data", kib=256 * 1024) as disk:

        def store_full(rig: Rig, chance: random.Random) -> None:
            disk.fill()
            until(redis.ended, 120, "the end of Redis")
            time.sleep(chance.uniform(0, 0.3))
            disk.free()
            rig.store.start()

        where = ("--dir", str(tmp_path / "data"), "--unixsocket", str(tmp_path / "r.sock"))
        redis = RedisStore(tmp_path, *where)
        redis.inside = disk.inside
        counts = table["store_full (redis)"] = run(Rig(tmp_path, redis), store_full, rounds, seed=7)
    assert_nothing_lost(counts)
