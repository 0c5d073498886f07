"""How commands print: JSON lines or tables on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def console() -> Console:
    """The terminal, for people."""
    return Console(file=sys.stdout, highlight=False)


def progress() -> Progress:
    """A bar on stderr that goes away when all is done; none where nobody watches."""
    return Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def print_line(record: dict[str, Any]) -> None:
    """One JSON object on a line of its own."""
    sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
