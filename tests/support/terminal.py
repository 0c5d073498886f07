"""A program on a pseudo-terminal, and what stands on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pyte

from tests.support.waiting import PATIENCE_S


class Terminal:
    """``columns`` by ``rows`` characters, on which one program runs."""

    def __init__(self, command: Sequence[str], *, columns: int = 130, rows: int = 40) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        # Some who run tests name a size there, which counts for more than the terminal's own.
        size = ("COLUMNS", "LINES")
        inherited = {name: value for name, value in os.environ.items() if name not in size}
        self._process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**inherited, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(90)
        self._reader.join(90)
        os.close(self._ours)

    def lines(self) -> list[str]:
        """The screen's lines, from above, without what is blank at their ends."""
        with self._lock:
            return [line.rstrip() for line in self._screen.display]

    def text(self) -> str:
        return "\n".join(self.lines())

    def cell(self, row: int, column: int) -> Any:
        """One character with its colours (``fg``, ``bg``)."""
        with self._lock:
            return self._screen.buffer[row][column]

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Wait until the screen shows something; fails with the screen where it does not."""
        until_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < until_s, f"the screen does not show it:\n{self.text()}"
            time.sleep(0.05)

    def interrupt(self, timeout_s: float = PATIENCE_S) -> int:
        """Ctrl-C; the exit status."""
        self._process.send_signal(signal.SIGINT)
        status = self._process.wait(timeout_s)
        self._reader.join(90)
        return status

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._ours, 65_536)
            except OSError:  # the program has closed its side
                return
            if not piece:
                return
            with self._lock:
                self._stream.feed(piece)
