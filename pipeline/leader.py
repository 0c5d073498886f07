"""Leads the nodes of a cluster: keeps a pipeline on each, and brings them to follow orders. No Ray.

What a cluster is made of comes through ``pipeline/fleet.py``. Every node
gets all its orders with every beat and answers with its report; what moves where is decided in
``pipeline/steering.py``. A leader that starts finds the pipelines that still run, and goes on.
"""

from __future__ import annotations

import time
from dataclasses import replace
from types import TracebackType
from typing import Self

import structlog

from pipeline.clock import Clock, SystemClock
from pipeline.cluster_records import (
    ClusterState,
    NodeReport,
    NodeState,
    Order,
    Orders,
    Tally,
    publish,
)
from pipeline.config import CheckpointSettings
from pipeline.errors import ClusterError, ConfigError, ShutdownError
from pipeline.events import Summary
from pipeline.fleet import Fleet, Outcome
from pipeline.health import Health
from pipeline.members import Member
from pipeline.node import node_settings, ordered_camera
from pipeline.recognition import Listener, Told
from pipeline.steering import NodeView, Steering
from pipeline.types import Passage

_BEAT_S = 0.3
_LOOK_S = 0.5  # for nodes that come and go
_TELL_S = 0.5  # others how things are
_RETRY_S = 5.0
_STOP_GRACE_S = 3.0
_log = structlog.get_logger(__name__)


