"""One node of a cluster: a whole pipeline whose cameras come and go by orders. No Ray.

The leader sends all orders with every beat, and gets the node's report for them. Nothing depends on
a single message: orders say what is to be, not what is to be done.
"""

from __future__ import annotations

import fcntl
import re
import threading
import uuid
from collections import deque
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import structlog

from pipeline.camera import CameraState, CameraStatus
from pipeline.clock import Clock, SystemClock
from pipeline.cluster_records import CameraReport, Duty, NodeReport, Order, Orders, Tally
from pipeline.config import CameraSettings, CheckpointSettings, Role, Settings
from pipeline.errors import CheckpointError, ConfigError
from pipeline.handover import Boundary, Gate, later
from pipeline.lookout import Terms
from pipeline.recognition import Listener, Recognition
from pipeline.runtime import Runtime
from pipeline.source import is_live, local_path
from pipeline.types import Hit, Passage

_TICK_S = 0.1
_MOST_EVENTS = 50_000
_LATE_WAITS = 3.0  # times handover_wait_s: for a node that is behind with what it has of a camera
_CUT_OFF_SHARE = 0.8  # of silent_after_s: whoever stops must have stopped when others begin
_log = structlog.get_logger(__name__)
Model = TypeVar("Model", bound=Settings)


def node_settings(settings: CheckpointSettings, node: str, target: str) -> CheckpointSettings:
    """What a node's pipeline runs with: a data folder of its own, and hits go to ``target``."""
    settings = _from_anywhere(settings)
    folder = settings.data_dir / "nodes" / re.sub(r"[^\w.-]+", "-", node)
    return settings.model_copy(
        update={
            "data_dir": folder,
            "roles": (Role.RECOGNISE,),
            "cameras": (),
            "alerts": settings.alerts.model_copy(update={"target": target}),
            "sinks": type(settings.sinks)(),
        }
    )


def ordered_camera(camera: CameraSettings) -> CameraSettings:
    """A camera as nodes are told of it: a file by its whole path."""
    if is_live(camera.source):
        return camera
    return camera.model_copy(update={"source": str(local_path(camera.source).absolute())})


def _from_anywhere(settings: Model) -> Model:
    """The same with whole paths: a node's pipeline runs in another folder."""
    update: dict[str, object] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Path):
            update[name] = value.absolute()
        elif isinstance(value, Settings):
            update[name] = _from_anywhere(value)
    return settings.model_copy(update=update)


@dataclass(slots=True)
class _Camera:
    """One camera here. Guarded by the node's lock."""

    order: Order
    worker: bool = False
    """It has a worker, which may be ending."""
    standby: bool = False
    asked: Future[Boundary | None] | None = None
    finish_by_s: float | None = None
    boundary: Boundary | None = None
    left: Boundary | None = None
    """Where it was let go before: the leader had thought better of it by then."""
    at_end: bool = False
    """Let go because its file is at its end, and all its frames are recognised."""
    ended: bool = False
    status: CameraStatus | None = None


