"""What counts as a camera's fault, and how fast it is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.camera import CameraState, CameraStatus, FrameRate, StopReason, fault

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def camera(state: CameraState, since_s: float = 60.0, **what: object) -> CameraStatus:
    return CameraStatus("lane-1", "rtsp://gate", state, NOW - timedelta(seconds=since_s), **what)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (camera(CameraState.STREAMING), None),
        (camera(CameraState.STREAMING, unchanged_s=5.0), None),
        (camera(CameraState.STREAMING, unchanged_s=7.0), "the very same picture for 7 s"),
        (camera(CameraState.STALLED), "stalled"),
        (camera(CameraState.BACKING_OFF, last_error="rtsp://gate: refused"), "refused"),
        (camera(CameraState.CONNECTING, 3.0), None),
        (camera(CameraState.CONNECTING, 9.0), "connecting"),
        (camera(CameraState.CONNECTING, 3.0, last_error="rtsp://gate: lost"), "lost"),
        (camera(CameraState.STOPPED, stop_reason=StopReason.END), None),
        (camera(CameraState.STOPPED, stop_reason=StopReason.REQUESTED, last_error="old"), None),
        (camera(CameraState.STOPPED, stop_reason=StopReason.ERROR, last_error="broken"), "broken"),
    ],
)
def test_faults(status: CameraStatus, said: str | None) -> None:
    found = fault(status, NOW)
    assert (found is None) == (said is None)
    assert said is None or said in (found or "")


@given(st.integers(1, 60))
def test_the_rate_is_that_of_the_frames(fps: int) -> None:
    rate = FrameRate()
    assert rate.of(0.0) == 0.0
    for number in range(10 * fps + 1):
        rate.count(1, number / fps)
    assert rate.of(10.0) == pytest.approx(fps, rel=0.1, abs=0.6)
    assert rate.of(15.0) < fps
    assert rate.of(300.0) < 1.0
