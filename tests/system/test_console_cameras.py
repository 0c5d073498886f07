"""The console's cameras over a real RTSP server: seen, silent, frozen and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.access import AccessRole
from pipeline.commands.demo import CLIP
from pipeline.rtsp_server import RtspServer
from tests.support.clips import make_clip
from tests.support.console import Browser, ConsoleRig, running_console
from tests.support.rtsp_server import require_rtsp
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.rtsp,
    pytest.mark.redis,
    pytest.mark.grpc,
    pytest.mark.slow,
    pytest.mark.alone,
]


@pytest.fixture(scope="module")
def still_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hanging encoder: one picture for ever, bit by bit the same."""
    return make_clip(tmp_path_factory.mktemp("clips") / "still.mp4", frames=50, still=True)


@pytest.fixture(scope="module")
def server(still_clip: Path) -> Iterator[RtspServer]:
    require_rtsp()
    with RtspServer({"gate": CLIP, "hangs": still_clip}) as running:
        yield running


@pytest.fixture
def rig(server: RtspServer, tmp_path: Path) -> Iterator[ConsoleRig]:
    cameras = [
        {"name": name, "source": server.url(mount)}
        for name, mount in (('东门<b>&"', "gate"), ("hangs", "hangs"))
    ]
    roles = ("recognise", "alerts", "console")
    with running_console(tmp_path, roles=roles, cameras=cameras) as running:
        yield running


def camera(browser: Browser, name: str) -> dict[str, Any]:
    found = browser.get("/api/cameras").json()["cameras"]
    return next(one for one in found if one["name"] == name)


def test_cameras_are_seen_and_a_silent_or_frozen_one_is_red(
    server: RtspServer, rig: ConsoleRig
) -> None:
    name = '东门<b>&"'
    with rig.person("Wang", AccessRole.VIEWER) as browser:
        wait_until(lambda: camera(browser, name)["last_passage"] is not None)
        wait_until(lambda: camera(browser, name)["fps"] > 0)  # counted over some seconds
        seen = camera(browser, name)
        assert "••" in seen["last_passage"]["plate"]
        assert seen["healthy"]
        assert seen["state"] == "streaming"
        assert seen["latency_ms"] > 0
        assert seen["source"] == server.url("gate")
        answer = browser.get(f"/api/cameras/{name}/still")
        assert answer.headers["content-type"] == "image/jpeg"
        image = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape[1] == 512

        def hangs() -> bool:
            return "very same picture" in (camera(browser, "hangs")["problem"] or "")

        wait_until(hangs)
        rig.runtime.check()
        health = browser.get("/api/cameras").json()["health"]
        assert "camera hangs" in [one["component"] for one in health]

        server.freeze()
        try:
            wait_until(lambda: not camera(browser, name)["healthy"])
            assert browser.get(f"/api/cameras/{name}/still").status_code == 200  # the last one
        finally:
            server.resume()
        wait_until(lambda: camera(browser, name)["healthy"])
        assert [one.actor for one in rig.audited("console.cameras")] == ["Wang"]
