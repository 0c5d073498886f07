"""Cameras over nodes that come, go, drain and die, in a simulation with the real decisions."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.camera import CameraState, CameraStatus
from pipeline.cluster_records import CameraReport, Duty, NodeReport, NodeState, Order
from pipeline.config import ClusterSettings
from pipeline.handover import Boundary
from pipeline.steering import NodeView, Steering
from tests.support.scenes import START
from tests.support.simulated_nodes import Road, SimulatedNode, Vehicle, camera

WAIT_S = 6.0
SETTINGS = ClusterSettings(handover_wait_s=WAIT_S, moves_at_once=2)
WAIT = round(WAIT_S * 5)
CAMERAS = ("a", "b", "c", "d")


def traffic(gaps: list[int], lengths: list[int], begin: int = 0) -> dict[str, list[Vehicle]]:
    """One vehicle after another on every camera; each plate passes once."""
    roads = {}
    for number, name in enumerate(CAMERAS):
        at, vehicles = begin + 3 * number, []
        for index, (gap, length) in enumerate(zip(gaps, lengths, strict=False)):
            at += gap + number
            vehicles.append(Vehicle(f"{name}{index}", at, at + length))
            at += length
        roads[name] = vehicles
    return roads


def road(nodes: str, vehicles: dict[str, list[Vehicle]], connect: int = 3) -> Road:
    steering = Steering([camera(name) for name in CAMERAS], SETTINGS, reopen_within_s=8.0)
    return Road(steering, [SimulatedNode(name, connect, WAIT) for name in nodes], vehicles)


def plates(here: Road) -> Counter[tuple[str, str]]:
    """How many passages there are of each vehicle, whatever their revisions."""
    ids = {(p.camera, p.plate, p.id) for told in here.told.values() for p in told}
    return Counter((camera, plate) for camera, plate, _ in ids if plate is not None)


MOVES = st.lists(st.tuples(st.integers(8, 60), st.sampled_from("AB"), st.booleans()), max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    MOVES,
    st.lists(st.integers(9, 40), min_size=1, max_size=15),
    st.lists(st.integers(4, 30), min_size=15, max_size=15),
    st.integers(1, 8),
)
def test_draining_loses_no_passage_and_repeats_none(
    moves: list[tuple[int, str, bool]], gaps: list[int], lengths: list[int], connect: int
) -> None:
    vehicles = traffic(gaps, lengths, begin=30)  # when the cameras stream
    here = road("ABC", vehicles, connect)
    run(here, moves)
    told = plates(here)
    assert set(told) == {(name, one.plate) for name, of in vehicles.items() for one in of}
    assert set(told.values()) == {1}


@settings(max_examples=40, deadline=None)
@given(MOVES, st.integers(1, 8), st.integers(12, 30))
def test_on_a_road_that_is_never_empty_nothing_is_lost_either(
    moves: list[tuple[int, str, bool]], connect: int, length: int
) -> None:
    """Vehicle upon vehicle: whoever is told twice was in view when a camera had to move."""
    vehicles = {
        name: [Vehicle(f"{name}{n}", 30 + 10 * n, 30 + 10 * n + length) for n in range(30)]
        for name in CAMERAS
    }
    here = road("ABC", vehicles, connect)
    run(here, moves)
    told = plates(here)
    assert set(told) == {(name, one.plate) for name, of in vehicles.items() for one in of}
    assert set(told.values()) == {1}


def run(here: Road, drains: list[tuple[int, str, bool]]) -> None:
    """Drain nodes, or use them again, in the middle of the traffic, to its end."""
    end = max(one.last for of in here.traffic.values() for one in of) + 20
    drains = list(drains)
    next_at = drains[0][0] if drains else 0
    while here.now < end:
        if drains and here.now >= next_at:
            _, node, draining = drains.pop(0)
            here.nodes[node].state = NodeState.DRAINING if draining else NodeState.READY
            next_at = here.now + (drains[0][0] if drains else 0)
        here.step()
        assert all(len(here.readers(name)) <= 1 for name in CAMERAS)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.sampled_from(("A", "B", "C")), st.booleans()), max_size=8
    ),
    st.lists(st.integers(9, 40), min_size=1, max_size=15),
)
def test_after_any_faults_every_camera_is_read_once_on_nodes_that_are_there(
    faults: list[tuple[int, str, bool]], gaps: list[int]
) -> None:
    here = road("ABC", traffic(gaps, [10] * 15))
    for wait, name, dies in faults:
        for _ in range(wait):
            here.step()
        if dies:
            here.nodes[name].die()
        elif here.nodes[name].state is NodeState.LOST:
            here.nodes[name].state = NodeState.READY
    alive = [name for name, node in here.nodes.items() if node.state is NodeState.READY]
    for _ in range(4 * (WAIT + 20)):
        here.step()
    if not alive:
        assert all(place.node is None for place in here.steering.places())
        return
    readers = {name: here.readers(name) for name in CAMERAS}
    assert all(len(found) == 1 and found[0] in alive for found in readers.values())
    counts = Counter(found[0] for found in readers.values())
    assert max(counts.values()) - min(counts.get(name, 0) for name in alive) <= 1
    assert max(plates(here).values(), default=0) <= 1 + sum(dies for _, _, dies in faults)


def test_cameras_of_a_lost_node_are_read_at_once_and_the_others_stay() -> None:
    here = road("ABC", {name: [] for name in CAMERAS})
    for _ in range(10):
        here.step()
    before = {place.camera: place.node for place in here.steering.places()}
    here.nodes["A"].die()
    here.step()
    after = {place.camera: place.node for place in here.steering.places()}
    assert "A" not in after.values()
    assert all(after[name] == node for name, node in before.items() if node != "A")


def test_a_node_that_joins_takes_its_share_without_a_gap() -> None:
    here = road("AB", {name: [] for name in CAMERAS})
    for _ in range(10):
        here.step()
    here.nodes["C"] = SimulatedNode("C", 3, WAIT)
    for _ in range(60):
        here.step()
        streaming = [
            name for name in CAMERAS if any(name in n.cameras for n in here.nodes.values())
        ]
        assert streaming == list(CAMERAS)
    assert Counter(place.node for place in here.steering.places())["C"] == 1
    assert sum(place.moves for place in here.steering.places()) == 1
    assert all(place.unwatched_s < 0.5 for place in here.steering.places())


def test_a_camera_that_nobody_else_can_read_stays_but_leaves_a_node_that_is_drained() -> None:
    here = road("A", {name: [] for name in CAMERAS})
    for _ in range(10):
        here.step()
    here.nodes["B"] = SimulatedNode("B", 10_000, WAIT)  # reaches no camera
    for _ in range(4 * WAIT):
        here.step()
    assert {place.node for place in here.steering.places()} == {"A"}
    here.nodes["A"].state = NodeState.DRAINING
    for _ in range(6 * WAIT):
        here.step()
    assert {place.node for place in here.steering.places()} == {"B"}


def test_a_file_is_let_go_before_another_node_reads_it() -> None:
    steering = Steering([camera("clip", live=False)], SETTINGS, 8.0, once=True)
    here = Road(
        steering, [SimulatedNode(name, 1, WAIT) for name in "AB"], {"clip": [Vehicle("x", 2, 9)]}
    )
    for _ in range(5):
        here.step()
    (owner,) = here.readers("clip")
    here.nodes[owner].state = NodeState.DRAINING
    for _ in range(60):
        here.step()
        both = [name for name, node in here.nodes.items() if "clip" in node.cameras]
        assert len(both) <= 1
    assert plates(here) == {("clip", "x"): 1}


def test_the_owner_goes_on_where_the_next_node_dies_before_it_has_let_go() -> None:
    here = road("A", {name: [Vehicle(f"{name}1", 0, 400)] for name in CAMERAS})  # never quiet
    for _ in range(10):
        here.step()
    here.nodes["B"] = SimulatedNode("B", 1, WAIT)
    here.nodes["A"].state = NodeState.DRAINING
    for _ in range(6):
        here.step()
    assert any(place.moving_to == "B" for place in here.steering.places())
    here.nodes["B"].die()
    for _ in range(3 * WAIT):
        here.step()
        assert all(len(here.readers(name)) == 1 for name in CAMERAS)
    assert {place.node for place in here.steering.places()} == {"A"}


def test_a_border_never_goes_back() -> None:
    """A node that lets go before it has come to the border that it was given passes that one on."""
    steering = Steering([camera("a")], SETTINGS, 8.0)
    reports: dict[str, CameraReport | None] = dict.fromkeys("ABC")
    drained: set[str] = set()

    def step(now_s: float) -> dict[str, Order]:
        views = {
            name: NodeView(
                NodeState.DRAINING if name in drained else NodeState.READY,
                4.0,
                NodeReport(name, "run", "0", (report,) if report else ()),
            )
            for name, report in reports.items()
        }
        return {name: one[0] for name, one in steering.step(now_s, views).items() if one}

    def said(at: datetime | None = None) -> CameraReport:
        status = CameraStatus("a", "", CameraState.STREAMING, START)
        return CameraReport("a", Duty.RUN, status, Boundary(at=at) if at else None, False, START)

    borders = START + timedelta(seconds=100), START + timedelta(seconds=98)
    now_s, order = 0.0, step(0.0)
    for border in borders:
        now_s += 1.0
        (owner,) = order
        reports[owner] = said()
        drained.add(owner)
        heir = next(name for name in step(now_s + 0.1) if name != owner)
        reports[heir] = said()
        assert step(now_s + 0.2)[owner].heir_since == START
        reports[owner] = said(border)
        order = step(now_s + 0.3)
        reports[owner] = None
        assert order[heir].after is not None
        assert order[heir].after.at == borders[0]


def test_nothing_is_ordered_of_a_node_that_only_starts() -> None:
    steering = Steering([camera("a")], SETTINGS, 8.0)
    starting = NodeView(NodeState.STARTING, 4.0)
    assert steering.step(0.0, {"A": starting}) == {"A": ()}
    ready = NodeView(NodeState.READY, 4.0, SimulatedNode("B", 1, 1).report)
    assert steering.step(1.0, {"A": starting, "B": ready}) == {"A": (), "B": ()}
    late = SETTINGS.start_timeout_s
    (order,) = steering.step(late, {"A": starting, "B": ready})["B"]
    assert order.duty is Duty.RUN


def test_ten_thousand_cameras_are_spread_over_a_hundred_nodes() -> None:
    cameras = [camera(f"cam{number}") for number in range(10_000)]
    steering = Steering(cameras, SETTINGS, 8.0)
    nodes = {f"n{number}": SimulatedNode(f"n{number}", 1, WAIT) for number in range(100)}
    traffic_: dict[str, list[Vehicle]] = {one.name: [] for one in cameras}
    here = Road(steering, list(nodes.values()), traffic_)
    here.step()
    here.step()
    views = {name: NodeView(node.state, 4.0, node.report) for name, node in nodes.items()}
    orders = steering.step(1.0, views)
    assert {len(given) for given in orders.values()} == {100}
