"""The nodes of a cluster: which there are, and a pipeline on each. No Ray.

What a cluster is made of comes through ``pipeline/fleet.py``. A node whose pipeline has ended is
given another one, and what that means is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import structlog

from pipeline.clock import Clock
from pipeline.cluster_records import NodeReport
from pipeline.config import CheckpointSettings
from pipeline.errors import ClusterError
from pipeline.fleet import Fleet, Outcome
from pipeline.health import Health
from pipeline.members import Member
from pipeline.node import node_settings
from pipeline.types import Hit, Passage

_LOOK_S = 0.5  # for nodes that come and go
_RETRY_S = 5.0
_STOP_GRACE_S = 3.0
_log = structlog.get_logger(__name__)


class Roster:
    """The nodes. Owned by the leader, in its thread.

    Args:
        settings: the whole configuration.
        fleet: the cluster.
        target: the alert service as the nodes reach it.
        health: told of two nodes with one name.
        on_event: called with every passage and hit of every node, each revision once.
        clock: for what is late.
        once: file sources are read once, to their end.
    """

    def __init__(
        self,
        settings: CheckpointSettings,
        fleet: Fleet,
        target: str,
        health: Health,
        on_event: Callable[[Passage | Hit], None],
        clock: Clock,
        *,
        once: bool,
    ) -> None:
        self._settings = settings
        self._fleet = fleet
        self._target = target
        self._health = health
        self._on_event = on_event
        self._clock = clock
        self._once = once
        self._members: dict[str, Member] = {}
        self._looked_s: float | None = None
        self._was_ready = False

    def __iter__(self) -> Iterator[Member]:
        """All nodes that ever were, in the order of names."""
        return iter([member for _, member in sorted(self._members.items())])

    def open(self) -> None:
        """Find the nodes.

        Raises:
            ClusterError: none of them can take a pipeline.
        """
        self._look()
        if not self._members:
            raise ClusterError(
                f"no node of the cluster has {self._needs()} for Checkpoint: start one with "
                "'ray start', or ask for less in [cluster]"
            )

    def update(self) -> None:
        """Take what has come from the nodes, and have a pipeline on each of them.

        Raises:
            ClusterError: no node could start its pipeline.
        """
        now_s = self._clock.monotonic()
        if self._looked_s is None or now_s - self._looked_s >= _LOOK_S:
            self._look()
        for member in self:
            self._hear(member)
            self._revive(member, now_s)

    def stop(self) -> list[str]:
        """Stop every node within the deadline; what was lost, in words."""
        until_s = time.monotonic() + self._settings.shutdown_deadline_s + _STOP_GRACE_S
        stopping = [member for member in self._members.values() if member.worker is not None]
        lost = []
        for member in stopping:
            member.ask("stop")
        for member in stopping:
            worker = member.worker
            if worker is None:
                continue
            while (answer := worker.answer()) is None and time.monotonic() < until_s:
                time.sleep(0.02)
            if answer is not None and isinstance(answer.value, NodeReport):
                self._take(member, answer.value)
                if answer.value.failure:
                    lost.append(f"{_name(member)}: {answer.value.failure}")
            elif member.has_something:
                why = answer.problem if answer else "it does not answer"
                lost.append(
                    f"{_name(member)} did not end in order ({why}); what waits on its disk is "
                    "delivered at the next start"
                )
            worker.kill()
        return lost

    def _look(self) -> None:
        """Which nodes are there, and what they can take."""
        self._looked_s = self._clock.monotonic()
        cluster = self._settings.cluster
        seen: set[str] = set()
        for machine in sorted(self._fleet.machines(), key=lambda one: (not one.alive, one.id)):
            member = self._members.get(machine.name)
            if not machine.alive:
                if member and member.machine.id == machine.id and member.machine.alive:
                    member.machine = machine
                    _log.warning("node is lost", node=machine.name)
                    self._bury(member)
                continue
            has = machine.resources
            gpus = cluster.gpus if cluster.gpus is not None else min(has.get("GPU", 0.0), 1.0)
            needs = {"CPU": cluster.cpus, "GPU": gpus, **cluster.resources}
            if any(has.get(what, 0.0) < amount for what, amount in needs.items()):
                continue
            twice = machine.name in seen
            self._health.report(
                f"node {machine.name} twice",
                "two nodes of the cluster have this name, and one of them is not used: start them "
                "with names of their own: ray start --node-name NAME"
                if twice
                else None,
            )
            if twice:
                continue
            seen.add(machine.name)
            capacity = max(has.get("CPU", 0.0), 0.01) + cluster.gpu_weight * gpus
            if member is None:
                _log.info("node joins", node=machine.name, capacity=capacity)
                self._members[machine.name] = Member(machine, capacity, gpus)
            elif member.machine.id != machine.id:
                _log.info("node is back", node=machine.name)
                if member.machine.alive:
                    self._bury(member)
                member.machine, member.capacity, member.gpus = machine, capacity, gpus

    def _hear(self, member: Member) -> None:
        """Take what has come from a node since the last time."""
        answer = member.worker.answer() if member.worker and member.asked else None
        if answer is None:
            return
        asked, member.asked = member.asked, None
        if answer.outcome is Outcome.ENDED:
            _log.warning(
                "node's pipeline has ended", node=member.machine.name, reason=answer.problem
            )
            self._bury(member)
        elif answer.outcome is Outcome.FAILED:
            member.problem = answer.problem
            if asked == "start":
                self._bury(member)
        elif answer.outcome is Outcome.UNAVAILABLE:
            member.unreachable += 1
            if asked == "start":
                self._bury(member)
        elif asked == "start":
            self._has_started(member, answer.value)
        elif isinstance(answer.value, NodeReport):
            self._take(member, answer.value)
            if answer.value.failure is not None:
                _log.warning(
                    "node's pipeline has failed",
                    node=member.machine.name,
                    reason=answer.value.failure,
                )
                self._bury(member)

    def _has_started(self, member: Member, problem: str | None) -> None:
        member.problem = problem
        if problem is None:
            member.ready, member.heard_s = True, self._clock.monotonic()
            return
        self._bury(member)
        members = self._members.values()
        if not self._was_ready and all(one.problem for one in members):
            raise ClusterError(
                "no node could start its pipeline:\n"
                + "\n".join(f"{_name(one)}: {one.problem}" for one in members)
            )

    def _take(self, member: Member, report: NodeReport) -> None:
        """Take a node's report, and pass its new events on."""
        member.heard_s, member.unreachable = self._clock.monotonic(), 0
        member.report = replace(report, events=())
        member.problem, self._was_ready = None, True
        for number, record in report.events:
            if number <= member.received:
                continue
            member.received = number
            self._on_event(record)

    def _bury(self, member: Member) -> None:
        """A node's pipeline is no more: say what that means, and begin anew with the node."""
        report = member.report
        if report is not None:
            _log.warning(
                "what its cameras saw since its last report may be lost; what waits on its disk "
                "is delivered when it is back",
                node=member.machine.name,
                cameras=[camera.camera for camera in report.cameras],
                last_report_s_ago=round(self._clock.monotonic() - member.heard_s, 1),
                waiting_passages=report.waiting_passages,
                waiting_hits=report.waiting_hits,
            )
            member.restarts += 1
        if member.worker is not None:
            member.worker.kill()
        member.before = member.tally
        member.worker = member.report = member.asked = None
        member.ready, member.received, member.unreachable = False, 0, 0
        member.retry_at_s = self._clock.monotonic() + (_RETRY_S if member.problem else 0.0)

    def _revive(self, member: Member, now_s: float) -> None:
        """Have a pipeline on every node."""
        cluster = self._settings.cluster
        if member.asked == "start":
            if now_s - member.asked_s > cluster.start_timeout_s:
                member.problem = (
                    f"the pipeline did not start within {cluster.start_timeout_s:g} s: are "
                    f"{self._needs()} free on this node?"
                )
                self._bury(member)
        elif member.worker is None and member.machine.alive and now_s >= member.retry_at_s:
            member.worker = self._fleet.worker(member.machine, member.gpus)
            settings = node_settings(self._settings, member.machine.name, self._target)
            member.ask("start", settings, self._once)
            member.asked_s = now_s

    def _needs(self) -> str:
        cluster = self._settings.cluster
        needs = {"CPU": cluster.cpus, "GPU": cluster.gpus or 0.0, **cluster.resources}
        return ", ".join(f"{amount:g} {what}" for what, amount in needs.items() if amount)


def _name(member: Member) -> str:
    return f"node {member.machine.name}"
