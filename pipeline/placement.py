"""Which node reads which camera: a pure function, with as few moves as balance allows.

A node's load is the weight of its cameras over its capacity. Where cameras have no node, the
heaviest goes first, each to the node that is loaded least with it. Then, while one move makes
the fullest node clearly less full, that move is made: nothing moves for little.
"""

from __future__ import annotations

from collections.abc import Mapping

_EPSILON = 1e-9


def place(
    cameras: Mapping[str, float],
    nodes: Mapping[str, float],
    current: Mapping[str, str],
    tolerance: float = 0.15,
) -> dict[str, str]:
    """A node for every camera.

    Args:
        cameras: weight of each camera, above 0.
        nodes: capacity of each node that takes cameras, above 0.
        current: where cameras are now. A camera on a node that is not in ``nodes`` must leave it.
        tolerance: a load this much, as a share, above the mean is even enough.

    Returns:
        The node of each camera; empty where there are no nodes. The same input gives the same
        result, and applied to its own result nothing moves.
    """
    if not nodes:
        return {}
    placed = {camera: node for camera, node in current.items() if camera in cameras}
    placed = {camera: node for camera, node in placed.items() if node in nodes}
    carried = dict.fromkeys(nodes, 0.0)
    for camera, node in placed.items():
        carried[node] += cameras[camera]
    homeless = sorted(set(cameras) - set(placed), key=lambda name: (-cameras[name], name))
    for camera in homeless:
        node = min(nodes, key=lambda name: ((carried[name] + cameras[camera]) / nodes[name], name))
        placed[camera] = node
        carried[node] += cameras[camera]
    even_enough = (1 + tolerance) * sum(cameras.values()) / sum(nodes.values())
    while (move := _best_move(cameras, nodes, placed, carried, even_enough)) is not None:
        camera, node = move
        carried[placed[camera]] -= cameras[camera]
        carried[node] += cameras[camera]
        placed[camera] = node
    return placed


def _best_move(
    cameras: Mapping[str, float],
    nodes: Mapping[str, float],
    placed: Mapping[str, str],
    carried: Mapping[str, float],
    even_enough: float,
) -> tuple[str, str] | None:
    """The move off the fullest node that leaves the fuller of the two nodes least full.

    None where the fullest is even enough, or no move makes it less full without making another
    as full as it was.
    """
    loads = {name: carried[name] / nodes[name] for name in nodes}
    fullest = max(nodes, key=lambda name: (loads[name], name))
    if loads[fullest] <= even_enough + _EPSILON:
        return None
    best: tuple[float, str, str] | None = None
    for camera, at in placed.items():
        if at != fullest:
            continue
        for node in nodes:
            if node == fullest:
                continue
            there = (carried[node] + cameras[camera]) / nodes[node]
            here = (carried[fullest] - cameras[camera]) / nodes[fullest]
            worse = max(there, here)
            if worse < loads[fullest] - _EPSILON:
                best = min(best or (worse, camera, node), (worse, camera, node))
    return None if best is None else (best[1], best[2])
