"""Evidence of passages for the page: the picture, its plate, its manifest, the unblurred original.

A picture is given out to a session that found its passage by a search (``searches.py``), each
time with a record in the audit log that names that search's reason and case. Where plates are
masked, the plate in the picture is hidden as well. The unblurred original takes an approver, with
a reason and a case number of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from pipeline.archive import KeptPassage
from pipeline.console.context import (
    ApiError,
    audited,
    context_of,
    not_found,
    reading,
    require_role,
)
from pipeline.console.passages_api import SEARCHERS, Because, archive_of, require_unmasker
from pipeline.console.passages_shown import passage_json
from pipeline.console.searches import Search, searches_of
from pipeline.evidence import UNBLURRED_FOLDER
from pipeline.evidence_manifest import Manifest, beside, parse
from pipeline.evidence_plate import plate_hidden, plate_picture
from pipeline.types import Corners, Evidence

_log = structlog.get_logger(__name__)
_LONGEST_ID: Final = 200


def details(request: Request) -> Response:
    """One passage that a search has shown, with what its picture's manifest says."""
    require_role(request, *SEARCHERS)
    kept, search = _searched(request)
    evidence, manifest = kept.passage.evidence, _manifest(request, kept)
    _record(request, "passages.view", kept, search, {"unmasked": search.unmasked})
    told: dict[str, Any] | None = None
    if evidence is not None:
        told = {
            "sha256": evidence.sha256,
            "media_s": round(evidence.media_s, 3),
            "plate": search.unmasked and evidence.plate_corners is not None,
            "shown": search.unmasked or _can_hide(kept),
            "captured_at": manifest.captured_at.isoformat() if manifest else None,
            "saved_at": manifest.saved_at.isoformat() if manifest else None,
            "list_version": manifest.list_version if manifest else None,
            "software": manifest.origin.software if manifest else None,
            "models": _models(manifest),
            "blurred": manifest.blurred if manifest else None,
            "original": manifest is not None and manifest.original_sha256 is not None,
        }
    passage = passage_json(kept, unmasked=search.unmasked)
    return JSONResponse({"passage": passage, "evidence": told})


def picture(request: Request) -> Response:
    """The picture; with its plate hidden, where the search showed plates masked."""
    require_role(request, *SEARCHERS)
    kept, search = _searched(request)
    if not search.unmasked and not _can_hide(kept):
        raise ApiError(
            403,
            "plate_shown",
            "where the plate stands in this picture is not known, so it cannot be hidden; ask "
            "someone who may see plates",
        )
    evidence, jpeg = _evidence(request, kept)
    _record(request, "passages.picture", kept, search, {"unmasked": search.unmasked})
    if not search.unmasked and evidence.plate_corners is not None:
        jpeg = _made(plate_hidden, jpeg, evidence.plate_corners)
    return _jpeg(jpeg)


def plate(request: Request) -> Response:
    """The plate alone, cut out and enlarged; where the search showed plates as they are."""
    require_role(request, *SEARCHERS)
    kept, search = _searched(request)
    if not search.unmasked:
        raise ApiError(403, "masked", "search with plates shown as they are first")
    evidence, jpeg = _evidence(request, kept)
    if evidence.plate_corners is None:
        raise not_found("where the plate stands in this picture is not known")
    _record(request, "passages.picture", kept, search, {"unmasked": True, "part": "plate"})
    return _jpeg(_made(plate_picture, jpeg, evidence.plate_corners))


def unblurred(request: Request, because: Because) -> Response:
    """The original picture, with whoever sits behind the windscreen."""
    identifier = _id(request)
    require_unmasker(request, "evidence.unblurred", identifier, because)
    kept = archive_of(request).get(identifier)
    if kept is None:
        raise not_found("this passage is not kept here any more, or was seen by another checkpoint")
    manifest, evidence = _manifest(request, kept), kept.passage.evidence
    if evidence is None or manifest is None or manifest.original_sha256 is None:
        raise not_found(
            "no unblurred picture was kept of this passage; keep_unblurred in the configuration "
            "says whether any are"
        )
    root = context_of(request).settings.data_dir / UNBLURRED_FOLDER
    jpeg = _read(root, evidence.path, manifest.original_sha256)
    audited(
        request,
        "evidence.unblurred",
        identifier,
        {"sha256": manifest.original_sha256, "camera": kept.passage.camera},
        reason=because.reason,
        case=because.case_number,
    )
    return _jpeg(jpeg)


