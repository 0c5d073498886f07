"""Child processes for the fault tests, to be killed: a service, or a publisher.

usage: alerts_child.py service REDIS_SOCKET PORT
       alerts_child.py put OUTBOX COUNT
       alerts_child.py publish OUTBOX TARGET
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import structlog

from pipeline.alerts.publisher import Publisher
from pipeline.alerts.service import AlertService
from pipeline.config import AlertSettings, WatchlistSettings
from pipeline.convert import publish_request
from pipeline.outbox import Outbox
from tests.integration.alerts_support import make_hit
from watchlist.connection import connect


def main(what: str, first: str, second: str) -> None:
    """Do ``what`` until killed; say on stdout how far it is."""
    if what == "service":
        client = connect(WatchlistSettings(redis_url=first))
        service = AlertService(AlertSettings(listen=f"127.0.0.1:{second}"), client)
        print(service.start(), flush=True)
    elif what == "put":
        outbox = Outbox(Path(first))
        for number in range(int(second)):
            outbox.put(*publish_request(make_hit(number)))
            print(number, flush=True)
    else:
        Publisher(Outbox(Path(first)), second, backoff_max_s=0.3).start()
        print("started", flush=True)
    while True:
        time.sleep(1)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    main(*sys.argv[1:])
