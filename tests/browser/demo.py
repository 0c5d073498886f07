"""What screenshots and checks show: a short story at one checkpoint, with the clip's vehicles."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from pipeline.camera import CameraState, CameraStatus
from pipeline.types import Hit, MatchKind, Passage, VehicleColour
from tests.browser.vehicles import VEHICLES, hit, picture

_LATER = ("wanted", "expired_inspection", "missing_person", "unpaid_accident")


def story(now: datetime) -> Sequence[Hit]:
    """Alerts of the last hour, the latest last."""

    def ago(seconds: float) -> datetime:
        return now - timedelta(seconds=seconds)

    earlier = [
        hit(
            20 + number,
            vehicle=VEHICLES[number],
            at=ago(3600 - 300 * number),
            priority=3 + number % 2,
            category=_LATER[number % 4],
            disposition="记录，下次年检时提醒" if number % 4 == 1 else "注意观察并上报位置",
            camera=("东向1", "东向2", "西向1")[number % 3],
        )
        for number in range(10)
    ]
    return [
        *earlier,
        hit(4, vehicle=VEHICLES[4], at=ago(300), late_s=7200, priority=3, list_age_s=4000.0),
        hit(5, vehicle=VEHICLES[9], at=ago(240), retracted=True, priority=2, category="wanted"),
        hit(
            2,
            vehicle=VEHICLES[8],
            at=ago(180),
            kind=MatchKind.PARTIAL,
            wanted="吉C7293?",
            priority=3,
            category="cloned_plate",
            disposition="注意观察，勿惊动",
        ),
        hit(
            3,
            vehicle=VEHICLES[3],
            at=ago(95),
            entry_colour=VehicleColour.RED,
            category="cloned_plate",
            camera="西向1",
        ),
        hit(
            1,
            vehicle=VEHICLES[1],
            at=ago(40),
            kind=MatchKind.POSSIBLE,
            wanted="辽A8K582",
            doubts={2: ("8", 0.31)},
            probability=0.31,
            reading="辽A8K582",
            priority=2,
            category="wanted",
            disposition="核对号牌，确认后拦停",
            camera="东向2",
        ),
        hit(0, vehicle=VEHICLES[0], at=ago(8)),
    ]


def _passage(number: int) -> Passage:
    return hit(number, at=datetime.now(UTC) - timedelta(seconds=9)).passage


def _camera(name: str, number: int, **changes: object) -> CameraStatus:
    made = {
        "camera": name,
        "source": f"rtsp://10.8.1.{20 + number}/stream1",
        "state": CameraState.STREAMING,
        "since": datetime.now(UTC) - timedelta(hours=5),
        "decoded": 450_000,
        "sampled": 90_000,
        "dropped": MappingProxyType({"mailbox": 3, "stale": 0}),
        "fps": 25.0,
        "latency_s": 0.18,
        "last_frame_age_s": 0.1,
        "last_passage": _passage(number),
    }
    return CameraStatus(**{**made, **changes})  # type: ignore[arg-type]


def cameras() -> Sequence[CameraStatus]:
    """Four cameras as they are now: one of them frozen, one connecting."""
    return (
        _camera("东向1", 0),
        _camera("东向2", 2, overlooked_s=75.0),
        _camera("西向1", 3, unchanged_s=42.0),
        _camera("西向2", 8, state=CameraState.CONNECTING, since=datetime.now(UTC), fps=0.0),
    )


def still(name: str) -> bytes | None:
    """A picture of the clip for each camera; none of one that has not connected yet."""
    places = {"东向1": 0, "东向2": 2, "西向1": 3}
    return picture(VEHICLES[places[name]])[0] if name in places else None
