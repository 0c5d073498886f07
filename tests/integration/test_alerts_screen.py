"""``checkpoint alerts watch`` on a terminal: the console's order, and breaks of the connection."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.alerts.client import CheckpointClient
from pipeline.alerts.publisher import Publisher
from pipeline.alerts.service import AlertService
from pipeline.config import AlertSettings
from pipeline.outbox import Outbox
from pipeline.types import Hit, MatchKind, ReviewState
from tests.integration.alerts_support import NOON, RedisServer, make_hit, submit
from tests.support.ports import free_port
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.grpc, pytest.mark.redis]


class Rig:
    """An alert service that can be restarted at its address, and a publisher."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.redis = RedisServer(folder)
        self.redis.start()
        self.target = f"127.0.0.1:{free_port()}"
        self._outbox = Outbox(folder / "outbox.sqlite")
        self.start()

    def start(self) -> None:
        settings = AlertSettings(listen=self.target, escalate_after_s=0)
        self._service = AlertService(settings, self.redis.client())
        self._service.start()
        self._publisher = Publisher(self._outbox, self.target, backoff_max_s=0.3)
        self._publisher.start()

    def stop(self) -> None:
        self._publisher.stop()
        assert self._service.stop(90)

    def close(self) -> None:
        self.stop()
        self._outbox.close()
        self.redis.close()

    def publish(self, *hits: Hit) -> None:
        for hit in hits:
            submit(self._publisher, hit)
            assert self._publisher.flush(90) == 0

    def watch(self, *arguments: str, columns: int = 130, rows: int = 44) -> Terminal:
        command = [sys.executable, "-m", "pipeline.cli", "alerts", "watch", "--target", self.target]
        return Terminal([*command, *arguments], columns=columns, rows=rows)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.close()


def of_priority(number: int, priority: int, **how: object) -> Hit:
    hit = make_hit(number, **how)  # type: ignore[arg-type]
    return replace(
        hit,
        entry=replace(hit.entry, priority=priority),
        occurred_at=NOON + timedelta(minutes=number),
    )


def shown(terminal: Terminal) -> list[str]:
    """Ids on the screen, from above."""
    return re.findall(r"^id (hit-\d+)$", terminal.text(), re.MULTILINE)


def line_of(terminal: Terminal, words: str) -> int:
    return next(number for number, line in enumerate(terminal.lines()) if words in line)


def test_newest_on_top_and_urgent_ones_stay_until_somebody_decides(rig: Rig) -> None:
    rig.publish(of_priority(0, 3), of_priority(1, 2), of_priority(2, 1))
    with rig.watch() as terminal:
        terminal.wait_for(lambda: shown(terminal) == ["hit-2", "hit-1", "hit-0"])
        rig.publish(of_priority(3, 4, kind=MatchKind.PARTIAL), of_priority(4, 1))
        terminal.wait_for(lambda: shown(terminal) == ["hit-4", "hit-2", "hit-1", "hit-3", "hit-0"])
        assert "Urgent and undecided (3)" in terminal.text()
        assert "Other alerts (2): newest first" in terminal.text()
        assert "● live" in terminal.lines()[0]

        with CheckpointClient(rig.target) as client:
            client.review("hit-4", ReviewState.CONFIRMED, "Wang Wei")
        terminal.wait_for(lambda: shown(terminal) == ["hit-2", "hit-1", "hit-4", "hit-3", "hit-0"])
        assert "by Wang Wei" in terminal.text()
        rig.publish(of_priority(2, 1, revision=1, retracted=True))
        terminal.wait_for(lambda: shown(terminal)[:1] == ["hit-1"])
        assert "Urgent and undecided (1)" in terminal.text()

        assert terminal.interrupt() == 0
        assert "Urgent and undecided: 1" in terminal.text()
        assert "Traceback" not in terminal.text()


def test_colours_are_those_of_the_page(rig: Rig) -> None:
    style = (Path(__file__).parents[2] / "pipeline/console/static/style.css").read_text()
    rig.publish(of_priority(0, 1))
    with rig.watch() as terminal:
        terminal.wait_for(lambda: shown(terminal) == ["hit-0"])
        row = line_of(terminal, "EXACT")
        exact = terminal.lines()[row].index("EXACT")
        assert f"--exact: #{terminal.cell(row, exact).bg};" in style
        unverified = terminal.lines()[row].index("UNVERIFIED")
        assert terminal.cell(row, unverified).bg == "ffd54f"
        assert terminal.cell(row, terminal.lines()[row].index("京A")).bg == "0b4ea2"


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (60, 14), (200, 60)])
def test_the_screen_is_filled_and_never_overflows(rig: Rig, columns: int, rows: int) -> None:
    rig.publish(*(of_priority(number, 1 + number % 3) for number in range(30)))
    with rig.watch(columns=columns, rows=rows) as terminal:
        terminal.wait_for(lambda: re.search(r"\d+ more have no room", terminal.text()) is not None)
        assert shown(terminal)
        assert "20 urgent and undecided" in terminal.lines()[0]
        rig.publish(of_priority(30, 1))
        terminal.wait_for(lambda: shown(terminal)[:1] == ["hit-30"])


def test_goes_on_after_a_restart_without_loss_or_doubling(rig: Rig) -> None:
    rig.publish(of_priority(0, 3), of_priority(1, 1))
    with rig.watch() as terminal:
        terminal.wait_for(lambda: shown(terminal) == ["hit-1", "hit-0"])
        rig.stop()
        terminal.wait_for(lambda: "Interrupted since" in terminal.text())
        assert "○ interrupted" in terminal.lines()[0]
        rig.start()
        rig.publish(of_priority(2, 3), of_priority(3, 2))
        terminal.wait_for(lambda: shown(terminal) == ["hit-1", "hit-3", "hit-2", "hit-0"])
        terminal.wait_for(lambda: "Interrupted" not in terminal.text())
        assert "● live" in terminal.lines()[0]
        assert terminal.interrupt() == 0


def test_a_replaced_store_is_said_and_its_alerts_take_the_place_of_the_old(rig: Rig) -> None:
    rig.publish(of_priority(0, 1), of_priority(1, 1))
    with rig.watch() as terminal:
        terminal.wait_for(lambda: shown(terminal) == ["hit-1", "hit-0"])
        rig.stop()
        rig.redis.client().flushall()
        rig.start()
        rig.publish(of_priority(1, 1), of_priority(5, 3))
        terminal.wait_for(lambda: shown(terminal) == ["hit-1", "hit-5"])
        assert "store was replaced at" in terminal.text()


def test_lines_where_they_are_wanted(rig: Rig) -> None:
    rig.publish(of_priority(0, 1), of_priority(1, 3))
    with rig.watch("--lines", "--after", "0") as terminal:
        terminal.wait_for(lambda: shown(terminal) == ["hit-0", "hit-1"])
