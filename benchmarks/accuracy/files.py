"""Writes a report's files: Markdown, JSON and, with matplotlib, plots and the contact sheet."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

from benchmarks.accuracy.report import Report
from benchmarks.accuracy.report_json import as_json
from benchmarks.accuracy.tables import as_markdown
from pipeline.errors import InputError

NO_PLOTS = (
    "No plots: they need matplotlib. Install it with pip install 'checkpoint-vehicles[bench]'"
)


def prepare(folder: Path, font: Path | None = None) -> str | None:
    """Make the folder and try the font, before a long run; why there will be no plots, if none.

    Raises:
        InputError: the folder cannot be made.
        ConfigError: ``font`` cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None
    if find_spec("matplotlib") is None:
        return NO_PLOTS
    from benchmarks.accuracy import lettering

    lettering.find(font)
    return None


def write(report: Report, folder: Path, font: Path | None = None) -> None:
    """Write ``report.json``, ``report.md`` and, with matplotlib, the pictures.

    Raises:
        InputError: the folder cannot be written.
        ConfigError: ``font`` cannot be used.
    """
    missing = prepare(folder, font)
    drawn: list[tuple[str, str]] = []
    try:
        if missing is None:
            from benchmarks.accuracy import plots

            drawn = plots.write(report, folder, font)
        text = json.dumps(as_json(report), ensure_ascii=False, indent=1)
        (folder / "report.json").write_text(text + "\n", encoding="utf-8")
        markdown = as_markdown(report, drawn, missing)
        (folder / "report.md").write_text(markdown, encoding="utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(folder: Path, error: OSError) -> InputError:
    return InputError(f"{folder}: cannot be written: {error.strerror}; name another --out folder")
