"""``checkpoint serve``: the alert service alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline import config
from pipeline.config import Role
from pipeline.runtime import Runtime
from pipeline.signals import stop_requests

_TICK_S = 0.5


def serve(
    file: Annotated[Path, typer.Option("--config", help="The checkpoint.toml to serve from.")],
) -> None:
    """Run the alert service until Ctrl-C or SIGTERM."""
    settings = config.load(file)
    if Role.PROVINCE not in settings.roles:
        settings = settings.model_copy(update={"roles": (Role.ALERTS,)})
    with stop_requests() as stop, Runtime(settings) as runtime:
        while not stop.wait(_TICK_S):
            runtime.check()
        runtime.stop()
