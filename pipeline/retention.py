"""Retention: what is deleted when, and the sweeper that does it on time.

What may be deleted is decided by pure functions of times and settings. The sweeper records in the
audit log how much it deletes, and of which time, before it does so; where that cannot be
recorded nothing is deleted, and health says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from pipeline.archive import Candidate, PassageArchive
from pipeline.audit import AuditLog
from pipeline.clock import Clock
from pipeline.config import RetentionSettings
from pipeline.database import DAMAGED
from pipeline.errors import CheckpointError
from pipeline.evidence import UNBLURRED_FOLDER
from pipeline.evidence_manifest import MANIFEST, PICTURE, beside
from pipeline.health import Health

_log = structlog.get_logger(__name__)

ACTOR: Final = "checkpoint"
_AT_ONCE: Final = 5000
_SLICE: Final = 200  # deleted at a time: who keeps a passage meanwhile waits for so many at most
_OPEN_DAYS: Final = 2  # a folder this young may still get a picture


def is_due(candidate: Candidate, now: datetime, settings: RetentionSettings) -> bool:
    """Whether a passage's time is over: of several entries that it met the longest counts."""
    if not candidate.has_hit:
        return candidate.ended_at + timedelta(hours=settings.passages_h) < now
    periods = (settings.categories.get(one, settings.hits_days) for one in candidate.categories)
    return candidate.ended_at + timedelta(days=max(periods, default=settings.hits_days)) < now


def longest(settings: RetentionSettings) -> timedelta:
    """The longest period of any passage: what is older belongs to none that is kept."""
    days = max((settings.hits_days, *settings.categories.values()))
    return max(timedelta(days=days), timedelta(hours=settings.passages_h))


def shortest_of_hits(settings: RetentionSettings) -> timedelta:
    """No passage with a hit goes before this."""
    return timedelta(days=min((settings.hits_days, *settings.categories.values())))


def day_of(folder: Path) -> datetime | None:
    """The day that an evidence folder is named after, its first moment; None for another one."""
    with suppress(ValueError):
        return datetime.strptime(folder.name, "%Y-%m-%d").replace(tzinfo=UTC)
    return None


def _picture_of(path: Path) -> str:
    """The picture that a file of an evidence folder belongs to: itself, or what it is beside."""
    picture = path.with_suffix(PICTURE) if path.suffix == MANIFEST else path
    return f"{path.parent.name}/{picture.name}"


class Sweep(Protocol):
    """One kind of thing that is deleted on time, elsewhere than on this disk."""

    def due(self, before: datetime) -> Sequence[Any]:
        """What there is from before that time."""
        ...

    def delete(self, due: Sequence[Any]) -> int:
        """Delete that; how many those were."""
        ...


@dataclass(frozen=True, slots=True)
class RemoteSweep:
    """What a sweeper asks of a store: ``name`` for the log, how long things stay there, and how
    often it is asked at most."""

    name: str
    days: float
    store: Sweep
    every_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Due:
    """What a sweep has to delete on this disk; ``pictures`` are those of the passages."""

    passages: list[Candidate]
    pictures: list[str]
    stray: list[Path]


