"""``checkpoint recognise``: plates and vehicles in pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from detectors.recogniser import Recogniser, load_recogniser
from pipeline import events
from pipeline.errors import CheckpointError, ConfigError, InputError
from pipeline.source import list_pictures, read_picture
from pipeline.types import ImageBgr

BATCH = 8


def recognise(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, for machines.")
    ] = False,
    crops: Annotated[
        bool, typer.Option("--crops", help="Each picture is one plate, already cut out.")
    ] = False,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or cuda:N; auto: a GPU where one can be used.")
    ] = "auto",
    weights: Annotated[
        Path | None, typer.Option(help="Folder of model weights instead of the shipped ones.")
    ] = None,
    reader: Annotated[
        Literal["openvino", "paddleocr"], typer.Option(help="What runs the reading of plates.")
    ] = "openvino",
    reader_model: Annotated[
        Path | None,
        typer.Option(help="A PP-OCR model folder for paddleocr instead of the shipped reader."),
    ] = None,
) -> None:
    """Find and read the plates in pictures."""
    pictures, failures = _pictures(paths)
    if reader_model is not None and reader == "openvino":
        raise ConfigError("--reader-model names a model for PaddleOCR: add --reader paddleocr")
    recogniser = load_recogniser(
        weights, device=device, second_look=True, reader=reader, reader_model=reader_model
    )
    out, err = Console(), Console(stderr=True)
    table = Table("picture", "plate", "class", "probability", "vehicles")
    shown = track(pictures, "recognising", console=err, transient=True, disable=not err.is_terminal)
    for event in _events(shown, recogniser, crops):
        if "error" in event:
            failures.append(event["error"])
        if as_json:
            print(events.line(event), flush=True)
        else:
            _add_rows(table, event)
    if not as_json and table.row_count:
        out.print(table)
    if failures:
        raise InputError("\n".join(failures))


def _pictures(paths: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """Every picture named, folders opened; and what is wrong with the rest."""
    pictures: list[Path] = []
    failures: list[str] = []
    for path in paths:
        if not path.is_dir():
            pictures.append(path)
            continue
        try:
            pictures += list_pictures(path)
        except CheckpointError as error:
            failures.append(str(error))
    return pictures, failures


def _events(paths: Iterable[Path], recogniser: Recogniser, crops: bool) -> Iterator[events.Json]:
    """One event for each path, in order; pictures go through the nets in batches."""
    remaining = iter(paths)
    while batch := list(islice(remaining, BATCH)):
        images: dict[Path, ImageBgr] = {}
        errors: dict[Path, str] = {}
        for path in batch:
            try:
                images[path] = read_picture(path)
            except CheckpointError as error:
                errors[path] = str(error)
        good = [path for path in batch if path in images]
        if crops:
            reads = recogniser.read_crops([images[path] for path in good])
            found = {
                path: events.plate_picture(str(path), images[path], read)
                for path, read in zip(good, reads, strict=True)
            }
        else:
            scenes = recogniser.recognise([images[path] for path in good])
            found = {
                path: events.picture(str(path), *scene)
                for path, scene in zip(good, scenes, strict=True)
            }
        for path in batch:
            if path in found:
                yield found[path]
            else:
                yield events.failed_picture(str(path), errors[path])


def _add_rows(table: Table, event: events.Json) -> None:
    if "error" in event:
        table.add_row(event["image"], "[red]cannot be read[/red]", "", "", "")
        return
    vehicles = ", ".join(
        " ".join(filter(None, (v["colour"], v["class"]))) for v in event["vehicles"]
    )
    for plate in event["plates"] or [None]:
        if plate is None:
            table.add_row(event["image"], "[dim]none found[/dim]", "", "", vehicles)
        else:
            text = plate["text"] or "[yellow]unreadable[/yellow]"
            probability = f"{plate['probability']:.3f}" if plate["text"] else ""
            table.add_row(event["image"], text, plate["class"], probability, vehicles)
