"""Key frames alone while a lane is empty: what ends that is seen whole, and bit by bit right."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.attention import LIGHT, STILL, Attention
from pipeline.config import SavingSettings
from pipeline.keyframes import LOOK_BACK_S
from pipeline.media import EndOfMedia, Sample
from pipeline.source import open_source
from pipeline.types import ImageBgr

FPS, SAMPLED = 25, 5.0
WIDTH, HEIGHT = 320, 192
ALL = SavingSettings(motion_gate=False)
SPARE = SavingSettings(key_frames=True, light_decoding=False)
STREAMS = {
    "h264, a key frame a second": ("libx264", 25, "bframes=0"),
    "h264, one every two seconds": ("libx264", 50, "bframes=0"),
    "h264, B-frames": ("libx264", 50, "bframes=2:b-adapt=0"),
    "h264, B-frames across key frames": ("libx264", 25, "bframes=2:b-adapt=0:open-gop=1"),
    "h265, one every two seconds": ("libx265", 50, "bframes=0"),
    "h265, B-frames across key frames": ("libx265", 25, "bframes=3:open-gop=1"),
}


def clip(path: Path, codec: str, gop: int, options: str, seen: tuple[float, float]) -> Path:
    """A still road of 14 s on which something large drives by between two times."""
    road = np.random.default_rng(1).integers(60, 160, (HEIGHT, WIDTH, 1), np.uint8)
    name = "x264-params" if codec == "libx264" else "x265-params"
    more = ":scenecut=0" if codec == "libx264" else ":scenecut=0:log-level=none:pools=1"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options={name: options + more})
        stream.pix_fmt, stream.gop_size = "yuv420p", gop
        stream.width, stream.height, stream.bit_rate = WIDTH, HEIGHT, 800_000
        for number in range(14 * FPS):
            image = np.repeat(road, 3, axis=2)
            if seen[0] <= (at_s := number / FPS) < seen[1]:
                left = round((at_s - seen[0]) / (seen[1] - seen[0]) * (WIDTH - 90))
                image[60:150, left : left + 90] = 230
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    return path


def samples(path: Path, savings: SavingSettings) -> tuple[dict[float, ImageBgr], Attention, int]:
    """What a source gives, by media time; its attention; frames it decoded."""
    attention = Attention(savings, close_after_s=1.2)
    source = open_source(str(path), sample_fps=SAMPLED, attention=attention)
    found: list[Sample] = []
    try:
        while True:
            if (sample := source.read()) is not None:
                found.append(sample)
    except EndOfMedia:
        pass
    finally:
        source.close()
    assert all(one.media_s < next_one.media_s for one, next_one in pairwise(found))
    return {round(one.media_s, 2): one.image for one in found}, attention, source.decoded


@pytest.mark.parametrize("kind", STREAMS)
def test_what_ends_the_empty_lane_is_seen_whole(tmp_path: Path, kind: str) -> None:
    codec, gop, options = STREAMS[kind]
    seen = (9.3, 9.3 + gop / FPS + 0.4)  # in view for as long as key frames are apart, and a moment
    path = clip(tmp_path / "clip.mp4", codec, gop, options, seen)
    whole, _, frames = samples(path, ALL)
    spared, attention, decoded = samples(path, SPARE)
    skipped = attention.skipped
    assert frames == 14 * FPS
    assert decoded + skipped[LIGHT] == pytest.approx(frames, abs=4)
    assert skipped[LIGHT] > 3 * FPS, "an empty lane is not decoded"
    assert skipped[STILL] > 0
    for at_s, image in spared.items():
        assert np.array_equal(image, whole[at_s]), f"another picture at {at_s} s"
    key_s = next(at for at in np.arange(0, 14, gop / FPS) if at >= seen[0])
    for at_s in (at for at in whole if max(seen[0], key_s - LOOK_BACK_S + 0.1) <= at < seen[1]):
        assert at_s in spared, f"not seen at {at_s} s"


def test_what_is_in_view_at_no_key_frame_is_not_seen(tmp_path: Path) -> None:
    """Why it is off unless asked for."""
    path = clip(tmp_path / "clip.mp4", "libx264", 50, "bframes=0", (8.3, 9.7))
    spared, _, _ = samples(path, SPARE)
    assert not [at for at in spared if 8.3 <= at < 9.7 and at % 2 > 0.1]
    assert [at for at in samples(path, SavingSettings())[0] if 8.3 <= at < 9.7]


def test_rare_key_frames_are_not_waited_for(tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mp4", "libx264", 100, "bframes=0", (9.3, 11.0))
    spared, attention, decoded = samples(path, SPARE)
    assert (attention.skipped[LIGHT], decoded) == (0, 14 * FPS)
    assert spared


def test_nothing_is_spared_without_the_switch(tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mp4", "libx264", 25, "bframes=0", (9.3, 10.5))
    _, attention, _ = samples(path, SavingSettings(light_decoding=False))
    assert attention.skipped[LIGHT] == 0
    _, attention, _ = samples(path, SavingSettings(key_frames=True, motion_gate=False))
    assert attention.skipped[LIGHT] == 0
