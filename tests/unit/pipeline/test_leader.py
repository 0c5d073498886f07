"""The leader of a cluster over scripted nodes: starts, deaths, silence, and what is told of them.

The real nodes over Ray are in ``tests/system/test_cluster.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pipeline.camera import CameraState, CameraStatus
from pipeline.clock import ManualClock
from pipeline.cluster_records import (
    CameraReport,
    ClusterState,
    Duty,
    NodeReport,
    NodeState,
    Orders,
    Tally,
    current,
)
from pipeline.config import CameraSettings, CheckpointSettings, ClusterSettings, WatchlistSettings
from pipeline.errors import ClusterError, ConfigError, ShutdownError
from pipeline.fleet import Answer, Machine, Outcome, Question
from pipeline.handover import Boundary
from pipeline.health import Health
from pipeline.leader import Leader
from pipeline.recognition import Listener
from pipeline.types import Passage
from tests.property.test_handover import passage
from tests.support.scenes import START

STEP_S = 0.3


@dataclass
class ScriptedWorker:
    """A node that follows its orders at once, unless a test says otherwise."""

    name: str
    starts_with: str | None = None
    outcome: Outcome = Outcome.ANSWERED
    silent: bool = False
    killed: bool = False
    failure: str | None = None
    waiting: int = 0
    orders: Orders = field(default_factory=Orders)
    events: list[tuple[int, Passage]] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)
    pending: Question | None = None

    def ask(self, what: Question, *arguments: object) -> None:
        self.asked.append(what)
        self.pending = what
        if what == "beat":
            (orders,) = arguments
            assert isinstance(orders, Orders)
            self.orders = orders

    def answer(self) -> Answer | None:
        if self.pending is None or self.silent:
            return None
        asked, self.pending = self.pending, None
        if self.outcome is not Outcome.ANSWERED:
            return Answer(self.outcome, problem="gone")
        if asked == "start":
            return Answer(Outcome.ANSWERED, self.starts_with)
        return Answer(Outcome.ANSWERED, self.report())

    def report(self) -> NodeReport:
        cameras = [
            CameraReport(
                order.camera.name,
                Duty.RUN,
                CameraStatus(order.camera.name, "", CameraState.STREAMING, START),
                Boundary(at=START) if order.duty is Duty.FINISH else None,
                looks_since=START,
            )
            for order in self.orders.cameras
        ]
        events = tuple(e for e in self.events if e[0] > self.orders.received)
        return NodeReport(
            self.name,
            "run",
            "0",
            tuple(cameras),
            events,
            waiting_hits=self.waiting,
            tally=Tally(decoded=10, passages=len(self.events)),
            failure=self.failure,
        )

    def kill(self) -> None:
        self.killed = True


class ScriptedFleet:
    """Machines that a test names, and the latest worker on each."""

    def __init__(self, *names: str) -> None:
        self.known = {
            name: Machine(name, f"{name}-1", "192.0.2.1", True, {"CPU": 4.0}) for name in names
        }
        self.extra: list[Machine] = []
        self.workers: dict[str, ScriptedWorker] = {}
        self.start_problem: str | None = None
        self.draining: frozenset[str] = frozenset()
        self.posted: list[ClusterState] = []
        self.closed = False

    def machines(self) -> Sequence[Machine]:
        return [*self.known.values(), *self.extra]

    def worker(self, machine: Machine, gpus: float) -> ScriptedWorker:
        self.workers[machine.name] = ScriptedWorker(machine.name, self.start_problem)
        return self.workers[machine.name]

    def post(self, state: ClusterState) -> frozenset[str]:
        self.posted.append(state)
        return self.draining

    def close(self) -> None:
        self.closed = True


@dataclass
class Rig:
    leader: Leader
    fleet: ScriptedFleet
    clock: ManualClock
    health: Health
    told: list[Passage]

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.clock.advance(STEP_S)
            self.leader.step()

    def state_of(self, node: str) -> NodeState:
        return next(one.state for one in self.leader.state().nodes if one.node == node)

    def nodes(self) -> dict[str, str | None]:
        return {place.camera: place.node for place in self.leader.state().cameras}


def settings(**cluster: object) -> CheckpointSettings:
    return CheckpointSettings(
        data_dir=Path("var"),
        cameras=tuple(
            CameraSettings(name=f"cam{n}", source=f"rtsp://192.0.2.9/{n}") for n in range(4)
        ),
        watchlist=WatchlistSettings(redis_url="redis://192.0.2.2/0"),
        cluster=ClusterSettings.model_validate(cluster),
        shutdown_deadline_s=0.1,
    )


def rig(*names: str, **cluster: object) -> Rig:
    fleet, clock, health, told = ScriptedFleet(*names), ManualClock(), Health(), []
    listener = Listener(on_passage=told.append)
    leader = Leader(settings(**cluster), fleet, "near:1", listener, health, clock=clock)
    leader.__enter__()
    return Rig(leader, fleet, clock, health, told)


def test_every_node_gets_its_share_and_others_can_see_it() -> None:
    here = rig("A", "B")
    here.steps(6)
    assert sorted(here.nodes().values(), key=str) == ["A", "A", "B", "B"]
    assert here.state_of("A") is NodeState.READY
    state = current()
    assert state is not None
    assert state.without_passages() == here.fleet.posted[-1]
    assert here.health.problems() == {}
    assert here.leader.stop().passages == 0
    assert current() is None
    assert here.fleet.closed
    assert here.fleet.workers["A"].asked[-1] == "stop"
    assert here.fleet.workers["A"].killed


def test_events_are_told_once_whatever_is_repeated() -> None:
    here = rig("A")
    here.steps(4)
    one, two = replace(passage(1.0, 2.0), camera="cam0"), replace(passage(3.0, 4.0), camera="cam0")
    here.fleet.workers["A"].events = [(1, one)]
    here.steps(2)
    here.fleet.workers["A"].events = [(1, one), (2, two)]  # the acknowledgement was lost
    here.steps(4)
    assert [p.id for p in here.told] == [one.id, two.id]
    shown = current()
    assert shown is not None
    assert [p.last_passage.at for p in shown.cameras if p.last_passage] == [two.ended_at]
    assert all(p.last_passage is None for p in here.fleet.posted[-1].cameras)
    assert here.fleet.workers["A"].orders.received == 2
    assert here.leader.stop().passages == 2


def test_a_pipeline_that_ends_is_started_again_and_its_cameras_move_at_once() -> None:
    here = rig("A", "B")
    here.steps(6)
    first = here.fleet.workers["A"]
    first.waiting = 3
    here.steps(2)
    first.outcome = Outcome.ENDED
    with capture_logs() as logs:
        here.steps(2)
    assert set(here.nodes().values()) == {"B"}
    (said,) = [log for log in logs if "may be lost" in log["event"]]
    assert said["node"] == "A"
    assert said["waiting_hits"] == 3
    assert len(said["cameras"]) == 2
    assert here.fleet.workers["A"] is not first
    here.steps(20)
    assert here.state_of("A") is NodeState.READY
    assert next(n for n in here.leader.state().nodes if n.node == "A").restarts == 1
    assert here.leader.stop().decoded == 30  # the earlier run of A counts


def test_a_node_that_refuses_connections_counts_as_silent_soon() -> None:
    here = rig("A", "B", silent_after_s=60)
    here.steps(6)
    here.fleet.workers["A"].outcome = Outcome.UNAVAILABLE
    here.steps(5)
    assert here.state_of("A") is NodeState.SILENT
    assert set(here.nodes().values()) == {"B"}
    assert "silent" in here.health.problems()["node A"]
    here.fleet.workers["A"].outcome = Outcome.ANSWERED
    here.steps(2)
    assert here.state_of("A") is NodeState.READY
    assert "node A" not in here.health.problems()
    here.leader.stop()


def test_a_node_that_does_not_answer_loses_its_cameras_in_time() -> None:
    here = rig("A", "B", silent_after_s=6)
    here.steps(6)
    here.fleet.workers["A"].silent = True
    here.steps(round(6 / STEP_S) - 2)
    assert here.state_of("A") is NodeState.READY
    here.steps(4)
    assert set(here.nodes().values()) == {"B"}
    with pytest.raises(ShutdownError, match="node A did not end in order"):
        here.leader.stop()


def test_a_machine_that_leaves_and_comes_back() -> None:
    here = rig("A", "B")
    here.steps(6)
    here.fleet.known["A"] = replace(here.fleet.known["A"], alive=False)
    here.steps(3)
    assert here.state_of("A") is NodeState.LOST
    assert set(here.nodes().values()) == {"B"}
    here.fleet.known["A"] = Machine("A", "A-2", "192.0.2.1", True, {"CPU": 4.0})
    here.steps(8)
    assert here.state_of("A") is NodeState.READY
    here.leader.stop()


def test_a_recognition_that_has_failed_is_begun_anew() -> None:
    here = rig("A")
    here.steps(6)
    first = here.fleet.workers["A"]
    first.failure = "recognition has failed"
    here.steps(2)
    assert first.killed
    assert here.fleet.workers["A"] is not first
    here.leader.stop()


def test_where_no_node_starts_the_reasons_are_told() -> None:
    here = rig("A", "B")
    here.fleet.start_problem = "weights are missing"
    with pytest.raises(ClusterError, match=r"A: weights are missing\n.*B: weights are missing"):
        here.steps(5)


def test_a_node_that_cannot_start_is_tried_again_and_the_others_work() -> None:
    here = rig("A")
    here.steps(4)
    here.fleet.start_problem = "no disk"
    here.fleet.known["B"] = Machine("B", "B-1", "192.0.2.3", True, {"CPU": 4.0})
    here.steps(5)
    assert here.health.problems()["node B: pipeline"] == "no disk"
    assert set(here.nodes().values()) == {"A"}
    here.fleet.start_problem = None
    here.steps(25)
    assert here.state_of("B") is NodeState.READY
    assert here.health.problems() == {}
    here.leader.stop()


def test_a_drained_node_is_drained_when_all_it_had_is_delivered() -> None:
    here = rig("A", "B")
    here.steps(6)
    here.fleet.workers["A"].waiting = 2
    here.fleet.draining = frozenset({"A"})
    here.steps(20)
    assert set(here.nodes().values()) == {"B"}
    assert here.state_of("A") is NodeState.DRAINING
    here.fleet.workers["A"].waiting = 0
    here.steps(3)
    assert here.state_of("A") is NodeState.DRAINED
    here.fleet.draining = frozenset()
    here.steps(30)
    assert sorted(here.nodes().values(), key=str) == ["A", "A", "B", "B"]
    here.leader.stop()


def test_nodes_that_lack_what_is_asked_for_are_left_alone() -> None:
    with pytest.raises(ClusterError, match="8 CPU, 1 gate"):
        rig("A", cpus=8, resources={"gate": 1})
    here = rig("A")
    here.fleet.extra = [Machine("A", "A-9", "192.0.2.4", True, {"CPU": 4.0})]
    here.steps(4)
    assert "--node-name" in here.health.problems()["node A twice"]
    here.fleet.extra = []
    here.steps(4)
    assert here.health.problems() == {}
    here.leader.stop()


def test_a_gpu_counts_as_many_cpus() -> None:
    here = rig("A")
    here.fleet.known["G"] = Machine("G", "G-1", "192.0.2.5", True, {"CPU": 4.0, "GPU": 2.0})
    here.steps(3)
    capacities = {node.node: node.capacity for node in here.leader.state().nodes}
    assert capacities == {"A": 4.0, "G": 36.0}
    here.leader.stop()


def test_settings_that_fit_no_cluster() -> None:
    own_list = settings().model_copy(update={"watchlist": WatchlistSettings()})
    with pytest.raises(ConfigError, match=r"watchlist\.redis_url"):
        Leader(own_list, ScriptedFleet("A"), "near:1", Listener(), Health())
    no_camera = settings().model_copy(update={"cameras": ()})
    with pytest.raises(ConfigError, match="no camera"):
        Leader(no_camera, ScriptedFleet("A"), "near:1", Listener(), Health())
