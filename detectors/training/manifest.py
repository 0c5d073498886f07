"""Writes entries of ``weights/manifest.json``: what each file is, its digest, how it came to be."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any


def write_entry(folder: Path, name: str, files: list[str], details: dict[str, Any]) -> None:
    """Add or replace one model's entry; digests are taken from the files as they lie there."""
    path = folder / "manifest.json"
    manifest: dict[str, Any] = {"format": 1, "models": {}}
    if path.exists():
        manifest = json.loads(path.read_text(encoding="utf-8"))
    digests = {f: hashlib.sha256((folder / f).read_bytes()).hexdigest() for f in files}
    stamp = dt.datetime.now(dt.UTC).date().isoformat()
    manifest["models"][name] = {"files": digests, "date": stamp, **details}
    path.write_text(json.dumps(manifest, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def save_state(folder: Path, name: str, state: dict[str, Any]) -> None:
    """Keep a network's weights for going on with training, matrices in 16 bits."""
    import torch

    def small(value: Any) -> Any:
        return value.half() if value.dtype == torch.float32 and value.ndim > 1 else value

    file = f"{name}_state.pt"
    torch.save({key: small(value) for key, value in state.items()}, folder / file)
    purpose = f"python -m detectors.training.{name} --start {file}"
    write_entry(folder, f"{name}_state", [file], {"purpose": purpose})
