"""The wall of cameras where a cluster reads them: on which node, and which of them nobody reads.

The records are the leader's own, over scripted nodes; the cluster itself is in ``tests/system``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pipeline.cluster_records import publish
from tests.browser.looking import serious
from tests.browser.rig import console_rig
from tests.property.test_handover import passage
from tests.unit.pipeline.test_leader import Rig
from tests.unit.pipeline.test_leader import rig as leader_rig


@pytest.fixture(autouse=True)
def _leads_none() -> Iterator[None]:
    yield
    publish(None)


def show(here: Rig, steps: int) -> None:
    """Let the cluster go on for so many steps, and stop its clock there."""
    here.steps(steps)
    far = datetime.now(UTC) + timedelta(hours=1)  # the test's clock is no real one: never too old
    publish(replace(here.leader.state(), at=far))


def tile(page: Page, name: str) -> object:
    return page.locator(f'.tile[data-camera="{name}"]')


def test_cameras_are_shown_with_their_node_and_red_where_none_reads_them(
    tmp_path: Path, look_at
) -> None:
    here = leader_rig("north", "south")
    here.steps(6)
    of = next(name for name, node in here.nodes().items() if node == "north")
    told = replace(passage(1.0, 2.0, "京A12345"), camera=of)
    here.fleet.workers["north"].events = [(1, told)]
    show(here, 3)
    with (
        console_rig(tmp_path) as rig,
        look_at(rig, "赵查看", path="#/cameras", lang="en") as page,
    ):
        first = tile(page, of)
        expect(first).to_have_attribute("data-kind", "ok")
        expect(first).to_contain_text("The picture is on node north")
        expect(first.locator('[data-fact="node"]')).to_have_text("north ready")
        expect(first.locator(".plate")).to_have_attribute("data-plate", "京••••45")
        expect(first).not_to_contain_text("12345")
        expect(page.locator(".tile")).to_have_count(4)
        expect(page.locator(".tile img")).to_have_count(0)
        expect(page.get_by_role("article", name=of)).to_be_visible()
        assert serious(page) == []
        # its node is lost: another one reads it, and it says so
        here.fleet.known["north"] = replace(here.fleet.known["north"], alive=False)
        show(here, 6)
        expect(first.locator('[data-fact="node"]')).to_have_text("south ready")
        expect(first).to_have_attribute("data-kind", "ok")
        # the last one falls silent: nobody reads any
        here.fleet.workers["south"].silent = True
        show(here, 30)
        expect(page.locator('.tile[data-kind="danger"]')).to_have_count(4)
        expect(first.locator(".badge")).to_contain_text("No node reads it")
        expect(page.get_by_role("status").filter(has_text="4 of 4 at fault")).to_be_visible()
        assert serious(page) == []
        page.evaluate("localStorage.setItem('checkpoint.language', 'zh')")
        page.reload()
        expect(first.locator(".badge")).to_contain_text("未分配节点")
        expect(first).to_contain_text("转移次数")
