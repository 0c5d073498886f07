"""A node's pipeline under orders: the real one, with real weights and a real Redis; without Ray."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.camera import CameraState
from pipeline.cluster_records import Duty, NodeReport, Order, Orders
from pipeline.commands.demo import CLIP
from pipeline.config import (
    CameraSettings,
    CheckpointSettings,
    ClusterSettings,
    RecognitionSettings,
    WatchlistSettings,
)
from pipeline.errors import ConfigError
from pipeline.handover import Boundary
from pipeline.node import Node, node_settings, ordered_camera
from pipeline.types import Passage
from tests.support.redis_servers import bundled, running

pytestmark = [pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(500)]
TRUTH = json.loads(CLIP.with_suffix(".json").read_text(encoding="utf-8"))
PLATES = [passage["main_plate"] for passage in TRUTH["passages"]]


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[CheckpointSettings]:
    with running(bundled(), tmp_path) as (host, port):
        whole = CheckpointSettings(
            data_dir=tmp_path / "var",
            cameras=(camera("a"),),
            watchlist=WatchlistSettings(redis_url=f"redis://{host}:{port}/0"),
            recognition=RecognitionSettings(threads=1, mailbox_frames=8),
            cluster=ClusterSettings(silent_after_s=5.0, cut_off="stop", handover_wait_s=1.0),
        )
        yield node_settings(whole, "one", "127.0.0.1:1")  # no alert service: hits would wait


def camera(name: str) -> CameraSettings:
    return CameraSettings(name=name, source=str(CLIP))


def beat_until(
    node: Node, orders: Orders, condition: Callable[[NodeReport], object], what: str
) -> NodeReport:
    until_s = time.monotonic() + 180  # a shared machine may be slow
    while time.monotonic() < until_s:
        report = node.beat(orders)
        if condition(report):
            return report
        time.sleep(0.1)
    raise AssertionError(f"{what}: {report}")


def run(name: str, duty: Duty = Duty.RUN, after: Boundary | None = None) -> Orders:
    return Orders((Order(camera(name), duty, after),))


def told(report: NodeReport) -> list[str | None]:
    """Plates by passage, in order."""
    latest = {r.id: r.plate for _, r in report.events if isinstance(r, Passage)}
    return list(latest.values())


def test_a_file_is_read_to_its_end_and_what_was_told_is_told_until_it_is_received(
    settings: CheckpointSettings,
) -> None:
    node = Node(settings, "one", once=True)
    try:
        report = beat_until(
            node, run("a"), lambda r: r.cameras and r.cameras[0].ended, "the file's end"
        )
        assert sorted(told(report)) == sorted(PLATES)
        pictures = [r.evidence for _, r in report.events if isinstance(r, Passage)]
        assert all(one is not None and one.jpeg == b"" for one in pictures)
        assert report.tally.decoded == TRUTH["frames"]
        numbers = [number for number, _ in report.events]
        assert numbers == list(range(1, len(numbers) + 1))
        half = len(numbers) // 2
        rest = node.beat(Orders(run("a").cameras, received=half))
        assert [number for number, _ in rest.events] == numbers[half:]
        # the same file again, of which half is told
        middle = sorted(one["end_s"] for one in TRUTH["passages"])[len(PLATES) // 2]
        beat_until(node, Orders(received=numbers[-1]), lambda r: not r.cameras, "it is let go")
        again = beat_until(
            node,
            Orders(run("a", after=Boundary(media_s=middle)).cameras, numbers[-1]),
            lambda r: r.cameras and r.cameras[0].ended,
            "the file's end again",
        )
        later = {one["main_plate"] for one in TRUTH["passages"] if one["end_s"] > middle + 0.5}
        assert later <= set(told(again)) <= later | {PLATES[len(PLATES) // 2]}
        assert not again.problems.get("recognition")
    finally:
        final = node.stop()
    assert final.failure is None
    assert node.beat(Orders()).tally == final.tally  # it answers, and does nothing


def test_cameras_come_go_and_stand_by(settings: CheckpointSettings) -> None:
    node = Node(settings, "one")
    try:
        assert node.beat(Orders()).cameras == ()
        standby = beat_until(
            node,
            Orders((*run("a").cameras, *run("b", Duty.STANDBY).cameras)),
            lambda r: (
                {"a"} == {p.camera for _, p in r.events if isinstance(p, Passage)}
                and len(r.events) >= 3
            ),
            "passages of one camera",
        )
        assert {c.camera: c.duty for c in standby.cameras} == {"a": Duty.RUN, "b": Duty.STANDBY}
        assert all(c.status.state is CameraState.STREAMING for c in standby.cameras)
        both = beat_until(  # what was held back is told at once
            node,
            Orders((*run("a").cameras, *run("b").cameras)),
            lambda r: [p for _, p in r.events if isinstance(p, Passage) and p.camera == "b"],
            "passages of the other",
        )
        held = [p for _, p in both.events if isinstance(p, Passage) and p.camera == "b"]
        assert held[0].plate == PLATES[0]
        finished = beat_until(
            node,
            Orders((*run("a", Duty.FINISH).cameras, *run("b").cameras)),
            lambda r: r.cameras[0].boundary,
            "the camera is let go",
        )
        boundary = finished.cameras[0].boundary
        assert boundary is not None
        assert boundary.at is not None
        ends = [
            p.ended_at for _, p in finished.events if isinstance(p, Passage) and p.camera == "a"
        ]
        half_s = settings.passages.close_after_s / 2  # the border lies in the middle of the quiet
        assert max(ends) <= boundary.at + timedelta(seconds=half_s)
        gone = beat_until(node, run("b"), lambda r: len(r.cameras) == 1, "it is forgotten")
        assert gone.cameras[0].camera == "b"
        back = beat_until(
            node,
            Orders((*run("a").cameras, *run("b").cameras)),
            lambda r: (
                all(c.status.state is CameraState.STREAMING for c in r.cameras)
                and len(r.cameras) == 2
            ),
            "it is back",
        )
        assert back.tally.decoded >= finished.tally.decoded  # nothing uncounted when it went
        # nothing is heard of the leader for longer than it takes: others read its cameras by then
        time.sleep(5.5)
        cut_off = node.beat(run("b"))
        assert all(c.boundary is not None or c.duty is Duty.FINISH for c in cut_off.cameras)
        beat_until(
            node,
            run("b"),
            lambda r: r.cameras and r.cameras[0].status.state is CameraState.STREAMING,
            "it reads again when it is heard",
        )
    finally:
        assert node.stop().failure is None


def test_a_data_folder_has_one_pipeline(settings: CheckpointSettings) -> None:
    node = Node(settings, "one")
    try:
        with pytest.raises(ConfigError, match="--node-name"):
            Node(settings, "one")
    finally:
        node.stop()
    Node(settings, "one").stop()


def test_paths_hold_wherever_a_node_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole = CheckpointSettings.model_validate(
        {
            "data_dir": "var",
            "recognition": {"weights_dir": "weights"},
            "alerts": {"tls": {"certificate": "a.pem", "key": "a.key"}, "target": "far:1"},
        }
    )
    made = node_settings(whole, "node 1/a", "near:1")
    assert made.data_dir == tmp_path / "var" / "nodes" / "node-1-a"
    assert made.recognition.weights_dir == tmp_path / "weights"
    assert made.alerts.tls is not None
    assert made.alerts.tls.key == tmp_path / "a.key"
    assert made.alerts.target == "near:1"
    file = ordered_camera(CameraSettings(name="a", source="clips/a.mp4"))
    assert file.source == str(tmp_path / "clips" / "a.mp4")
    live = CameraSettings(name="a", source="rtsp://u:p@192.0.2.1/a")
    assert ordered_camera(live) is live
