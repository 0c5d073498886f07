"""Which of a cluster's cameras are red on the page, and why."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.camera import SILENT_S, CameraState, CameraStatus
from pipeline.cluster_records import (
    CameraPlace,
    ClusterState,
    LastPassage,
    NodeState,
    NodeStatus,
    publish,
)
from pipeline.console.cameras_api import cluster_json
from pipeline.console.cameras_cluster import State, seen_from_here
from pipeline.types import PlateClass
from tests.support.scenes import START

STREAMS = CameraStatus(
    "cam", "rtsp://192.0.2.9/1", CameraState.STREAMING, START, fps=25.0, last_frame_age_s=0.1
)
PLACE = CameraPlace("cam", "a", moves=2, unwatched_s=3.25, status=STREAMS)
NODE = NodeStatus("a", NodeState.READY, 4.0, heard_s_ago=0.3)


def seen(place: CameraPlace = PLACE, node: NodeStatus = NODE, since_s: float = 0.0) -> object:
    cluster = ClusterState(START, (node,), (place,))
    (found,) = seen_from_here(cluster, START + timedelta(seconds=since_s))
    return found.state or found.status.state, found.problem


def test_a_camera_that_its_node_reads_is_well() -> None:
    assert seen() == (CameraState.STREAMING, None)
    draining = replace(NODE, state=NodeState.DRAINING)
    assert seen(node=draining) == (CameraState.STREAMING, None)
    between = replace(PLACE, gap_s=0.6)
    assert seen(between) == (CameraState.STREAMING, None)
    starting = replace(PLACE, status=None)
    assert seen(starting) == (CameraState.CONNECTING, None)


@pytest.mark.parametrize(
    ("place", "node", "since_s", "state", "problem"),
    [
        (replace(PLACE, node=None), NODE, 0.0, State.UNPLACED, "none is ready"),
        (PLACE, replace(NODE, state=NodeState.LOST), 0.0, State.UNWATCHED, "node a is lost"),
        (PLACE, replace(NODE, state=NodeState.SILENT), 0.0, State.UNWATCHED, "node a is silent"),
        (PLACE, replace(NODE, heard_s_ago=8.5), 0.0, State.UNWATCHED, "not answered for 8 s"),
        (replace(PLACE, gap_s=1.5), NODE, 0.0, State.UNWATCHED, "takes it over"),
        (PLACE, NODE, 9.0, State.UNKNOWN, "leading process"),
        (
            replace(PLACE, status=replace(STREAMS, unchanged_s=7.0)),
            NODE,
            0.0,
            CameraState.STREAMING,
            "very same picture",
        ),
        (
            replace(PLACE, status=replace(STREAMS, state=CameraState.BACKING_OFF, last_error="no")),
            NODE,
            0.0,
            CameraState.BACKING_OFF,
            "no",
        ),
    ],
)
def test_a_camera_is_at_fault(
    place: CameraPlace, node: NodeStatus, since_s: float, state: object, problem: str
) -> None:
    found_state, found_problem = seen(place, node, since_s)  # type: ignore[misc]
    assert found_state is state
    assert problem in found_problem


@given(st.floats(0, 60), st.floats(0, 60))
def test_nothing_that_was_last_heard_long_ago_counts_as_well(
    heard_s: float, since_s: float
) -> None:
    node = replace(NODE, heard_s_ago=heard_s)
    _, problem = seen(PLACE, node, since_s)  # type: ignore[misc]
    assert (problem is None) == (heard_s + since_s <= SILENT_S)


def test_what_the_page_gets_shows_no_plate() -> None:
    last = LastPassage("京A12345", PlateClass.BLUE, START)
    publish(ClusterState(START, (NODE,), (replace(PLACE, last_passage=last, moving_to="b"),)))
    try:
        (told,) = cluster_json(START + timedelta(seconds=2))
    finally:
        publish(None)
    assert cluster_json(START) == []
    assert told["cluster"] == {
        "node": "a",
        "node_state": "ready",
        "moving_to": "b",
        "moves": 2,
        "unwatched_s": 3.2,
    }
    assert told["healthy"]
    assert told["last_frame_age_s"] == pytest.approx(2.4)
    assert told["last_passage"]["at"] == START.isoformat()
    assert "12345" not in json.dumps(told)
    assert "••" in told["last_passage"]["plate"]
