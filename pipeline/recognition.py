"""The recognising part of a process: cameras, batches, passages, delivery and publishing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import structlog

from detectors.manifest import digests
from detectors.recogniser import Recogniser
from pipeline.archive import PassageArchive
from pipeline.attention import Attentions, may_wait
from pipeline.batching import Batcher
from pipeline.camera import CameraStatus
from pipeline.clock import Clock
from pipeline.config import MAX_SAMPLE_FPS, CameraSettings, CheckpointSettings
from pipeline.delivery import Delivery
from pipeline.evidence import UNBLURRED_FOLDER, EvidenceStore
from pipeline.evidence_manifest import Origin
from pipeline.handover import Boundary, Gate
from pipeline.health import Health
from pipeline.ingest import CameraWorker
from pipeline.late import LATE_FILE, LateMatching, LateQueue
from pipeline.lookout import Lookout, Terms
from pipeline.mailbox import Mailboxes
from pipeline.matching import Matcher
from pipeline.media import Decoder
from pipeline.meters import Meters
from pipeline.outbox import Outbox
from pipeline.passage import PassageBuilder
from pipeline.recognise import FrameTimes, RecognitionStage
from pipeline.stills import Stills
from pipeline.types import Hit, Passage
from pipeline.types import Recognition as Scene
from pipeline.upward import Upward, program_version, report_damage
from watchlist.store import Watchlist

_log = structlog.get_logger(__name__)
_DELIVERY_RESERVE_S = 2.0  # of the shutdown deadline, for matching and publishing
_AHEAD = 2  # frames of a file that is read once are decoded ahead
_SILENT_FACTOR = 2.5  # a camera silent for so many times close_after_s has its passages closed


def _ignore(_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Listener:
    """Who wants to see passages and hits as they happen; called in the pipeline's threads.

    ``on_times``: how long the frames of each batch took.
    """

    on_passage: Callable[[Passage], None] = _ignore
    on_hit: Callable[[Hit], None] = _ignore
    on_times: Callable[[Sequence[FrameTimes]], None] | None = None


def metered(listener: Listener, meters: Meters) -> Listener:
    """A listener that also tells ``meters``."""

    def on_passage(passage: Passage) -> None:
        meters.on_passage(passage)
        listener.on_passage(passage)

    def on_times(frames: Sequence[FrameTimes]) -> None:
        meters.on_times(frames)
        if listener.on_times is not None:
            listener.on_times(frames)

    return Listener(on_passage, listener.on_hit, on_times)


class Told:
    """Counts distinct ids and tells new revisions from repeated ones, in bounded memory."""

    _REMEMBERED = 4096

    def __init__(self) -> None:
        self.count = 0
        self._revisions: OrderedDict[str, int] = OrderedDict()

    def is_new(self, identifier: str, revision: int) -> bool:
        """True the first time; remembers it."""
        known = self._revisions.pop(identifier, None)
        self._revisions[identifier] = revision
        self.count += known is None
        if len(self._revisions) > self._REMEMBERED:
            self._revisions.popitem(last=False)
        return known != revision


def list_state(watchlist: Watchlist) -> tuple[int, float]:
    """Version and age in seconds of the list."""
    state = watchlist.state()
    return state.version, state.age_s


def _decoder(recogniser: Recogniser) -> Decoder | None:
    """What decodes for a recogniser: its GPU, so that pictures need not be brought there."""
    if recogniser.device == "cpu":
        return None
    from pipeline.gpu_source import GpuDecoder

    return GpuDecoder(recogniser.device)


def _origin(settings: CheckpointSettings, recogniser: Recogniser) -> Origin:
    """What the evidence's manifests say of this process."""
    recognition = settings.recognition
    on_gpu = recogniser.device != "cpu"
    names = ["colour"]
    if recognition.scene_weights is None:
        names.insert(0, "scene_state" if on_gpu else "scene")
    if on_gpu:
        names.append("reader_state")
    elif recognition.reader_model is None:
        names.append("reader" if recognition.reader == "openvino" else "reader_ppocr")
    own = [path for path in (recognition.scene_weights, recognition.reader_model) if path]
    return Origin(
        settings.checkpoint, program_version(), digests(names, recognition.weights_dir, own)
    )


