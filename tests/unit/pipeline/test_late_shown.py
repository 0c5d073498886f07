"""A hit found late says so wherever it is shown."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta

import pytest
from rich.console import Console

from pipeline import events
from pipeline.commands.alert_table import AlertTable
from pipeline.commands.alerts import alert_event
from pipeline.display import RunDisplay
from pipeline.types import Alert
from tests.integration.alerts_support import NOON, make_hit

HIT = make_hit()
LATE = replace(HIT, late=True, occurred_at=HIT.passage.ended_at + timedelta(hours=3))


def console() -> Console:
    return Console(file=io.StringIO(), width=140)


def shown(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue()


def test_in_the_events() -> None:
    assert events.hit(LATE)["late"] is True
    assert "late" not in events.hit(HIT)
    assert alert_event(Alert(1, LATE, NOON))["late"] is True
    assert alert_event(Alert(1, HIT, NOON))["late"] is False


@pytest.mark.parametrize("width", [80, 140])
def test_in_the_table_of_alerts(width: int) -> None:
    on = Console(file=io.StringIO(), width=width)
    AlertTable(on).add(Alert(1, LATE, NOON))
    text = " ".join(shown(on).split())
    assert "LATE" in text
    assert "3 h" in text
    on = Console(file=io.StringIO(), width=width)
    AlertTable(on).add(Alert(1, HIT, NOON))
    assert "LATE" not in shown(on)


def test_in_the_terminal_of_a_run() -> None:
    on = console()
    RunDisplay(on).hit(LATE)
    assert "LATE: passed east at" in shown(on)
    on = console()
    RunDisplay(on).hit(HIT)
    assert "LATE" not in shown(on)
