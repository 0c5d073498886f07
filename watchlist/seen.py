"""Which version of the list was seen last, kept on disk so that a restart does not forget it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog

from pipeline.clock import Clock
from pipeline.config import WatchlistSettings
from pipeline.errors import redact
from watchlist.records import ListLoss

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """A version of the list, and which list: the lineage is drawn when a list begins."""

    version: int = 0
    lineage: str = ""

    def follows(self, earlier: Seen) -> bool:
        """True if this can be what became of ``earlier``; else data were lost in between."""
        if self.version < earlier.version:
            return False
        return not earlier.lineage or self.lineage == earlier.lineage


class SeenFile:
    """``DATA_DIR/watchlist-seen-….json``, one for each Redis and prefix.

    It only ever helps: where it cannot be read or written, that is logged, and what was seen is
    known until the process ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, settings: WatchlistSettings, data_dir: Path) -> Self:
        """The file of the list that ``settings`` name."""
        which = f"{redact(settings.redis_url or '')}\n{settings.key_prefix}"
        name = hashlib.sha256(which.encode()).hexdigest()[:12]
        return cls(data_dir / f"watchlist-seen-{name}.json")

    def read(self) -> Seen:
        """What was seen last; nothing if there is no file."""
        try:
            said = json.loads(self.path.read_text(encoding="utf-8"))
            return Seen(int(said["version"]), str(said["lineage"]))
        except FileNotFoundError:
            return Seen()
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("watchlist.seen_unreadable", file=str(self.path), message=str(error))
            return Seen()

    def write(self, seen: Seen) -> None:
        """Keep what is seen now."""
        part = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"version": seen.version, "lineage": seen.lineage})
            part.write_text(text, encoding="utf-8")
            part.replace(self.path)
        except OSError as error:
            log.warning("watchlist.seen_unwritable", file=str(self.path), message=str(error))
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


class LossWatch:
    """Notices when Redis holds less than was seen before. Any thread may call any method.

    Args:
        file: where what was seen is kept; None: in memory alone.
        clock: the time.
        where: the address of Redis, for the log.
    """

    def __init__(self, file: SeenFile | None, clock: Clock, where: str) -> None:
        self._file, self._clock, self._where = file, clock, where
        self._lock = threading.Lock()
        self._seen = file.read() if file else Seen()
        self._loss: ListLoss | None = None

    @property
    def loss(self) -> ListLoss | None:
        """Set while Redis holds less than was seen before."""
        return self._loss

    @property
    def seen(self) -> Seen:
        """What was seen last, before any loss: note it before Redis is asked."""
        return self._seen

    def check(self, found: Seen, before: Seen) -> None:
        """Judge what an answer says; ``before`` was seen when the question was sent.

        Answers may be judged in another order than they were given: one that is older than
        what another thread has seen meanwhile is no loss.
        """
        with self._lock:
            fine = found.follows(before) if self._loss is None else found.follows(self._seen)
            if not fine and self._loss and self._file:
                fine = found.follows(self._file.read())  # acknowledged in another process
                self._seen = found if fine else self._seen
            if not fine:
                self._notice_loss(found)
            elif found.follows(self._seen):
                self._notice(found)

    def acknowledge(self, found: Seen) -> None:
        """A person says that what was found is the list."""
        with self._lock:
            self._loss, self._seen = None, found
            if self._file:
                self._file.write(found)

    def _notice(self, found: Seen) -> None:
        if self._file and (found != self._seen or self._loss):
            self._file.write(found)
        self._seen = found
        if self._loss is not None:
            self._loss = None
            log.warning("watchlist.restored", version=found.version)

    def _notice_loss(self, found: Seen) -> None:
        if self._loss is None:
            self._loss = ListLoss(self._seen.version, found.version, self._clock.now())
            log.error("watchlist.lost", message=self._loss.message, redis=self._where)
