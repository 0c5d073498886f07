"""What a publisher sends next: each hit once, in the order that was asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.alerts.outgoing import Outgoing
from pipeline.outbox import Outbox, WaitingHit

PRIORITY = {"a": 1, "b": 2, "c": 4, "d": 4, "e": 1}
STEPS = st.lists(
    st.one_of(st.tuples(st.just("put"), st.sampled_from("abcde")), st.just(("take", ""))),
    max_size=60,
)


@contextmanager
def outbox() -> Iterator[Outbox]:
    with tempfile.TemporaryDirectory() as folder, closing(Outbox(Path(folder) / "o.db")) as made:
        yield made


def put(box: Outbox, hit_id: str, revision: int) -> None:
    box.put(hit_id, revision, b"", PRIORITY[hit_id[0]])


def drain(outgoing: Outgoing) -> list[WaitingHit]:
    found = []
    while (waiting := outgoing.next()) is not None:
        found.append(waiting)
    return found


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, urgent=st.integers(0, 4))
def test_every_hit_comes_once_and_revisions_keep_their_order(
    steps: list[tuple[str, str]], urgent: int
) -> None:
    with outbox() as box:
        outgoing, revisions, taken = Outgoing(box, urgent), dict.fromkeys("abcde", 0), []
        for what, hit_id in steps:
            if what == "put":
                put(box, hit_id, revisions[hit_id])
                revisions[hit_id] += 1
            elif (waiting := outgoing.next()) is not None:
                taken.append(waiting)
                if len(taken) % 3 == 0:
                    box.done([waiting.key])
        taken += drain(outgoing)
        keys = [one.key for one in taken]
        assert len(keys) == len(set(keys)) == sum(revisions.values())
        for hit_id in "abcde":
            mine = [revision for one, revision in keys if one == hit_id]
            assert mine == sorted(mine)


@settings(max_examples=60, deadline=None)
@given(ids=st.lists(st.sampled_from("abcde"), max_size=40), urgent=st.integers(0, 4))
def test_a_backlog_goes_in_the_promised_order(ids: list[str], urgent: int) -> None:
    names = [f"{one}{place}" for place, one in enumerate(ids)]
    with outbox() as box:
        for name in names:
            put(box, name, 0)
        sent = [one.hit_id for one in drain(Outgoing(box, urgent))]
    first = [name for name in names if PRIORITY[name[0]] <= urgent]
    rest = [name for name in names if PRIORITY[name[0]] > urgent]
    assert sent == [*reversed(first), *rest]


def test_an_urgent_hit_overtakes_what_waits_and_brings_its_earlier_revisions() -> None:
    with outbox() as box:
        for number in range(50):
            put(box, f"c{number}", 0)
        outgoing = Outgoing(box, 1)
        assert [outgoing.next().key for _ in range(2)] == [("c0", 0), ("c1", 0)]  # type: ignore[union-attr]
        put(box, "a", 0)
        put(box, "e", 0)
        put(box, "a", 1)
        keys = [one.key for one in drain(outgoing)]
        assert keys[:3] == [("a", 0), ("a", 1), ("e", 0)]
        assert keys[3:] == [(f"c{number}", 0) for number in range(2, 50)]


def test_an_outbox_made_anew_is_read_from_its_beginning() -> None:
    with outbox() as box:
        for number in range(5):
            put(box, f"c{number}", 0)
        outgoing = Outgoing(box)
        assert len(drain(outgoing)) == 5
        box.done([(f"c{number}", 0) for number in range(5)])
        with box._lock, box._read_lock:
            box._start_anew(__import__("sqlite3").DatabaseError("malformed"))
        put(box, "c9", 0)
        assert [one.key for one in drain(outgoing)] == [("c9", 0)]
