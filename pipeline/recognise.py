"""The recognition stage: frames in batches through the nets, then into passages.

One thread owns the recogniser and the passage builders. A camera whose frames stop coming has its
passages closed, so that a lost stream cannot hold a passage open.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import structlog

from detectors.recogniser import Recogniser
from pipeline.attention import Attentions
from pipeline.batching import Batcher
from pipeline.clock import Clock
from pipeline.passage import PassageBuilder
from pipeline.tracking import KnownRead
from pipeline.types import Frame, Passage, PlateDetection, PlateRead, ReadPlate, Recognition

_IDLE_S = 0.25
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """How long one frame took, in seconds: to be decoded, to be taken, to be recognised.

    ``decode_s`` runs from its arrival; the three together are from arrival to its reads, of which
    there were ``reads``.
    """

    camera: str
    decode_s: float
    wait_s: float
    recognise_s: float
    reads: int

    @classmethod
    def of(cls, frame: Frame, taken_s: float, recognised_s: float, reads: int) -> FrameTimes:
        """Those of a frame that was taken and recognised at these monotonic seconds."""
        ready_s = frame.ready_s or frame.arrived_s
        return cls(
            frame.camera,
            ready_s - frame.arrived_s,
            taken_s - ready_s,
            recognised_s - taken_s,
            reads,
        )

    @property
    def total_s(self) -> float:
        """From the frame's arrival to its reads."""
        return self.decode_s + self.wait_s + self.recognise_s


class RecognitionStage:
    """Turns frames into passages in a thread of its own until the mailboxes are drained.

    Args:
        batcher: where the frames come from.
        recogniser: finds and reads.
        builders: one for each camera, by name.
        silent_s: seconds without a frame after which a camera's passages are closed.
        on_passages: called in this thread with every group of passages.
        clock: for silence.
        attentions: told what is in each camera's view.
        on_times: called in this thread with the times of every batch's frames.
        on_seen: called in this thread with what every frame showed.
    """

    def __init__(
        self,
        batcher: Batcher,
        recogniser: Recogniser,
        builders: Mapping[str, PassageBuilder],
        silent_s: float,
        on_passages: Callable[[Sequence[Passage]], None],
        clock: Clock,
        attentions: Attentions | None = None,
        on_times: Callable[[Sequence[FrameTimes]], None] | None = None,
        on_seen: Callable[[Recognition], None] = lambda recognition: None,
    ) -> None:
        self._on_seen = on_seen
        self._attentions = attentions
        self._on_times = on_times
        self._batcher = batcher
        self._recogniser = recogniser
        self._builders = dict(builders)
        self._silent_s = silent_s
        self._on_passages = on_passages
        self._clock = clock
        self._last_frame_s: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="recognition", daemon=True)
        self._abandoned = threading.Event()
        self._asked: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.recognised = 0
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the end of the drained mailboxes; False if it has not come in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def abandon(self) -> None:
        """Stop after the batch in work, whatever still waits: the deadline has passed."""
        self._abandoned.set()

    def ask(self, work: Callable[[], None]) -> None:
        """Have ``work`` done in this stage's thread between two batches; it must not raise."""
        self._asked.put(work)

    def add(self, camera: str, builder: PassageBuilder) -> None:
        """Take one more camera. Only in this stage's thread: see :meth:`ask`."""
        self._builders[camera] = builder

    def remove(self, camera: str) -> PassageBuilder:
        """Give a camera's builder up, with its open passages. Only in this stage's thread."""
        self._last_frame_s.pop(camera, None)
        return self._builders.pop(camera)

    def builder(self, camera: str) -> PassageBuilder:
        """A camera's builder. Only in this stage's thread."""
        return self._builders[camera]

    def _do_asked(self) -> None:
        try:
            while True:
                self._asked.get_nowait()()
        except Empty:
            return

    def _run(self) -> None:
        try:
            while not self._abandoned.is_set():
                self._do_asked()
                batch = self._batcher.next(_IDLE_S)
                if batch is None:
                    break
                if batch.frames:
                    self._recognise(batch.frames)
                self._close_silent()
            self._emit([p for builder in self._builders.values() for p in builder.close()])
        except Exception as error:
            # The owner sees it in ``failure`` and ends the program with a message.
            self.failure = error
            _log.exception("recognition stopped")

    def _recognise(self, frames: Sequence[Frame]) -> None:
        taken_s = self._clock.monotonic()

        def known(index: int, plate: PlateDetection) -> PlateRead | None:
            frame = frames[index]
            return self._builders[frame.camera].known_read(plate, frame.media_s)

        scenes = self._recogniser.recognise(
            [frame.image for frame in frames], [frame.small for frame in frames], known
        )
        passages: list[Passage] = []
        for frame, (plates, vehicles) in zip(frames, scenes, strict=True):
            builder = self._builders[frame.camera]
            seen = Recognition(frame, plates, vehicles)
            passages += builder.update(seen)
            self._on_seen(seen)
            if self._attentions is not None:
                self._attentions.tell(frame.camera, builder.in_view(frame.media_s), frame.media_s)
            if frame.live:  # a file may wait as long as it likes
                self._last_frame_s[frame.camera] = self._clock.monotonic()
        self.recognised += len(frames)
        if self._on_times is not None:
            now_s = self._clock.monotonic()
            self._on_times(
                [
                    FrameTimes.of(frame, taken_s, now_s, _fresh(plates))
                    for frame, (plates, _) in zip(frames, scenes, strict=True)
                ]
            )
        self._emit(passages)

    def _close_silent(self) -> None:
        now = self._clock.monotonic()
        for camera, last_s in list(self._last_frame_s.items()):
            if now - last_s > self._silent_s:
                del self._last_frame_s[camera]
                self._emit(self._builders[camera].close())

    def _emit(self, passages: Sequence[Passage]) -> None:
        if passages:
            self._on_passages(passages)


def _fresh(plates: Sequence[ReadPlate]) -> int:
    """How many of a frame's plates were read in it."""
    return sum(not isinstance(plate.read, KnownRead) for plate in plates)
