"""``checkpoint alerts watch``: a screen in a terminal; lines in a pipe, or where they are wanted.

Both follow the same feed and resume after a break where they were. The screen begins with what is
undecided and what came last, as the console does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from queue import Empty, Queue
from threading import Thread
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from pipeline.alerts.client import CheckpointClient, FeedPlace, LinkState
from pipeline.clock import Clock, SystemClock
from pipeline.commands.alert_board import PINNED_PRIORITY, Board
from pipeline.commands.alert_checkpoints import show as show_checkpoint
from pipeline.commands.alert_client import Connected, with_client
from pipeline.commands.alert_options import AsJson, Camera, Category, Checkpoint, Kind, Priority
from pipeline.commands.alert_screen import alert_screen
from pipeline.commands.alert_table import AlertTable, show_alert
from pipeline.signals import stop_requests
from pipeline.status import CheckpointStatus
from pipeline.types import Alert, MatchKind, ReviewState

_AHEAD: Final = 64  # alerts taken before they are shown; then the service is held back
_LOOK_S: Final = 0.2
_DRAW_S: Final = 1.0  # ages go on though nothing happens
_UNDECIDED: Final = 1_000
_LATEST: Final = 100


@dataclass(frozen=True, slots=True)
class _Link:
    """A word on the connection, in the order of what it brings."""

    state: LinkState
    problem: str


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which alerts are watched, in the words of the client."""

    checkpoints: tuple[str, ...]
    cameras: tuple[str, ...]
    kinds: tuple[MatchKind, ...]
    categories: tuple[str, ...]
    max_priority: int

    def filters(self) -> dict[str, Any]:
        """As the client's methods take them."""
        return {name: getattr(self, name) for name in self.__slots__}


Told = Alert | CheckpointStatus | _Link


@with_client
def watch(
    connected: Connected,
    after: Annotated[
        int | None, typer.Option(min=0, help="Start after this number (0: everything).")
    ] = None,
    as_json: AsJson = False,
    lines: Annotated[
        bool, typer.Option("--lines", help="Line by line, the newest last, as into a pipe.")
    ] = False,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many alerts.")] = None,
    checkpoint: Checkpoint = None,
    camera: Camera = None,
    kind: Kind = None,
    category: Category = None,
    priority: Priority = 0,
    changes: Annotated[
        bool, typer.Option(help="Lines: alerts again, after each review and escalation.")
    ] = False,
) -> None:
    """Show alerts as they come, until Ctrl-C.

    In a terminal the newest is on top, urgent ones above all others until somebody decides.
    """
    wanted = _Wanted(
        checkpoints=tuple(checkpoint or ()),
        cameras=tuple(camera or ()),
        kinds=tuple(kind or ()),
        categories=tuple(category or ()),
        max_priority=priority,
    )
    console = Console()
    if console.is_terminal and not (as_json or lines or count):
        _on_screen(connected.client, wanted, after, console)
    else:
        _in_lines(connected.client, wanted, after, as_json, count, changes)


def _in_lines(
    client: CheckpointClient,
    wanted: _Wanted,
    after: int | None,
    as_json: bool,
    count: int | None,
    changes: bool,
) -> None:
    table = None if as_json else AlertTable(Console())
    if table is not None:
        note = f"Alerts of {client.target}, as they come. Ctrl-C ends."
        Console(stderr=True).print(note, style="dim")
    errors = Console(stderr=True)
    alerts = client.subscribe(
        after,
        reviews=changes,
        escalations=changes,
        on_checkpoint=lambda status: show_checkpoint(status, as_json, errors),
        **wanted.filters(),
    )
    shown = 0
    for alert in _arriving(alerts, Queue(_AHEAD)):
        if isinstance(alert, Alert):
            show_alert(alert, table)
            shown += 1
            if shown == count:
                break


def _on_screen(
    client: CheckpointClient, wanted: _Wanted, after: int | None, console: Console
) -> None:
    clock = SystemClock()
    place: int | FeedPlace | None = after
    board = Board()
    if after is None:
        place = _load(client, wanted, board)
    queue: Queue[Told | Exception | None] = Queue(_AHEAD)
    alerts = client.subscribe(
        place,
        reviews=True,
        escalations=True,
        on_checkpoint=queue.put,
        on_link=lambda state, problem: queue.put(_Link(state, problem)),
        **wanted.filters(),
    )
    with alert_screen(board, client.target, clock, console) as live:
        drawn_s = clock.monotonic()
        for told in _arriving(alerts, queue):
            _take(board, told, clock)
            age_s = clock.monotonic() - drawn_s
            if age_s > _DRAW_S or (told is not None and queue.empty()):
                live.refresh()
                drawn_s = clock.monotonic()
    waiting = len(board.pinned())
    console.print(f"Urgent and undecided: {waiting}")


def _take(board: Board, told: Told | None, clock: Clock) -> None:
    match told:
        case Alert():
            board.take(told)
        case CheckpointStatus():
            board.checkpoint(told)
        case _Link(state, problem):
            board.link_is(state, problem, clock.now())


def _arriving(
    alerts: Iterable[Alert], queue: Queue[Told | Exception | None]
) -> Iterator[Told | None]:
    """The alerts and what else comes into ``queue``, until Ctrl-C or SIGTERM; None now and then.

    Another thread waits for them: an interrupt that met this one inside gRPC could be lost there.
    """

    def follow() -> None:
        try:
            for alert in alerts:
                queue.put(alert)
        except Exception as error:  # raised again where it is seen
            queue.put(error)
        else:
            queue.put(None)

    with stop_requests() as requested:
        Thread(target=follow, name="alerts", daemon=True).start()
        while not requested.is_set():
            try:
                told = queue.get(timeout=_LOOK_S)
            except Empty:
                yield None
                continue
            if told is None:
                return
            if isinstance(told, Exception):
                raise told
            yield told


def _load(client: CheckpointClient, wanted: _Wanted, board: Board) -> FeedPlace:
    """What came last and what is urgent and undecided; the place to go on from, without a gap."""
    latest = client.snapshot(_LATEST, **wanted.filters())
    priority = min(wanted.max_priority or PINNED_PRIORITY, PINNED_PRIORITY)
    urgent = replace(wanted, max_priority=priority).filters()
    undecided = client.snapshot(_UNDECIDED, reviews=[ReviewState.UNVERIFIED], **urgent)
    for alert in (*latest.alerts, *undecided.alerts):
        board.take(alert)
    return latest.place