def _id(request: Request) -> str:
    identifier = str(request.path_params["id"])
    if len(identifier) > _LONGEST_ID:
        raise not_found("there is no such passage")
    return identifier


def _searched(request: Request) -> tuple[KeptPassage, Search]:
    """The passage asked for, and the search of this session that found it."""
    identifier, archive = _id(request), archive_of(request)
    session = require_role(request, *SEARCHERS)
    named = request.query_params.get("search", "")
    search = searches_of(request).find(session.id, named, identifier)
    if search is None:
        raise ApiError(
            403,
            "search_first",
            "find this passage by a search first: its reason and case number count for the "
            "picture, too",
        )
    kept = archive.get(identifier)
    if kept is None:
        raise not_found("this passage was deleted: its time is over")
    return kept, search


def _record(
    request: Request, action: str, kept: KeptPassage, search: Search, more: dict[str, object]
) -> None:
    evidence = kept.passage.evidence
    audited(
        request,
        action,
        kept.passage.id,
        {
            "search": search.id,
            "camera": kept.passage.camera,
            "sha256": evidence.sha256 if evidence else None,
            **more,
        },
        reason=search.reason,
        case=search.case,
    )


def _can_hide(kept: KeptPassage) -> bool:
    """Whether the plate in the picture can be hidden, or there is none."""
    evidence = kept.passage.evidence
    return evidence is None or evidence.plate_corners is not None or kept.passage.reads == 0


def _evidence(request: Request, kept: KeptPassage) -> tuple[Evidence, bytes]:
    """The passage's evidence and its picture, as it was saved."""
    evidence = kept.passage.evidence
    if evidence is None:
        raise not_found("there is no picture of this passage")
    root = context_of(request).settings.data_dir / "evidence"
    return evidence, _read(root, evidence.path, evidence.sha256)


def _read(root: Path, path: str, sha256: str) -> bytes:
    """A picture that is still what it was.

    Raises:
        ApiError: 404, it is gone; 409, it was changed.
    """
    file = (root / path).resolve()
    try:
        if not file.is_relative_to(root.resolve()):
            raise FileNotFoundError
        jpeg = file.read_bytes()
    except OSError:
        raise not_found(
            "the picture is not on this machine's disk; see 'checkpoint evidence verify'"
        ) from None
    if hashlib.sha256(jpeg).hexdigest() != sha256:
        _log.error("evidence was changed", picture=path)
        raise ApiError(
            HTTPStatus.CONFLICT,
            "damaged",
            "the picture is not the one that was saved; see 'checkpoint evidence verify'",
        )
    return jpeg


def _manifest(request: Request, kept: KeptPassage) -> Manifest | None:
    """What the picture's manifest says; None where there is none that can be read."""
    evidence = kept.passage.evidence
    if evidence is None:
        return None
    root = context_of(request).settings.data_dir / "evidence"
    file = beside((root / evidence.path).resolve())
    try:
        if not file.is_relative_to(root.resolve()):
            return None
        manifest = parse(file.read_bytes())
    except (OSError, ValueError):
        return None
    return manifest if manifest.path == evidence.path else None


def _models(manifest: Manifest | None) -> dict[str, str] | None:
    """Each network with the beginning of the digest of its largest file, for people."""
    if manifest is None:
        return None
    return {
        name: next(
            (files[file] for file in files if file.endswith(".bin")), [*files.values(), ""][0]
        )
        for name, files in manifest.origin.models.items()
    }


def _made(make: Callable[[bytes, Corners], bytes], jpeg: bytes, corners: Corners) -> bytes:
    try:
        return make(jpeg, corners)
    except ValueError as error:
        raise not_found(f"the plate in this picture cannot be found: {error}") from None


def _jpeg(jpeg: bytes) -> Response:
    return Response(jpeg, media_type="image/jpeg")


routes: Sequence[BaseRoute] = (
    Route("/api/passages/{id}", details),
    Route("/api/passages/{id}/picture", picture),
    Route("/api/passages/{id}/plate", plate),
    Route("/api/passages/{id}/unblurred", reading(Because)(unblurred), methods=["POST"]),
)
