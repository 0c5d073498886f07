"""Batches across cameras: closed by size or by deadline, whichever comes first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from pipeline.mailbox import Mailboxes
from pipeline.types import Frame


class CloseReason(StrEnum):
    """Why a batch was closed: a batcher that mostly closes on deadlines has room to spare."""

    FULL = "full"
    DEADLINE = "deadline"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames to be recognised together, each camera's in order; empty when nothing came."""

    frames: tuple[Frame, ...]
    reason: CloseReason


class Batcher:
    """Collects batches from the mailboxes. Owned by the recognition thread.

    Args:
        mailboxes: where the cameras' frames wait.
        size: frames at most in one batch.
        deadline_s: how long the first frame of a batch waits for more.
    """

    def __init__(self, mailboxes: Mailboxes, size: int, deadline_s: float) -> None:
        self._mailboxes = mailboxes
        self._size = size
        self._deadline_s = deadline_s
        self.closed_by: Counter[CloseReason] = Counter()

    def next(self, wait_s: float) -> Batch | None:
        """The next batch; empty after ``wait_s`` without a frame, None when none will come."""
        frames = self._mailboxes.take(self._size, self._deadline_s, wait_s=wait_s)
        if not frames:
            return None if self._mailboxes.drained else Batch((), CloseReason.DEADLINE)
        reason = CloseReason.DEADLINE
        if len(frames) >= self._size:
            reason = CloseReason.FULL
        elif self._mailboxes.drained:
            reason = CloseReason.ENDED
        self.closed_by[reason] += 1
        return Batch(tuple(frames), reason)
