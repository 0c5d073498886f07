"""Whether evidence is as it was saved: every picture, every manifest, and nothing taken away.

Three things are held against each other: the pictures, their manifests with their chain, and the
archive, which knows the pictures of every passage that is kept. A picture that was changed or
exchanged has another SHA-256 than its manifest and its passage say; one that was taken away is
still named by them; a manifest that was changed or taken away is missed by the one after it, and
the last one by the chain's head.

Retention leaves gaps in the chain, too. So a gap counts as a finding only where nothing can have
been deleted for its age yet; of older passages the archive alone says which pictures there must
be. Nothing is changed by verifying; it may run beside everything else.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from pipeline.archive import PassageArchive
from pipeline.evidence_chain import Fault, Finding, Placed, chain_findings
from pipeline.evidence_manifest import (
    HEAD_FILE,
    MANIFEST,
    PICTURE,
    Head,
    beside,
    parse,
    read_head,
)

_BEING_WRITTEN_S: Final = 10.0  # a file this young may not be whole yet
_ON_ITS_WAY: Final = timedelta(minutes=10)  # to the archive


@dataclass(frozen=True, slots=True)
class Verification:
    """What a check found. ``bare``: pictures of kept passages that were saved before there were
    manifests. ``head``: the end of the chain, to be noted elsewhere."""

    pictures: int
    manifests: int
    originals: int
    bare: int
    head: Head | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """What says which pictures there must be.

    ``pending``: ids of passages on their way to the archive. ``without_hit``, ``with_hit``: how
    long a passage is kept at least.
    """

    archive: PassageArchive | None
    pending: frozenset[str] = frozenset()
    without_hit: timedelta = timedelta(0)
    with_hit: timedelta = timedelta(0)


Progress = Callable[[int, int], None]
"""Told how many of how many files were looked at."""


def verify(
    root: Path,
    originals: Path,
    kept: Kept,
    now: datetime,
    progress: Progress = lambda done, of: None,
    noted: Head | None = None,
) -> Verification:
    """Check a whole evidence folder, with the unblurred originals in another.

    ``noted``: the end of the chain, as noted elsewhere at an earlier time.

    Raises:
        OSError: a folder cannot be read.
        ArchiveError: the archive cannot be read.
    """
    look = _Look(now)
    head = read_head(root)
    look.files(root, _files(root), progress, strict=True)
    look.originals(originals, _files(originals))
    heads = [one for one in (head, noted) if one is not None]
    look.chain(heads, now - min(kept.without_hit, kept.with_hit))
    if head is None and look.placed:
        look.found(
            Fault.MISSING, HEAD_FILE, "so nobody can say whether the last manifests are there"
        )
    look.against(root, kept)
    return look.outcome(head)


def verify_paths(
    paths: Sequence[Path], now: datetime, progress: Progress = lambda done, of: None
) -> Verification:
    """Check single pictures, or folders of them, by their manifests alone.

    Raises:
        OSError: a path does not exist or cannot be read.
    """
    look = _Look(now)
    files: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            files |= dict.fromkeys(sorted(one for one in path.rglob("*") if one.is_file()))
        else:
            path.stat()
            files[path] = None
            other = beside(path) if path.suffix == PICTURE else path.with_suffix(PICTURE)
            if other.exists():
                files[other] = None
    look.files(None, [one for one in files if one.name != HEAD_FILE], progress, strict=False)
    look.chain([], None)
    return look.outcome(None)


def pending_passages(spool: Path) -> frozenset[str]:
    """Ids of the passages that wait in the spool to be matched and kept; it is only read."""
    if not spool.exists():
        return frozenset()
    try:
        uri = f"{spool.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5.0)) as connection:
            rows = connection.execute("SELECT hit_id FROM waiting").fetchall()
    except sqlite3.Error:  # damaged, or of another version: then nothing is excused by it
        return frozenset()
    return frozenset(str(name).removesuffix(".closed") for (name,) in rows)


@dataclass(slots=True)
class _Look:
    """One check in progress."""

    now: datetime
    findings: dict[str, Finding] = field(default_factory=dict)  # the first for each path
    digests: dict[str, str] = field(default_factory=dict)  # of pictures, by name
    placed: dict[str, Placed] = field(default_factory=dict)  # by the name of the picture
    lonely: dict[str, Path] = field(default_factory=dict)  # pictures without a manifest, by name
    stray_originals: dict[str, str] = field(default_factory=dict)  # without picture or manifest
    kept_originals: int = 0
    bare: int = 0

    def found(self, fault: Fault, path: str, message: str) -> None:
        self.findings.setdefault(path, Finding(fault, path, message))

    def outcome(self, head: Head | None) -> Verification:
        for name, path in self.lonely.items():
            if not _being_written(path):
                self.found(Fault.FOREIGN, name, "no manifest says what this picture is")
        for shown in self.stray_originals.values():
            self.found(Fault.FOREIGN, shown, "no picture belongs to this unblurred one")
        ordered = tuple(self.findings[path] for path in sorted(self.findings))
        return Verification(
            len(self.digests), len(self.placed), self.kept_originals, self.bare, head, ordered
        )

    def files(
        self, root: Path | None, files: Sequence[Path], progress: Progress, *, strict: bool
    ) -> None:
        """Read every picture and manifest; ``strict``: under the names that they were saved as."""
        pictures: list[tuple[str, Path]] = []
        for done, path in enumerate(files):
            name = str(path) if root is None else path.relative_to(root).as_posix()
            progress(done, len(files))
            with contextlib.suppress(FileNotFoundError):  # deleted in time, since it was listed
                if path.suffix == MANIFEST:
                    self._manifest(name, path, strict=strict)
                elif path.suffix == PICTURE:
                    self.digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
                    pictures.append((name, path))
                elif not (root and name == HEAD_FILE):
                    self.found(Fault.FOREIGN, name, "is neither a picture nor a manifest")
        progress(len(files), len(files))
        names = {placed.manifest.sha256: name for name, placed in self.placed.items()}
        for name, path in pictures:
            placed = self.placed.get(name)
            if placed is None:
                self.lonely[name] = path
            elif (digest := self.digests[name]) != placed.manifest.sha256:
                other = names.get(digest)
                swapped = f": it is the picture of {other}" if other else ""
                self.found(Fault.DAMAGED, name, f"is not as it was saved{swapped}")
        for name, placed in self.placed.items():
            if name not in self.digests and Path(root or "", placed.path).exists():
                self.found(Fault.MISSING, name, "its manifest is there, the picture is not")

    def _manifest(self, name: str, path: Path, *, strict: bool) -> None:
        content = path.read_bytes()
        try:
            manifest = parse(content)
        except ValueError as error:
            if not _being_written(path):
                self.found(Fault.DAMAGED, name, str(error))
            return
        picture = str(Path(name).with_suffix(PICTURE)) if not strict else name[:-5] + PICTURE
        said, here = manifest.path, picture
        if not strict:  # whoever was given evidence keeps it in a folder of their own
            said, here = Path(said).name, Path(here).name
        if said != here:
            self.found(Fault.FOREIGN, name, f"is the manifest of {manifest.path}")
            return
        self.placed[picture] = Placed(manifest, name, hashlib.sha256(content).hexdigest())

    def originals(self, root: Path, files: Sequence[Path]) -> None:
        """The unblurred pictures, by what the manifests say of them."""
        names = {path.relative_to(root).as_posix(): path for path in files}
        for name, path in names.items():
            placed, shown = self.placed.get(name), f"{root.name}/{name}"
            wanted = placed.manifest.original_sha256 if placed else None
            if wanted is None:
                if name not in self.digests and not _being_written(path):
                    self.stray_originals[name] = shown
                continue
            with contextlib.suppress(FileNotFoundError):
                self.kept_originals += 1
                if hashlib.sha256(path.read_bytes()).hexdigest() != wanted:
                    self.found(Fault.DAMAGED, shown, "is not as it was saved")
        for name, placed in self.placed.items():
            shown = f"{root.name}/{name}"
            if placed.manifest.original_sha256 and name not in names and name in self.digests:
                self.found(Fault.MISSING, shown, "its manifest knows an unblurred picture")

    def chain(self, heads: Sequence[Head], complete_since: datetime | None) -> None:
        """How the manifests follow one another."""
        settled = self.now - timedelta(seconds=_BEING_WRITTEN_S)
        for finding in chain_findings(self.placed.values(), heads, complete_since, settled):
            self.found(finding.fault, finding.path, finding.message)

    def against(self, root: Path, kept: Kept) -> None:
        """Hold pictures and manifests against the passages that are kept."""
        if kept.archive is None:
            return
        began = min((one.manifest.captured_at for one in self.placed.values()), default=None)
        due = {False: self.now - kept.without_hit, True: self.now - kept.with_hit}
        known: set[str] = set()
        for page in kept.archive.pictured():
            for one, pictures in page:
                passage = one.passage
                known |= set(pictures)
                for name in pictures:
                    self.stray_originals.pop(name, None)
                    if name not in self.digests and not (root / name).exists():
                        if passage.ended_at >= due[one.has_hit]:
                            self.found(
                                Fault.MISSING, name, f"passage {passage.id} is kept without it"
                            )
                    elif name in self.lonely:
                        del self.lonely[name]
                        self._bare(name, passage.ended_at, began)
                evidence = passage.evidence
                digest = self.digests.get(evidence.path) if evidence else None
                if evidence and digest and digest != evidence.sha256:
                    self.found(
                        Fault.DAMAGED,
                        evidence.path,
                        f"is not the picture that passage {passage.id} was saved with",
                    )
        for name, placed in self.placed.items():
            manifest = placed.manifest
            if (
                name not in known
                and manifest.passage not in kept.pending
                and manifest.saved_at < self.now - _ON_ITS_WAY
                and (root / placed.path).exists()
                and not kept.archive.knows([name])
            ):
                self.found(Fault.FOREIGN, name, "no passage that is kept has this picture")

    def _bare(self, name: str, ended_at: datetime, began: datetime | None) -> None:
        """A picture of a kept passage without its manifest: from before there were any?"""
        if began is not None and ended_at > began:
            self.found(Fault.MISSING, name[: -len(PICTURE)] + MANIFEST, "the picture is there")
        else:
            self.bare += 1


def _files(root: Path) -> list[Path]:
    """All files below a folder, in order; none where there is no folder."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.rglob("*") if path.is_file() or path.is_symlink())


def _being_written(path: Path) -> bool:
    """Whether a file is so young, or gone, that nothing can be said of it."""
    try:
        return time.time() - path.stat().st_mtime < _BEING_WRITTEN_S
    except OSError:
        return True
