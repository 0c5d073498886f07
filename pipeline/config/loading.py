"""Reading the configuration file: variables, mistakes and where they stand."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.config.whole import CheckpointSettings
from pipeline.errors import ConfigError, redact

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET_KEYS = {
    "password",
    "sentinel_password",
    "postgres_password",
    "token",
    "key",
    "secret",
    "url",
}


def load(path: Path) -> CheckpointSettings:
    """Read a configuration file.

    Raises:
        ConfigError: the file is missing, no TOML, or holds mistakes; the message has one
            line for each: file, line, key, value and what is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name a checkpoint.toml with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is no valid TOML: {error}") from error
    missing: list[str] = []
    document = _expand(document, missing)
    if missing:
        names = ", ".join(sorted(set(missing)))
        raise ConfigError(f"{path}: set these environment variables first: {names}")
    try:
        return CheckpointSettings.model_validate(document)
    except ValidationError as error:
        raise ConfigError("\n".join(_mistakes(path, text, error))) from None


def _expand(value: Any, missing: list[str]) -> Any:
    """Replace ``${NAME}`` in every string below ``value``."""
    if isinstance(value, dict):
        return {key: _expand(item, missing) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, missing) for item in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            missing.append(match[1])
        return found or ""

    return _VARIABLE.sub(replace, value)


def _mistakes(path: Path, text: str, error: ValidationError) -> list[str]:
    lines = []
    for mistake in error.errors():
        location = tuple(part for part in mistake["loc"])
        key = ".".join(str(part) for part in location) or "(file)"
        secret = any(str(part) in _SECRET_KEYS for part in location)
        value = "***" if secret else redact(repr(mistake["input"]))
        if mistake["type"] == "missing":
            value = "(not set)"
        if len(value) > 80:
            value = value[:77] + "..."
        message = mistake["msg"].removeprefix("Value error, ")
        lines.append(f"{path}:{line_of(text, location)}: {key} = {value}: {message}")
    return lines


def line_of(text: str, location: tuple[str | int, ...]) -> int:
    """Line (from 1) at which the TOML ``text`` sets the key at ``location``.

    Falls back to the nearest table above it: a missing key has no line of its own.
    """
    table: tuple[str | int, ...] = ()
    last: dict[tuple[str | int, ...], int] = {}  # of each array of tables: the index it is at
    best, depth = 1, 0
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line)
        if header:
            table = ()
            for name in header[2].split("."):
                if table in last:
                    table = (*table, last[table])
                table = (*table, name.strip().strip("\"'"))
            if header[1] == "[[":
                last[table] = last.get(table, -1) + 1
                table = (*table, last[table])
            here = table
        else:
            assignment = re.match(r"\s*([\w\"'.-]+)\s*=", line)
            if not assignment:
                continue
            here = (*table, *(part.strip("\"' ") for part in assignment[1].split(".")))
        if len(here) > depth and location[: len(here)] == here:
            best, depth = number, len(here)
    return best
