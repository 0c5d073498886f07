"""A feed that is another one than before: a new store, or one that was restored from a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from pipeline.alerts.client import CheckpointClient
from pipeline.types import ReviewState
from tests.browser.looking import row
from tests.browser.rig import ConsoleRig
from tests.browser.test_reconnect import shown
from tests.browser.vehicles import hit

Look = Callable[..., Page]
REPLACED = ".banner--warn"


def test_a_new_store_is_said_and_its_alerts_take_the_place_of_the_old(
    rig: ConsoleRig, look: Look
) -> None:
    rig.publish(*(hit(number, with_picture=False) for number in range(4)))
    page = look("张值班")
    expect(row(page, 3)).to_be_visible()
    row(page, 0).click()
    expect(page.locator(".detail")).to_be_visible()

    rig.redis.client().flushall()
    rig.publish(hit(2, with_picture=False), hit(7, with_picture=False))
    expect(page.locator("[data-announce=urgent]")).to_contain_text("新告警")
    expect(page.locator(REPLACED)).to_contain_text("告警库已被更换")
    expect(row(page, 7)).to_be_visible()
    expect(row(page, 0)).to_have_count(0)
    expect(page.locator(".detail")).to_have_count(0)
    assert sorted(shown(page)) == ["hit-2", "hit-7"]
    expect(page.locator("[data-link=live]")).to_be_visible()

    rig.publish(hit(8, with_picture=False))
    expect(row(page, 8)).to_be_visible()
    assert sorted(shown(page)) == ["hit-2", "hit-7", "hit-8"]
    page.locator(f"{REPLACED} button").click()
    expect(page.locator(REPLACED)).to_have_count(0)


def test_a_store_restored_from_a_copy_shows_what_it_holds(rig: ConsoleRig, look: Look) -> None:
    """The copy has the same feed and gives the same numbers to other alerts."""
    copied, kept = rig.folder / "appendonlydir", rig.folder / "copy"
    rig.publish(*(hit(number, with_picture=False) for number in range(3)))
    rig.redis.kill()
    shutil.copytree(copied, kept)
    rig.redis.start()
    page, other = look("张值班"), look("李审批", lang="en")
    rig.publish(*(hit(number, with_picture=False) for number in range(3, 6)))
    expect(row(page, 5)).to_be_visible()
    expect(row(other, 5)).to_be_visible()
    with client(rig) as acting:
        acting.review("hit-1", ReviewState.CONFIRMED)
    expect(row(page, 1)).to_have_attribute("data-state", "confirmed")

    rig.redis.kill()
    restore(kept, copied)
    rig.redis.start()
    expect(page.locator(REPLACED)).to_contain_text("从备份恢复")
    expect(other.locator(REPLACED)).to_contain_text("restored from a backup")
    rig.publish(*(hit(number, with_picture=False) for number in (8, 9)))
    for one in (page, other):
        expect(row(one, 9)).to_be_visible()
        assert sorted(shown(one)) == ["hit-0", "hit-1", "hit-2", "hit-8", "hit-9"]
        expect(row(one, 1)).to_have_attribute("data-state", "unverified")  # as the copy says


def client(rig: ConsoleRig) -> CheckpointClient:
    return CheckpointClient(rig._service.local_target, token=rig.token_of["李审批"])


def restore(kept: Path, place: Path) -> None:
    shutil.rmtree(place)
    shutil.copytree(kept, place)
