"""``checkpoint serve``: the alert service and its console, without cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline import config
from pipeline.commands.console_link import tell_console
from pipeline.config import Role
from pipeline.runtime import Runtime
from pipeline.signals import stop_requests

_TICK_S = 0.5


def serve(
    file: Annotated[Path, typer.Option("--config", help="The checkpoint.toml to serve from.")],
) -> None:
    """Run the alert service, and the console where roles name it, until Ctrl-C or SIGTERM."""
    settings = config.load(file)
    if Role.PROVINCE not in settings.roles:
        console = (Role.CONSOLE,) if Role.CONSOLE in settings.roles else ()
        settings = settings.model_copy(update={"roles": (Role.ALERTS, *console)})
    with stop_requests() as stop, Runtime(settings) as runtime:
        tell_console(runtime, Console(stderr=True))
        while not stop.wait(_TICK_S):
            runtime.check()
        runtime.stop()
