"""Real video files: whole, cut off, damaged, with strange times, and no videos at all."""

from __future__ import annotations

import random
import struct
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from structlog.testing import capture_logs

from pipeline.camera import CameraState, StopReason
from pipeline.config import CameraSettings
from pipeline.errors import InputError, SourceError
from pipeline.ingest import CameraWorker
from pipeline.mailbox import Mailboxes
from pipeline.source import EndOfMedia, Sample, Source, open_source
from pipeline.types import Frame
from tests.support.clips import HEIGHT, WIDTH, make_clip, number_in
from tests.support.waiting import PATIENCE_S, wait_until


def samples(source: Source) -> list[Sample]:
    found: list[Sample] = []
    try:
        while True:
            sample = source.read()
            if sample is not None:
                found.append(sample)
    except EndOfMedia:
        return found
    finally:
        source.close()


def read_all(worker: CameraWorker, mailboxes: Mailboxes) -> list[Frame]:
    worker.start()
    frames: list[Frame] = []
    while batch := mailboxes.take(8, 0.02, wait_s=30):
        frames += batch
    assert worker.join(90)
    return frames


@pytest.mark.parametrize(
    ("suffix", "b_frames"),
    [(".mp4", 0), (".mp4", 2), (".mkv", 0), (".mkv", 2), (".ts", 0), (".ts", 2), (".avi", 0)],
)
def test_containers_are_sampled_by_their_time(tmp_path: Path, suffix: str, b_frames: int) -> None:
    path = make_clip(tmp_path / f"路口 甲{suffix}", frames=50, b_frames=b_frames)
    source = open_source(str(path), sample_fps=5)
    found = samples(source)
    assert source.decoded == 50
    assert [number_in(one.image) for one in found] == list(range(0, 50, 5))
    assert [one.media_s for one in found] == pytest.approx([n / 5 for n in range(10)], abs=0.002)
    assert found[0].image.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(("suffix", "offset_s"), [(".mkv", 17.5), (".ts", 3600.0), (".mp4", 2.0)])
def test_media_time_starts_at_zero(tmp_path: Path, suffix: str, offset_s: float) -> None:
    path = make_clip(tmp_path / f"a{suffix}", frames=25, offset_s=offset_s)
    found = samples(open_source(path.as_uri(), sample_fps=5))
    assert [one.media_s for one in found] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8], abs=0.002)


def test_a_variable_frame_rate(tmp_path: Path) -> None:
    times = [0.0, 0.01, 0.02, 0.5, 0.55, 0.59, 0.7, 3.0, 3.01, 3.21]
    path = make_clip(tmp_path / "a.mkv", times_s=times)
    found = samples(open_source(str(path), sample_fps=5))
    assert [number_in(one.image) for one in found] == [0, 3, 6, 7, 9]
    assert [one.media_s for one in found] == pytest.approx([0, 0.5, 0.7, 3.0, 3.21], abs=0.002)


@pytest.mark.parametrize(
    ("matrix", "turn"), [((0, 1, -1, 0), cv2.ROTATE_90_CLOCKWISE), ((-1, 0, 0, -1), cv2.ROTATE_180)]
)
def test_a_video_is_turned_upright(
    tmp_path: Path, matrix: tuple[int, int, int, int], turn: int
) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=3)
    plain = samples(open_source(str(path), sample_fps=25))[0].image
    a, b, c, d = (value << 16 for value in matrix)
    content = path.read_bytes()
    track = content.index(b"tkhd")
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    place = content.index(upright, track)
    path.write_bytes(content[:place] + turned + content[place + len(turned) :])
    image = samples(open_source(str(path), sample_fps=25))[0].image
    assert np.array_equal(image, cv2.rotate(plain, turn))


