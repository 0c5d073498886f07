"""A camera thread against a real RTSP server that is killed, frozen, restarted and locked."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pipeline.camera import CameraState, CameraStatus
from pipeline.config import CameraSettings
from pipeline.ingest import CameraWorker
from pipeline.mailbox import Mailboxes
from pipeline.types import Frame
from tests.support.clips import make_clip, number_in
from tests.support.ports import free_port
from tests.support.rtsp_server import RtspServer, require_rtsp
from tests.support.waiting import PATIENCE_S

STOP_WITHIN_S = 20.0
"""Far less than what a camera that does not stop at once would wait for."""

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "gate.mp4", frames=50)


@pytest.fixture
def server(clip: Path) -> Iterator[RtspServer]:
    require_rtsp()
    with RtspServer({"gate": clip}) as running:
        yield running


class Watch:
    """A running camera and a reader that keeps what it delivers."""

    def __init__(self, settings: CameraSettings) -> None:
        self.mailboxes = Mailboxes([], capacity=8)
        self.worker = CameraWorker(settings, self.mailboxes)
        self.frames: list[Frame] = []
        self._reader = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        while not self.mailboxes.drained:
            self.frames += self.mailboxes.take(8, 0.0, wait_s=0.1)

    def status(self) -> CameraStatus:
        return self.worker.status()

    def until(self, reached: Callable[[], bool], within_s: float = PATIENCE_S) -> float:
        """Wait for ``reached``; the seconds that it took."""
        started = time.monotonic()
        while not reached():
            waited = time.monotonic() - started
            assert waited < within_s, f"not within {within_s} s: {self.status()}"
            time.sleep(0.01)
        return time.monotonic() - started

    def until_state(self, *states: CameraState, within_s: float = PATIENCE_S) -> float:
        return self.until(lambda: self.status().state in states, within_s)

    def until_frames(self, within_s: float = PATIENCE_S) -> float:
        before = len(self.frames)
        return self.until(lambda: len(self.frames) > before + 1, within_s)

    def stop(self) -> float:
        started = time.monotonic()
        self.worker.stop()
        assert self.worker.join(PATIENCE_S)
        return time.monotonic() - started

    def start(self) -> None:
        self.worker.start()
        self._reader.start()


@contextmanager
def watching(url: str, **settings: float) -> Iterator[Watch]:
    watch = Watch(CameraSettings(name="gate", source=url, **settings))
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that takes connections in and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"rtsp://127.0.0.1:{listener.getsockname()[1]}/gate"


@pytest.mark.rtsp
def test_a_stream_is_sampled_over_the_end_of_the_clip(server: RtspServer) -> None:
    with watching(server.url("gate"), sample_fps=5) as watch:
        watch.until(lambda: len(watch.frames) >= 16)
        status = watch.status()
    numbers = [number_in(frame.image) for frame in watch.frames]
    assert {(b - a) % 50 for a, b in pairwise(numbers[:16])} == {5}
    times = [frame.media_s for frame in watch.frames[:16]]
    assert times == pytest.approx([n / 5 for n in range(16)], abs=0.01)
    assert status.decoded >= 75
    assert status.reconnects == status.broken == 0
    assert all(frame.live and frame.image.shape == (240, 320, 3) for frame in watch.frames)


@pytest.mark.rtsp
@pytest.mark.parametrize("b_frames", [0, 2])
def test_h265_is_sampled_as_h264_is(tmp_path: Path, b_frames: int) -> None:
    require_rtsp()
    path = make_clip(tmp_path / "yard.mp4", frames=50, codec="libx265", b_frames=b_frames)
    with (
        RtspServer({"yard": path}) as server,
        watching(server.url("yard"), sample_fps=5) as watch,
    ):
        watch.until(lambda: len(watch.frames) >= 12)
        status = watch.status()
    numbers = [number_in(frame.image) for frame in watch.frames]
    assert {(b - a) % 50 for a, b in pairwise(numbers[:12])} == {5}
    assert status.reconnects == status.broken == 0
    assert all(frame.live and frame.image.shape == (240, 320, 3) for frame in watch.frames)


@pytest.mark.rtsp
def test_a_killed_server_is_found_again(server: RtspServer) -> None:
    with watching(server.url("gate")) as watch:
        watch.until_frames()
        server.kill()
        watch.until_state(CameraState.BACKING_OFF, within_s=PATIENCE_S)
        time.sleep(3)  # long enough for the waits to have grown
        error = watch.status().last_error
        assert error is not None
        assert "nothing listens" in error
        server.start()
        watch.until_frames()
        assert watch.status().state is CameraState.STREAMING
        assert watch.status().reconnects == 1
    times = [frame.media_s for frame in watch.frames]
    assert times == sorted(set(times))
    assert [frame.sequence for frame in watch.frames] == list(range(len(times)))


@pytest.mark.rtsp
def test_a_frozen_server_is_noticed_and_found_again(server: RtspServer) -> None:
    with capture_logs() as logs, watching(server.url("gate"), stall_timeout_s=1.5) as watch:
        watch.until_frames()
        server.freeze()
        gone = watch.until_state(CameraState.BACKING_OFF, CameraState.CONNECTING)
        assert gone > 1.0
        time.sleep(2)
        server.resume()
        watch.until_frames()
    changes = [(log["old"], log["new"]) for log in logs if log["event"] == "camera state"]
    assert changes[1:3] == [("streaming", "stalled"), ("stalled", "backing_off")]
    assert any("no frame for" in str(log.get("problem")) for log in logs)


@pytest.mark.rtsp
def test_a_short_silence_is_sat_out(server: RtspServer) -> None:
    with watching(server.url("gate")) as watch:
        watch.until_frames()
        server.freeze()
        time.sleep(1.2)
        server.resume()
        watch.until_frames()
        assert watch.status().reconnects == 0
        assert watch.status().broken == 0


@pytest.mark.rtsp
def test_a_frozen_picture_is_a_stall(tmp_path: Path) -> None:
    require_rtsp()
    still = make_clip(tmp_path / "still.mp4", still=True)
    with (
        RtspServer({"still": still}) as server,
        capture_logs() as logs,
        watching(server.url("still"), frozen_timeout_s=1.5) as watch,
    ):
        watch.until(lambda: watch.status().reconnects >= 1)
    assert ("streaming", "stalled") in [(log.get("old"), log.get("new")) for log in logs]
    assert any("the very same picture" in str(log.get("problem")) for log in logs)


@pytest.mark.rtsp
def test_credentials_are_used_and_never_shown(clip: Path) -> None:
    require_rtsp()
    login = {"user": "operator", "password": "s3c@ret/1"}
    locked = RtspServer({"gate": clip}, user=login["user"], password=login["password"])
    with locked as server, capture_logs() as logs:
        with watching(server.url("gate", **login)) as watch:
            watch.until_frames()
        with watching(server.url("gate", user="operator", password="wr0ng")) as refused:
            refused.until_state(CameraState.BACKING_OFF)
            error = refused.status().last_error
            names = [thread.name for thread in threading.enumerate()]
        with watching(server.url("yard", **login)) as lost:
            lost.until_state(CameraState.BACKING_OFF)
            assert "no such stream" in str(lost.status().last_error)
    assert "refuses the user or password" in str(error)
    shown = repr((logs, names, refused.status(), watch.status(), watch.worker, refused.worker))
    for secret in ("wr0ng", "s3c", "operator"):
        assert secret not in shown


def test_nothing_listens() -> None:
    with watching(f"rtsp://127.0.0.1:{free_port()}/gate") as watch:
        watch.until_state(CameraState.BACKING_OFF)
        assert "nothing listens there" in str(watch.status().last_error)


def test_a_server_that_never_answers_is_given_up_and_tried_again() -> None:
    with silent_server() as url, watching(url, connect_timeout_s=0.5) as watch:
        watch.until_state(CameraState.BACKING_OFF)
        assert "no usable answer within 0.5 s" in str(watch.status().last_error)
        watch.until_state(CameraState.CONNECTING)


def test_an_unknown_kind_of_address_stops_the_camera() -> None:
    with watching("rstp://127.0.0.1/gate") as watch:
        watch.until_state(CameraState.STOPPED)
        assert "use rtsp://" in str(watch.status().last_error)


def test_stops_at_once_while_connecting() -> None:
    with silent_server() as url, watching(url, connect_timeout_s=60) as watch:
        watch.until_state(CameraState.CONNECTING)
        assert watch.stop() < STOP_WITHIN_S
        assert watch.status().state is CameraState.STOPPED


def test_stops_at_once_while_backing_off() -> None:
    url = f"rtsp://127.0.0.1:{free_port()}/gate"
    with watching(url, backoff_initial_s=60, backoff_max_s=60) as watch:
        watch.until_state(CameraState.BACKING_OFF)
        assert watch.stop() < STOP_WITHIN_S


@pytest.mark.rtsp
@pytest.mark.parametrize("frozen", [False, True])
def test_stops_at_once_while_streaming(server: RtspServer, frozen: bool) -> None:
    with watching(server.url("gate"), stall_timeout_s=60) as watch:
        watch.until_frames()
        if frozen:
            server.freeze()
            time.sleep(0.5)
        assert watch.stop() < STOP_WITHIN_S


@pytest.mark.rtsp
def test_the_program_ends_while_a_frozen_camera_is_being_read(server: RtspServer) -> None:
    program = f"""
