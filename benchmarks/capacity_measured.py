"""What the capacity model is made from, read from files: results of benchmarks, data folders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.capacity import Point
from pipeline.errors import InputError

_KINDS: Final = ("throughput", "throughput_rtsp", "long")


def read_points(path: Path) -> list[Point]:
    """The runs in a file: of ``bench throughput --json``, its ``throughput.json``, or all those in
    ``results.json`` or one of the ``parts`` of ``make bench``.

    Raises:
        InputError: there is none in it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        records = content.get("records", [content])
        found = [
            _point(record.get("result", record), record.get("name", path.name))
            for record in records
            if record.get("kind", _KINDS[0]) in _KINDS and "not_measured" not in record
        ]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise InputError(
            f"{path}: is no result of 'checkpoint bench throughput --json' or 'make bench' "
            f"({error!r})"
        ) from None
    if not found:
        raise InputError(f"{path}: no run of 'bench throughput' was measured in it")
    return found


def _point(result: Mapping[str, Any], name: str) -> Point:
    cpu_ms = {part: float(ms) for part, ms in result["ceiling"]["cpu_ms"].items() if ms is not None}
    cores, seconds = float(result["cpu_cores"]), float(result["seconds"])
    read_cores = float(result["cpu_shares"]["read"]) * cores
    dropped = sum(result["dropped"].values()) / seconds
    detected = float(result["recognised_fps"])
    return Point(
        name=name,
        cameras=int(result["cameras"]),
        machine_cores=float(result["machine"]["cores"]),
        cores=cores,
        decoded_s=float(result["decoded_fps"]),
        detected_s=detected,
        reads_s=1000 * read_cores / cpu_ms["read"] if cpu_ms.get("read") else 0.0,
        passages_s=float(result["passages"]) / seconds,
        rss_mib=float(result["rss_mib"]),
        lost_share=dropped / max(detected + dropped, 1e-9),
        cpu_ms=cpu_ms,
        load=float(result["machine"].get("load") or 0.0),
    )


def measured_bytes(data_dir: Path) -> dict[str, float]:
    """``evidence_bytes`` and ``record_bytes`` of a run, from its data folder.

    Raises:
        InputError: there are no passages in it.
    """
    evidence, database = data_dir / "evidence", data_dir / "passages.sqlite"
    pictures = [path for path in evidence.rglob("*.jpg") if path.is_file()]
    if not pictures or not database.is_file():
        raise InputError(f"{data_dir}: no passages in it; name the data folder of a run")
    size = sum(path.stat().st_size for path in evidence.rglob("*") if path.is_file())
    return {
        "evidence_bytes": round(size / len(pictures), 1),
        "record_bytes": round(database.stat().st_size / len(pictures), 1),
    }
