"""The cluster in ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from pipeline.cluster_records import (
    CameraPlace,
    ClusterState,
    NodeState,
    NodeStatus,
    Tally,
    publish,
)
from pipeline.console.metrics_cluster import cluster_metrics
from tests.support.scenes import START


class Collected(Collector):
    def collect(self) -> Iterator[object]:
        yield from cluster_metrics()


@pytest.fixture(autouse=True)
def _leads_none() -> Iterator[None]:
    yield
    publish(None)


def shown() -> list[str]:
    registry = CollectorRegistry()
    registry.register(Collected())
    lines = generate_latest(registry).decode("utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_nothing_without_a_cluster() -> None:
    assert shown() == []


def test_nodes_and_cameras() -> None:
    one = NodeStatus(
        "b",
        NodeState.READY,
        8.0,
        0.25,
        ("lane-1", "lane-2"),
        restarts=1,
        waiting_hits=3,
        tally=Tally(passages=7, hits=2, recognised=90),
    )
    two = NodeStatus("c", NodeState.LOST, 8.0)
    places = (
        CameraPlace("lane-1", "b", moves=2, unwatched_s=3.5),
        CameraPlace("lane-2", "b"),
        CameraPlace("lane-3", None),
    )
    publish(ClusterState(START, (one, two), places))
    lines = shown()
    assert 'checkpoint_cluster_nodes{state="ready"} 1.0' in lines
    assert 'checkpoint_cluster_nodes{state="lost"} 1.0' in lines
    assert 'checkpoint_cluster_nodes{state="silent"} 0.0' in lines
    assert 'checkpoint_cluster_node_cameras{node="b"} 2.0' in lines
    assert 'checkpoint_cluster_node_load_ratio{node="b"} 0.25' in lines
    assert 'checkpoint_cluster_node_waiting{node="b",what="hits"} 3.0' in lines
    assert 'checkpoint_cluster_node_restarts_total{node="b"} 1.0' in lines
    assert 'checkpoint_cluster_node_passages_total{node="b"} 7.0' in lines
    assert "checkpoint_cluster_cameras_unplaced 1.0" in lines
    assert 'checkpoint_cluster_camera_moves_total{camera="lane-1"} 2.0' in lines
    assert 'checkpoint_cluster_camera_unwatched_seconds_total{camera="lane-1"} 3.5' in lines
