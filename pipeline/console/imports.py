"""Imports that were shown and wait to be applied: one file each, which says exactly what was shown.

A file is a head and one JSON line for each change, named by its SHA-256. Applying reads that very
file, so that nothing else can go on the list than what its reader has seen; the list refuses it
where it was changed since in what the file touches.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

from pipeline.errors import InputError, WatchlistError
from pipeline.types import WatchlistEntry
from watchlist.entry import from_json, iso, to_json
from watchlist.importer import ImportPlan
from watchlist.tables import plan_records

FOLDER: Final = "imports"
"""Below the data folder."""
KEPT: Final = timedelta(hours=1)
_ENDING: Final = ".plan"


@dataclass(frozen=True, slots=True)
class PlannedImport:
    """What an import would do, in numbers; ``digest`` names the file that says all of it."""

    digest: str
    by: str
    at: datetime
    file: str
    sha256: str
    version: int
    added: int
    replaced: int
    unchanged: int
    bad: int

    @property
    def changes(self) -> int:
        """Entries to be put on the list."""
        return self.added + self.replaced


class PlannedImports:
    """The planned imports of one data folder. Any thread may call.

    Every method raises InputError where the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(
        self, plan: ImportPlan, *, by: str, file: str, sha256: str, now: datetime
    ) -> PlannedImport:
        """Write down a plan; those that are too old are forgotten."""
        self.delete(self.due(now - KEPT))
        head = {
            "by": by,
            "at": iso(now),
            "file": file,
            "sha256": sha256,
            "version": plan.version,
            "added": len(plan.added),
            "replaced": len(plan.replaced),
            "unchanged": plan.unchanged,
            "bad": len(plan.bad),
        }
        digest = hashlib.sha256()
        part = self.spool()
        try:
            with part.open("wb") as out:
                for line in chain([head], _changes(plan, now)):
                    data = json.dumps(line, ensure_ascii=False).encode() + b"\n"
                    digest.update(data)
                    out.write(data)
            part.replace(self._path(digest.hexdigest()))
        except OSError as error:
            raise self._explained(error) from error
        finally:
            part.unlink(missing_ok=True)
        return _head(head, digest.hexdigest())

    def get(self, digest: str, now: datetime) -> PlannedImport:
        """A plan by its digest.

        Raises:
            WatchlistError: there is none any more.
        """
        lines = self._lines(digest)
        with closing(lines):
            found = _head(next(lines), digest)
        if now - found.at > KEPT:
            raise _gone()
        return found

    def changes(self, digest: str, after: int, limit: int) -> list[dict[str, Any]]:
        """What a plan says, from behind the first ``after`` changes."""
        lines = self._lines(digest)
        with closing(lines):
            return list(islice(lines, after + 1, after + 1 + limit))

    def entries(self, digest: str) -> Iterator[WatchlistEntry]:
        """What a plan puts on the list; the file is checked first.

        Raises:
            WatchlistError: the file is not what was shown.
        """
        try:
            with self._path(digest).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            raise _gone() from None
        if found != digest:
            raise WatchlistError("the import is not what was shown any more; upload it again")
        for line in islice(self._lines(digest), 1, None):
            if "entry" in line:
                yield from_json(json.dumps(line["entry"]))

    def drop(self, digest: str) -> None:
        """Forget a plan."""
        self._path(digest).unlink(missing_ok=True)

    def due(self, before: datetime) -> list[Path]:
        """Files that were written before that time."""
        return [path for path in self._folder.glob("*") if _changed(path) < before.timestamp()]

    def delete(self, due: Sequence[Path]) -> int:
        """Delete files; how many those were."""
        for path in due:
            path.unlink(missing_ok=True)
        return len(due)

    def spool(self, suffix: str = "") -> Path:
        """A new file of mode 600 in the folder; whoever asks takes it away again."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(prefix="upload-", suffix=suffix, dir=self._folder)
        except OSError as error:
            raise self._explained(error) from error
        os.close(handle)
        return Path(name)

    def _lines(self, digest: str) -> Generator[dict[str, Any], None, None]:
        try:
            with self._path(digest).open("rb") as file:
                for line in file:
                    yield json.loads(line)
        except OSError:
            raise _gone() from None

    def _path(self, digest: str) -> Path:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise _gone()
        return self._folder / (digest + _ENDING)

    def _explained(self, error: OSError) -> InputError:
        return InputError(f"{self._folder}: cannot be written: {error.strerror}; free space there")


def _changes(plan: ImportPlan, now: datetime) -> Iterator[dict[str, Any]]:
    befores = iter(plan.replaced)
    for record in plan_records(plan, now):
        if record["event"] == "replace":
            change = next(befores)
            before = json.loads(to_json(change.before))
            record["before"] = {name: before.get(name) for name in change.fields}
        if "entry" in record:
            record["entry"].pop("status")
        yield record


def _head(head: dict[str, Any], digest: str) -> PlannedImport:
    return PlannedImport(digest=digest, **{**head, "at": datetime.fromisoformat(head["at"])})


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # it has gone meanwhile
        return float("inf")


def _gone() -> WatchlistError:
    return WatchlistError("this import is no longer at hand; upload the file again")


def planned_record(plan: PlannedImport) -> dict[str, Any]:
    """A plan's numbers as JSON."""
    return {**asdict(plan), "at": iso(plan.at), "expires_at": iso(plan.at + KEPT)}
