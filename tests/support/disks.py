"""Real disks that are full or read-only, for a program in a mount namespace of its own."""

from __future__ import annotations

import subprocess
import sys
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