class Recognition:
    """Cameras, recognition, delivery and publishing of one process.

    ``lasting``: it goes on without a camera; they come and go with :meth:`add` and :meth:`release`.
    """

    def __init__(
        self,
        settings: CheckpointSettings,
        recogniser: Recogniser,
        archive: PassageArchive,
        watchlist: Watchlist,
        target: str,
        health: Health,
        listener: Listener,
        clock: Clock,
        *,
        once: bool,
        lasting: bool = False,
    ) -> None:
        self.watchlist = watchlist
        self.passages, self.hits = Told(), Told()
        self.stills = Stills(clock)
        """What each camera sees, for a glance."""
        self._latest: dict[str, Passage] = {}  # by camera; written in the recognition thread
        self._latency_s: dict[str, float] = {}
        self._listener = listener
        recognition, data_dir = settings.recognition, settings.data_dir
        self.mailboxes = Mailboxes(
            [camera.name for camera in settings.cameras],
            capacity=recognition.mailbox_frames or (_AHEAD if once else may_wait(MAX_SAMPLE_FPS)),
            staleness_s=recognition.staleness_s,
            clock=clock,
            lasting=lasting,
        )
        evidence = EvidenceStore(
            data_dir / "evidence",
            health,
            settings.evidence_quality,
            settings.blur_occupants,
            originals=data_dir / UNBLURRED_FOLDER if settings.keep_unblurred else None,
            origin=_origin(settings, recogniser),
            list_version=lambda: watchlist.seen_version,
            clock=clock,
        )
        self._spool = Outbox(data_dir / "spool.sqlite", clock)
        list_age = partial(list_state, watchlist)
        self._upward = Upward(settings, data_dir / "outbox.sqlite", target, health, clock, list_age)
        self._attentions = Attentions(
            recognition.savings,
            settings.passages.close_after_s,
            recogniser.input_side,
            None if once else self.mailboxes,
            recognition.mailbox_frames,
        )

        decoder = _decoder(recogniser)

        def new_worker(camera: CameraSettings) -> CameraWorker:
            attention = self._attentions.of(camera)
            return CameraWorker(
                camera,
                self.mailboxes,
                attention=attention,
                decoder=decoder,
                pace=not once,
                loop=not once,
                clock=clock,
            )

        def new_builder(camera: CameraSettings) -> PassageBuilder:
            skips = (camera.savings or recognition.savings).skip_settled
            return PassageBuilder(camera, settings.passages, evidence, clock, skips_known=skips)

        self._new_worker, self._new_builder = new_worker, new_builder
        self._gates: dict[str, Gate] = {}  # of cameras that came later, like their lookouts
        self._lookouts: dict[str, Lookout] = {}
        self._quiet_s = settings.passages.close_after_s
        self.workers = [self._new_worker(camera) for camera in settings.cameras]
        self.stage = RecognitionStage(
            Batcher(
                self.mailboxes,
                recognition.batch_size or recogniser.batch,
                recognition.batch_deadline_s,
            ),
            recogniser,
            {camera.name: self._new_builder(camera) for camera in settings.cameras},
            _SILENT_FACTOR * settings.passages.close_after_s,
            self._take,
            clock,
            self._attentions,
            self._timed,
            self._seen,
        )
        matcher = Matcher(watchlist, settings.checkpoint, clock, settings.matching)
        self._late_queue = LateQueue(data_dir / LATE_FILE, clock)
        late = LateMatching(
            self._late_queue,
            archive,
            watchlist,
            settings.checkpoint,
            settings.matching,
            data_dir / "evidence",
            clock,
        )
        self._delivery = Delivery(
            self._spool, self._upward.outbox, matcher, health, self._hit, archive, late
        )

    def cameras(self) -> list[CameraStatus]:
        """Every camera now."""
        return [
            replace(
                worker.status(),
                latency_s=self._latency_s.get(worker.camera),
                last_passage=self._latest.get(worker.camera),
            )
            for worker in self.workers
        ]

    @property
    def queues(self) -> dict[str, Outbox]:
        """What waits on disk: passages to be matched, hits to be published."""
        return {"spool": self._spool, "outbox": self._upward.outbox}

    def check(self, health: Health) -> None:
        """Report what nobody else notices."""
        loss = self.watchlist.loss
        health.report("watchlist data", loss.message if loss else None)
        report_damage(self._spool, health)
        self._upward.check()

    def start(self) -> None:
        """Start from the end of the path to its beginning: nothing is produced too early."""
        self._upward.start()
        self._delivery.start()
        self.stage.start()
        for worker in self.workers:
            worker.start()

    def stop(self, left_s: Callable[[], float]) -> list[str]:
        """Stop from the beginning of the path to its end; return what was lost, in words."""
        lost = []
        for worker in self.workers:
            worker.stop()
        for worker in self.workers:
            worker.join(max(left_s() - _DELIVERY_RESERVE_S, 0.1))
        self.mailboxes.close_all()
        if not self.stage.join(max(left_s() - _DELIVERY_RESERVE_S, 0.1)):
            self.stage.abandon()
            self.stage.join(_DELIVERY_RESERVE_S / 2)
            if waiting := self.mailboxes.depth():
                lost.append(f"{waiting} frames were not recognised")
        if self.stage.failure is not None:
            lost.append(f"recognition had failed: {self.stage.failure}")
        unmatched = self._delivery.stop(max(left_s() - 1.0, 0.3))
        unpublished = self._upward.stop(max(left_s() - 0.5, 0.2))
        if held := self._delivery.held():
            lost.append(f"{held} passages could not be written to disk")
        if unmatched or unpublished:
            _log.warning(
                "what waits on disk is delivered at the next start",
                passages=unmatched,
                hits=unpublished,
            )
        self._spool.close()
        self._upward.close()
        self._late_queue.close()
        return lost

    def add(self, camera: CameraSettings, gate: Gate) -> None:
        """Take one more camera, whose passages go through ``gate``; it starts within a moment.

        This, :meth:`release` and :meth:`forget` are called in one thread.
        """
        worker = self._new_worker(camera)
        self.workers = [*self.workers, worker]

        def begin() -> None:
            self._gates[camera.name] = gate
            self._lookouts[camera.name] = Lookout(self._quiet_s)
            self.stage.add(camera.name, self._new_builder(camera))
            worker.start()

        self.stage.ask(begin)

    def open_gate(self, camera: str, boundary: Boundary | None) -> None:
        """Tell from now on what lies beyond ``boundary``, and what of it was held back."""

        def tell() -> None:
            if camera in self._gates:
                self._hand_on(self._gates[camera].open(boundary))

        self.stage.ask(tell)

    def looks_since(self, camera: str) -> datetime | None:
        """Since when the frames of a camera that came later were looked at without a gap."""
        lookout = self._lookouts.get(camera)
        return lookout.since if lookout is not None else None

    def release(self, camera: str, terms: Terms) -> Future[Boundary | None]:
        """Where a camera's passages end that is let go: see :meth:`Lookout.let_go`.

        None: there is no moment for it yet.
        """
        worker = self._worker(camera)
        released: Future[Boundary | None] = Future()

        def let_go() -> None:
            lookout, builder = self._lookouts[camera], self.stage.builder(camera)
            gone = lookout.let_go(builder, terms)
            if gone is None:
                return released.set_result(None)
            worker.stop()
            self.mailboxes.discard(camera, "moved")
            self.stage.remove(camera)
            self._take(gone[0])
            del self._lookouts[camera], self._gates[camera]
            return released.set_result(gone[1])

        self.stage.ask(let_go)
        return released

    def forget(self, camera: str) -> CameraStatus | None:
        """Take a released camera away; its last status, or None while its thread still ends."""
        worker = self._worker(camera)
        if not worker.join(0):
            return None
        status = worker.status()
        self.workers = [one for one in self.workers if one is not worker]
        self._attentions.forget(camera)
        self.mailboxes.remove(camera)
        self.stills.forget(camera)
        for known in (self._latest, self._latency_s):
            known.pop(camera, None)
        return status

    def _worker(self, camera: str) -> CameraWorker:
        return next(worker for worker in self.workers if worker.camera == camera)

    def waiting(self) -> tuple[int, int]:
        """Passages not matched yet, and hits not acknowledged yet."""
        return self._delivery.waiting(), self._upward.outbox.depth()

    def _take(self, passages: Sequence[Passage]) -> None:
        self._hand_on([ours for passage in passages for ours in self._ours(passage)])

    def _ours(self, passage: Passage) -> list[Passage]:
        gate = self._gates.get(passage.camera)
        if gate is None:
            return [passage]
        self._lookouts[passage.camera].closed([passage])
        return gate.let_through([passage])

    def _seen(self, scene: Scene) -> None:
        self.stills.note(scene)
        if (lookout := self._lookouts.get(scene.frame.camera)) is not None:
            lookout.saw(scene)

    def _timed(self, times: Sequence[FrameTimes]) -> None:
        self._latency_s.update((one.camera, one.total_s) for one in times)
        if self._listener.on_times is not None:
            self._listener.on_times(times)

    def _hand_on(self, passages: Sequence[Passage]) -> None:
        for passage in passages:
            self._latest[passage.camera] = passage
            if self.passages.is_new(passage.id, passage.revision):
                self._listener.on_passage(passage)
        self._delivery.submit(passages)

    def _hit(self, hit: Hit) -> None:
        self.hits.is_new(hit.id, hit.revision)
        self._listener.on_hit(hit)
