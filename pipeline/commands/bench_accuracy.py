"""``checkpoint bench accuracy``: how well plates are found and read in one's own pictures."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import track

from detectors.recogniser import load_recogniser
from pipeline.errors import ConfigError, InputError


def accuracy(
    source: Annotated[
        Path,
        typer.Argument(
            exists=True,
            help="A folder with frames.jsonl or crops.jsonl, such a file itself, or a folder of "
            "pictures with CCPD names or named by their plate (辽A12345.jpg, 辽A12345_2.jpg).",
        ),
    ],
    fold: Annotated[
        str | None, typer.Option(help="Only label lines of this fold, for example val.")
    ] = None,
    labels: Annotated[
        Literal["all", "dataset"],
        typer.Option(help="dataset: texts that a model read (text_source) do not count."),
    ] = "all",
    crops: Annotated[
        bool, typer.Option("--crops", help="Each picture is one plate, already cut out.")
    ] = False,
    no_plates: Annotated[
        bool, typer.Option("--no-plates", help="No picture holds a plate: count false ones.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many pictures, evenly spread.")
    ] = None,
    timing: Annotated[
        bool, typer.Option("--timing", help="Measure the time of each picture, one by one.")
    ] = False,
    to_stdout: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout instead of tables.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for report.md, report.json, plots and a contact sheet."),
    ] = None,
    font: Annotated[
        Path | None, typer.Option(help="Font file with Chinese characters, for the plots.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or cuda:N; auto: a GPU where one can be used.")
    ] = "cpu",
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
    """Measure how well plates are found and read in labelled pictures."""
    # Here, not above: the other commands start without the benchmarks.
    from benchmarks.accuracy import files, tables
    from benchmarks.accuracy.labels import Choice, TextSource, load
    from benchmarks.accuracy.measure import measure
    from benchmarks.accuracy.report import summarise
    from benchmarks.accuracy.report_json import as_json

    if reader_model is not None and reader == "openvino":
        raise ConfigError("--reader-model names a model for PaddleOCR: add --reader paddleocr")
    if font is not None and out is None:
        raise ConfigError("--font is for the plots: add --out FOLDER")
    chosen = load(source, Choice(fold, TextSource(labels), crops, no_plates, limit))
    err = Console(stderr=True)
    if out is not None and (missing := files.prepare(out, font)):
        err.print(missing, highlight=False, soft_wrap=True, markup=False)
    recogniser = load_recogniser(
        weights, device=device, second_look=True, reader=reader, reader_model=reader_model
    )
    measured = measure(
        recogniser,
        track(
            chosen.pictures,
            "recognising",
            console=err,
            transient=True,
            disable=not err.is_terminal,
        ),
        crops=chosen.crops,
        timing=timing,
    )
    report = summarise(
        chosen,
        measured,
        recogniser=recogniser.version + (f" by {reader}" if reader != "openvino" else ""),
        fold=fold,
        texts=labels,
        cpu=(_cpu_name(), os.cpu_count() or 1) if timing else ("", 0),
    )
    if to_stdout:
        print(json.dumps(as_json(report), ensure_ascii=False), flush=True)
    else:
        tables.print_report(report, Console())
    if out is not None:
        files.write(report, out, font)
        where = f"Report: {out / 'report.md'}"
        err.print(where, highlight=False, soft_wrap=True, markup=False)
    if report.failures:
        raise InputError(tables.failures(report.failures))


def _cpu_name() -> str:
    import openvino

    return str(openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")).strip()
