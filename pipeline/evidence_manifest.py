"""The manifest beside each evidence picture: what the picture is, and which one came before.

``DAY/PASSAGE-REVISION.json`` beside ``DAY/PASSAGE-REVISION.jpg`` says which camera took the
picture when, which networks read it, by which version of the list, and the SHA-256 of the
picture. It names no plate.

Manifests form a chain: each holds its number and the SHA-256 of the manifest before it, and
``chain.head`` in the evidence folder holds the last one's. So a manifest that was changed is
noticed by its follower, and one that was taken away by the gap it leaves. A process begins a
chain of its own, linked to the one before. Whoever may write every file could make a whole chain
anew: against that, note the head elsewhere (``checkpoint evidence verify`` prints it).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

HEAD_FILE: Final = "chain.head"
"""Name of the file in the evidence folder that holds the end of the chain."""
FORMAT: Final = 1
PICTURE, MANIFEST = ".jpg", ".json"

_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Origin:
    """Where pictures come from, the same for all of one process.

    ``models``: for each network its files with their SHA-256, as in the weights' manifest.
    """

    checkpoint: str = ""
    software: str = ""
    models: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChainLink:
    """A place in a chain of manifests.

    ``previous``: SHA-256 of the manifest before, if there is one; ``previous_at``: when its
    picture was taken, which tells whether it may have been deleted for its age.
    """

    id: str
    sequence: int
    previous: str | None = None
    previous_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain: the last manifest's place and SHA-256, and when its picture was
    taken."""

    id: str
    sequence: int
    sha256: str
    captured_at: datetime

    def __str__(self) -> str:
        """As it is noted elsewhere: ``CHAIN:NUMBER:SHA256:TIME``."""
        return f"{self.id}:{self.sequence}:{self.sha256}:{_stamp(self.captured_at)}"

    @classmethod
    def noted(cls, text: str) -> Self:
        """The inverse of ``str``.

        Raises:
            ValueError: this is no such note.
        """
        identifier, sequence, digest, at = text.strip().split(":", 3)
        if len(digest) != 64:
            raise ValueError(f"{digest}: no SHA-256")
        return cls(identifier, int(sequence), digest.lower(), _moment(at))


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of one picture.

    ``path`` is relative to the evidence folder, ``size`` in bytes. ``plate_corners``: x, y in
    pixels, from the plate's own top-left, clockwise. ``original_sha256`` is that of the unblurred
    picture, where one is kept. ``list_version`` is the one that this process had seen last when
    it saved the picture; the hit itself says which one it was matched with.
    """

    passage: str
    revision: int
    path: str
    sha256: str
    size: int
    blurred: bool
    plate_corners: tuple[tuple[float, float], ...] | None
    original_sha256: str | None
    captured_at: datetime
    media_s: float
    camera: str
    frame: int
    saved_at: datetime
    list_version: int | None
    origin: Origin
    chain: ChainLink

    def to_json(self) -> bytes:
        """As it lies on the disk: one JSON object, in UTF-8."""
        origin, chain = self.origin, self.chain
        values = {  # by hand: ``asdict`` would take as long as all the rest of saving
            "format": FORMAT,
            **{name: getattr(self, name) for name in _PLAIN},
            "captured_at": _stamp(self.captured_at),
            "saved_at": _stamp(self.saved_at),
            "origin": {
                "checkpoint": origin.checkpoint,
                "software": origin.software,
                "models": origin.models,
            },
            "chain": {
                "id": chain.id,
                "sequence": chain.sequence,
                "previous": chain.previous,
                "previous_at": None if chain.previous_at is None else _stamp(chain.previous_at),
            },
        }
        return (json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


_PLAIN: Final = tuple(
    one.name
    for one in fields(Manifest)
    if one.name not in ("captured_at", "saved_at", "origin", "chain")
)
"""Fields that JSON takes as they are."""


def parse(content: bytes) -> Manifest:
    """The inverse of ``Manifest.to_json``; fields of a later format are left out.

    Raises:
        ValueError: this is no manifest.
    """
    try:
        said: dict[str, Any] = json.loads(content)
        corners, origin, chain = said["plate_corners"], said["origin"], said["chain"]
        manifest = Manifest(
            passage=said["passage"],
            revision=said["revision"],
            path=said["path"],
            sha256=said["sha256"],
            size=said["size"],
            blurred=said["blurred"],
            plate_corners=None if corners is None else tuple((x, y) for x, y in corners),
            original_sha256=said["original_sha256"],
            captured_at=_moment(said["captured_at"]),
            media_s=said["media_s"],
            camera=said["camera"],
            frame=said["frame"],
            saved_at=_moment(said["saved_at"]),
            list_version=said["list_version"],
            origin=Origin(origin["checkpoint"], origin["software"], origin["models"]),
            chain=ChainLink(
                chain["id"],
                chain["sequence"],
                chain["previous"],
                None if chain["previous_at"] is None else _moment(chain["previous_at"]),
            ),
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"no manifest: {type(error).__name__}: {error}") from None
    texts = (manifest.passage, manifest.path, manifest.sha256, manifest.chain.id)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("no manifest: passage, path, sha256 and chain.id must be text")
    if not isinstance(manifest.chain.sequence, int):
        raise ValueError("no manifest: chain.sequence must be a number")
    return manifest


def beside(picture: Path) -> Path:
    """The manifest of a picture."""
    return picture.with_suffix(MANIFEST)


class Chain:
    """Gives each new manifest its place and remembers the last one. One thread owns it.

    The end lies in ``chain.head``, one line of fixed length that is overwritten in place: a few
    microseconds for each picture. After a power cut it may be some pictures behind; the next
    chain then hangs on an earlier manifest, which breaks nothing.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / HEAD_FILE
        self._id = secrets.token_hex(8)
        self._end: Head | None = None
        self._file: int | None = None

    def next(self) -> ChainLink:
        """The place of the next manifest.

        Raises:
            OSError: the end of the chain cannot be opened.
        """
        if self._file is None:
            self._end = self._end or read_head(self._path.parent)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        end = self._end
        if end is None:
            return ChainLink(self._id, 1)
        sequence = end.sequence + 1 if end.id == self._id else 1
        return ChainLink(self._id, sequence, end.sha256, end.captured_at)

    def written(self, manifest: Manifest, content: bytes) -> None:
        """This manifest is on the disk.

        Raises:
            OSError: the end of the chain cannot be written.
        """
        digest = hashlib.sha256(content).hexdigest()
        self._end = Head(self._id, manifest.chain.sequence, digest, manifest.captured_at)
        if self._file is not None:
            os.pwrite(self._file, _line(self._end), 0)

    def reopen(self) -> None:
        """Forget the open file: its folder may be another one now."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None

    def __del__(self) -> None:
        self.reopen()


def read_head(root: Path) -> Head | None:
    """The end of the chain in an evidence folder; None where nothing says it.

    Raises:
        OSError: it cannot be read.
    """
    try:
        words = (root / HEAD_FILE).read_text("ascii", "replace").split()
    except FileNotFoundError:
        return None
    try:
        identifier, sequence, digest, at = words
        return Head(identifier, int(sequence), digest, _moment(at))
    except ValueError:  # torn by a power cut, or tampered with
        return None


def _line(head: Head) -> bytes:
    """Always of one length, so that one overwrites another."""
    number = f"{head.sequence:0{_DIGITS}d}"
    return f"{head.id} {number} {head.sha256} {_stamp(head.captured_at)}\n".encode()


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text}: a time without its zone")
    return moment