class Leader:
    """Leads a cluster: a context manager; leaving it stops the pipelines on all nodes in order.

    Args:
        settings: the whole configuration, with all cameras.
        fleet: the cluster; closed on leaving.
        target: the alert service as the nodes reach it.
        listener: told of the passages and hits of all nodes, each revision once.
        health: told what is wrong on which node.
        once: file sources are read once, to their end.

    Raises:
        ConfigError: the configuration does not fit a cluster.
        ClusterError: on entering, where no node can take a pipeline.
    """

    def __init__(
        self,
        settings: CheckpointSettings,
        fleet: Fleet,
        target: str,
        listener: Listener,
        health: Health,
        *,
        once: bool = False,
        clock: Clock | None = None,
    ) -> None:
        check_settings(settings)
        self._settings = settings
        self._fleet = fleet
        self._target = target
        self._listener = listener
        self._health = health
        self._once = once
        self._clock = clock or SystemClock()
        self._members: dict[str, Member] = {}
        self._draining: frozenset[str] = frozenset()
        self._steering = Steering(
            [ordered_camera(camera) for camera in settings.cameras],
            settings.cluster,
            settings.passages.reopen_within_s,
            once=once,
        )
        self._ordered: dict[str, tuple[Order, ...]] = {}
        self._looked_s = self._told_s = 0.0
        self._was_ready = False
        self._reported: set[str] = set()
        self._passages, self._hits = Told(), Told()
        self._started_s = self._clock.monotonic()
        self._summary: Summary | None = None

    def __enter__(self) -> Self:
        try:
            self._look()
            if not self._members:
                raise ClusterError(
                    f"no node of the cluster has {self._needs()} for Checkpoint: start one with "
                    "'ray start', or ask for less in [cluster]"
                )
        except BaseException:
            self._fleet.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def step(self) -> None:
        """Hear the nodes, decide, and send orders; call it several times a second.

        Raises:
            ClusterError: no node could start its pipeline, or another process leads by now.
        """
        now_s = self._clock.monotonic()
        if now_s - self._looked_s >= _LOOK_S:
            self._look()
        for member in self._members.values():
            self._hear(member)
            self._revive(member, now_s)
        views = {
            name: NodeView(
                self._state_of(member, now_s),
                member.capacity,
                member.report,
                now_s - member.heard_s,
            )
            for name, member in self._members.items()
        }
        orders = self._ordered = self._steering.step(now_s, views)
        for name, member in self._members.items():
            if member.ready and member.asked is None and now_s - member.asked_s >= _BEAT_S:
                member.ask("beat", Orders(orders[name], member.received))
                member.asked_s = now_s
        if now_s - self._told_s >= _TELL_S:
            self._told_s = now_s
            state = self.state()
            publish(state)
            self._draining = self._fleet.post(state)
            self._say(state)

    def ended(self) -> bool:
        """Whether every camera was a file that is at its end, and all it gave is delivered."""
        reports = [member.report for member in self._members.values() if member.report]
        return self._steering.ended() and not any(
            report.waiting_passages or report.waiting_hits for report in reports
        )

    def state(self) -> ClusterState:
        """The cluster now."""
        now_s = self._clock.monotonic()
        cameras = self._steering.by_node()
        nodes = []
        for name, member in sorted(self._members.items()):
            mine = cameras.get(name, ())
            weight = sum(map(self._steering.weight, mine))
            nodes.append(member.status(self._state_of(member, now_s), now_s, mine, weight))
        return ClusterState(self._clock.now(), tuple(nodes), self._steering.places())

    def stop(self) -> Summary:
        """Stop all nodes' pipelines in order; the second call changes nothing.

        Raises:
            ShutdownError: something was lost past the shutdown deadline.
        """
        if self._summary is None:
            lost: list[str] = []
            try:
                lost = self._stop_nodes()
            finally:
                self._summary = self._summarise()
                publish(None)
                self._fleet.close()
            if lost:
                raise ShutdownError("\n".join(lost))
        return self._summary

    def _stop_nodes(self) -> list[str]:
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
                    lost.append(f"{self._name(member)}: {answer.value.failure}")
            elif member.has_something:
                why = answer.problem if answer else "it does not answer"
                lost.append(
                    f"{self._name(member)} did not end in order ({why}); what waits on its disk is "
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
                + "\n".join(f"{self._name(one)}: {one.problem}" for one in members)
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
            if isinstance(record, Passage):
                self._steering.told(record)
                self._passages.is_new(record.id, record.revision)
                self._listener.on_passage(record)
            else:
                self._hits.is_new(record.id, record.revision)
                self._listener.on_hit(record)

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

    def _state_of(self, member: Member, now_s: float) -> NodeState:
        name = member.machine.name
        return member.state(
            now_s,
            self._settings.cluster.silent_after_s,
            draining=name in self._draining,
            has_orders=bool(self._ordered.get(name)),
        )

    def _say(self, state: ClusterState) -> None:
        """What is wrong, to health."""
        problems: dict[str, str] = {}
        for node in state.nodes:
            for component, problem in node.problems.items():
                problems[f"node {node.node}: {component}"] = problem
            if node.state in (NodeState.LOST, NodeState.SILENT):
                problems[f"node {node.node}"] = f"is {node.state}; its cameras are read elsewhere"
            elif node.state is NodeState.STARTING and node.restarts:
                problems[f"node {node.node}"] = "its pipeline is started again"
        unplaced = [place.camera for place in state.cameras if place.node is None]
        if unplaced and self._steering.began and not self._steering.ended():
            problems["cluster"] = f"nobody reads {', '.join(unplaced[:10])}: no node is ready"
        for component in self._reported - set(problems):
            self._health.report(component, None)
        for component, problem in problems.items():
            self._health.report(component, problem)
        self._reported = set(problems)

    def _summarise(self) -> Summary:
        tally = sum((member.tally for member in self._members.values()), Tally())
        return Summary(
            decoded=tally.decoded,
            recognised=tally.recognised,
            dropped={"stale": 0, **tally.dropped},
            passages=self._passages.count,
            hits=self._hits.count,
            wall_s=self._clock.monotonic() - self._started_s,
            skipped=dict(tally.skipped),
        )

    def _needs(self) -> str:
        cluster = self._settings.cluster
        needs = {"CPU": cluster.cpus, "GPU": cluster.gpus or 0.0, **cluster.resources}
        return ", ".join(f"{amount:g} {what}" for what, amount in needs.items() if amount)

    @staticmethod
    def _name(member: Member) -> str:
        return f"node {member.machine.name}"


def check_settings(settings: CheckpointSettings) -> None:
    """Whether a configuration fits a cluster.

    Raises:
        ConfigError: it does not.
    """
    if settings.watchlist.redis_url is None:
        raise ConfigError(
            "a cluster's nodes share one watchlist: set watchlist.redis_url to a Redis that all "
            "of them reach"
        )
    if not settings.cameras:
        raise ConfigError("no camera is configured: add [[cameras]]")
