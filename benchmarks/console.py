"""How fast the console shows alerts, in a real browser at a real ``checkpoint serve``.

    python -m benchmarks.console --alerts 5000

A store is filled with alerts, some of them urgent; then a browser opens the console and the times
that an operator notices are taken: until the first alerts are on screen, from the feed's event
until an alert is drawn, and how long the page stands still while it is scrolled.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

from benchmarks.alert_parts import hits
from benchmarks.measuring import Machine, quantiles_ms
from pipeline.alerts.publisher import Publisher
from pipeline.convert import publish_request
from pipeline.outbox import Outbox
from pipeline.types import Evidence, Hit

if TYPE_CHECKING:
    from playwright.sync_api import Page

_BROWSER: Final = "/usr/bin/chromium"
_OPTIONS: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
_PATIENCE_S: Final = 120.0
_URGENT_EVERY: Final = 50

# From the moment the page has an event in hand until the row it changes has been drawn.
_WATCH: Final = """
window.bench = {events: [], longest: 0};
const take = window.fetch;
window.fetch = async (...how) => {
  const answer = await take.apply(window, how);
  if (!String(how[0]).startsWith("/api/feed") || !answer.ok) return answer;
  const watched = answer.body.pipeThrough(new TransformStream({
    transform(piece, out) {
      if (new TextDecoder().decode(piece).includes("event: alert")) {
        const at = performance.now(), before = document.querySelector(".alert")?.dataset.id;
        const look = () => document.querySelector(".alert")?.dataset.id !== before
          ? window.bench.events.push(performance.now() - at) : requestAnimationFrame(look);
        requestAnimationFrame(look);
      }
      out.enqueue(piece);
    },
  }));
  return new Response(watched, {status: answer.status, headers: answer.headers});
};
"""
_SCROLL: Final = """async () => {
  const rows = document.querySelector(".feed__rows"), gaps = [];
  let last = performance.now();
  for (let frame = 0; frame < 120; frame += 1) {
    rows.scrollTop += rows.clientHeight * 0.7;
    await new Promise(requestAnimationFrame);
    gaps.push(performance.now() - last);
    last = performance.now();
  }
  rows.scrollTop = 0;
  return gaps;
}"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--alerts", type=int, default=5_000, help="in the store (5000)")
    parser.add_argument("--updates", type=int, default=30, help="alerts that come live (30)")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="checkpoint-bench-") as folder:
        figures = measure(Path(folder), asked.alerts, asked.updates)
    print(json.dumps({"machine": asdict(Machine.here()), **figures}, ensure_ascii=False, indent=2))
    return 0


def measure(folder: Path, alerts: int, updates: int) -> dict[str, Any]:
    """The figures; times in milliseconds."""
    from playwright.sync_api import sync_playwright

    with _served(folder) as (link, alerts_at), _publishing(folder, alerts_at) as publish:
        _say("filling the store")
        publish(_hits(range(alerts)))
        _say("opening the console")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=_BROWSER, args=list(_OPTIONS))
            page = browser.new_page(viewport={"width": 1366, "height": 768})
            page.set_default_timeout(_PATIENCE_S * 1000)
            page.add_init_script(_WATCH)
            page.goto(link)
            page.wait_for_selector(".alert")
            page.reload()  # what is measured is an operator's second look: nothing is compiled anew
            page.wait_for_selector(".alert")
            first = _first_paint(page)
            loaded_s = _until_loaded(page, alerts)
            _say("publishing while the page is watched")
            for number in range(alerts, alerts + updates):
                publish(_hits([number], priority=1))
                _until(page, f"window.bench.events.length > {number - alerts}")
            _say("scrolling")
            shown = page.evaluate("window.bench.events")
            gaps = page.evaluate(_SCROLL)
            rows = page.evaluate("document.querySelectorAll('.alert').length")
            browser.close()
    return {
        "alerts": alerts,
        "first_alerts_ms": round(first),
        "all_loaded_s": round(loaded_s, 1),
        "update_ms": quantiles_ms(one / 1000 for one in shown),
        "scroll_frame_ms": quantiles_ms(one / 1000 for one in gaps),
        "rows_in_page": rows,
    }


