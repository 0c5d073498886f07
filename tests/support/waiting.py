"""Waiting for what must come: long where the machine is slow, and never longer than it takes."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 90.0
"""How long a test waits for what must come, on a machine twenty times slower than ours too."""


def wait_until(
    condition: Callable[[], object], timeout_s: float = PATIENCE_S, what: str = "it"
) -> None:
    """Poll a callable until it is true; fails where it does not become so."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"waited {timeout_s:g} s in vain for {what}"
        time.sleep(0.01)
