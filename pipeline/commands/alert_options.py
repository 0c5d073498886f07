"""Options that several of the ``checkpoint alerts`` commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.types import MatchKind

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]
Camera = Annotated[list[str] | None, typer.Option(help="Only this camera; may be repeated.")]
Checkpoint = Annotated[
    list[str] | None, typer.Option(help="Only this checkpoint; may be repeated.")
]
Kind = Annotated[list[MatchKind] | None, typer.Option(help="Only this kind; may be repeated.")]
Category = Annotated[list[str] | None, typer.Option(help="Only this category; may be repeated.")]
Priority = Annotated[
    int, typer.Option(min=0, max=4, help="Only this urgent or more: 1 act now … 4 note.")
]
