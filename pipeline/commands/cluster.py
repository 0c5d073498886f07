"""``checkpoint run --cluster`` and ``checkpoint cluster``: cameras over the nodes of a cluster."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TextIO
from urllib.parse import urlsplit

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from pipeline import config
from pipeline.cluster_records import ClusterState
from pipeline.commands.run import JsonOutput, Output, failure_of
from pipeline.config import CheckpointSettings, Role
from pipeline.config.base import is_here
from pipeline.display import RunDisplay
from pipeline.errors import ConfigError, InputError
from pipeline.fleet import Fleet
from pipeline.health import Health
from pipeline.leader import Leader, check_settings
from pipeline.recognition import Listener
from pipeline.runtime import Runtime
from pipeline.signals import stop_requests

app = typer.Typer(no_args_is_help=True)
_TICK_S = 0.1
_EVERYWHERE = ("0.0.0.0", "[::]", "::")  # noqa: S104 - refused, not listened on

ConfigFile = Annotated[Path, typer.Option("--config", help="The checkpoint.toml that is run.")]
Address = Annotated[
    str, typer.Option("--cluster", metavar="auto|HOST:PORT", help="The Ray cluster.")
]


def play_over(
    settings: CheckpointSettings, address: str, *, as_json: bool, once: bool = False
) -> None:
    """Lead a cluster until its sources end or Ctrl-C; then say what it amounted to.

    The other roles of the configuration, alert service and console, run in this process.

    Raises:
        ConfigError: the configuration does not fit a cluster, or Ray is not installed.
        ClusterError: the cluster cannot be reached, or no node could start.
        InputError: a source could not be used, or not wholly; the rest was done.
        ShutdownError: something was lost past the shutdown deadline.
    """
    check_settings(settings)
    with _stdout_alone() as stdout, ExitStack() as stack:
        output: Output = JsonOutput(stdout) if as_json else RunDisplay(Console(file=stdout))
        from pipeline.cluster import RayFleet  # needs Ray, and says so

        fleet = RayFleet(settings, address)
        stack.callback(fleet.close)  # where the start fails further on
        stop = stack.enter_context(stop_requests())
        runtime = _other_roles(settings)
        if runtime is not None:
            stack.enter_context(runtime)
        health = runtime.health if runtime else Health()
        target = _target(settings, runtime)
        _check_reach(settings, target, fleet, health)
        listener = Listener(output.passage, output.hit)
        with Leader(settings, fleet, target, listener, health, once=once) as leader:
            while not stop.wait(_TICK_S) and not leader.ended():
                leader.step()
                if runtime is not None:
                    runtime.check()
            cameras = [place.status for place in leader.state().cameras]
            output.summary(leader.stop())
    failures = [problem for one in cameras if one and (problem := failure_of(one))]
    if failures:
        raise InputError("\n".join(failures))


@app.command()
def status(
    file: ConfigFile,
    address: Address = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout instead of tables.")
    ] = False,
) -> None:
    """Show nodes and cameras of a running cluster."""
    settings = config.load(file)
    with _stdout_alone() as stdout:
        from pipeline.cluster import cluster_state

        state = cluster_state(address, settings.checkpoint)
        if as_json:
            whole = asdict(state) if state else None
            stdout.write(json.dumps(whole, ensure_ascii=False, default=str) + "\n")
        elif state is not None:
            _print(state, Console(file=stdout))


@app.command()
def drain(
    node: Annotated[str, typer.Argument(help="The node's name, as status shows it.")],
    file: ConfigFile,
    address: Address = "auto",
) -> None:
    """Have a node give its cameras to others, for maintenance; no passage is lost."""
    said = f"{node} is being drained: take it down when its state is 'drained'"
    _set_draining(node, file, address, said, on=True)


@app.command()
def resume(
    node: Annotated[str, typer.Argument(help="The node's name, as status shows it.")],
    file: ConfigFile,
    address: Address = "auto",
) -> None:
    """Use a node again that was drained."""
    _set_draining(node, file, address, f"{node} is used again", on=False)


def _set_draining(node: str, file: Path, address: str, said: str, *, on: bool) -> None:
    settings = config.load(file)
    with _stdout_alone() as stdout:
        from pipeline import cluster

        cluster.drain(address, settings.checkpoint, node, on=on)
        print(said, file=stdout)


@contextmanager
def _stdout_alone() -> Iterator[TextIO]:
    """Standard output for our own lines; what Ray and others write there goes to stderr."""
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(own, "w", encoding="utf-8", closefd=False) as stream:
            yield stream
    finally:
        sys.stdout.flush()
        os.dup2(own, 1)
        os.close(own)


def _other_roles(settings: CheckpointSettings) -> Runtime | None:
    """What this process does beside leading; None: nothing."""
    roles = tuple(role for role in settings.roles if role is not Role.RECOGNISE)
    if not roles:
        return None
    return Runtime(settings.model_copy(update={"roles": roles, "cameras": ()}))


def _target(settings: CheckpointSettings, runtime: Runtime | None) -> str:
    """The alert service as the nodes reach it."""
    if settings.cluster.target is not None:
        return settings.cluster.target
    if runtime is None or runtime.alert_address is None:
        if settings.alerts.target is None:
            raise ConfigError("name alerts.target, the service that the nodes publish to")
        return settings.alerts.target
    if runtime.alert_address.rpartition(":")[0] in _EVERYWHERE:
        raise ConfigError(
            f"alerts.listen {runtime.alert_address} is no address to be called at: name it in "
            "[cluster] target as the nodes reach it"
        )
    return runtime.alert_address


def _check_reach(settings: CheckpointSettings, target: str, fleet: Fleet, health: Health) -> None:
    """Say what other machines cannot reach."""
    if len({machine.address for machine in fleet.machines() if machine.alive}) < 2:
        return
    if is_here(target.rpartition(":")[0]):
        health.report(
            "cluster target",
            f"nodes on other machines cannot reach the alert service at {target}: give it a "
            "certificate and another alerts.listen, or name [cluster] target",
        )
    redis = urlsplit(settings.watchlist.redis_url or "")
    if redis.scheme == "unix" or is_here(redis.hostname or ""):
        health.report(
            "cluster watchlist",
            "nodes on other machines cannot reach watchlist.redis_url on this machine: name one "
            "that all reach",
        )


def _print(state: ClusterState, console: Console) -> None:
    nodes = Table(box=box.SIMPLE_HEAD, title="Nodes", title_justify="left")
    for heading in ("node", "state", "cameras", "load", "passages", "waiting", "problem"):
        nodes.add_column(heading)
    for node in state.nodes:
        nodes.add_row(
            node.node,
            node.state.value,
            str(len(node.cameras)),
            f"{100 * node.load:.0f} %",
            str(node.tally.passages),
            f"{node.waiting_passages} passages, {node.waiting_hits} hits",
            "; ".join(f"{name}: {problem}" for name, problem in node.problems.items()),
        )
    console.print(nodes)
    cameras = Table(box=box.SIMPLE_HEAD, title="Cameras", title_justify="left")
    for heading in ("camera", "node", "state", "moves", "unwatched s"):
        cameras.add_column(heading)
    for place in state.cameras:
        where = place.node or "–"
        cameras.add_row(
            place.camera,
            f"{where} → {place.moving_to}" if place.moving_to else where,
            place.status.state.value if place.status else "–",
            str(place.moves),
            f"{place.unwatched_s:.1f}",
        )
    console.print(cameras)
