"""The real RTSP server for tests, and the rule for machines without it."""

from __future__ import annotations

import os
from functools import cache

import pytest

from pipeline.rtsp_server import PACKAGES, RtspServer, available

__all__ = ["PACKAGES", "RtspServer", "available", "require_rtsp"]

_available = cache(available)


def require_rtsp() -> None:
    """Skip the test where no RTSP server is installed; in CI its absence is a failure."""
    if _available():
        return
    message = f"no RTSP server; apt-get install {' '.join(PACKAGES)}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
