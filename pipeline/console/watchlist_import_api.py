"""Lists as files: shown first, applied exactly as shown; and the list as a file for who may."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Final, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from pipeline.console.context import context_of, invalid, reading, session_of
from pipeline.console.imports import FOLDER, PlannedImport, PlannedImports, planned_record
from pipeline.console.watchlist_api import acting_of
from pipeline.errors import InputError, WatchlistError
from pipeline.governed import EDITORS, KEEPERS, Acting
from pipeline.types import WatchlistEntry
from watchlist.importer import plan_import
from watchlist.neighbours import listed_neighbours
from watchlist.records import Note
from watchlist.sheets import read_rows, write_csv, write_workbook
from watchlist.snapshot import take

_log = structlog.get_logger(__name__)

_SHOWN: Final = 100
_LARGEST_PAGE: Final = 500
_MOST_COMPARED: Final = 20_000
_LONGEST_NAME: Final = 120
_PIECE: Final = 1 << 16
_one_at_a_time = threading.Lock()
"""Plans are held in memory while they are made: not many at once."""


class Applying(BaseModel):
    """Which planned import is applied, and why."""

    model_config = ConfigDict(extra="forbid")
    digest: str = Field(max_length=64)
    skip_bad: bool = False
    reason: str = Field(max_length=500)
    case: str = Field(default="", max_length=64)


class Export(BaseModel):
    """What is exported, and why. ``all``: expired entries too."""

    model_config = ConfigDict(extra="forbid")
    format: Literal["csv", "xlsx"] = "csv"
    all: bool = False
    reason: str = Field(max_length=500)
    case: str = Field(default="", max_length=64)


async def plan(request: Request) -> Response:
    """What a file would change; nothing is changed. Form fields: file, reason, case."""
    session_of(request)
    async with request.form(max_files=1, max_fields=4, max_part_size=4096) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise invalid("file: choose a CSV or .xlsx", "file")
        reason, case = (_text(form.get(name)) for name in ("reason", "case"))
        return await run_in_threadpool(_plan, request, file, reason, case)


def changes(request: Request) -> Response:
    """More of what a planned import would do."""
    acting, asked = acting_of(request), request.query_params
    planned = _own(request, acting, str(request.path_params["digest"]))
    try:
        after, limit = int(asked.get("after") or 0), int(asked.get("limit") or _SHOWN)
    except ValueError:
        raise invalid("after, limit: must be numbers") from None
    if after < 0 or not 1 <= limit <= _LARGEST_PAGE:
        raise invalid(f"limit: must lie between 1 and {_LARGEST_PAGE}", "limit")
    return JSONResponse({"changes": _imports(request).changes(planned.digest, after, limit)})


@reading(Applying)
def apply(request: Request, body: Applying) -> Response:
    """Put a planned import on the list as one version, exactly as it was shown."""
    context, acting = context_of(request), acting_of(request)
    imports = _imports(request)
    planned = _own(request, acting, body.digest)
    if planned.bad and not body.skip_bad:
        raise WatchlistError(
            f"{planned.bad} rows are bad; correct them and upload the file again, or say that "
            "they are to be left out"
        )
    if not planned.changes:
        raise WatchlistError("this import would change nothing")
    details = {
        "sha256": planned.sha256,
        "digest": planned.digest,
        "added": planned.added,
        "replaced": planned.replaced,
        "left_out": planned.bad,
    }
    with acting.doing(
        "watchlist.import",
        planned.file,
        roles=EDITORS,
        reason=body.reason,
        case=body.case,
        details=details,
    ):
        entries = _answered_for(imports.entries(planned.digest), acting)
        note = Note(acting.person.name, "import", body.reason.strip(), body.case.strip())
        change = context.watchlist.add(entries, note, planned_on=planned.version)
    imports.drop(planned.digest)
    _log.info("watchlist.imported", file=planned.file, version=change.version)
    return JSONResponse({"version": change.version, "changed": change.changed})


@reading(Export)
def export(request: Request, body: Export) -> Response:
    """The list as it is at one version, as a file that an import takes back."""
    context, acting = context_of(request), acting_of(request)
    with acting.doing(
        "watchlist.export",
        f"console {body.format}",
        roles=KEEPERS,
        reason=body.reason,
        case=body.case,
        details={"all": body.all},
    ):
        snapshot, now = take(context.watchlist), context.clock.now()
        entries = (entry for entry in snapshot.entries() if body.all or now < entry.expires_at)
        ordered = sorted(entries, key=lambda entry: entry.id)
        path = _imports(request).spool(f".{body.format}")
        try:
            _write(ordered, path)
            opened = path.open("rb")
        except OSError as error:
            raise InputError(f"the export cannot be written: {error.strerror}") from error
        finally:
            path.unlink(missing_ok=True)  # what is open can still be read
    name = f"watchlist-{snapshot.version}.{body.format}"
    kinds = {
        "csv": "text/csv; charset=utf-8",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    }
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_pieces(opened), headers=headers, media_type=kinds[body.format])


routes: Sequence[BaseRoute] = (
    Route("/api/watchlist/import", plan, methods=["POST"]),
    Route("/api/watchlist/import/apply", apply, methods=["POST"]),
    Route("/api/watchlist/import/{digest}", changes),
    Route("/api/watchlist/export", export, methods=["POST"]),
)


def _plan(request: Request, file: UploadFile, reason: str, case: str) -> Response:
    context, acting, imports = context_of(request), acting_of(request), _imports(request)
    name = _name(file.filename)
    path = imports.spool(".xlsx")  # by which openpyxl goes; a CSV is known by its bytes
    try:
        with path.open("wb") as out:
            shutil.copyfileobj(file.file, out)
        with path.open("rb") as whole:
            sha256 = hashlib.file_digest(whole, "sha256").hexdigest()
        with (
            acting.doing(
                "watchlist.import_plan",
                name,
                roles=EDITORS,
                reason=reason,
                case=case,
                details={"sha256": sha256},
            ),
            _one_at_a_time,
        ):
            watchlist, now = context.watchlist, context.clock.now()
            rows = read_rows(path, now)
            found = plan_import(watchlist, rows, now, acting.policy(), acting.person.name)
            compared = (entry.plate for entry in found.added[:_MOST_COMPARED])
            alike = list(islice(listed_neighbours(watchlist, compared), _SHOWN))
            planned = imports.keep(found, by=acting.person.name, file=name, sha256=sha256, now=now)
    except InputError as error:
        raise InputError(str(error).replace(str(path), name)) from None
    finally:
        path.unlink(missing_ok=True)
    bad = [{"line": one.line, "message": one.message} for one in found.bad[:_SHOWN]]
    near = [{"plate": plate, "listed": list(listed)} for plate, listed in alike]
    return JSONResponse(
        {
            "import": planned_record(planned),
            "changes": imports.changes(planned.digest, 0, min(_SHOWN, planned.changes)),
            "bad": bad,
            "neighbours": near,
        }
    )


def _imports(request: Request) -> PlannedImports:
    return PlannedImports(context_of(request).settings.data_dir / FOLDER)


def _own(request: Request, acting: Acting, digest: str) -> PlannedImport:
    planned = _imports(request).get(digest, acting.clock.now())
    if planned.by != acting.person.name:
        raise WatchlistError(f"this import was shown to {planned.by}; upload the file yourself")
    return planned


def _answered_for(entries: Iterator[WatchlistEntry], acting: Acting) -> Iterator[WatchlistEntry]:
    """The entries, as long as their authorisers may still answer for them."""
    authorisers = acting.policy().authorisers
    for entry in entries:
        if authorisers is not None and entry.authoriser not in authorisers:
            raise WatchlistError(
                f"authoriser: {entry.authoriser!r} has no valid token as approver any more"
            )
        yield entry


def _write(entries: Sequence[WatchlistEntry], path: Path) -> None:
    if path.suffix == ".xlsx":
        write_workbook(entries, path)
    else:
        with path.open("w", encoding="utf-8-sig", newline="") as out:
            write_csv(entries, out)


def _pieces(opened: BinaryIO) -> Iterator[bytes]:
    with opened:
        while piece := opened.read(_PIECE):
            yield piece


def _name(filename: str | None) -> str:
    """A file's name as the log and the page may show it."""
    name = PurePath((filename or "").replace("\\", "/")).name
    return "".join(one for one in name if one.isprintable())[:_LONGEST_NAME] or "upload"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
