"""Real disks that are full or read-only, for a program in a mount namespace of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

_MOUNT = 'mount -t tmpfs -o size="$1"k none "$2" && shift 2 && exec "$@"'


def on_small_disk(
    folder: Path, kib: int, program: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run a Python program in which ``folder`` is a disk of its own, of so many KiB.

    Skips where the machine does not allow that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c", _MOUNT, "sh"]
    try:
        allowed = subprocess.run(
            [*inside, str(kib), str(folder), "true"], capture_output=True, check=False, timeout=20
        )
    except FileNotFoundError:
        pytest.skip("no unshare on this machine")
    if allowed.returncode:
        pytest.skip(f"no mount namespaces on this machine: {allowed.stderr.decode().strip()}")
    return subprocess.run(
        [*inside, str(kib), str(folder), sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@dataclass(frozen=True)
class SmallDisk:
    """A disk of its own at ``folder``, for programs that are started with ``inside`` before them
    and name it in full.

    ``seen``: where everybody else finds what lies on it.
    """

    inside: tuple[str, ...]
    seen: Path

    def fill(self) -> None:
        """Leave no block of it free."""
        with (self.seen / "ballast").open("ab", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass

    def free(self) -> None:
        """Take the ballast away."""
        (self.seen / "ballast").unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[SmallDisk]:
    """A disk of so many KiB, which outlives the programs that use it.

    Skips where the machine does not allow that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    new = ("unshare", "--map-root-user", "--mount", "sh", "-c", _MOUNT, "sh", str(kib), str(folder))
    try:
        holder = subprocess.Popen([*new, "sh", "-c", "echo held; exec sleep infinity"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    except FileNotFoundError:
        pytest.skip("no unshare on this machine")
    try:
        assert holder.stdout is not None
        if not holder.stdout.readline():
            assert holder.stderr is not None
            why = holder.stderr.read().decode().strip()
            pytest.skip(f"no mount namespaces on this machine: {why}")
        pid = str(holder.pid)
        inside = ("nsenter", "--preserve-credentials", "--user", "--mount", "--target", pid)
        yield SmallDisk(inside, Path(f"/proc/{pid}/root{folder}"))
    finally:
        holder.kill()
        holder.wait()
        for stream in (holder.stdout, holder.stderr):
            if stream is not None:
                stream.close()
