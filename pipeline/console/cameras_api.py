"""Cameras and checkpoints for the page: how they are, and a glance through each camera."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from checkpoint.v1 import alerts_pb2 as pb
from pipeline import events
from pipeline.camera import CameraStatus, fault
from pipeline.cluster_records import LastPassage, current
from pipeline.console.cameras_cluster import State, seen_from_here
from pipeline.console.context import ANY_ROLE, context_of, not_found, require_role
from pipeline.console.link import link_of
from pipeline.console.passages_shown import masked
from pipeline.console.views import record_view
from pipeline.convert_status import status_from_pb


async def cameras(request: Request) -> Response:
    """Every camera of this process and of the cluster that it leads, every checkpoint that is
    known, and what is wrong."""
    require_role(request, *ANY_ROLE)
    await record_view(request, "console.cameras", "cameras")
    context = context_of(request)
    now = context.clock.now()
    link = link_of(request)
    found = await link.call(request, "ListCheckpoints", pb.ListCheckpointsRequest())
    known = [events.checkpoint(status_from_pb(one)) for one in found.checkpoints]
    for one in known:
        del one["event"]
    own = await run_in_threadpool(context.cameras)
    return JSONResponse(
        {
            "cameras": [camera_json(one, fault(one, now)) for one in own] + cluster_json(now),
            "checkpoints": known,
            "health": [
                {"component": component, "message": message}
                for component, message in sorted(context.health.problems().items())
            ],
        }
    )


def cluster_json(now: datetime) -> list[dict[str, Any]]:
    """The cameras of the cluster that this process leads; none where it leads none."""
    cluster = current()
    if cluster is None:
        return []
    return [
        camera_json(seen.status, seen.problem, seen.place.last_passage, seen.state)
        | {
            "cluster": {
                "node": seen.place.node,
                "node_state": seen.node_state.value if seen.node_state else None,
                "moving_to": seen.place.moving_to,
                "moves": seen.place.moves,
                "unwatched_s": round(seen.place.unwatched_s, 1),
            }
        }
        for seen in seen_from_here(cluster, now)
    ]


def camera_json(
    camera: CameraStatus,
    problem: str | None,
    last: LastPassage | None = None,
    state: State | None = None,
) -> dict[str, Any]:
    """One camera. The plate is masked: nobody looks for it.

    Args:
        camera: how it is.
        problem: what is wrong with it.
        last: who passed last, where that is known of another node's camera.
        state: that of a camera which no node reads; None: its own.
    """
    passage = camera.last_passage
    if passage is not None:
        last = LastPassage(passage.plate, passage.plate_class, passage.ended_at)
    return {
        "name": camera.camera,
        "cluster": None,
        "source": camera.source,
        "state": (state or camera.state).value,
        "since": camera.since.isoformat(),
        "stop_reason": camera.stop_reason.value if camera.stop_reason else None,
        "healthy": problem is None,
        "problem": problem,
        "fps": round(camera.fps, 1),
        "decoded": camera.decoded,
        "sampled": camera.sampled,
        "broken": camera.broken,
        "dropped": dict(camera.dropped),
        "skipped": dict(camera.skipped),
        "reconnects": camera.reconnects,
        "last_error": camera.last_error,
        "last_frame_age_s": _rounded(camera.last_frame_age_s, 1),
        "unchanged_s": round(camera.unchanged_s, 1),
        "overlooked_s": round(camera.overlooked_s, 1),
        "latency_ms": None if camera.latency_s is None else round(camera.latency_s * 1000),
        "last_passage": None
        if last is None
        else {
            "plate": masked(last.plate) if last.plate else None,
            "plate_class": last.plate_class.value if last.plate_class else None,
            "at": last.at.isoformat(),
        },
    }


def still(request: Request) -> Response:
    """What a camera sees, without anything that could identify anybody: see ``stills.py``."""
    require_role(request, *ANY_ROLE)
    name = str(request.path_params["name"])
    jpeg = context_of(request).still(name)
    if jpeg is None:
        raise not_found(f"camera {name}: has no picture yet")
    return Response(jpeg, media_type="image/jpeg", headers={"Content-Disposition": "inline"})


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


routes: Final[Sequence[BaseRoute]] = (
    Route("/api/cameras", cameras),
    Route("/api/cameras/{name:path}/still", still),
)
