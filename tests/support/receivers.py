"""What sinks send to: a web server that does as it is told, and a real MQTT broker."""

from __future__ import annotations

import contextlib
import os
import shutil
import ssl
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.ports import free_port


@dataclass(frozen=True)
class Posted:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class WebReceiver:
    """Answers 204, or first what ``answers`` holds: a status, or None to hang up unanswered."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.posted: list[Posted] = []
        self.answers: deque[int | None] = deque()
        self.retry_after: str | None = None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.answers.popleft() if receiver.answers else 204
                if status is None:
                    self.close_connection = True
                    return
                if status < 300:
                    receiver.posted.append(Posted(self.path, dict(self.headers), body))
                self.send_response(status)
                if receiver.retry_after and status >= 400:
                    self.send_header("Retry-After", receiver.retry_after)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(90)


@contextlib.contextmanager
def web_receiver(context: ssl.SSLContext | None = None) -> Iterator[WebReceiver]:
    """A web server on a free port."""
    made = WebReceiver(context)
    try:
        yield made
    finally:
        made.close()


class Broker:
    """A mosquitto of our own."""

    def __init__(self, folder: Path, *lines: str) -> None:
        found = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        if not os.access(found, os.X_OK):
            why = "no mosquitto is installed: apt-get install mosquitto"
            pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
        self.port = free_port()
        self._path = found
        self._file = folder / "mosquitto.conf"
        user = ("user root",) if os.geteuid() == 0 else ()  # else it gives up its rights
        where = (*user, f"listener {self.port} 127.0.0.1", "persistence true",
                 f"persistence_location {folder}/")  # fmt: skip
        rights = () if lines else ("allow_anonymous true",)
        self._file.write_text("\n".join([*where, *rights, *lines, ""]))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._path, "-c", str(self._file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        import socket

        for _ in range(500):
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), timeout=1),
            ):
                return
            time.sleep(0.01)
        raise AssertionError("mosquitto does not answer")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(90)
            self._process = None


@contextlib.contextmanager
def broker(folder: Path, *lines: str) -> Iterator[Broker]:
    """A running broker; ``lines`` of its configuration replace anonymous access."""
    made = Broker(folder, *lines)
    made.start()
    try:
        yield made
    finally:
        made.stop()
