"""Cameras and checkpoints for the page: how they are, and a glance through each camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from checkpoint.v1 import alerts_pb2 as pb
from pipeline import events
from pipeline.camera import CameraStatus, fault
from pipeline.console.context import ANY_ROLE, context_of, not_found, require_role
from pipeline.console.link import link_of
from pipeline.console.passages_shown import masked
from pipeline.console.views import record_view
from pipeline.convert_status import status_from_pb


async def cameras(request: Request) -> Response:
    """Every camera of this process, every checkpoint that is known, and what is wrong."""
    require_role(request, *ANY_ROLE)
    await record_view(request, "console.cameras", "cameras")
    context = context_of(request)
    now = context.clock.now()
    link = link_of(request)
    found = await link.call(request, "ListCheckpoints", pb.ListCheckpointsRequest())
    known = [events.checkpoint(status_from_pb(one)) for one in found.checkpoints]
    for one in known:
        del one["event"]
    return JSONResponse(
        {
            "cameras": [
                camera_json(one, fault(one, now))
                for one in await run_in_threadpool(context.cameras)
            ],
            "checkpoints": known,
            "health": [
                {"component": component, "message": message}
                for component, message in sorted(context.health.problems().items())
            ],
        }
    )


def camera_json(camera: CameraStatus, problem: str | None) -> dict[str, Any]:
    """One camera; ``problem``: what is wrong with it. The plate is masked: nobody looks for it."""
    passage = camera.last_passage
    return {
        "name": camera.camera,
        "source": camera.source,
        "state": camera.state.value,
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
        "latency_ms": None if camera.latency_s is None else round(camera.latency_s * 1000),
        "last_passage": None
        if passage is None
        else {
            "plate": masked(passage.plate) if passage.plate else None,
            "plate_class": passage.plate_class.value if passage.plate_class else None,
            "at": passage.ended_at.isoformat(),
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
