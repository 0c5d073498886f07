"""Our own token, and an environment without it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pipeline.config.whole import CheckpointSettings
from pipeline.errors import AccessError

TOKEN_VARIABLE = "CHECKPOINT_TOKEN"  # noqa: S105 (its name, not a token)


def given_token(settings: CheckpointSettings, file: Path | None = None) -> str | None:
    """Our own token: from ``file``, else $CHECKPOINT_TOKEN, else ``access.token_file``.

    Raises:
        AccessError: a file cannot be read, is empty, or may be read by others.
    """
    if file is None:
        found = os.environ.get(TOKEN_VARIABLE, "").strip()
        if found or settings.access.token_file is None:
            return found or None
        file = settings.access.token_file
    try:
        with file.open(encoding="ascii") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if not stat.S_ISREG(mode) or mode & 0o077:
                raise AccessError(f"{file}: others may read this token; chmod 600 {file}")
            text = opened.read(4096).strip()
    except OSError as error:
        raise AccessError(f"{file}: the token cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise AccessError(f"{file}: holds no token; write there what 'checkpoint access add' said")
    return text


def child_environment() -> dict[str, str]:
    """This process's environment for another program: without the token, which is ours alone."""
    return {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