def test_a_name_that_looks_like_an_option_or_address(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mp4", frames=5).rename(tmp_path / "concat:%02d.mp4")
    assert samples(open_source(str(tmp_path / "concat:%02d.mp4"), sample_fps=25))


def test_a_cut_off_file_gives_what_it_holds(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.ts", frames=100)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    found = samples(open_source(str(path), sample_fps=25))
    assert 20 < len(found) < 80


def test_damage_is_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "损坏.mkv", frames=200)
    content = bytearray(path.read_bytes())
    noise = random.Random(1)
    for start in range(len(content) // 4, len(content) // 2, 700):
        content[start : start + 300] = noise.randbytes(300)
    path.write_bytes(content)
    source = open_source(str(path), sample_fps=25)
    with capture_logs() as logs:
        found = samples(source)
    numbers = [number_in(one.image) for one in found]
    assert numbers[0] == 0
    assert 195 in numbers  # well past the damage
    assert source.broken > 0
    assert any("损坏.mkv" in log["source"] for log in logs)


@pytest.mark.parametrize(
    "content",
    [b"", b"this is no video\n" * 100, random.Random(1).randbytes(5000)],
    ids=["empty", "text", "noise"],
)
def test_no_video_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "文字.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"no video|not one of its frames") as caught:
        samples(open_source(str(path), sample_fps=5))
    assert str(path) in str(caught.value)


def test_an_mp4_without_its_index(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=50)
    path.write_bytes(path.read_bytes()[:-2000])  # the index lies at the end
    with pytest.raises(InputError, match="cut off"):
        open_source(str(path), sample_fps=5)


def test_a_playlist_that_poses_as_a_video_opens_no_address(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises((InputError, SourceError)):
        samples(open_source(str(path), sample_fps=5))


def test_a_worker_reads_a_file_once_and_loses_nothing(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=150)
    mailboxes = Mailboxes([], capacity=2)
    settings = CameraSettings(name="gate", source=str(path), sample_fps=25)
    worker = CameraWorker(settings, mailboxes)
    frames = read_all(worker, mailboxes)
    assert [number_in(frame.image) for frame in frames] == list(range(150))
    assert [frame.sequence for frame in frames] == list(range(150))
    status = worker.status()
    assert (status.state, status.stop_reason) == (CameraState.STOPPED, StopReason.END)
    assert (status.decoded, status.sampled, sum(status.dropped.values())) == (150, 150, 0)


def test_a_worker_says_once_that_a_file_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("this is no video")
    mailboxes = Mailboxes([])
    worker = CameraWorker(CameraSettings(name="gate", source=str(path)), mailboxes)
    assert read_all(worker, mailboxes) == []
    status = worker.status()
    assert status.stop_reason is StopReason.ERROR
    assert status.last_error is not None
    assert str(path) in status.last_error


def test_a_paced_loop_keeps_its_time_and_drops_for_a_slow_reader(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=10)
    mailboxes = Mailboxes([], capacity=3, staleness_s=1e9)
    settings = CameraSettings(name="gate", source=str(path), sample_fps=25)
    worker = CameraWorker(settings, mailboxes, pace=True, loop=True)
    started = time.monotonic()
    worker.start()
    try:
        wait_until(lambda: worker.status().decoded >= 30)
        assert time.monotonic() - started >= 28 / 25 - 0.02  # the 30th is decoded, not yet due
    finally:
        worker.stop()
    assert worker.join(PATIENCE_S)
    frames = mailboxes.take(100, 0)
    assert len(frames) == 3
    assert frames[-1].media_s >= 28 / 25 - 0.001
    status = worker.status()
    assert status.dropped["mailbox"] == status.sampled - 3 - status.dropped["shutdown"]
    assert all(frame.live for frame in frames)


@pytest.mark.parametrize("pace", [False, True])
def test_a_file_stops_at_once(tmp_path: Path, pace: bool) -> None:
    # unpaced it waits for room in its mailbox, paced for the time of its next frame
    path = make_clip(tmp_path / "a.mkv", times_s=[0, 0.04, 60.0])
    mailboxes = Mailboxes([], capacity=1)
    settings = CameraSettings(name="gate", source=str(path), sample_fps=25)
    worker = CameraWorker(settings, mailboxes, pace=pace)
    worker.start()
    wait_until(lambda: mailboxes.depth() > 0)
    time.sleep(0.2)
    started = time.monotonic()
    worker.stop()
    assert worker.join(PATIENCE_S)
    assert time.monotonic() - started < 30
    assert worker.status().stop_reason is StopReason.REQUESTED


def test_threads_are_gone_after_the_end(tmp_path: Path) -> None:
    settings = CameraSettings(name="brief", source=str(make_clip(tmp_path / "a.mp4", frames=25)))
    for _ in range(3):
        mailboxes = Mailboxes([])
        read_all(CameraWorker(settings, mailboxes), mailboxes)
    assert not [one for one in threading.enumerate() if one.name.startswith("camera-brief")]
