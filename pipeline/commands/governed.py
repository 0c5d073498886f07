"""What the commands of the watchlist share: who acts on this command line, and on which list."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.clock import SystemClock
from pipeline.commands.acting import open_audit, person_acting, settings_from
from pipeline.governed import APPROVERS, CANCELLERS, EDITORS, KEEPERS, READERS, Acting
from watchlist.store import Watchlist, open_watchlist

__all__ = ["APPROVERS", "CANCELLERS", "EDITORS", "KEEPERS", "READERS", "Session", "session"]


@dataclass(frozen=True, slots=True)
class Session(Acting):
    """One command of one person."""

    @contextmanager
    def watchlist(self) -> Iterator[Watchlist]:
        """The configured list."""
        settings = self.settings
        with open_watchlist(settings.watchlist, settings.data_dir, self.clock) as opened:
            yield opened


@contextmanager
def session(config: Path | None, token_file: Path | None) -> Iterator[Session]:
    """Who acts on this command line, with the log that will say so."""
    settings, clock = settings_from(config), SystemClock()
    person = person_acting(settings, token_file, clock)
    with open_audit(settings, clock) as audit:
        yield Session(settings, person, audit, clock)
