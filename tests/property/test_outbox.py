"""The outbox against a model: whatever is done in whatever order, nothing is lost or reordered."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pipeline.outbox import Outbox

KEYS = st.tuples(st.sampled_from("abcde"), st.integers(0, 2))


class OutboxMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.outbox = Outbox(self.folder / "outbox.db")
        self.model: dict[tuple[str, int], bytes] = {}
        self.priorities: dict[tuple[str, int], int] = {}

    @rule(key=KEYS, payload=st.binary(max_size=20))
    def put(self, key: tuple[str, int], payload: bytes) -> None:
        assert self.outbox.put(*key, payload) == (key not in self.model)
        if key not in self.model:
            self.model[key] = payload
            self.priorities[key] = 4

    @rule(
        hits=st.lists(st.tuples(KEYS, st.binary(max_size=20), st.integers(1, 4)), max_size=6),
    )
    def put_all(self, hits: list[tuple[tuple[str, int], bytes, int]]) -> None:
        new = {key for key, _, _ in hits} - set(self.model)
        rows = [(*key, payload, priority) for key, payload, priority in hits]
        assert self.outbox.put_all(rows) == len(new)
        for key, payload, priority in hits:
            if key not in self.model:
                self.model[key] = payload
                self.priorities[key] = priority

    @rule(keys=st.lists(KEYS, max_size=4))
    def done(self, keys: list[tuple[str, int]]) -> None:
        self.outbox.done(keys)
        for key in keys:
            self.model.pop(key, None)

    @rule(key=KEYS)
    def refuse(self, key: tuple[str, int]) -> None:
        waited = key in self.model
        self.outbox.refuse(key, "why")
        self.model.pop(key, None)
        assert not waited or (key, "why") in self.outbox.refused()

    @rule()
    def reopen(self) -> None:
        self.outbox.close()
        self.outbox = Outbox(self.folder / "outbox.db")

    @rule(limit=st.integers(1, 5))
    def read_in_pages(self, limit: int) -> None:
        row, keys = 0, []
        while page := self.outbox.pending(limit, row):
            assert len(page) <= limit
            keys += [one.key for one in page]
            row = page[-1].row
        assert keys == list(self.model)

    @rule()
    def fold(self) -> None:
        self.outbox._fold(0)

    @rule(priority=st.integers(1, 4))
    def the_urgent_and_the_others_are_all(self, priority: int) -> None:
        rows = [row for row, _ in self.outbox.urgent(priority)]
        urgent = [one.key for one in self.outbox.rows(rows)]
        others = [one.key for one in self.outbox.pending(100, above_priority=priority)]
        assert urgent == [key for key in self.model if self.priorities[key] <= priority]
        assert others == [key for key in self.model if self.priorities[key] > priority]

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        waiting = self.outbox.pending(100)
        assert [(one.key, one.payload) for one in waiting] == list(self.model.items())
        assert self.outbox.depth() == len(self.model)
        assert self.outbox.recovery is None

    def teardown(self) -> None:
        self.outbox.close()
        shutil.rmtree(self.folder)


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
