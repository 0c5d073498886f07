"""Whatever drives past in separate lanes, each vehicle is one passage with its own plate."""

import tempfile
from itertools import count
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.clock import ManualClock
from pipeline.config import CameraSettings, PassageSettings
from pipeline.evidence import EvidenceStore
from pipeline.health import Health
from pipeline.passage import PassageBuilder
from pipeline.tracking import intersection_over_union
from tests.support import scenes

LANES = (60.0, 270.0, 480.0)
serials = st.integers(0, 99999).map(lambda number: f"{number:05d}")


@st.composite
def traffic(draw: st.DrawFn) -> list[tuple[str, float, float]]:
    """(plate, start in seconds, lane's x): vehicles of one lane at least 0.6 s apart."""
    drives = []
    plates: set[str] = set()
    for lane, x in enumerate(LANES):
        at_s = draw(st.integers(0, 8)) / 5
        for _ in range(draw(st.integers(0, 4))):
            plate = f"辽{'ABCDEF'[lane]}" + draw(serials)
            far_from_all = all(
                sum(a != b for a, b in zip(plate, p, strict=True)) > 3 for p in plates
            )
            if far_from_all:
                plates.add(plate)
                drives.append((plate, at_s, x))
            at_s += 1.0 + draw(st.integers(3, 20)) / 5
    return drives


@settings(deadline=None, max_examples=60)
@given(traffic(), st.booleans())
def test_one_passage_for_each_vehicle(drives, with_vehicles: bool) -> None:
    streams = [
        scenes.drive_past(plate, at_s, x=x, with_vehicle=with_vehicles) for plate, at_s, x in drives
    ]
    numbers = count()
    with tempfile.TemporaryDirectory() as folder:
        builder = PassageBuilder(
            CameraSettings(name="gate", source="x.mp4"),
            PassageSettings(),
            EvidenceStore(Path(folder), Health()),
            ManualClock(),
            new_id=lambda: str(next(numbers)),
        )
        passages = [p for one in scenes.merge(*streams) for p in builder.update(one)]
        passages += builder.close()
    said = {(p.id, p.revision): p for p in passages}
    assert sorted(p.plate or "" for p in said.values()) == sorted(plate for plate, _, _ in drives)
    for passage in (p for p in passages if p.closed):
        start_s = next(at_s for plate, at_s, _ in drives if plate == passage.plate)
        assert abs(passage.start_s - start_s) < 1e-6
        assert passage.reads == 5


boxes = st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(1, 100), st.floats(1, 100)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(boxes, boxes)
def test_overlap_is_symmetric_and_bounded(one, other) -> None:
    overlap = intersection_over_union(one, other)
    assert 0.0 <= overlap <= 1.0 + 1e-9
    assert abs(overlap - intersection_over_union(other, one)) < 1e-9
    assert abs(intersection_over_union(one, one) - 1.0) < 1e-9
