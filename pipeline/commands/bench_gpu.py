"""``checkpoint bench gpu``: what an NVIDIA GPU decodes, detects and reads."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated

import typer

from pipeline import logs
from pipeline.commands.bench_throughput import progress_bar
from pipeline.config import RecognitionSettings
from pipeline.errors import ConfigError


def gpu(
    device: Annotated[
        str, typer.Option(help="auto, cuda or cuda:N; cpu runs the same code for a check.")
    ] = "auto",
    source: Annotated[
        Path | None, typer.Option(help="The clip; one of 1080p25 is made where none is named.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.5, help="How long each part is measured.")] = 10.0,
    streams: Annotated[
        int, typer.Option(min=1, max=512, help="Decoders at once, for the highest rate.")
    ] = 24,
    cameras: Annotated[
        int, typer.Option(min=1, max=2_000, help="Cameras that play the clip at its own pace.")
    ] = 100,
    batch: Annotated[
        int | None,
        typer.Option(min=1, max=512, help="Pictures in a batch; as in use if not named."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout instead of words.")
    ] = False,
) -> None:
    """Measure an NVIDIA GPU: each part alone, all together, and the latency of many cameras.

    Without a GPU nothing is measured, and that is said.
    """
    # Here, not above: the other commands start without the benchmarks.
    from benchmarks import gpu as bench

    try:
        RecognitionSettings(device=device)
    except ValueError:
        raise ConfigError(f"--device {device}: no such device; auto, cpu, cuda or cuda:N") from None
    logs.configure(logging.WARNING)
    settings = bench.Settings(device, source, seconds, streams, cameras, batch)
    with progress_bar() as progress:
        record = bench.measure(settings, progress)
    print(json.dumps(record, ensure_ascii=False) if as_json else "\n".join(bench.lines(record)))
