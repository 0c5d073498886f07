"""``checkpoint run`` on a camera that is killed, frozen and restarted: hits flow again."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from pipeline.commands.demo import CLIP
from tests.support.program import Program
from tests.support.rtsp_server import RtspServer, require_rtsp
from tests.support.waiting import PATIENCE_S
from tests.system.test_run import put_on_list

PLATES = {p["main_plate"] for p in json.loads(CLIP.with_suffix(".json").read_text())["passages"]}

pytestmark = [
    pytest.mark.rtsp,
    pytest.mark.redis,
    pytest.mark.grpc,
    pytest.mark.slow,
    pytest.mark.alone,
]


def test_killed_frozen_and_restarted(tmp_path: Path) -> None:
    require_rtsp()
    for plate in PLATES:
        put_on_list(tmp_path, plate)
    with RtspServer({"gate": CLIP}, user="viewer", password="secret/@7") as server:
        url = server.url("gate", user="viewer", password="secret/@7")
        with Program("run", "--source", url, "--json", cwd=tmp_path) as program:
            program.wait_until(lambda: len(program.hits()) >= 2, PATIENCE_S, "first hits")
            memory = [psutil.Process(program.pid).memory_info().rss]
            for break_it, mend_it in (
                (server.kill, server.restart),
                (server.freeze, server.resume),
                (server.kill, server.restart),
            ):
                break_it()
                program.wait_until(
                    lambda: "degraded" in program.log.rsplit("recovered", 1)[-1],
                    PATIENCE_S,
                    "noticed",
                )
                mend_it()
                hits = len(program.hits())
                program.wait_until(
                    lambda hits=hits: len(program.hits()) > hits,
                    PATIENCE_S,
                    "hits flow again",
                )
                memory.append(psutil.Process(program.pid).memory_info().rss)
            status, _ = program.interrupt()
            assert status == 0, program.log
            assert "secret" not in program.log
            assert "secret" not in json.dumps(program.events)
            assert "Traceback" not in program.log
            assert memory[-1] < memory[0] * 1.2
            summary = program.events[-1]
    assert summary["passages"] >= 2
    assert {p["plate"] for p in program.passages() if p["plate"]} <= PLATES


def test_an_unreachable_camera_is_said_and_waited_for(tmp_path: Path) -> None:
    with Program("run", "--source", "rtsp://127.0.0.1:1/gate", "--json", cwd=tmp_path) as program:
        program.wait_until(lambda: "nothing listens there" in program.log, PATIENCE_S, "said")
        status, _ = program.interrupt()
    assert status == 0, program.log
    assert program.events[-1]["frames"]["decoded"] == 0
