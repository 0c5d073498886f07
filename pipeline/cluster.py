"""Checkpoint on a Ray cluster: node actors, and the board where others look. Only this imports Ray.

``pipeline/leader.py`` leads through :class:`RayFleet`. The actors are named and detached: they go
on where the leader is away, and the next leader finds them. Ray moves no picture: what goes over
it are orders and reports (``pipeline/cluster_records.py``).
"""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pipeline import logs
from pipeline.cluster_records import ClusterState, NodeReport, Orders
from pipeline.config import CheckpointSettings
from pipeline.errors import CheckpointError, ClusterError, ConfigError
from pipeline.fleet import Answer, Machine, Outcome, Question, Worker
from pipeline.node import Node

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or it warns of a change
try:
    import ray
    from ray.exceptions import ActorUnavailableError, RayActorError, RayError
    from ray.util.metrics import Gauge
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as missing:
    raise ConfigError(
        "a cluster needs Ray, which is not installed: pip install 'checkpoint-vehicles[cluster]'"
    ) from missing

_NAMESPACE = "checkpoint"
_OPEN_S = 30.0
_LEADS_S = 5.0  # a leader that was not heard for so long leads no more
_FIGURES = {
    "cameras": "cameras that the node reads",
    "frames_decoded": "frames decoded since the pipeline's start",
    "frames_recognised": "frames recognised since the pipeline's start",
    "passages": "passages since the pipeline's start",
    "hits": "hits since the pipeline's start",
    "waiting_passages": "passages that are not matched yet",
    "waiting_hits": "hits that the alert service has not acknowledged yet",
}
"""Gauges on Ray's dashboard and in its metrics, as ``ray_checkpoint_NAME``."""


class NodeActor:
    """A node's pipeline as an actor; on the dashboard it goes by its node's name."""

    def __init__(self, name: str) -> None:
        logs.configure()
        self._name = name
        self._node: Node | None = None
        self._runs_with: tuple[CheckpointSettings, bool] | None = None
        self._gauges = {
            figure: Gauge(f"checkpoint_{figure}", described, ("checkpoint_node",))
            for figure, described in _FIGURES.items()
        }

    def __repr__(self) -> str:
        return f"checkpoint node {self._name}"

    def start(self, settings: CheckpointSettings, once: bool) -> str | None:
        """Start the pipeline, or go on with the one that runs; what kept it from starting."""
        if self._node is not None:
            if self._runs_with == (settings, once):
                return None
            self._node.stop()
            self._node = None
        try:
            self._node = Node(settings, self._name, once=once)
        except CheckpointError as error:
            return str(error)
        self._runs_with = settings, once
        return None

    def beat(self, orders: Orders) -> NodeReport | None:
        """What this node does from now on, and what it has done; None before it has started."""
        if self._node is None:
            return None
        report = self._node.beat(orders)
        figures = (
            len(report.cameras),
            report.tally.decoded,
            report.tally.recognised,
            report.tally.passages,
            report.tally.hits,
            report.waiting_passages,
            report.waiting_hits,
        )
        for gauge, figure in zip(self._gauges.values(), figures, strict=True):
            gauge.set(figure, {"checkpoint_node": self._name})
        return report

    def stop(self) -> NodeReport | None:
        """Shut the pipeline down in order."""
        return None if self._node is None else self._node.stop()


class Board:
    """Where others see the cluster's state and ask for a node to be drained."""

    def __init__(self) -> None:
        self._state: ClusterState | None = None
        self._draining: frozenset[str] = frozenset()
        self._leader: tuple[str, float] | None = None

    def post(self, leader: str, state: ClusterState | None) -> frozenset[str] | None:
        """Take the state; the nodes that are to be drained, or None: another one leads."""
        now_s = time.monotonic()
        if self._leader and self._leader[0] != leader and now_s - self._leader[1] < _LEADS_S:
            return None
        self._leader, self._state = (leader, now_s), state
        return self._draining

    def state(self) -> ClusterState | None:
        """The latest state."""
        return self._state

    def drain(self, node: str, on: bool) -> None:
        """Have a node drained, or used again."""
        self._draining = self._draining | {node} if on else self._draining - {node}


class RayWorker:
    """A node actor from afar."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._asked: Any = None

    def ask(self, what: Question, *arguments: object) -> None:
        """Put a question."""
        self._asked = getattr(self._actor, what).remote(*arguments)

    def answer(self) -> Answer | None:
        """What became of it, if that is known."""
        if self._asked is None or not ray.wait([self._asked], timeout=0)[0]:
            return None
        asked, self._asked = self._asked, None
        try:
            return Answer(Outcome.ANSWERED, ray.get(asked))
        except ActorUnavailableError as error:
            return Answer(Outcome.UNAVAILABLE, problem=_first_line(error))
        except RayActorError as error:
            return Answer(Outcome.ENDED, problem=_first_line(error))
        except RayError as error:
            return Answer(Outcome.FAILED, problem=_first_line(error))

    def kill(self) -> None:
        """End the actor's process."""
        with suppress(RayError, ValueError):
            ray.kill(self._actor)


