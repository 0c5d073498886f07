"""The ``checkpoint`` program: its commands, its log and its exit statuses."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

# gRPC reads these when it is imported. Its own lines on stderr would repeat, in a maintainer's
# words, what our messages say; and we fork only to execute other programs.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

import typer

from pipeline import config, logs
from pipeline.commands import (
    access,
    alerts,
    audit,
    bench,
    certs,
    cluster,
    demo,
    evidence,
    recognise,
    run,
    serve,
    watchlist,
)
from pipeline.errors import CheckpointError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Recognise vehicles at road checkpoints and alert on a watchlist.",
)
app.command()(demo.demo)
app.command()(recognise.recognise)
app.command()(run.run)
app.command()(serve.serve)
app.add_typer(watchlist.app, name="watchlist", help="The governed list of wanted plates.")
app.add_typer(alerts.app, name="alerts", help="Watch and review alerts.")
app.add_typer(audit.app, name="audit", help="The record of who did what, and why.")
app.add_typer(evidence.app, name="evidence", help="The pictures that hits are judged by.")
app.add_typer(cluster.app, name="cluster", help="The nodes of a cluster, and their cameras.")
app.add_typer(access.app, name="access", help="The tokens that name persons and give them roles.")
app.add_typer(certs.app, name="certs", help="Certificates for a first set-up.")
app.add_typer(bench.app, name="bench", help="Measure accuracy and speed on your own data.")


@app.command("check-config")
def check_config(
    file: Annotated[Path, typer.Argument(help="The checkpoint.toml to check.")],
) -> None:
    """Check a configuration file; print file, line, key and value of each mistake."""
    settings = config.load(file)
    cameras = ", ".join(camera.name for camera in settings.cameras) or "none"
    print(f"{file}: correct; cameras: {cameras}; roles: {', '.join(settings.roles)}")


@app.callback()
def _log(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    logs.configure(logging.DEBUG if verbose else logging.INFO)


def main() -> None:
    """Run the program; a known error is told in plain words, never as a traceback."""
    try:
        app(standalone_mode=True)
    except CheckpointError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except BrokenPipeError:  # the reader of our output has gone, as in `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
