"""What the leader of a cluster needs from it. ``pipeline/cluster.py`` gives it Ray's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

from pipeline.cluster_records import ClusterState

Question = Literal["start", "beat", "stop"]
"""What a node is asked; see ``NodeActor`` in ``pipeline/cluster.py``."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A node of the cluster; ``id`` is new whenever it joins, ``name`` is not."""

    name: str
    id: str
    address: str
    alive: bool
    resources: Mapping[str, float] = field(default_factory=dict)


class Outcome(StrEnum):
    """What became of a question to a node."""

    ANSWERED = "answered"
    UNAVAILABLE = "unavailable"
    """It could not be reached; it may be there."""
    ENDED = "ended"
    """The node's pipeline is no more."""
    FAILED = "failed"
    """The question itself failed, a mistake of ours."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a question, with what was answered, or why there is no answer."""

    outcome: Outcome
    value: Any = None
    problem: str = ""


class Worker(Protocol):
    """A node's pipeline from afar; one question at a time."""

    def ask(self, what: Question, *arguments: object) -> None:
        """Put a question; one that still waits for its answer is given up."""
        ...

    def answer(self) -> Answer | None:
        """What became of the question; None while it waits. Never blocks."""
        ...

    def kill(self) -> None:
        """End the pipeline at once."""
        ...


class Fleet(Protocol):
    """What a cluster is made of."""

    def machines(self) -> Sequence[Machine]:
        """Every node, with those that have left."""
        ...

    def worker(self, machine: Machine, gpus: float) -> Worker:
        """The pipeline on a node: the one that runs there, or a new one."""
        ...

    def post(self, state: ClusterState) -> frozenset[str]:
        """Let others see the state; the names of the nodes that are to be drained.

        Raises:
            ClusterError: another process leads by now.
        """
        ...

    def close(self) -> None:
        """Let go of the cluster."""
        ...
