"""Leads the nodes of a cluster: brings their pipelines to follow orders, and tells how they do.

The nodes are in ``pipeline/roster.py``. Each gets all its orders with every beat and answers with
its report; what moves where is decided in ``pipeline/steering.py``. A leader that starts finds the
pipelines that still run, and goes on. No Ray.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import structlog

from pipeline.clock import Clock, SystemClock
from pipeline.cluster_records import (
    ClusterState,
    NodeState,
    Order,
    Orders,
    Tally,
    publish,
)
from pipeline.config import CheckpointSettings
from pipeline.errors import ConfigError, ShutdownError
from pipeline.events import Summary
from pipeline.fleet import Fleet
from pipeline.health import Health
from pipeline.members import Member
from pipeline.node import ordered_camera
from pipeline.recognition import Listener, Told
from pipeline.roster import Roster
from pipeline.steering import NodeView, Steering
from pipeline.types import Hit, Passage

_BEAT_S = 0.3
_TELL_S = 0.5  # others how things are
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
        self._listener = listener
        self._health = health
        self._clock = clock or SystemClock()
        self._roster = Roster(settings, fleet, target, health, self._hear, self._clock, once=once)
        self._draining: frozenset[str] = frozenset()
        self._steering = Steering(
            [ordered_camera(camera) for camera in settings.cameras],
            settings.cluster,
            settings.passages.reopen_within_s,
            once=once,
        )
        self._ordered: dict[str, tuple[Order, ...]] = {}
        self._told_s = 0.0
        self._reported: set[str] = set()
        self._passages, self._hits = Told(), Told()
        self._started_s = self._clock.monotonic()
        self._summary: Summary | None = None

    def __enter__(self) -> Self:
        try:
            self._roster.open()
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
        self._roster.update()
        views = {
            member.machine.name: NodeView(
                self._state_of(member, now_s),
                member.capacity,
                member.report,
                now_s - member.heard_s,
            )
            for member in self._roster
        }
        orders = self._ordered = self._steering.step(now_s, views)
        for member in self._roster:
            if member.ready and member.asked is None and now_s - member.asked_s >= _BEAT_S:
                member.ask("beat", Orders(orders[member.machine.name], member.received))
                member.asked_s = now_s
        if now_s - self._told_s >= _TELL_S:
            self._told_s = now_s
            state = self.state()
            publish(state)
            self._draining = self._fleet.post(state.without_passages())
            self._say(state)

    def ended(self) -> bool:
        """Whether every camera was a file that is at its end, and all it gave is delivered."""
        reports = [member.report for member in self._roster if member.report]
        return self._steering.ended() and not any(
            report.waiting_passages or report.waiting_hits for report in reports
        )

    def state(self) -> ClusterState:
        """The cluster now."""
        now_s = self._clock.monotonic()
        cameras = self._steering.by_node()
        nodes = []
        for member in self._roster:
            mine = cameras.get(member.machine.name, ())
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
                lost = self._roster.stop()
            finally:
                self._summary = self._summarise()
                publish(None)
                self._fleet.close()
            if lost:
                raise ShutdownError("\n".join(lost))
        return self._summary

    def _hear(self, record: Passage | Hit) -> None:
        """A node has told something new."""
        if isinstance(record, Passage):
            self._steering.told(record)
            self._passages.is_new(record.id, record.revision)
            self._listener.on_passage(record)
        else:
            self._hits.is_new(record.id, record.revision)
            self._listener.on_hit(record)

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
        tally = sum((member.tally for member in self._roster), Tally())
        return Summary(
            decoded=tally.decoded,
            recognised=tally.recognised,
            dropped={"stale": 0, **tally.dropped},
            passages=self._passages.count,
            hits=self._hits.count,
            wall_s=self._clock.monotonic() - self._started_s,
            skipped=dict(tally.skipped),
            overlooked_s=tally.overlooked_s,
        )


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
