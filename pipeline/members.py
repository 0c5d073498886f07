"""One node of a cluster as the leader knows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pipeline.cluster_records import NodeReport, NodeState, NodeStatus, Tally
from pipeline.fleet import Machine, Question, Worker

_UNREACHABLE: Final = 2
"""Refused connections in a row: no need to wait until the node counts as silent."""


@dataclass(slots=True)
class Member:
    """One node as the leader knows it. Owned by the leader."""

    machine: Machine
    capacity: float
    gpus: float
    worker: Worker | None = None
    asked: str | None = None
    asked_s: float = 0.0
    heard_s: float = 0.0
    ready: bool = False
    report: NodeReport | None = None
    received: int = 0
    unreachable: int = 0
    before: Tally = field(default_factory=Tally)
    restarts: int = 0
    retry_at_s: float = 0.0
    problem: str | None = None

    @property
    def tally(self) -> Tally:
        """Of all its pipelines that there were."""
        return self.before + self.report.tally if self.report else self.before

    def ask(self, what: Question, *arguments: object) -> None:
        """Put a question to its pipeline, if it has one."""
        if self.worker is not None:
            self.worker.ask(what, *arguments)
            self.asked = what

    @property
    def has_something(self) -> bool:
        """Whether it reads a camera, or has something that is not delivered."""
        report = self.report
        return report is not None and bool(
            report.cameras or report.waiting_passages or report.waiting_hits
        )

    def state(
        self, now_s: float, silent_after_s: float, *, draining: bool, has_orders: bool
    ) -> NodeState:
        """What is known of it now."""
        if not self.machine.alive:
            return NodeState.LOST
        if not self.ready or self.report is None:
            return NodeState.STARTING
        if now_s - self.heard_s > silent_after_s or self.unreachable >= _UNREACHABLE:
            return NodeState.SILENT
        if not draining:
            return NodeState.READY
        return NodeState.DRAINING if self.has_something or has_orders else NodeState.DRAINED

    def status(
        self, state: NodeState, now_s: float, cameras: tuple[str, ...], weight: float
    ) -> NodeStatus:
        """The same for others, with the cameras that it reads and their weight."""
        report = self.report
        problems = dict(report.problems) if report else {}
        if self.problem:
            problems["pipeline"] = self.problem
        return NodeStatus(
            node=self.machine.name,
            state=state,
            capacity=self.capacity,
            load=round(weight / self.capacity, 4),
            cameras=cameras,
            heard_s_ago=round(now_s - self.heard_s, 2) if self.heard_s else None,
            waiting_passages=report.waiting_passages if report else 0,
            waiting_hits=report.waiting_hits if report else 0,
            restarts=self.restarts,
            tally=self.tally,
            problems=problems,
        )