import time
from pipeline.config import CameraSettings
from pipeline.ingest import CameraWorker
from pipeline.mailbox import Mailboxes
mailboxes = Mailboxes([])
camera = CameraSettings(name="gate", source={server.url("gate")!r}, stall_timeout_s=60)
worker = CameraWorker(camera, mailboxes)
worker.start()
assert mailboxes.take(1, 0, wait_s=90)
print("streams", flush=True)
input()
worker.stop()
assert worker.join(20)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        while (line := child.stdout.readline()) and line != "streams\n":
            pass  # log lines
        server.freeze()
        time.sleep(0.5)
        started = time.monotonic()
        _, errors = child.communicate("\n", timeout=PATIENCE_S)
        assert time.monotonic() - started < 40
        assert child.returncode == 0, errors
    finally:
        child.kill()
        child.wait()


@pytest.mark.rtsp
@pytest.mark.long
def test_many_reconnections_leave_nothing_behind(server: RtspServer) -> None:
    def resident_kib() -> int:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split("VmRSS:")[1].split()[0])

    waits = {"backoff_initial_s": 0.05, "backoff_max_s": 0.1}
    with watching(server.url("gate"), **waits) as watch:
        watch.until_frames()
        before_kib = threads = 0
        for round_ in range(20):
            if round_ == 5:  # the first few fill caches
                before_kib, threads = resident_kib(), threading.active_count()
            server.restart()
            watch.until_frames()
            watch.frames.clear()
        assert watch.status().reconnects == 20
        assert threading.active_count() <= threads
        assert resident_kib() - before_kib < 20 * 1024
