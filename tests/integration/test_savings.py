"""Every saving on real clips: no passage is lost, whatever a closed gate might have missed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from benchmarks.savings import NONE, ROWS, Row, replay
from detectors.recogniser import Recogniser, load_recogniser
from pipeline.attention import Attention
from pipeline.commands.demo import CLIP
from pipeline.config import SavingSettings
from pipeline.media import EndOfMedia
from pipeline.source import open_source
from tests.support import roads

pytestmark = pytest.mark.slow

# Three vehicles of the demo: a saloon, a taxi and an electric one, the last of them until it is out
PLATES = ("辽A6K582", "辽AD61375", "辽BT4827")
SHOWN_S = 7.0


def read_in(row: Row) -> Counter[str]:
    """The plates of its passages, without those on which nothing could be read."""
    return Counter(plate for plate in row.plates if plate)


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return load_recogniser()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Clips by name, each made when it is first asked for."""
    folder = tmp_path_factory.mktemp("clips")
    frames = {
        "quiet": lambda: chain(roads.road(5), roads.demo(0, SHOWN_S), roads.road(4)),
        "slow": lambda: chain(roads.road(3), roads.slowly(roads.demo(0, 3.0), 4), roads.road(2)),
        "night": lambda: roads.at_night(
            chain(roads.road(5), roads.demo(0, SHOWN_S), roads.road(3)), 0.22
        ),
        "switch": lambda: chain(
            roads.mirrored(roads.road(5)), roads.demo(1.2, SHOWN_S), roads.road(2)
        ),
    }
    frames["layers"] = frames["quiet"]
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            path = folder / f"{name}.mp4"
            made[name] = roads.write(path, frames[name](), layers=name == "layers")
        return made[name]

    return make


@pytest.fixture(scope="module")
def whole(recogniser: Recogniser, clips: Callable[[str], Path]) -> Callable[[str], Row]:
    """What a clip gives without any saving."""
    rows: dict[str, Row] = {}

    def of(name: str) -> Row:
        if name not in rows:
            rows[name] = replay(clips(name), recogniser, "none", NONE)
        return rows[name]

    return of


# these clips need no deblocking: that switch has a test of its own
@pytest.mark.parametrize("switch", [one for one in ROWS if one not in ("none", "skip_deblocking")])
@pytest.mark.parametrize("clip", ["quiet", "layers"])
def test_every_passage_survives_every_switch(
    recogniser: Recogniser,
    clips: Callable[[str], Path],
    whole: Callable[[str], Row],
    clip: str,
    switch: str,
) -> None:
    expected = whole(clip)
    row = replay(clips(clip), recogniser, switch, ROWS[switch])
    assert set(PLATES) <= set(expected.plates)
    assert read_in(row) == read_in(expected)
    sampled = row.looked_at + row.skipped["still"] + row.skipped["known"]
    # decoded after all, but for too old ones, which are not sampled
    assert sampled == expected.looked_at or row.skipped["light"] or switch == "key_frames"
    assert row.decoded + row.skipped["light"] == pytest.approx(expected.decoded, abs=3)


@pytest.mark.parametrize("clip", ["slow", "night", "switch"])
def test_what_a_closed_gate_might_miss(
    recogniser: Recogniser, clips: Callable[[str], Path], whole: Callable[[str], Row], clip: str
) -> None:
    expected = whole(clip)
    row = replay(clips(clip), recogniser, "all", SavingSettings())
    # of the vehicle that comes when the clip is cut off, half a second may be too little
    passed = {plate: count for plate, count in read_in(expected).items() if plate in PLATES}
    assert passed
    assert {plate: read_in(row)[plate] for plate in passed} == passed
    assert set(read_in(row)) <= set(read_in(expected))


def test_a_still_road_costs_a_look_a_second(
    recogniser: Recogniser, clips: Callable[[str], Path], whole: Callable[[str], Row]
) -> None:
    row = replay(clips("quiet"), recogniser, "motion_gate", ROWS["motion_gate"])
    assert whole("quiet").looked_at - row.looked_at >= 0.5 * 9 * 5  # of nine empty seconds


def test_frames_that_no_other_refers_to_are_left_undecoded(
    recogniser: Recogniser, clips: Callable[[str], Path]
) -> None:
    row = replay(clips("layers"), recogniser, "light_decoding", ROWS["light_decoding"])
    assert row.skipped["light"] >= 25
    without = replay(clips("quiet"), recogniser, "light_decoding", ROWS["light_decoding"])
    assert without.skipped["light"] == 0  # every frame is referred to


def test_without_deblocking_pictures_are_a_little_coarser() -> None:
    def pictures(savings: SavingSettings) -> list[np.ndarray]:
        source = open_source(str(CLIP), sample_fps=0.5, attention=Attention(savings, 1.2))
        found = []
        with closing(source), suppress(EndOfMedia):
            while True:
                if (sample := source.read()) is not None:
                    found.append(sample.image.astype(np.int16))
        return found

    whole, coarser = pictures(NONE), pictures(ROWS["skip_deblocking"])
    assert len(whole) == len(coarser)
    off = [float(np.abs(one - other).mean()) for one, other in zip(whole, coarser, strict=True)]
    assert 0.05 < max(off) < 5.0  # grey levels


def test_without_deblocking_the_same_is_read(recogniser: Recogniser) -> None:
    row = replay(CLIP, recogniser, "skip_deblocking", ROWS["skip_deblocking"])
    assert read_in(row) == read_in(replay(CLIP, recogniser, "none", NONE))


def test_a_settled_plate_is_read_less_often(
    recogniser: Recogniser, clips: Callable[[str], Path], whole: Callable[[str], Row]
) -> None:
    row = replay(clips("quiet"), recogniser, "skip_settled", ROWS["skip_settled"])
    expected = whole("quiet")
    assert row.known > 0
    assert row.read + row.known == expected.read
    assert replace(row, cpu_s={}).looked_at == expected.looked_at


def test_known_vehicles_are_looked_at_less_often(
    recogniser: Recogniser, clips: Callable[[str], Path], whole: Callable[[str], Row]
) -> None:
    row = replay(clips("quiet"), recogniser, "ease_known", ROWS["ease_known"])
    assert row.skipped["known"] > 0.1 * whole("quiet").looked_at
    assert row.looked_at + row.skipped["known"] == whole("quiet").looked_at