def _say(what: str) -> None:
    print(f"{what} …", file=sys.stderr, flush=True)


def _until(page: Page, condition: str) -> None:
    """Ask again and again: Playwright's own waiting evaluates text, which the page forbids."""
    until_s = time.monotonic() + _PATIENCE_S
    while not page.evaluate(condition):
        if time.monotonic() > until_s:
            raise RuntimeError(f"not within {_PATIENCE_S:.0f} s: {condition}")
        time.sleep(0.02)


def _first_paint(page: Page) -> float:
    """From the begin of the navigation until the first row had been drawn."""
    return float(
        page.evaluate(
            """() => new Promise((done) => requestAnimationFrame(() =>
                 done(performance.now())))"""
        )
    )


def _until_loaded(page: Page, alerts: int) -> float:
    started_s = time.monotonic()
    label = "document.querySelector('.feed__rows').getAttribute('aria-label')"
    _until(page, f"{label}.includes('{alerts}')")
    return time.monotonic() - started_s


def _hits(numbers: Iterable[int], priority: int | None = None) -> list[Hit]:
    """Hits with a picture each; every fiftieth of the many is urgent."""
    make, now = next(hits(0)), datetime.now(UTC)
    image = np.random.default_rng(1).integers(0, 255, (30, 40, 3), np.uint8)
    _, jpeg = cv2.imencode(".jpg", cv2.resize(image, (640, 480), interpolation=cv2.INTER_CUBIC))
    picture = Evidence("bench.jpg", hashlib.sha256(jpeg.tobytes()).hexdigest(), 1.0, jpeg.tobytes())
    made = []
    for number in numbers:
        hit = make(number)
        urgent = 2 if number % _URGENT_EVERY == 0 else 3 + number % 2
        made.append(
            replace(
                hit,
                id=f"bench-{number}",
                passage=replace(hit.passage, id=f"bench-{number}", evidence=picture),
                entry=replace(hit.entry, priority=priority or urgent),
                occurred_at=now + timedelta(microseconds=number),
            )
        )
    return made


@contextmanager
def _served(folder: Path) -> Iterator[tuple[str, str]]:
    """``checkpoint serve`` with its embedded Redis: the link that logs in once, and where hits
    are published to."""
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        alerts = f"127.0.0.1:{chosen.getsockname()[1]}"
    file = folder / "checkpoint.toml"
    file.write_text(
        f'checkpoint = "bench"\nroles = ["alerts", "console"]\ndata_dir = "{folder}"\n'
        f'[alerts]\nlisten = "{alerts}"\n'
        '[console]\nlisten = "127.0.0.1:0"\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "pipeline.cli", "serve", "--config", str(file)]
    log = folder / "serve.log"
    with log.open("w") as out:
        served = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        link = folder / "console-login.url"
        until_s = time.monotonic() + _PATIENCE_S
        while not link.exists() or not link.read_text():
            if served.poll() is not None or time.monotonic() > until_s:
                raise RuntimeError(f"the console did not start:\n{log.read_text()}")
            time.sleep(0.1)
        yield link.read_text().strip(), alerts
    finally:
        served.terminate()
        served.wait(30)


@contextmanager
def _publishing(folder: Path, address: str) -> Iterator[Callable[[Sequence[Hit]], None]]:
    """A publisher to the service that was started; what it is given is acknowledged on return."""
    outbox = Outbox(folder / "bench.sqlite")
    publisher = Publisher(outbox, address)
    publisher.start()

    def publish(hits: Sequence[Hit]) -> None:
        for start in range(0, len(hits), 200):
            outbox.put_all([publish_request(hit) for hit in hits[start : start + 200]])
            if publisher.flush(_PATIENCE_S):
                raise RuntimeError("hits were not acknowledged")

    try:
        yield publish
    finally:
        publisher.stop()
        outbox.close()


if __name__ == "__main__":
    sys.exit(main())
