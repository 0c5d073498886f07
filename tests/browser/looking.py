"""How tests look at the console: pages, and what must never be seen on one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.browser.rig import ConsoleRig

CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE_MS = 90_000
"""How long a test waits for what must come; the machine may be busy."""
AXE = Path(__file__).with_name("vendor") / "axe.min.js"

_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sourceFile}`));
"""


@dataclass
class Look:
    """A page, and what went wrong on it."""

    page: Page
    problems: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Nothing was thrown, and nothing was tried that the security policy forbids."""
        if not self.page.is_closed():
            self.problems += self.page.evaluate("window.violations ?? []")
        assert not self.problems, self.problems


def open_page(
    browser: Browser,
    rig: ConsoleRig,
    person: str | None,
    *,
    lang: str = "zh",
    theme: str = "dark",
    size: tuple[int, int] = (1366, 768),
    path: str = "",
    base: str | None = None,
    **context: Any,
) -> Look:
    """A browser of its own at the console, with ``person`` signed in by token."""
    made = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        timezone_id="Asia/Shanghai",
        locale="zh-CN",
        **context,
    )
    made.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    made.add_init_script(_WATCH)
    made.add_init_script(
        f"localStorage.getItem('checkpoint.language') ?? "
        f"(localStorage.setItem('checkpoint.language', '{lang}'), "
        f"localStorage.setItem('checkpoint.theme', '{theme}'))"
    )
    look = Look(made.new_page())
    page = look.page

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            look.problems.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: look.problems.append(str(error)))
    page.on("dialog", lambda dialog: look.problems.append(f"dialog: {dialog.message}"))
    page.goto((base or rig.url) + path)
    if person is not None:
        sign_in(page, rig, person)
    return look


def sign_in(page: Page, rig: ConsoleRig, person: str) -> None:
    page.fill("#token", rig.token_of[person])
    page.keyboard.press("Enter")
    expect(page.locator("[data-link=live]")).to_be_visible()


def row(page: Page, number: int) -> Any:
    """The row of the alert of hit ``number``."""
    return page.locator(f'.alert[data-id="hit-{number}"]')


def serious(page: Page) -> list[str]:
    """What axe-core finds on the page as it is now that is serious or critical."""
    page.evaluate(AXE.read_text(encoding="utf-8"))  # not by a script element: the policy forbids it
    found = page.evaluate(
        """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
             .filter((one) => ["serious", "critical"].includes(one.impact))
             .map((one) => `${one.id}: ${one.help}: ` + one.nodes.slice(0, 5)
               .map((node) => `${node.html.slice(0, 160)} ${node.any[0]?.message ?? ""}`)
               .join(" | "))"""
    )
    return list(found)
