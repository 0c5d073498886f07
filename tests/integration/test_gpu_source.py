"""Videos decoded for a GPU: the same frames as on the CPU, as tensors, through to the evidence.

Skipped where there is no torch. On CPU tensors, and with NVDEC where there is an NVIDIA GPU.
"""

from __future__ import annotations

import struct
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from structlog.testing import capture_logs

from pipeline.clock import SystemClock
from pipeline.config import CameraSettings, PassageSettings
from pipeline.evidence import EvidenceStore
from pipeline.health import Health
from pipeline.passage import PassageBuilder
from pipeline.source import EndOfMedia, Sample, open_source
from pipeline.types import Frame, Recognition
from tests.support.clips import make_clip, number_in

torch = pytest.importorskip("torch", reason="torch missing: pip install 'torch>=2.7'")

from detectors.device.pictures import DevicePicture  # noqa: E402
from detectors.device.sampling import BT601, BT709, Colours  # noqa: E402
from pipeline.gpu_source import GpuDecoder, colours_of, nvdec_problem  # noqa: E402

CLIP = Path(__file__).parents[2] / "pipeline" / "demo_assets" / "demo.mp4"


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def decoder(request) -> GpuDecoder:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU that torch can use")
    return GpuDecoder(request.param)


def samples(path: Path, decoder: GpuDecoder | None, fps: float = 25.0) -> list[Sample]:
    source = open_source(str(path), sample_fps=fps, decoder=decoder)
    found = []
    try:
        while True:
            sample = source.read()
            if sample is not None:
                found.append(sample)
    except EndOfMedia:
        assert not source.broken
        return found
    finally:
        source.close()


@pytest.mark.parametrize("b_frames", [0, 2])
def test_every_frame_comes_once_and_in_order(tmp_path, decoder, b_frames) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=60, b_frames=b_frames)
    found = samples(clip, decoder)
    assert [number_in(sample.image) for sample in found] == list(range(60))
    assert [sample.media_s for sample in found] == [s.media_s for s in samples(clip, None)]
    assert all(isinstance(sample.image, DevicePicture) for sample in found)


def test_pictures_are_those_of_the_cpu(tmp_path, decoder) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=12)
    for mine, theirs in zip(samples(clip, decoder), samples(clip, None), strict=True):
        assert mine.image.shape == theirs.image.shape
        difference = np.abs(mine.image[:, :].astype(int) - theirs.image)
        assert difference.mean() < 2
        assert np.quantile(difference, 0.99) <= 5


def test_a_picture_outlives_its_source(tmp_path, decoder) -> None:
    first, *others = samples(make_clip(tmp_path / "clip.mp4", frames=80), decoder)
    assert number_in(first.image) == 0  # the decoder's own memory was written to many times since
    del others


@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, -1)])
def test_a_turned_video_is_turned_upright(tmp_path, decoder, matrix) -> None:
    path = make_clip(tmp_path / "turned.mp4", frames=2)
    content = bytearray(path.read_bytes())
    track = content.index(b"tkhd")
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    place = content.index(upright, track)
    a, b, c, d = (value << 16 for value in matrix)
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    mine, theirs = samples(path, decoder)[0].image, samples(path, None)[0].image
    assert mine.shape == theirs.shape
    assert np.abs(mine[:, :].astype(int) - theirs).mean() < 2


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p", "yuv444p", "gray", "yuv420p10le"])
def test_other_layouts_are_converted(decoder, layout) -> None:
    shown = np.full((98, 130, 3), (60, 120, 200), np.uint8)
    frame = av.VideoFrame.from_ndarray(shown, format="bgr24").reformat(format=layout)
    wanted = frame.reformat(format="bgr24").to_ndarray()
    picture = decoder.picture(frame)
    assert np.abs(picture[:, :].astype(int) - wanted).max() <= 5


def test_an_odd_row_and_column_are_left_out(decoder) -> None:
    shown = np.full((99, 131, 3), 100, np.uint8)
    frame = av.VideoFrame.from_ndarray(shown, format="bgr24").reformat(format="yuv420p")
    assert decoder.picture(frame).shape == (98, 130, 3)


def test_colours_are_those_that_the_stream_names() -> None:
    frame = av.VideoFrame(64, 64, "yuv420p")
    assert colours_of(frame) == BT601
    frame.colorspace = 1
    assert colours_of(frame) == BT709
    frame.color_range = 2
    assert colours_of(frame) == Colours(BT709.red, BT709.blue, full_range=True)


def test_without_nvdec_it_is_said_what_to_do() -> None:
    problem = nvdec_problem(0)
    if problem is None:
        pytest.skip("NVDEC works here")
    assert "NVDEC cannot be opened" in problem
    assert "libnvcuvid" in problem


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU that torch can use")
def test_a_gpu_decodes_or_says_why_not() -> None:
    with capture_logs() as logs:
        decoder = GpuDecoder("cuda:0")
    (sample, *_) = samples(CLIP, decoder, fps=0.1)
    assert sample.image.luma.device.type == "cuda"
    if not decoder.nvdec:
        assert [line["event"] for line in logs] == [
            "frames are decoded on the CPU and sent to the GPU"
        ]
        pytest.skip(logs[0]["reason"])


def test_vehicles_pass_with_their_evidence(tmp_path, decoder, request) -> None:
    pytest.importorskip("ultralytics", reason="ultralytics missing")
    from detectors.device.recogniser import load_device_recogniser

    recogniser = load_device_recogniser("cuda" if decoder.nvdec else "cpu")
    source = open_source(str(CLIP), sample_fps=2.5, decoder=decoder)
    store = EvidenceStore(tmp_path, Health(), blur_occupants=False)
    camera = CameraSettings(name="gate", source=str(CLIP), sample_fps=2.5)
    builder = PassageBuilder(camera, PassageSettings(), store, SystemClock())
    passages, started = {}, datetime(2026, 3, 1, tzinfo=UTC)
    while source.position_s < 2.9:
        sample = source.read()
        if sample is None:
            continue
        at_s = sample.media_s
        at = started + timedelta(seconds=at_s)
        frame = Frame("gate", round(at_s * 25), at, at_s, at_s, sample.image)
        ((plates, vehicles),) = recogniser.recognise([frame.image])
        passages |= {p.id: p for p in builder.update(Recognition(frame, plates, vehicles))}
    passages |= {p.id: p for p in builder.close()}
    source.close()
    assert Counter(p.plate for p in passages.values() if p.plate) >= Counter(["辽A6K582"])
    for passage in passages.values():
        assert passage.evidence is not None
        cut = cv2.imdecode(np.frombuffer(passage.evidence.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert min(cut.shape[:2]) > 40
        assert cut.std() > 10
