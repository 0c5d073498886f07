"""Settings: one TOML file, frozen models that refuse unknown keys.

Secrets come from the environment: ``${NAME}`` in any string of the file is replaced by that
variable. Nothing outside this module reads the environment. A mistake is reported with file,
line, key and value.
"""

from __future__ import annotations

import os
import re
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipeline.errors import ConfigError, redact
from pipeline.types import Direction

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET_KEYS = {"password", "token", "key"}

Point = Annotated[tuple[float, float], Field(description="x, y as fractions of the picture")]


class Settings(BaseModel):
    """Base of all settings: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LaneSettings(Settings):
    """One lane of a camera, as a polygon in fractions of the picture's width and height."""

    name: str = Field(min_length=1)
    polygon: tuple[Point, ...] = Field(min_length=3)
    direction: Direction | None = None


class CameraSettings(Settings):
    """One camera: an RTSP URL, a video file or a folder of pictures."""

    name: str = Field(min_length=1, pattern=r"^[^\s/]+$")
    source: str = Field(min_length=1, repr=False)
    sample_fps: float = Field(default=5.0, gt=0, le=60)
    lanes: tuple[LaneSettings, ...] = ()
    direction: Direction | None = None
    connect_timeout_s: float = Field(default=5.0, gt=0)
    stall_timeout_s: float = Field(default=4.0, gt=0)
    frozen_timeout_s: float = Field(default=20.0, gt=0)
    backoff_initial_s: float = Field(default=0.5, gt=0)
    backoff_max_s: float = Field(default=3.0, gt=0)


class RecognitionSettings(Settings):
    """How frames are batched and recognised."""

    threads: int = Field(default=0, ge=0, description="0: as many as there are cores")
    batch_size: int = Field(default=8, ge=1, le=256)
    batch_deadline_s: float = Field(default=0.03, ge=0)
    mailbox_frames: int = Field(default=4, ge=1)
    staleness_s: float = Field(default=2.0, gt=0)
    weights_dir: Path | None = Field(default=None, description="None: the shipped weights")
    scene_weights: Path | None = Field(default=None, description="a .pt of ultralytics' to detect")


class PassageSettings(Settings):
    """When a passage is settled, closed and taken up again.

    A reading is settled when ``settled_reads`` reads agree on it and the vote gives it
    ``settled_probability``; under ``readable_probability`` a passage's plate counts as unread.
    A vehicle whose reading is not that sure is a passage after ``unread_sightings`` frames. One
    unseen for ``close_after_s`` has left; the same plate back within ``reopen_within_s`` is the
    same passage.
    """

    settled_probability: float = Field(default=0.9, gt=0, le=1)
    settled_reads: int = Field(default=2, ge=1)
    readable_probability: float = Field(default=0.5, gt=0, le=1)
    unread_sightings: int = Field(default=3, ge=1)
    close_after_s: float = Field(default=1.2, gt=0)
    reopen_within_s: float = Field(default=8.0, ge=0)


class WatchlistSettings(Settings):
    """Where the watchlist lives; no URL means an embedded Redis in the data folder."""

    redis_url: str | None = Field(default=None, repr=False)
    key_prefix: str = Field(default="checkpoint", min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    timeout_s: float = Field(default=2.0, gt=0)


class TlsSettings(Settings):
    """PEM files for TLS; with ``client_ca`` every client must show a certificate.

    A process that publishes to ``alerts.target`` shows this certificate there as its own.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


class AlertSettings(Settings):
    """The alert service: where it listens, and where this checkpoint publishes to."""

    listen: str = Field(default="127.0.0.1:50051", pattern=r"^.+:\d{1,5}$")
    target: str | None = Field(default=None, pattern=r"^.+:\d{1,5}$")
    tls: TlsSettings | None = None
    target_ca: Path | None = None


class Role(StrEnum):
    """What one process does."""

    RECOGNISE = "recognise"
    ALERTS = "alerts"


class CheckpointSettings(Settings):
    """The whole file."""

    checkpoint: str = Field(default="checkpoint", min_length=1, max_length=64)
    data_dir: Path = Path("var")
    roles: tuple[Role, ...] = (Role.RECOGNISE, Role.ALERTS)
    cameras: tuple[CameraSettings, ...] = ()
    recognition: RecognitionSettings = RecognitionSettings()
    passages: PassageSettings = PassageSettings()
    watchlist: WatchlistSettings = WatchlistSettings()
    alerts: AlertSettings = AlertSettings()
    evidence_quality: int = Field(default=85, ge=30, le=100)
    blur_occupants: bool = True
    shutdown_deadline_s: float = Field(default=4.5, gt=0)

    @field_validator("cameras")
    @classmethod
    def _names_differ(cls, cameras: tuple[CameraSettings, ...]) -> tuple[CameraSettings, ...]:
        names = [camera.name for camera in cameras]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two cameras have the same name: {', '.join(twice)}")
        return cameras

    @model_validator(mode="after")
    def _somewhere_to_publish(self) -> CheckpointSettings:
        if (
            Role.RECOGNISE in self.roles
            and Role.ALERTS not in self.roles
            and not self.alerts.target
        ):
            raise ValueError("roles has no 'alerts': name alerts.target, the service to publish to")
        return self


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
