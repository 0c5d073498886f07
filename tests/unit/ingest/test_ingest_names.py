from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.source import display_name, is_live, local_path


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://op:s3cret@cam/1", "rtsp://***@cam/1"),
        ("rtsp://op:s3c@ret@cam/1", "rtsp://***@cam/1"),
        ("rtsp://op:s3c/ret@cam/1", "rtsp://***@cam/1"),
        (
            "rtsp://cam/user=op&password=s3cret&channel=1",
            "rtsp://cam/user=op&password=***&channel=1",
        ),
        ("http://cam/video?token=s3cret", "http://cam/video?token=***"),
        ("rtsp://cam:8554/gate", "rtsp://cam:8554/gate"),
        ("clips/a@b.mp4", "clips/a@b.mp4"),
    ],
)
def test_shown_without_credentials(source: str, shown: str) -> None:
    assert display_name(source) == shown


def test_live_or_not() -> None:
    assert is_live("rtsp://cam/1")
    assert is_live("http://cam/1")
    assert not is_live("file:///clips/a.mp4")
    assert not is_live("clips/a.mp4")


def test_file_urls_and_home() -> None:
    assert local_path("file:///clips/%E8%BD%A6%20a.mp4") == Path("/clips/车 a.mp4")
    assert local_path("~/a.mp4") == Path.home() / "a.mp4"
    assert local_path("a.mp4") == Path("a.mp4")
