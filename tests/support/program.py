"""The ``checkpoint`` program as a child process, as its users run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.waiting import PATIENCE_S

Event = dict[str, Any]


def checkpoint(*arguments: str, cwd: Path, timeout_s: float = 240) -> subprocess.CompletedProcess:
    """Run to the end; stdout and stderr as text."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def events(text: str) -> list[Event]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


class Program:
    """A ``checkpoint`` that goes on running; its JSON events are collected as they come."""

    def __init__(self, *arguments: str, cwd: Path) -> None:
        self.events: list[Event] = []
        self._errors: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", *arguments],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._readers = [
            threading.Thread(target=self._read_events, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join(90)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return "".join(self._errors)

    def passages(self) -> list[Event]:
        return [event for event in list(self.events) if event["event"] == "passage"]

    def hits(self) -> list[Event]:
        return [event for event in list(self.events) if event["event"] == "hit"]

    def wait_until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> float:
        """Seconds until ``condition`` held; fails with the log where it did not in time."""
        started_s = time.monotonic()
        while not condition():
            waited_s = time.monotonic() - started_s
            assert waited_s < timeout_s, f"{what}: not within {timeout_s} s\n{self.log[-3000:]}"
            assert self._process.poll() is None, f"{what}: the program ended\n{self.log[-3000:]}"
            time.sleep(0.05)
        return time.monotonic() - started_s

    def interrupt(self, timeout_s: float = PATIENCE_S) -> tuple[int, float]:
        """Ctrl-C; the exit status, and the seconds until the program had ended."""
        started_s = time.monotonic()
        self._process.send_signal(signal.SIGINT)
        status = self._process.wait(timeout_s)
        took_s = time.monotonic() - started_s
        for reader in self._readers:
            reader.join(90)
        return status, took_s

    def wait(self, timeout_s: float) -> int:
        return self._process.wait(timeout_s)

    def _read_events(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self.events.append(json.loads(line))

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        self._errors.extend(self._process.stderr)
