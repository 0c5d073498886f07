"""An entry that is added after the vehicle has passed: the running program finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.commands.demo import CLIP
from tests.support.ports import free_port
from tests.support.program import Program, checkpoint, events
from tests.system.test_run import PLATES, put_on_list

pytestmark = [pytest.mark.redis, pytest.mark.grpc, pytest.mark.slow]


def test_a_plate_listed_after_it_passed_is_a_late_hit(tmp_path: Path) -> None:
    config = tmp_path / "checkpoint.toml"
    config.write_text(
        f'alerts = {{listen = "127.0.0.1:{free_port()}"}}\n'
        f'[[cameras]]\nname = "gate"\nsource = "{CLIP}"\n'
    )
    run = ("run", "--config", str(config), "--json")
    first = checkpoint(*run, "--once", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    passed = {one["plate"]: one["id"] for one in events(first.stdout) if one["event"] == "passage"}
    put_on_list(tmp_path, PLATES[0])  # nobody watches now
    with Program(*run, cwd=tmp_path) as program:

        def late(plate: str) -> list[dict]:
            wanted = passed[plate]
            return [one for one in program.hits() if one.get("late") and one["passage"] == wanted]

        program.wait_until(lambda: late(PLATES[0]), 240, "the entry added before the start")
        put_on_list(tmp_path, PLATES[1])
        program.wait_until(lambda: late(PLATES[1]), 240, "the entry added while it runs")
        both = {passed[plate] for plate in PLATES[:2]}

        def alerts() -> list[dict]:
            listed = ("alerts", "list", "--config", str(config), "--limit", "200")
            done = checkpoint(*listed, "--json", cwd=tmp_path)
            table = checkpoint(*listed, cwd=tmp_path).stdout
            assert ("LATE" in table) == ('"late": true' in done.stdout)
            return [one for one in events(done.stdout) if one["late"]]

        program.wait_until(lambda: {one["passage"] for one in alerts()} >= both, 240, "the alerts")
        assert all(one["evidence_sha256"] for one in alerts())
        status, _ = program.interrupt()
        assert status == 0
    ids = [one["id"] for one in program.hits() if one.get("late")]
    assert len(ids) == len(set(ids))
