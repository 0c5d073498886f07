"""What one process counts, in one place to be read from: see ``pipeline/console/metrics.py``.

Most of it the modules count anyhow and is only collected here; what passes by the recognition's
listener is counted here. Counts begin at the start of the process, and hold no plate.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from pipeline.errors import CheckpointError
from pipeline.histogram import Distribution, Histogram
from pipeline.recognise import FrameTimes
from pipeline.rollup import Rollup
from pipeline.sinks.figures import FiguresSink
from pipeline.types import Passage

STAGES: Final = ("decode", "wait", "recognise", "total")
"""What ``FrameTimes`` tells of a frame."""
_BATCHES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


class Queue(Protocol):
    """A durable queue: an ``Outbox``."""

    def depth(self) -> int:
        """How many wait."""
        ...

    def oldest_age_s(self) -> float | None:
        """For how long the oldest has waited."""
        ...

    def refused(self) -> Sequence[object]:
        """What was set aside for good."""
        ...


class Service(Protocol):
    """The alert service."""

    def connected(self) -> tuple[int, int]:
        """How many subscribers and publishers there are now."""
        ...


@dataclass(frozen=True, slots=True)
class QueueCount:
    """A durable queue now. ``depth`` and the others are None while its file cannot be read."""

    depth: int | None = None
    oldest_s: float | None = None
    refused: int | None = None


@dataclass(frozen=True, slots=True)
class PassageCount:
    """Passages of one camera, each as its first revision said: found and read plates."""

    passages: int = 0
    found: int = 0
    read: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """What a process has counted. What it does not do is empty, or None.

    Args:
        recognised: frames, by camera.
        batch_frames: frames in one batch.
        stages: seconds that a frame took, by one of ``STAGES``.
        passages: by camera.
        queues: by name.
        hits: alerts that are new to the service, by kind and category.
        latencies: from a vehicle's frame to its alert, seconds, by checkpoint and camera.
        alerts: that the service has ever taken, by the decision that stands.
        subscribers, publishers: connected to the alert service now.
    """

    recognised: Mapping[str, int] = field(default_factory=dict)
    batch_frames: Distribution | None = None
    stages: Mapping[str, Distribution] = field(default_factory=dict)
    passages: Mapping[str, PassageCount] = field(default_factory=dict)
    queues: Mapping[str, QueueCount] = field(default_factory=dict)
    hits: Mapping[tuple[str, str], int] = field(default_factory=dict)
    latencies: Mapping[tuple[str, str], Distribution] = field(default_factory=dict)
    alerts: Mapping[str, int] | None = None
    subscribers: int | None = None
    publishers: int | None = None


class Meters:
    """Collects the counts of one process. Any thread may call.

    Whoever wires the process sets what it has: ``queues``, ``service``, ``rollup`` and ``sink``.
    """

    def __init__(self) -> None:
        self.queues: dict[str, Queue] = {}
        self.service: Service | None = None
        self.rollup: Rollup | None = None
        self.sink: FiguresSink | None = None
        self._lock = threading.Lock()
        self._recognised: Counter[str] = Counter()
        self._batches = Histogram(_BATCHES)
        self._stages = {stage: Histogram() for stage in STAGES}
        self._passages: dict[str, PassageCount] = {}

    def on_passage(self, passage: Passage) -> None:
        """A revision of a passage; see ``pipeline.recognition.Listener``."""
        if passage.revision:
            return
        with self._lock:
            before = self._passages.get(passage.camera, PassageCount())
            read = passage.plate is not None
            self._passages[passage.camera] = replace(
                before,
                passages=before.passages + 1,
                found=before.found + (read or passage.reads > 0),
                read=before.read + read,
            )

    def on_times(self, frames: Sequence[FrameTimes]) -> None:
        """The frames of one batch."""
        self._batches.observe(len(frames))
        with self._lock:
            self._recognised.update(frame.camera for frame in frames)
        for frame in frames:
            self._stages["decode"].observe(frame.decode_s)
            self._stages["wait"].observe(frame.wait_s)
            self._stages["recognise"].observe(frame.recognise_s)
            self._stages["total"].observe(frame.total_s)

    def counts(self) -> Counts:
        """Everything until now."""
        with self._lock:
            recognised, passages = dict(self._recognised), dict(self._passages)
        subscribers, publishers = self.service.connected() if self.service else (None, None)
        return Counts(
            recognised=recognised,
            batch_frames=self._batches.read(),
            stages={stage: histogram.read() for stage, histogram in self._stages.items()},
            passages=passages,
            queues={name: _counted(queue) for name, queue in self.queues.items()},
            hits=self.sink.hits() if self.sink else {},
            latencies=self.sink.latencies() if self.sink else {},
            alerts=self._alerts(),
            subscribers=subscribers,
            publishers=publishers,
        )

    def _alerts(self) -> Mapping[str, int] | None:
        try:
            return self.rollup.states() if self.rollup else None
        except CheckpointError:  # the sink that writes it says so to health
            return None


def _counted(queue: Queue) -> QueueCount:
    try:
        return QueueCount(queue.depth(), queue.oldest_age_s() or 0.0, len(queue.refused()))
    except CheckpointError:  # its writer says so to health
        return QueueCount()
