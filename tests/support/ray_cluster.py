"""A Ray cluster of several nodes on this machine; nodes come, and die as a machine does."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import psutil
import pytest

_SMALL = {"object_store_memory": 80 * 2**20}


def require_ray() -> None:
    """Go on only where Ray is installed."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install -e '.[cluster]'")


class RayCluster:
    """A head that takes no pipeline, and named nodes. A context manager."""

    def __init__(self, *names: str) -> None:
        require_ray()
        from pipeline import cluster  # first: it sets what Ray reads when it is imported

        del cluster
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Ray's own
            from ray.cluster_utils import Cluster

            self._cluster: Any = Cluster(
                initialize_head=True,
                head_node_args={
                    "num_cpus": 0,
                    "include_dashboard": False,
                    "node_name": "head",
                    **_SMALL,
                },
            )
        self._nodes: dict[str, Any] = {}
        for name in names:
            self.add(name)

    @property
    def address(self) -> str:
        """Of the head."""
        return str(self._cluster.address)

    def __enter__(self) -> RayCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.shutdown()

    def add(self, name: str) -> None:
        """Have a node join."""
        if name not in self._nodes:
            self._nodes[name] = self._cluster.add_node(
                num_cpus=1, node_name=name, wait=False, **_SMALL
            )

    def drop(self, name: str) -> None:
        """Have a node gone, if it is there."""
        if name in self._nodes:
            self.kill(name)

    def kill(self, name: str) -> None:
        """End a node as a power cut would: every process of it at once."""
        node = self._nodes.pop(name)
        processes = []
        for group in node.all_processes.values():
            for info in group:
                process = psutil.Process(info.process.pid)
                processes += [process, *process.children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=90)
        self._cluster.remove_node(node, allow_graceful=False)


def pipeline_pid(data_dir: Path) -> int:
    """The process that holds a node's data folder."""
    lock = str((data_dir / "node.lock").resolve())
    for process in psutil.process_iter(["name"]):
        try:
            if any(file.path == lock for file in process.open_files()):
                return process.pid
        except psutil.Error:
            continue
    raise AssertionError(f"nobody holds {lock}")