class Sweeper:
    """Deletes what is due, in a thread of its own, soon after the start and then now and again.

    Args:
        settings: the periods.
        audit_days: how long audit records stay.
        data_dir: the data folder: its evidence and what was moved aside there.
        open_audit: opens the audit log.
        archive: the passages; None in a process that keeps none.
        remote: what else is to be swept.
        health: told when something cannot be deleted.
    """

    def __init__(
        self,
        settings: RetentionSettings,
        audit_days: int,
        data_dir: Path,
        open_audit: Callable[[], AuditLog],
        archive: PassageArchive | None,
        remote: Sequence[RemoteSweep],
        health: Health,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._audit_days = audit_days
        self._data_dir = data_dir
        self._evidence = data_dir / "evidence"
        self._originals = data_dir / UNBLURRED_FOLDER
        self._open_audit = open_audit
        self._archive = archive
        self._remote = remote
        self._health = health
        self._clock = clock
        self._next_s: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def request_stop(self) -> None:
        """Ask it to end soon; does not wait."""
        self._stopping.set()

    def stop(self, deadline_s: float) -> None:
        """End; what is not deleted yet is at the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(deadline_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.sweep()
            self._stopping.wait(self._settings.sweep_every_s)

    def sweep(self) -> None:
        """Delete all that is due now; what cannot be is reported and tried again next time."""
        parts: list[tuple[str, Callable[[AuditLog, datetime], object]]] = []
        if self._archive is not None:
            parts.append(("passages", partial(self._sweep_disk, self._archive)))
        parts += [(one.name, partial(self._sweep_remote, one)) for one in self._remote]
        parts.append(("audit log", self._prune))
        for name, sweep in parts:
            problem = None
            try:
                with self._open_audit() as audit:
                    sweep(audit, self._clock.now())
            except (CheckpointError, OSError) as error:
                problem = f"what is due is not deleted: {error}"
            except Exception as error:  # the next sweep must come, whatever this one met
                _log.exception("retention failed; it is tried again")
                problem = f"what is due is not deleted: {error}"
            self._health.report(f"retention of {name}", problem)

    def _prune(self, audit: AuditLog, now: datetime) -> None:
        audit.prune(now - timedelta(days=self._audit_days))

    def _sweep_remote(self, what: RemoteSweep, audit: AuditLog, now: datetime) -> None:
        if self._clock.monotonic() < self._next_s.get(what.name, 0.0):
            return
        before = now - timedelta(days=what.days)
        if due := what.store.due(before):
            self._record(audit, what.name, len(due), before)
            what.store.delete(due)
        self._next_s[what.name] = self._clock.monotonic() + what.every_s

    def _sweep_disk(self, archive: PassageArchive, audit: AuditLog, now: datetime) -> None:
        while not self._stopping.is_set() and (due := self._find(archive, now)):
            self._record(
                audit,
                "passages",
                len(due.passages),
                now - timedelta(hours=self._settings.passages_h),
                {
                    "with_hit": sum(one.has_hit for one in due.passages),
                    "with_hit_before": (now - shortest_of_hits(self._settings)).isoformat(),
                    "pictures": len(due.pictures),
                    "stray_files": len(due.stray),
                },
            )
            for path in due.stray:
                path.unlink(missing_ok=True)
            for picture in due.pictures:
                (self._originals / picture).unlink(missing_ok=True)
                (self._evidence / picture).unlink(missing_ok=True)
                beside(self._evidence / picture).unlink(missing_ok=True)
            archive.forget((), due.pictures)
            for at in range(0, len(due.passages), _SLICE):
                archive.forget(due.passages[at : at + _SLICE])
        for folder in self._old_folders(now - timedelta(days=_OPEN_DAYS)):
            with suppress(OSError):
                folder.rmdir()  # only an empty one goes

    def _find(self, archive: PassageArchive, now: datetime) -> _Due | None:
        """What is due on this disk, about ``_AT_ONCE`` of each kind; None for nothing."""
        passages: list[Candidate] = []
        for has_hit, before in (
            (False, now - timedelta(hours=self._settings.passages_h)),
            (True, now - shortest_of_hits(self._settings)),
        ):
            for page in archive.ended_before(before, has_hit=has_hit, page=_AT_ONCE):
                passages += [one for one in page if is_due(one, now, self._settings)]
                if len(passages) >= _AT_ONCE:
                    break
        pictures = archive.pictures([one.row for one in passages])
        stray = list(islice(self._stray(archive, now), _AT_ONCE))
        return _Due(passages, pictures, stray) if passages or stray else None

    def _stray(self, archive: PassageArchive, now: datetime) -> Iterator[Path]:
        """Files older than any passage may be, and of none that is kept: of an archive that was
        lost, of a picture that never got its passage, and what was moved aside as damaged."""
        oldest = now - longest(self._settings)
        for folder in self._old_folders(oldest - timedelta(days=1)):
            files = list(folder.iterdir())
            for at in range(0, len(files), _AT_ONCE):
                pictures = {path: _picture_of(path) for path in files[at : at + _AT_ONCE]}
                known = archive.knows(sorted(set(pictures.values())))
                yield from (path for path, picture in pictures.items() if picture not in known)
        for path in self._data_dir.glob(f"*{DAMAGED}*"):
            if path.stat().st_mtime < oldest.timestamp():
                yield path

    def _old_folders(self, before: datetime) -> list[Path]:
        """Evidence folders of days that began before that time."""
        roots = [root for root in (self._evidence, self._originals) if root.is_dir()]
        days = ((day_of(folder), folder) for root in roots for folder in root.iterdir())
        return [folder for day, folder in days if day is not None and day < before]

    def _record(
        self,
        audit: AuditLog,
        what: str,
        count: int,
        before: datetime,
        more: Mapping[str, object] | None = None,
    ) -> None:
        details = {"count": count, "before": before.isoformat(), **(more or {})}
        audit.record(
            actor=ACTOR,
            action="retention.delete",
            subject=what,
            reason="their time is over",
            details=details,
        )
        _log.info("retention", deletes=what, count=count)
