"""The board on a terminal: the whole screen, drawn anew whenever something changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from pipeline.clock import Clock
from pipeline.commands.alert_board import PINNED_PRIORITY, Board
from pipeline.commands.alert_table import alert_row, duration, heading_row
from pipeline.types import Alert

_LOST_AFTER: Final = timedelta(seconds=1.5)  # a shorter break is not worth a red banner
_REPLACED_FOR: Final = timedelta(minutes=10)
_HEADED_FROM: Final = 16  # a lower terminal has its lines for alerts
_BAD: Final = "bold white on #bf2a20"
_WARN: Final = "bold #221a00 on #ffbf47"
_GOOD: Final = "bold white on #23712e"

Line = list[Segment]
Lines = Callable[[RenderableType], list[Line]]


@contextmanager
def alert_screen(board: Board, target: str, clock: Clock, console: Console) -> Iterator[Live]:
    """The screen, until the end of the ``with``; ``Live.refresh`` draws it as things stand."""
    shown = _Screen(board, target, clock)
    with Live(
        shown, console=console, screen=True, auto_refresh=False, vertical_overflow="crop"
    ) as live:
        yield live


class _Screen:
    """Renders as many lines as the terminal has: what is pinned first, then what has room."""

    def __init__(self, board: Board, target: str, clock: Clock) -> None:
        self._board = board
        self._target = target
        self._clock = clock

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.height or console.height
        for number, line in enumerate(self._lines(console, options, height)):
            if number:
                yield Segment.line()
            yield from line

    def _lines(self, console: Console, options: ConsoleOptions, height: int) -> list[Line]:
        now = self._clock.now()
        pinned, others = self._board.pinned(), self._board.others()

        def lines(what: RenderableType) -> list[Line]:
            free = options.update(height=None, max_width=options.max_width)
            return console.render_lines(what, free, pad=False)

        shown = lines(self._title(len(pinned), len(others), now))
        for banner in self._banners(now):
            shown += lines(banner)
        if height >= _HEADED_FROM:
            shown += lines(heading_row(options.max_width))
        for words, alerts in (
            (f"Urgent and undecided ({len(pinned)}): on top until somebody decides", pinned),
            (f"Other alerts ({len(others)}): newest first", others),
        ):
            if not alerts or len(shown) >= height - 1:
                continue
            shown += lines(Text(words, style="bold underline"))
            shown += self._fitting(alerts, now, height - len(shown), lines, options.max_width)
        if not pinned and not others:
            waits = Text("No alerts yet. A new one appears here within a second.", style="dim")
            shown += lines(waits)
        return shown[:height]

    def _fitting(
        self, alerts: Sequence[Alert], now: datetime, room: int, lines: Lines, width: int
    ) -> list[Line]:
        """The first alerts that have room, whole, and how many have not."""
        shown: list[Line] = []
        for number, alert in enumerate(alerts):
            row = lines(Group(alert_row(alert, width, now), _id(alert)))
            further = number < len(alerts) - 1
            if len(shown) + len(row) + further > room:
                return shown + lines(_not_shown(alerts[number:]))
            shown += row
        return shown

    def _title(self, pinned: int, others: int, now: datetime) -> Text:
        link = self._board.link
        state = (" ● live ", _GOOD) if link.lost_at is None else (" ○ interrupted ", _BAD)
        title = Text.assemble(
            state,
            (f" {pinned} urgent and undecided ", _BAD if pinned else "dim"),
            f"  {now.astimezone():%H:%M:%S}  ",
            (f"Alerts of {self._target}", "bold"),
            (f"  {others} others  Ctrl-C ends", "dim"),
        )
        title.no_wrap, title.overflow = True, "ellipsis"
        return title

    def _banners(self, now: datetime) -> Iterator[Text]:
        link = self._board.link
        if link.lost_at is not None and now - link.lost_at > _LOST_AFTER:
            since = f"{link.lost_at.astimezone():%H:%M:%S}"
            words = f" Interrupted since {since}; connecting again, what comes meanwhile follows. "
            yield Text(f"{words}{link.problem or ''}", style=_BAD)
        if link.replaced_at is not None and now - link.replaced_at < _REPLACED_FOR:
            at = f"{link.replaced_at.astimezone():%H:%M:%S}"
            words = f" The service's store was replaced at {at}: shown is what it holds now. "
            yield Text(words, style=_WARN)
        for status in self._board.silent():
            seen = status.last_seen_at
            last = f", last heard of {duration((now - seen).total_seconds())} ago" if seen else ""
            yield Text(f" Checkpoint {status.checkpoint} is silent{last}. ", style=_WARN)


def _id(alert: Alert) -> Text:
    return Text(f"id {alert.id}", style="dim", no_wrap=True, overflow="ellipsis")


def _not_shown(alerts: Sequence[Alert]) -> Text:
    more = f"… {len(alerts)} more have no room here: "
    if alerts[0].hit.entry.priority <= PINNED_PRIORITY:
        more += f"checkpoint alerts list --review unverified --priority {PINNED_PRIORITY}"
    else:
        more += "checkpoint alerts list"
    return Text(more, style="dim", no_wrap=True, overflow="ellipsis")
