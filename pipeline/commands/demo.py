"""``checkpoint demo``: the whole path on one machine, from a camera to an alert's subscriber."""

from __future__ import annotations

import json
import logging
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from pipeline import logs
from pipeline.alerts.client import CheckpointClient
from pipeline.clock import SystemClock
from pipeline.commands.run import play
from pipeline.config import CameraSettings, CheckpointSettings, LaneSettings
from pipeline.display import RunDisplay
from pipeline.rtsp_server import RtspServer, available
from pipeline.runtime import Runtime
from pipeline.summary_words import Language
from pipeline.types import Direction, Hit
from watchlist.entry import make_entry
from watchlist.store import open_watchlist

CLIP = Path(__file__).parents[1] / "demo_assets" / "demo.mp4"
_LANES = (
    LaneSettings(name="1", polygon=((0, 0), (0.5, 0), (0.5, 1), (0, 1))),
    LaneSettings(name="2", polygon=((0.5, 0), (1, 0), (1, 1), (0.5, 1))),
)


@dataclass(frozen=True, slots=True)
class _Words:
    """What is said beside the table, with rich's marks."""

    wanted: str
    console: str
    from_file: str
    from_server: str
    next: str


_WORDS: Final[Mapping[Language, _Words]] = {
    "en": _Words(
        "[bold]Watchlist[/bold]: {plate} is wanted. "
        "Everything below is recognised now, on this machine.\n",
        "Console",
        "No RTSP server is installed: the clip is played from its file.",
        "A real RTSP server plays the clip at {url}",
        "\nEvidence pictures: {evidence}\n"
        "Next: [bold]checkpoint watchlist add PLATE …[/bold], then "
        "[bold]checkpoint run --source rtsp://…[/bold]",
    ),
    "zh": _Words(
        "[bold]布控名单[/bold]：{plate} 在控。以下内容均为本机此刻识别所得。\n",
        "控制台",
        "未安装 RTSP 服务器：直接从文件播放片段。",
        "片段由真实的 RTSP 服务器播放：{url}",
        "\n证据图片：{evidence}\n"
        "下一步：[bold]checkpoint watchlist add PLATE …[/bold]，然后 "
        "[bold]checkpoint run --source rtsp://…[/bold]",
    ),
}


class DemoDisplay(RunDisplay):
    """Shows a hit when the alert service's subscriber has received it, not before."""

    def hit(self, record: Hit) -> None:
        """Say nothing yet: the alert is on its way."""


def demo(
    seconds: Annotated[
        float | None, typer.Option(help="Stop after so many seconds; default: once through.")
    ] = None,
    language: Annotated[
        Language, typer.Option(help="Of what is said beside the table: en or zh.")
    ] = "en",
) -> None:
    """Play a rendered clip as a camera and show passages and alerts as they happen."""
    logs.configure(logging.WARNING)
    console, words = Console(), _WORDS[language]
    truth = json.loads(CLIP.with_suffix(".json").read_text(encoding="utf-8"))
    length_s = truth["frames"] / truth["fps"]
    data_dir = Path(tempfile.mkdtemp(prefix="checkpoint-demo-"))
    with _camera(console, words) as source:
        settings = CheckpointSettings(
            checkpoint="demo",
            data_dir=data_dir,
            cameras=(
                CameraSettings(
                    name="gate",
                    source=source,
                    lanes=_LANES,
                    direction=Direction.APPROACHING,
                ),
            ),
        )
        (wanted,) = truth["watchlist"]
        _list_plate(settings, wanted)
        console.print(words.wanted.format(plate=wanted), soft_wrap=True)
        display = DemoDisplay(console, language)
        play(
            settings,
            display,
            any_port=True,
            seconds=seconds or length_s,
            alongside=lambda address: _subscriber(address, display),
            on_start=lambda runtime: _tell_console(runtime, console, words),
        )
    console.print(words.next.format(evidence=data_dir / "evidence"), soft_wrap=True)


def _tell_console(runtime: Runtime, console: Console, words: _Words) -> None:
    """The page that shows all of this in a browser, while the demo runs."""
    if runtime.console is not None and runtime.console.login_url is not None:
        console.print(
            f"[bold]{words.console}[/bold]: {runtime.console.login_url}\n",
            soft_wrap=True,
            highlight=False,
        )


@contextmanager
def _camera(console: Console, words: _Words) -> Iterator[str]:
    """A camera that plays the clip: a real RTSP server where one is installed."""
    if not available():
        console.print(f"[dim]{words.from_file}[/dim]")
        yield str(CLIP)
        return
    with RtspServer({"gate": CLIP}) as server:
        url = server.url("gate")
        console.print(f"[dim]{words.from_server.format(url=url)}[/dim]")
        yield url


def _list_plate(settings: CheckpointSettings, plate: str) -> None:
    clock = SystemClock()
    entry = make_entry(
        {
            "plate": plate,
            "category": "stolen",
            "priority": 1,
            "disposition": "stop, verify plate and vehicle, then report",
            "reason": "demonstration",
            "case_number": "DEMO-1",
            "authoriser": "demo",
            "expires_at": clock.now() + timedelta(hours=1),
        },
        clock.now(),
    )
    with open_watchlist(settings.watchlist, settings.data_dir, clock) as watchlist:
        watchlist.add([entry])


@contextmanager
def _subscriber(address: str, display: RunDisplay) -> Iterator[None]:
    """Follow the alerts as any subscriber would, in a thread of its own."""

    def follow() -> None:
        for alert in client.subscribe(0):
            RunDisplay.hit(display, alert.hit)

    with CheckpointClient(address) as client:
        thread = threading.Thread(target=follow, name="subscriber", daemon=True)
        thread.start()
        yield
    thread.join(2.0)
