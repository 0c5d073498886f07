"""The wall of cameras: a frozen or silent one is red, in words."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from pipeline.config import CameraSettings
from pipeline.ingest import CameraWorker
from pipeline.mailbox import Mailboxes
from pipeline.source import Sample
from tests.browser.demo import still
from tests.browser.rig import console_rig
from tests.support.waiting import PATIENCE_S

_STEP_S = 0.1


class Scene:
    """A source of noise that can freeze, or fall silent."""

    decoded = broken = 0
    position_s = 0.0
    step_s = _STEP_S

    def __init__(self) -> None:
        self.frozen = self.silent = False
        self._rng = np.random.default_rng(1)
        self._picture = self._next()

    def read(self) -> Sample | None:
        time.sleep(_STEP_S)
        if self.silent:
            return None
        if not self.frozen:
            self._picture = self._next()
        self.decoded += 1
        self.position_s += _STEP_S
        return Sample(self.position_s, self._picture)

    def close(self) -> None:
        pass

    def _next(self) -> np.ndarray:
        return self._rng.integers(0, 255, (90, 160, 3), np.uint8)


@pytest.fixture
def scenes() -> Iterator[dict[str, tuple[Scene, CameraWorker]]]:
    """Three cameras with threads of their own."""
    names = ("东向1", "东向2", "西向1")
    mailboxes = Mailboxes(names)
    made = {}
    for name in names:
        scene = Scene()
        settings = CameraSettings(name=name, source=f"rtsp://127.0.0.1/{name}")
        made[name] = scene, CameraWorker(settings, mailboxes, opener=lambda scene=scene: scene)
    for _, worker in made.values():
        worker.start()
    yield made
    for _, worker in made.values():
        worker.stop()
    for _, worker in made.values():
        assert worker.join(PATIENCE_S)


@pytest.mark.slow
@pytest.mark.alone
def test_frozen_and_silent_cameras_are_red(
    tmp_path: Path, look_at, scenes: dict[str, tuple[Scene, CameraWorker]]
) -> None:
    def statuses() -> list:
        return [worker.status() for _, worker in scenes.values()]

    with (
        console_rig(tmp_path, cameras=statuses, still=still) as rig,
        look_at(rig, "赵查看", path="#/cameras") as page,
    ):
        tile = {name: page.locator(f'.tile[data-camera="{name}"]') for name in scenes}
        for one in tile.values():
            expect(one).to_have_attribute("data-kind", "ok")
        scenes["东向1"][0].frozen = True
        scenes["东向2"][0].silent = True
        began = time.monotonic()
        for name, words in (("东向1", "画面冻结"), ("东向2", "无画面|连接失败|连接不上")):
            expect(tile[name]).to_have_attribute("data-kind", "danger")
            expect(tile[name].locator(".badge")).to_contain_text(re.compile(words))
            print(f"{words}: red after {time.monotonic() - began:.1f} s")
        expect(tile["西向1"]).to_have_attribute("data-kind", "ok")
        expect(page.get_by_role("status").filter(has_text="3 台中有 2 台故障")).to_be_visible()
