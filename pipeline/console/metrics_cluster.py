"""The cluster that this process leads, in ``/metrics``; nothing where it leads none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from pipeline.cluster_records import NodeState, current


def cluster_metrics() -> Iterator[Metric]:
    """Nodes and cameras as the leader knew them a moment ago; docs/cluster.md lists them."""
    state = current()
    if state is None:
        return
    states = Counter(node.state for node in state.nodes)
    yield _gauge("nodes", "Nodes by state.", ("state",), {(s.value,): states[s] for s in NodeState})
    by_node = {(node.node,): node for node in state.nodes}
    yield _gauge(
        "node_cameras",
        "Cameras that a node reads.",
        ("node",),
        {labels: len(node.cameras) for labels, node in by_node.items()},
    )
    yield _gauge(
        "node_load_ratio",
        "Weight of a node's cameras over its capacity.",
        ("node",),
        {labels: node.load for labels, node in by_node.items()},
    )
    yield _gauge(
        "node_waiting",
        "What waits on a node's disk: passages to be matched, hits to be acknowledged.",
        ("node", "what"),
        {(node.node, "passages"): node.waiting_passages for node in state.nodes}
        | {(node.node, "hits"): node.waiting_hits for node in state.nodes},
    )
    yield _counter(
        "node_restarts",
        "How often a node's pipeline has ended and was started again.",
        ("node",),
        {labels: node.restarts for labels, node in by_node.items()},
    )
    yield _counter(
        "node_frames_recognised",
        "Frames that a node has recognised.",
        ("node",),
        {labels: node.tally.recognised for labels, node in by_node.items()},
    )
    yield _counter(
        "node_passages",
        "Passages that a node has told.",
        ("node",),
        {labels: node.tally.passages for labels, node in by_node.items()},
    )
    yield _counter(
        "node_hits",
        "Hits that a node has found.",
        ("node",),
        {labels: node.tally.hits for labels, node in by_node.items()},
    )
    yield _gauge(
        "cameras_unplaced",
        "Cameras that no node reads now.",
        (),
        {(): state.unplaced},
    )
    yield _counter(
        "camera_moves",
        "How often a camera has gone to another node.",
        ("camera",),
        {(place.camera,): place.moves for place in state.cameras},
    )
    yield _counter(
        "camera_unwatched_seconds",
        "For how long nobody has looked at a camera, once it had been read.",
        ("camera",),
        {(place.camera,): place.unwatched_s for place in state.cameras},
    )


def _gauge(name: str, what: str, labels: Sequence[str], values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(f"checkpoint_cluster_{name}", what, labels=labels)
    for of, value in values.items():
        family.add_metric(of, value)
    return family


def _counter(name: str, what: str, labels: Sequence[str], values: Mapping[Any, float]) -> Metric:
    family = CounterMetricFamily(f"checkpoint_cluster_{name}", what, labels=labels)
    for of, value in values.items():
        family.add_metric(of, value)
    return family
