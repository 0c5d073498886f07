"""TCP ports for the servers of tests."""

from __future__ import annotations

import contextlib
import os
import random
import socket

_FIRST, _PAST = 20_000, 22_500
"""Below the ports that connections begin at, so that none of them takes one before its server; and
low enough for the bus of a Redis cluster, which takes the port 10,000 above."""

_chance = random.Random(os.getpid())


def free_port() -> int:
    """A TCP port of this machine that nobody listens on now, and no other test process is given."""
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        port = _chance.randrange(_FIRST + mine, _PAST, processes)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
