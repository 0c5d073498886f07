"""``checkpoint evidence``: verify the pictures that hits are judged by."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from pipeline.archive import ARCHIVE_FILE, PassageArchive
from pipeline.clock import SystemClock
from pipeline.commands.acting import ConfigOption, settings_from
from pipeline.commands.output import JsonOption, console, print_line, progress
from pipeline.config import CheckpointSettings
from pipeline.errors import ConfigError, InputError
from pipeline.evidence import UNBLURRED_FOLDER
from pipeline.evidence_chain import Fault
from pipeline.evidence_manifest import Head
from pipeline.evidence_verify import (
    Kept,
    Verification,
    pending_passages,
    verify,
    verify_paths,
)
from pipeline.retention import shortest_of_hits
from watchlist.tables import plural

app = typer.Typer(help="The pictures that hits are judged by.", no_args_is_help=True)

_STYLES = {Fault.DAMAGED: "bold red", Fault.MISSING: "bold yellow", Fault.FOREIGN: "bold magenta"}


@app.callback()
def _evidence() -> None:
    """Keeps ``verify`` a command of its own while it is the only one."""


@app.command("verify")
def verify_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="Pictures or folders of them; default: all evidence of the data folder.",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="A data folder; default: the configured one.")
    ] = None,
    noted: Annotated[
        str | None,
        typer.Option(
            metavar="CHAIN:NUMBER:SHA256:TIME",
            help="The chain's end, as you noted it earlier.",
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find every picture that was changed, exchanged, taken away or put there; exit status 1 if
    there is one.

    Without PATH all of a data folder is checked: every picture by its manifest, the manifests by
    their chain, and both by the passages that are kept. With PATH, as for pictures that were
    handed over, each by its manifest alone. No token is needed: it shows no picture and no plate.
    """
    if paths and data_dir:
        raise typer.BadParameter("name paths or --data-dir, not both")
    if paths and noted:
        raise typer.BadParameter("--noted belongs to a whole data folder; leave the paths out")
    head = _noted(noted) if noted else None
    settings = settings_from(config)
    if data_dir is not None:
        settings = settings.model_copy(update={"data_dir": data_dir})
    with progress() as bar:
        task = bar.add_task("pictures", total=None)

        def looked(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        now = SystemClock().now()
        try:
            if paths:
                found = verify_paths(paths, now, looked)
            else:
                root = settings.data_dir / "evidence"
                if not root.is_dir():
                    raise InputError(f"{root}: there is no evidence; name the data folder")
                with _kept(settings) as kept:
                    originals = settings.data_dir / UNBLURRED_FOLDER
                    found = verify(root, originals, kept, now, looked, head)
        except OSError as error:
            where = error.filename or settings.data_dir
            raise InputError(f"{where}: cannot be read: {error.strerror}") from error
    _tell(found, as_json=as_json)
    if found.findings:
        raise typer.Exit(1)


def _noted(text: str) -> Head:
    try:
        return Head.noted(text)
    except ValueError:
        raise ConfigError(f"--noted = {text!r}: write it as 'verify' said it") from None


class _kept:  # noqa: N801 - a context manager
    """What a data folder says that there must be."""

    def __init__(self, settings: CheckpointSettings) -> None:
        path = settings.data_dir / ARCHIVE_FILE
        archive = PassageArchive(path) if path.exists() else None
        retention = settings.retention
        self._kept = Kept(
            archive,
            pending_passages(settings.data_dir / "spool.sqlite"),
            timedelta(hours=retention.passages_h),
            shortest_of_hits(retention),
        )

    def __enter__(self) -> Kept:
        return self._kept

    def __exit__(self, *_: object) -> None:
        if self._kept.archive is not None:
            self._kept.archive.close()


def _tell(found: Verification, *, as_json: bool) -> None:
    head = found.head
    if as_json:
        for finding in found.findings:
            print_line({"event": "finding", **asdict(finding)})
        print_line(
            {
                "event": "summary",
                "pictures": found.pictures,
                "manifests": found.manifests,
                "originals": found.originals,
                "without_manifest": found.bare,
                "findings": len(found.findings),
                "head": str(head) if head else None,
            }
        )
        return
    if found.findings:
        table = Table("fault", "file", "what", highlight=False)
        for finding in found.findings:
            style = _STYLES[finding.fault]
            table.add_row(Text(finding.fault, style), Text(finding.path), Text(finding.message))
        console().print(table)
        wrong = plural(len(found.findings), "file is", "files are")
        print(f"error: {wrong} not as they were saved", file=sys.stderr)
        return
    lines = [f"{plural(found.pictures, 'picture', 'pictures')}, all as they were saved."]
    if found.originals:
        lines.append(f"{plural(found.originals, 'unblurred original', 'unblurred originals')}.")
    if found.bare:
        lines.append(f"{found.bare} of them are older than manifests; their passages name them.")
    if head is not None:
        lines.append(f"Note this somewhere else, to hold the evidence to it later: {head}")
    console().print("\n".join(lines), soft_wrap=True, markup=False)
