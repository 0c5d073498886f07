"""The wall of cameras: what a tile says of its camera."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.demo import cameras, still
from tests.browser.rig import console_rig
from tests.support.waiting import wait_until


def test_tiles_show_what_a_camera_does(tmp_path: Path, look_at) -> None:
    asked: list[str] = []

    def changing(name: str) -> bytes | None:
        asked.append(name)
        return still(name)

    with (
        console_rig(tmp_path, cameras=cameras, still=changing) as rig,
        look_at(rig, "赵查看", path="#/cameras", lang="en") as page,
    ):
        first = page.locator(".tile").first
        expect(first).to_contain_text("25.0 frames/s")
        expect(first).to_contain_text("too many to process 3")
        unseen = "in which a vehicle could pass unseen"
        expect(page.locator('.tile[data-camera="东向2"]')).to_contain_text(unseen)
        expect(first).not_to_contain_text(unseen)
        expect(first.locator("img")).to_be_visible()
        expect(page.locator('.tile[data-kind="danger"]')).to_have_count(1)
        before = len(asked)
        wait_until(lambda: len(asked) >= before + 2)  # the stills refresh
