"""Bounded mailboxes, one for each camera, between the cameras' threads and the batcher.

A live camera never waits: where its mailbox is full, the oldest frame makes room for the
newest (cause ``mailbox``), and a frame that is past its staleness budget when it is taken is
dropped then (cause ``stale``). A file waits until there is room and loses nothing. At every
moment, for each camera: put = taken + dropped + inside.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pipeline.clock import Clock, SystemClock
from pipeline.types import Frame

MAILBOX = "mailbox"
"""Cause of a drop: a newer frame needed the place."""
STALE = "stale"
"""Cause of a drop: the frame was too old when it was its turn."""


@dataclass(frozen=True, slots=True)
class MailboxCounts:
    """Frames of one camera, or of all, that came in, went out and were dropped by cause."""

    put: int
    taken: int
    inside: int
    dropped: Mapping[str, int]


@dataclass(slots=True)
class _Mailbox:
    frames: deque[Frame] = field(default_factory=deque)
    closed: bool = False
    put: int = 0
    taken: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


class Mailboxes:
    """The mailboxes of all cameras behind one condition. Every method is thread-safe.

    Args:
        cameras: names of the cameras; more may be added with :meth:`add`.
        capacity: frames that one camera's mailbox holds.
        staleness_s: greatest age, in seconds since arrival, of a live frame that is taken.
        clock: where ages are read from.
        lasting: cameras come and go; nothing is drained before :meth:`close_all`.
    """

    def __init__(
        self,
        cameras: Iterable[str],
        *,
        capacity: int = 4,
        staleness_s: float = 2.0,
        clock: Clock | None = None,
        lasting: bool = False,
    ) -> None:
        if capacity < 1:
            raise ValueError("a mailbox holds at least one frame")
        self._boxes = {camera: _Mailbox() for camera in cameras}
        self._capacity = capacity
        self._staleness_s = staleness_s
        self._clock = clock or SystemClock()
        self._lasting = lasting
        self._changed = threading.Condition()
        self._turn = 0

    def add(self, camera: str) -> None:
        """Make a mailbox for one more camera; nothing where it has one."""
        with self._changed:
            self._boxes.setdefault(camera, _Mailbox())

    def discard(self, camera: str, cause: str) -> None:
        """Drop what waits in a camera's mailbox, counted under ``cause``."""
        with self._changed:
            box = self._boxes[camera]
            box.dropped[cause] += len(box.frames)
            box.frames.clear()
            self._changed.notify_all()

    def remove(self, camera: str) -> None:
        """Take a camera's mailbox away, which is empty and into which nobody puts any more."""
        with self._changed:
            del self._boxes[camera]
            self._changed.notify_all()

    def put(self, frame: Frame) -> bool:
        """Put a frame into its camera's mailbox; a frame of a file waits for room.

        Returns:
            False where the mailbox is closed, or was closed during the wait: the frame was
            not taken in, and is not counted here.

        Raises:
            KeyError: the camera has no mailbox.
        """
        with self._changed:
            box = self._boxes[frame.camera]
            while not box.closed and len(box.frames) >= self._capacity:
                if frame.live:
                    box.frames.popleft()
                    box.dropped[MAILBOX] += 1
                else:
                    self._changed.wait()
            if box.closed:
                return False
            box.frames.append(frame)
            box.put += 1
            self._changed.notify_all()
            return True

    def take(
        self, max_frames: int, deadline_s: float, *, wait_s: float | None = None
    ) -> list[Frame]:
        """Take up to ``max_frames`` frames, in turns from all cameras, each one's in order.

        Waits for a first frame (at most ``wait_s`` seconds; None: until there is one), then
        up to ``deadline_s`` seconds more until ``max_frames`` have come. Frames are taken out
        as they come, so that a waiting file can go on.

        Returns:
            The frames, or an empty list: nothing came within ``wait_s``, or all is drained.
        """
        batch: list[Frame] = []
        with self._changed:
            until = None if wait_s is None else self._clock.monotonic() + wait_s
            while True:
                was_empty = not batch
                self._collect(batch, max_frames)
                if len(batch) >= max_frames or self._drained():
                    return batch
                if batch and was_empty:
                    until = self._clock.monotonic() + deadline_s
                left_s = None if until is None else until - self._clock.monotonic()
                if left_s is not None and left_s <= 0:
                    return batch
                self._changed.wait(left_s)

    def close(self, camera: str) -> None:
        """Take in nothing more from a camera; what is inside can still be taken."""
        with self._changed:
            self._boxes[camera].closed = True
            self._changed.notify_all()

    def close_all(self) -> None:
        """Close every mailbox: all waiting calls of :meth:`put` return."""
        with self._changed:
            self._lasting = False
            for box in self._boxes.values():
                box.closed = True
            self._changed.notify_all()

    @property
    def drained(self) -> bool:
        """True when every mailbox is closed and empty: no frame will ever come again."""
        with self._changed:
            return self._drained()

    def depth(self, camera: str | None = None) -> int:
        """Frames waiting, of one camera or of all."""
        with self._changed:
            return sum(len(box.frames) for box in self._chosen(camera))

    def oldest_age_s(self, camera: str | None = None) -> float:
        """Seconds since the arrival of the oldest waiting frame; 0 where none waits."""
        with self._changed:
            arrived = [box.frames[0].arrived_s for box in self._chosen(camera) if box.frames]
            return max(0.0, self._clock.monotonic() - min(arrived)) if arrived else 0.0

    def counts(self, camera: str | None = None) -> MailboxCounts:
        """What came in, went out, was dropped and is inside, of one camera or of all."""
        with self._changed:
            boxes = self._chosen(camera)
            dropped = Counter({MAILBOX: 0, STALE: 0})
            for box in boxes:
                dropped.update(box.dropped)
            return MailboxCounts(
                put=sum(box.put for box in boxes),
                taken=sum(box.taken for box in boxes),
                inside=sum(len(box.frames) for box in boxes),
                dropped=MappingProxyType(dict(dropped)),
            )

    def _chosen(self, camera: str | None) -> list[_Mailbox]:
        return list(self._boxes.values()) if camera is None else [self._boxes[camera]]

    def _drained(self) -> bool:
        return not self._lasting and all(
            box.closed and not box.frames for box in self._boxes.values()
        )

    def _collect(self, batch: list[Frame], max_frames: int) -> None:
        """Move waiting frames to ``batch``, one from each camera in turn."""
        boxes = list(self._boxes.values())
        idle, moved = 0, False
        while boxes and idle < len(boxes) and len(batch) < max_frames:
            box = boxes[self._turn % len(boxes)]
            self._turn = (self._turn + 1) % len(boxes)
            moved |= self._discard_stale(box)
            if not box.frames:
                idle += 1
                continue
            idle, moved = 0, True
            batch.append(box.frames.popleft())
            box.taken += 1
        if moved:
            self._changed.notify_all()

    def _discard_stale(self, box: _Mailbox) -> bool:
        now = self._clock.monotonic()
        discarded = False
        while box.frames and box.frames[0].live:
            if now - box.frames[0].arrived_s <= self._staleness_s:
                break
            box.frames.popleft()
            box.dropped[STALE] += 1
            discarded = True
        return discarded
