"""``checkpoint run``: the roles that a configuration names, or sources named on the spot."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Protocol, TextIO
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from pipeline import config, events
from pipeline.camera import CameraStatus, StopReason
from pipeline.commands.console_link import tell_console
from pipeline.config import CameraSettings, CheckpointSettings, Role
from pipeline.display import RunDisplay
from pipeline.errors import ConfigError, InputError
from pipeline.recognition import Listener
from pipeline.runtime import Runtime
from pipeline.signals import stop_requests
from pipeline.source import frames_in, is_live, local_path
from pipeline.types import Hit, Passage

_TICK_S = 0.1


class Output(Protocol):
    """Where a run's passages, hits and summary go."""

    def passage(self, record: Passage) -> None:
        """A new passage, or a new revision of one."""
        ...

    def hit(self, record: Hit) -> None:
        """A hit."""
        ...

    def summary(self, record: events.Summary) -> None:
        """The end of the run."""
        ...


class JsonOutput:
    """One JSON object a line on stdout, or on ``stream``."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def passage(self, record: Passage) -> None:
        """A passage event."""
        self._print(events.passage(record))

    def hit(self, record: Hit) -> None:
        """A hit event."""
        self._print(events.hit(record))

    def summary(self, record: events.Summary) -> None:
        """The summary event."""
        self._print(events.summary(record))

    def _print(self, event: events.Json) -> None:
        stream = self._stream or sys.stdout
        stream.write(events.line(event) + "\n")  # one write: threads do not mix lines
        stream.flush()


def run(
    config_file: Annotated[
        Path | None, typer.Option("--config", help="The checkpoint.toml to run.")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="An RTSP URL, a video, or a folder of pictures.")
    ] = None,
    more: Annotated[list[str] | None, typer.Argument(metavar="[SOURCE]…", hidden=True)] = None,
    once: Annotated[
        bool, typer.Option(help="Read files once, as fast as they can be read, to their end.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, for machines.")
    ] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where list, evidence and outbox lie [var].")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="auto|HOST:PORT", help="Spread the cameras over a Ray cluster."),
    ] = None,
) -> None:
    """Watch cameras: recognise vehicles, match plates, deliver hits."""
    sources = [*(source or []), *(more or [])]
    if (config_file is None) == (not sources):
        raise ConfigError("name either --config FILE or --source URL|FILE")
    settings = config.load(config_file) if config_file else settings_for(sources)
    if data_dir is not None:
        settings = settings.model_copy(update={"data_dir": data_dir})
    if once:  # it ends by itself, and nobody looks on
        roles = tuple(role for role in settings.roles if role is not Role.CONSOLE)
        settings = settings.model_copy(update={"roles": roles})
    if cluster is not None:
        if config_file is None:
            raise ConfigError("--cluster takes its cameras from a file: --config FILE")
        from pipeline.commands.cluster import play_over  # only here: it needs Ray

        play_over(settings, cluster, as_json=as_json, once=once)
        return
    console = Console()
    output: Output = JsonOutput() if as_json else RunDisplay(console)
    if as_json or not console.is_terminal:
        console = Console(stderr=True)
    play(
        settings,
        output,
        once=once,
        any_port=config_file is None,
        progress_on=console,
        on_start=lambda runtime: tell_console(runtime, console),
    )


def settings_for(sources: list[str]) -> CheckpointSettings:
    """Settings with one camera for each source, named after it."""
    names: list[str] = []
    for one in sources:
        stem = re.sub(r"[^\w.-]+", "-", _stem(one)).strip("-") or "camera"
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    cameras = tuple(
        CameraSettings(name=name, source=one) for name, one in zip(names, sources, strict=True)
    )
    return CheckpointSettings(cameras=cameras)


def play(
    settings: CheckpointSettings,
    output: Output,
    *,
    once: bool = False,
    any_port: bool = False,
    seconds: float | None = None,
    progress_on: Console | None = None,
    alongside: Callable[[str], AbstractContextManager[None]] | None = None,
    on_start: Callable[[Runtime], None] = lambda runtime: None,
) -> None:
    """Run until the sources end, ``seconds`` have passed, or Ctrl-C; then say what it amounted to.

    ``alongside``: entered with the alert service's address while the sources play. ``on_start``:
    called once all of it runs.

    Raises:
        InputError: a source could not be used, or not wholly; the rest was done.
        ShutdownError: something was lost past the shutdown deadline.
    """
    listener = Listener(output.passage, output.hit)
    with (
        stop_requests() as stop,
        Runtime(settings, listener, once=once, any_port=any_port) as runtime,
    ):
        on_start(runtime)
        until_s = None if seconds is None else time.monotonic() + seconds
        address = runtime.alert_address
        company = alongside(address) if alongside and address else nullcontext()
        with company, _progress(settings, progress_on, once) as show:
            while not stop.wait(_TICK_S) and not runtime.ended():
                runtime.check()
                show(runtime)
                if until_s is not None and time.monotonic() > until_s:
                    break
        try:
            summary = runtime.stop()
        finally:
            cameras = runtime.cameras()
    output.summary(summary)
    failures = [problem for camera in cameras if (problem := failure_of(camera))]
    if failures:
        raise InputError("\n".join(failures))


def failure_of(camera: CameraStatus) -> str | None:
    """What was wrong with a camera's source in the end."""
    if camera.stop_reason is StopReason.ERROR:
        return camera.last_error
    if camera.broken and camera.stop_reason is StopReason.END:
        return (
            f"{camera.source}: {camera.broken} of its pictures or packets are damaged and were "
            "left out; the rest was recognised"
        )
    return None


@contextmanager
def _progress(
    settings: CheckpointSettings, console: Console | None, once: bool
) -> Iterator[Callable[[Runtime], None]]:
    """A bar over the frames of all files, where a person watches a run that will end."""
    if console is None or not console.is_terminal or not once:
        yield lambda runtime: None
        return
    counts = [frames_in(camera.source) for camera in settings.cameras]
    total = None if None in counts else sum(count or 0 for count in counts)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("recognising", total=total)
        yield lambda runtime: bar.update(
            task, completed=sum(camera.decoded for camera in runtime.cameras())
        )


def _stem(source: str) -> str:
    """What names a source without its credentials: the last part of its path, or its host."""
    if not is_live(source):
        return local_path(source).stem
    parts = urlsplit(source)
    return Path(parts.path).stem or parts.hostname or ""
