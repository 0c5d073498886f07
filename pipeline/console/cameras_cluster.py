"""The cameras of the cluster that this process leads, as the page is to show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from pipeline.camera import SILENT_S, CameraState, CameraStatus, fault
from pipeline.cluster_records import CameraPlace, ClusterState, NodeState, NodeStatus

_BETWEEN_S = 1.0
"""For so long a camera may be between two nodes: longer, and it is at fault."""
_GONE = (NodeState.SILENT, NodeState.LOST)


class State(StrEnum):
    """How a camera is that no node reads, beside the states of its own."""

    UNPLACED = "unplaced"
    """No node is there for it."""
    UNWATCHED = "unwatched"
    """Its node is lost, or another one takes it over."""
    UNKNOWN = "unknown"
    """The leader does not say."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One camera. ``state``: where it is not read; None: as its node says."""

    place: CameraPlace
    status: CameraStatus
    node_state: NodeState | None
    state: State | None
    problem: str | None


def seen_from_here(cluster: ClusterState, now: datetime) -> Sequence[Seen]:
    """All cameras in the order of names, with what is wrong with each.

    A node's last word ages: frames of which nothing was heard since may have ceased to come.
    """
    nodes = {node.node: node for node in cluster.nodes}
    since_s = max((now - cluster.at).total_seconds(), 0.0)
    return [_seen(place, nodes.get(place.node or ""), since_s, now) for place in cluster.cameras]


def _seen(place: CameraPlace, node: NodeStatus | None, since_s: float, now: datetime) -> Seen:
    node_state = node.state if node is not None else None
    status = place.status or CameraStatus(place.camera, "", CameraState.CONNECTING, now)
    silent_s = since_s + ((node.heard_s_ago or 0.0) if node is not None else 0.0)
    if status.last_frame_age_s is not None:
        status = replace(status, last_frame_age_s=status.last_frame_age_s + silent_s)
    state, problem = None, fault(status, now)
    if since_s > SILENT_S:
        state = State.UNKNOWN
        problem = f"the leading process has said nothing for {since_s:.0f} s"
    elif node is None:
        state, problem = State.UNPLACED, "no node reads it: none is ready"
    elif node.state in _GONE:
        state, problem = State.UNWATCHED, f"node {node.node} is {node.state.value}"
    elif silent_s > SILENT_S:
        state = State.UNWATCHED
        problem = f"node {node.node} has not answered for {silent_s:.0f} s"
    elif place.gap_s > _BETWEEN_S and problem is None:
        state = State.UNWATCHED
        problem = f"not read for {place.gap_s:.0f} s: node {node.node} takes it over"
    return Seen(place, status, node_state, state, problem)
