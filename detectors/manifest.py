"""The weights folder: ``manifest.json`` names every model's files and their digests.

A file that is missing, altered or not named is refused with
:class:`pipeline.errors.WeightsError`: a recogniser with other weights than the ones that were
measured is worse than none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from detectors.base import Details
from pipeline.errors import WeightsError

SHIPPED = Path(__file__).parent / "weights"
"""The weights that come with the package."""
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Model:
    """One model of the manifest, its files verified."""

    name: str
    path: Path
    version: str
    details: Details


def load_model(name: str, folder: Path | None = None) -> Model:
    """Find and verify one model. Raises WeightsError with the file and what is wrong with it."""
    folder = folder or SHIPPED
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{path}: missing; the folder holds no weights") from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read ({error})") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise WeightsError(f"{path}: not a manifest of format {FORMAT}")
    entry = manifest.get("models", {}).get(name)
    if not isinstance(entry, dict) or not isinstance(entry.get("files"), dict):
        raise WeightsError(f"{path}: names no model {name!r}")
    files = entry["files"]
    for file, digest in files.items():
        _verify(folder, file, digest)
    main = next((file for file in files if not file.endswith(".bin")), None)
    if main is None:
        raise WeightsError(f"{path}: model {name!r} names no file to load")
    digest = hashlib.sha256("".join(sorted(map(str, files.values()))).encode()).hexdigest()
    version = f"{entry.get('date', 'undated')}-{digest[:8]}"
    return Model(name, folder / main, version, entry)


def digests(
    names: Sequence[str], folder: Path | None = None, own: Sequence[Path] = ()
) -> dict[str, dict[str, str]]:
    """Files and their SHA-256 of some models, by the manifest's own words; what it does not name
    is left out. ``own``: files or folders of someone's own, which are read for it.
    """
    try:
        manifest = json.loads(((folder or SHIPPED) / "manifest.json").read_text(encoding="utf-8"))
        models = {name: dict(manifest["models"][name]["files"]) for name in names}
    except (OSError, ValueError, KeyError, TypeError):
        models = {}
    for path in own:
        files = sorted(file for file in path.rglob("*") if file.is_file())
        models[path.name] = {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files or [path]
        }
    return models


def _verify(folder: Path, file: object, digest: object) -> None:
    if not isinstance(file, str) or not _inside(file):
        raise WeightsError(f"{folder / 'manifest.json'}: {file!r} is no file of this folder")
    try:
        found = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(f"{folder / file}: cannot be read ({error.strerror})") from None
    if found != digest:
        raise WeightsError(
            f"{folder / file}: altered or incomplete: its SHA-256 is {found[:12]}…, "
            f"the manifest says {str(digest)[:12]}…; install the weights again"
        )


def _inside(file: str) -> bool:
    """Whether a relative path stays within the folder that it is read from."""
    path = PurePosixPath(file)
    plain = str(path) == file and not path.is_absolute()
    return plain and bool(path.parts) and ".." not in path.parts
