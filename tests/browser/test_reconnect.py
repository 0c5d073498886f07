"""A connection that breaks: it is said, and nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.looking import row
from tests.browser.rig import ConsoleRig
from tests.browser.vehicles import hit
from tests.support.proxy import Link

Look = Callable[..., Page]


@pytest.fixture
def link(rig: ConsoleRig) -> Iterator[Link]:
    """A way to the console that can be cut."""
    made = Link(int(rig.url.rstrip("/").rpartition(":")[2]))
    yield made
    made.close()


def shown(page: Page) -> list[str]:
    """Ids of every row, from the top to the end of the list, each as often as it is there."""
    return list(
        page.evaluate(
            """async () => {
                 const rows = document.querySelector(".feed__rows"), places = new Map();
                 for (let top = 0; ; top += rows.clientHeight / 2) {
                   rows.scrollTop = top;
                   await new Promise((done) => setTimeout(done, 60));
                   for (const one of rows.querySelectorAll(".alert")) {
                     places.set(one.getAttribute("aria-posinset"), one.dataset.id);
                   }
                   if (top > rows.scrollHeight) break;
                 }
                 rows.scrollTop = 0;
                 return [...places.values()];
               }"""
        )
    )


def test_reconnects_after_a_restart_without_loss_or_doubling(rig: ConsoleRig, look: Look) -> None:
    rig.publish(*(hit(number, with_picture=False) for number in range(3)))
    page = look("张值班")
    expect(row(page, 2)).to_be_visible()

    rig.stop_servers()
    expect(page.locator(".banner--danger")).to_be_visible()
    expect(page.locator("[data-link=lost]")).to_be_visible()
    rig.start_servers()
    # Who worked here goes on: sessions outlive the program.
    rig.publish(*(hit(number, with_picture=False) for number in range(3, 8)))
    expect(page.locator("[data-link=live]")).to_be_visible()
    expect(page.locator("#token")).to_have_count(0)
    expect(row(page, 7)).to_be_visible()
    rig.publish(*(hit(number, with_picture=False) for number in range(8, 10)))
    expect(row(page, 9)).to_be_visible()
    assert sorted(shown(page)) == sorted(f"hit-{number}" for number in range(10))


def test_a_cut_connection_catches_up_from_where_it_was(
    rig: ConsoleRig, look: Look, link: Link
) -> None:
    page = look("张值班", base=f"http://{link.address}/")
    expect(page.locator("[data-link=live]")).to_be_visible()
    rig.publish(hit(0, with_picture=False))
    expect(row(page, 0)).to_be_visible()

    link.cut()
    expect(page.locator(".banner--danger")).to_contain_text("已中断")
    rig.publish(*(hit(number, with_picture=False) for number in range(1, 5)))
    page.wait_for_timeout(1000)
    expect(row(page, 4)).to_have_count(0)
    link.restore()
    expect(row(page, 4)).to_be_visible()
    expect(page.locator(".banner--danger")).to_have_count(0)
    expect(page.locator("[data-link=live]")).to_be_visible()
    assert sorted(shown(page)) == [f"hit-{number}" for number in range(5)]


@pytest.mark.slow
def test_a_pulled_cable_is_noticed_though_nothing_breaks(
    rig: ConsoleRig, look: Look, link: Link
) -> None:
    page = look("张值班", base=f"http://{link.address}/")
    link.freeze()
    expect(page.locator(".banner--danger")).to_be_visible()
    rig.publish(hit(0, with_picture=False))
    link.restore()
    expect(row(page, 0)).to_be_visible()
    expect(page.locator("[data-link=live]")).to_be_visible()


def test_a_store_that_is_away_is_said_and_its_return_brings_all(
    rig: ConsoleRig, look: Look
) -> None:
    page = look("张值班")
    rig.redis.kill()
    expect(page.locator(".banner--danger")).to_be_visible()
    rig.redis.start()
    rig.publish(hit(0, with_picture=False))
    expect(page.locator("[data-link=live]")).to_be_visible()
    expect(row(page, 0)).to_be_visible()
    assert shown(page) == ["hit-0"]