class Node:
    """A pipeline under orders; its methods may be called from any thread.

    Args:
        settings: from :func:`node_settings`.
        node: the node's name.
        once: file sources are read once, to their end.

    Raises:
        CheckpointError: the pipeline cannot start.
    """

    def __init__(
        self,
        settings: CheckpointSettings,
        node: str,
        *,
        once: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._node = node
        self._once = once
        self._clock = clock or SystemClock()
        self._run = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._cameras: dict[str, _Camera] = {}
        self._departed = Tally()
        self._events: deque[tuple[int, Passage | Hit]] = deque()
        self._events_lock = threading.Lock()
        self._numbered = self._lost = 0
        self._heard_s = self._clock.monotonic()
        self._stopping = threading.Event()
        self._final: NodeReport | None = None
        self._stack = ExitStack()
        self._stack.enter_context(_alone_in(settings.data_dir, node))
        try:
            self._runtime = Runtime(
                settings,
                Listener(self._note, self._note),
                once=once,
                cameras_later=True,
                clock=self._clock,
            )
            self._stack.enter_context(self._runtime)
        except BaseException:
            self._stack.close()
            raise
        self._thread = threading.Thread(target=self._control, name="orders", daemon=True)
        self._thread.start()

    def beat(self, orders: Orders) -> NodeReport:
        """Take orders; what this node is doing, with every event beyond ``orders.received``."""
        with self._lock:
            self._heard_s = self._clock.monotonic()
            if self._final is None:
                self._take(orders)
            with self._events_lock:
                while self._events and self._events[0][0] <= orders.received:
                    self._events.popleft()
            return self._final_with_events() or self._report()

    def stop(self) -> NodeReport:
        """Shut the pipeline down within its deadline; ``failure`` says what was lost."""
        self._stopping.set()
        self._thread.join()
        failure = None
        try:
            self._runtime.stop()
        except CheckpointError as error:
            failure = str(error)
        with self._lock:
            if self._final is None:
                self._final = replace(self._report(), failure=failure)
                self._stack.close()
            return self._final_with_events() or self._final

    def _final_with_events(self) -> NodeReport | None:
        if self._final is None:
            return None
        with self._events_lock:
            return replace(self._final, events=tuple(self._events))

    @property
    def _recognition(self) -> Recognition:
        recognition = self._runtime.recognition
        assert recognition is not None  # noqa: S101 - a node's role
        return recognition

    def _note(self, record: Passage | Hit) -> None:
        """Keep an event until the leader has it, without its picture."""
        with self._events_lock:
            self._numbered += 1
            self._events.append((self._numbered, _without_picture(record)))
            if len(self._events) > _MOST_EVENTS:
                self._events.popleft()
                self._lost += 1

    def _take(self, orders: Orders) -> None:
        ordered = {order.camera.name: order for order in orders.cameras}
        for name, order in ordered.items():
            camera = self._cameras.get(name)
            if camera is None:
                self._cameras[name] = _Camera(order)
                continue
            if order.duty is not Duty.FINISH:
                camera.finish_by_s = None
            camera.order = order
        for name in [name for name in self._cameras if name not in ordered]:
            camera = self._cameras[name]
            if camera.worker:
                camera.order = replace(camera.order, duty=Duty.FINISH, heir_since=None)
                camera.finish_by_s = self._clock.monotonic()
            else:
                del self._cameras[name]

    def _control(self) -> None:
        while not self._stopping.wait(_TICK_S):
            try:
                with self._lock:
                    self._stop_where_cut_off()
                    for name, camera in self._cameras.items():
                        self._follow(name, camera)
                self._runtime.check()
            except Exception:  # the leader sees a node that does nothing; say why
                _log.exception("orders could not be followed; tried again")

    def _stop_where_cut_off(self) -> None:
        silent_s = self._clock.monotonic() - self._heard_s
        cluster = self._settings.cluster
        if cluster.cut_off == "stop" and silent_s > _CUT_OFF_SHARE * cluster.silent_after_s:
            if any(camera.order.duty is not Duty.FINISH for camera in self._cameras.values()):
                _log.warning("cut off: cameras stop", node=self._node, silent_s=round(silent_s, 1))
            self._take(Orders())

    def _follow(self, name: str, camera: _Camera) -> None:
        """Bring one camera nearer to what is ordered."""
        duty = camera.order.duty
        recognition = self._recognition
        if camera.boundary is not None or camera.ended:  # released: its thread may still end
            if camera.worker and (status := recognition.forget(name)) is not None:
                self._departed += _tally_of(status)
                camera.worker, camera.status = False, status
                self._runtime.health.report(f"camera {name}", None)
            elif not (camera.worker or camera.ended or duty is Duty.FINISH):
                # It has come back, and begins anew beyond what it has told itself.
                camera.left, camera.boundary = self._in_its_time(camera), None
            return
        if not camera.worker:
            if duty is Duty.FINISH:
                camera.boundary = Boundary()
                return
            camera.standby = duty is Duty.STANDBY
            after = later(camera.order.after, camera.left)
            recognition.add(camera.order.camera, Gate(holding=camera.standby, boundary=after))
            camera.worker = True
            return
        if camera.asked is not None:
            self._hear(camera)
        elif self._at_its_end(name):
            camera.at_end = True
            camera.asked = recognition.release(name, Terms(at_once=True))
        elif duty is Duty.FINISH:
            now_s = self._clock.monotonic()
            if camera.finish_by_s is None:
                camera.finish_by_s = now_s + self._settings.cluster.handover_wait_s
            late_s = now_s - camera.finish_by_s
            patience_s = _LATE_WAITS * self._settings.cluster.handover_wait_s
            at_once = late_s >= patience_s or self._dry(name) is not None
            terms = Terms(camera.order.heir_since, late_s >= 0, at_once)
            camera.asked = recognition.release(name, terms)
        elif duty is Duty.RUN and camera.standby:
            recognition.open_gate(name, camera.order.after)
            camera.standby = False

    def _in_its_time(self, camera: _Camera) -> Boundary | None:
        """Its own border as a later reading of it can use it: media time begins anew with that."""
        if camera.boundary is None or is_live(camera.order.camera.source):
            return camera.boundary and replace(camera.boundary, media_s=None)
        return replace(camera.boundary, at=None) if self._once else None

    def _hear(self, camera: _Camera) -> None:
        """Hear whether the recognition thread has let a camera go."""
        if camera.asked is None or not camera.asked.done():
            return
        boundary, camera.asked = camera.asked.result(), None
        if boundary is None:
            return
        camera.boundary, camera.ended = boundary, camera.at_end

    def _at_its_end(self, name: str) -> bool:
        return self._dry(name) is CameraState.STOPPED

    def _dry(self, name: str) -> CameraState | None:
        """The state of a camera of which no frame comes and none waits; else None."""
        recognition = self._recognition
        for worker in recognition.workers:
            if worker.camera == name and recognition.mailboxes.depth(name) == 0:
                state = worker.status().state
                return None if state is CameraState.STREAMING else state
        return None

    def _report(self) -> NodeReport:
        recognition = self._recognition
        statuses = {status.camera: status for status in recognition.cameras()}
        cameras = []
        for name, camera in self._cameras.items():
            status = statuses.get(name) or camera.status
            if status is not None:
                duty, plain = self._duty(camera), _plain(status)
                looks = recognition.looks_since(name)
                cameras.append(
                    CameraReport(name, duty, plain, camera.boundary, camera.ended, looks)
                )
        tally = sum((_tally_of(status) for status in statuses.values()), self._departed)
        tally = replace(
            tally,
            recognised=recognition.stage.recognised,
            passages=recognition.passages.count,
            hits=recognition.hits.count,
        )
        passages, hits = recognition.waiting()
        failure = recognition.stage.failure
        with self._events_lock:
            events = tuple(self._events)
        return NodeReport(
            node=self._node,
            run=self._run,
            version=_version(),
            cameras=tuple(cameras),
            events=events,
            events_lost=self._lost,
            waiting_passages=passages,
            waiting_hits=hits,
            tally=tally,
            problems=dict(self._runtime.health.problems()),
            failure=f"recognition has failed: {failure!r}" if failure else None,
        )

    @staticmethod
    def _duty(camera: _Camera) -> Duty:
        """What is done now, which may still differ from what is ordered."""
        if camera.order.duty is Duty.FINISH:
            return Duty.FINISH
        return Duty.STANDBY if camera.standby else Duty.RUN


class _alone_in:  # noqa: N801 - a context manager
    """Holds a data folder, so that no second pipeline writes to the same files."""

    def __init__(self, folder: Path, node: str) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / "node.lock").open("w", encoding="ascii")
        except OSError as error:
            raise ConfigError(
                f"data_dir {folder} on node {node} cannot be used: {error.strerror}; name another"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise ConfigError(
                f"node {node}: another pipeline still uses {folder}; if it is another node's, "
                "start the nodes with names of their own: ray start --node-name NAME"
            ) from None

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _tally_of(status: CameraStatus) -> Tally:
    return Tally(
        status.decoded,
        dropped=dict(status.dropped),
        skipped=dict(status.skipped),
        overlooked_s=status.overlooked_s,
    )


def _plain(status: CameraStatus) -> CameraStatus:
    """As it can travel, and without a picture."""
    return replace(
        status, dropped=dict(status.dropped), skipped=dict(status.skipped), last_passage=None
    )


def _without_picture(record: Passage | Hit) -> Passage | Hit:
    if isinstance(record, Hit):
        passage = _without_picture(record.passage)
        return replace(record, passage=passage) if isinstance(passage, Passage) else record
    if record.evidence is None:
        return record
    return replace(record, evidence=replace(record.evidence, jpeg=b""))


def _version() -> str:
    try:
        return version("checkpoint-vehicles")
    except PackageNotFoundError:
        return "unknown"