class RayFleet:
    """A Ray cluster, from the machine of one of its nodes.

    Args:
        settings: what the actors take of their nodes, and the name that they go by.
        address: ``auto``, or HOST:PORT of the cluster's head.

    Raises:
        ConfigError: the address is none that can be used.
        ClusterError: nobody answers there, or another process leads this checkpoint.
    """

    def __init__(self, settings: CheckpointSettings, address: str) -> None:
        self._settings = settings
        self._id = uuid.uuid4().hex
        self._posted: Any = None
        self._draining: frozenset[str] = frozenset()
        connect(address)
        try:
            draining = self._take_the_lead()
            if draining is None:
                raise ClusterError(
                    f"another process runs checkpoint '{settings.checkpoint}' on this cluster: "
                    "stop it first, or give this one another name (checkpoint = …)"
                )
            self._draining = draining
        except BaseException:
            ray.shutdown()
            raise

    def machines(self) -> Sequence[Machine]:
        """Every node, with those that have left."""
        return [
            Machine(
                node["NodeName"],
                node["NodeID"],
                node["NodeManagerAddress"],
                bool(node["Alive"]),
                dict(node.get("Resources", {})),
            )
            for node in ray.nodes()
        ]

    def worker(self, machine: Machine, gpus: float) -> Worker:
        """The actor on a node: the one that runs there, or a new one."""
        cluster = self._settings.cluster
        actor = ray.remote(NodeActor).options(
            name=f"{self._settings.checkpoint} node {machine.name}",
            namespace=_NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=cluster.cpus,
            num_gpus=gpus,
            resources=dict(cluster.resources),
            max_concurrency=4,
            scheduling_strategy=NodeAffinitySchedulingStrategy(machine.id, soft=False),
        )
        return RayWorker(actor.remote(machine.name))

    def post(self, state: ClusterState) -> frozenset[str]:
        """Let others see the state; what is to be drained, as of a moment ago."""
        if self._posted is not None:
            if not ray.wait([self._posted], timeout=0)[0]:
                return self._draining
            try:
                draining = ray.get(self._posted)
            except RayError:  # its machine is gone
                self._board = self._open_board()
                for node in self._draining:
                    self._board.drain.remote(node, True)
            else:
                if draining is None:
                    raise ClusterError("another process leads this cluster by now; this one ends")
                self._draining = draining
        self._posted = self._board.post.remote(self._id, state)
        return self._draining

    def close(self) -> None:
        """Take the board away, and leave; the second call changes nothing."""
        if not ray.is_initialized():
            return
        with suppress(RayError, ValueError):
            ray.kill(self._board)
        ray.shutdown()

    def _take_the_lead(self) -> frozenset[str] | None:
        """What is to be drained, where this process leads from now on; None: another one does.

        The board of an earlier leader may be just ending.
        """
        until_s = time.monotonic() + _OPEN_S
        while True:
            try:
                self._board = self._open_board()
                draining: frozenset[str] | None = ray.get(
                    self._board.post.remote(self._id, None), timeout=_OPEN_S
                )
            except RayError as error:
                if time.monotonic() > until_s:
                    raise ClusterError(
                        f"the cluster cannot start an actor: {_first_line(error)}"
                    ) from None
                time.sleep(0.2)
            else:
                return draining

    def _open_board(self) -> Any:
        here = ray.get_runtime_context().get_node_id()
        options = ray.remote(Board).options(
            name=_board_name(self._settings.checkpoint),
            namespace=_NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=True),
        )
        return options.remote()


def connect(address: str) -> None:
    """Connect this process to a Ray cluster.

    Raises:
        ConfigError: the address is none that can be used.
        ClusterError: nobody answers there.
    """
    if "://" in address:
        raise ConfigError(
            f"--cluster {address}: name 'auto' or HOST:PORT, on a machine that is a node of the "
            "cluster itself ('ray start --address HOST:PORT' makes it one)"
        )
    if address != "auto":
        _probe(address)
    try:
        ray.init(
            address=address,
            namespace=_NAMESPACE,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        hint = (
            "no Ray runs on this machine: 'ray start --head' starts a cluster, "
            "'ray start --address HOST:PORT' joins one"
            if address == "auto"
            else "this machine must be a node of the cluster: 'ray start --address HOST:PORT'"
        )
        raise ClusterError(f"--cluster {address}: {hint} ({_first_line(error)})") from None


def cluster_state(address: str, checkpoint: str) -> ClusterState | None:
    """The state of a running cluster, from any of its machines; None before the first.

    Raises:
        ConfigError, ClusterError: there is no such cluster, or nobody leads this checkpoint on it.
    """
    state: ClusterState | None = _ask_board(address, checkpoint, "state")
    return state


def drain(address: str, checkpoint: str, node: str, on: bool) -> None:
    """Have a node drained for maintenance, or used again.

    Raises:
        ConfigError, ClusterError: there is no such cluster, or no such node in it.
    """
    state = cluster_state(address, checkpoint)
    names = [one.node for one in state.nodes] if state else []
    if node not in names:
        raise ClusterError(f"no node '{node}' in this cluster; there are: {', '.join(names)}")
    _ask_board(address, checkpoint, "drain", node, on)


def _ask_board(address: str, checkpoint: str, what: str, *arguments: object) -> Any:
    connect(address)
    try:
        board = ray.get_actor(_board_name(checkpoint), _NAMESPACE)
        return ray.get(getattr(board, what).remote(*arguments), timeout=10)
    except ValueError:
        raise ClusterError(
            f"nobody runs checkpoint '{checkpoint}' on this cluster: start it with "
            "'checkpoint run --cluster'"
        ) from None
    except RayError as error:
        raise ClusterError(f"the cluster does not answer: {_first_line(error)}") from None
    finally:
        ray.shutdown()


def _board_name(checkpoint: str) -> str:
    return f"{checkpoint} board"


def _probe(address: str) -> None:
    """Find out at once that nobody listens; Ray itself would try for a minute."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5.0):
            return
    except (ValueError, OverflowError):
        raise ConfigError(f"--cluster {address}: name 'auto' or HOST:PORT") from None
    except OSError as error:
        raise ClusterError(
            f"--cluster {address}: nobody answers there ({error}); name the address that "
            "'ray start --head' has printed"
        ) from None


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
