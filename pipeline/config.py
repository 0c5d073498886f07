"""Settings: one TOML file, frozen models that refuse unknown keys.

Secrets come from the environment: ``${NAME}`` in any string of the file is replaced by that
variable. Nothing outside this module reads the environment. A mistake is reported with file,
line, key and value.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipeline.errors import AccessError, ConfigError, redact
from pipeline.types import Direction

TOKEN_VARIABLE = "CHECKPOINT_TOKEN"  # noqa: S105 (its name, not a token)
MINIMUM_AUDIT_DAYS = 184
"""Six months, of which the longest has 184 days."""
MOST_ENTRY_DAYS = 3660.0
CATEGORIES = (
    "stolen",
    "wanted",
    "cloned_plate",
    "missing_person",
    "expired_inspection",
    "unpaid_accident",
    "other",
)
"""Categories that an entry may have unless the configuration names others."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET_KEYS = {"password", "sentinel_password", "token", "key", "secret", "url"}

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
    reader: Literal["openvino", "paddleocr"] = Field(default="openvino", description="runs reading")
    reader_model: Path | None = Field(
        default=None, description="a PP-OCR model folder for paddleocr; None: the shipped reader"
    )

    @field_validator("reader_model")
    @classmethod
    def _is_for_paddleocr(cls, folder: Path | None, info: ValidationInfo) -> Path | None:
        if folder is not None and info.data.get("reader") == "openvino":
            raise ValueError('only reader = "paddleocr" takes a model; the shipped one needs none')
        return folder


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
    """Where the watchlist lives, and what its entries must keep to.

    No ``redis_url`` means an embedded Redis in the data folder. Else it is one of
    ``redis://host:6379/0``, ``rediss://…`` (TLS), ``unix:///path/to.sock``,
    ``redis+sentinel://host1:26379,host2/service/db`` and ``redis+cluster://host1,host2``, the last
    two with TLS as ``rediss+…``. User and password stand in the URL or in ``user`` and
    ``password``; a Sentinel's own in ``sentinel_user`` and ``sentinel_password``.
    """

    redis_url: str | None = Field(default=None, repr=False)
    key_prefix: str = Field(default="checkpoint", min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    timeout_s: float = Field(default=2.0, gt=0)
    user: str | None = None
    password: str | None = Field(default=None, repr=False)
    sentinel_user: str | None = None
    sentinel_password: str | None = Field(default=None, repr=False)
    tls_ca: Path | None = Field(default=None, description="PEM; None: the system's authorities")
    tls_certificate: Path | None = Field(default=None, description="PEM, shown to the server")
    tls_key: Path | None = None
    stale_after_s: float = Field(default=86_400.0, gt=0, description="of the list's age: degraded")
    history_versions: int = Field(default=1000, ge=1)
    history_mib: int = Field(default=512, ge=1, description="of before-images, for rollback")
    entry_days: float = Field(
        default=400.0, gt=0, le=MOST_ENTRY_DAYS, description="an entry's longest life"
    )
    categories: dict[str, float | None] = Field(
        default_factory=lambda: dict.fromkeys(CATEGORIES), description="and its own longest life"
    )

    @field_validator("categories")
    @classmethod
    def _named(cls, categories: dict[str, float | None]) -> dict[str, float | None]:
        if not categories:
            raise ValueError("name at least one category")
        for name, days in categories.items():
            if not re.fullmatch(r"[a-z0-9]+(?:_[a-z0-9]+)*", name) or len(name) > 64:
                raise ValueError(f"{name!r}: write a category as lower_case_words")
            if days is not None and not 0 < days <= MOST_ENTRY_DAYS:
                raise ValueError(f"{name}: its days must lie between 0 and {MOST_ENTRY_DAYS}")
        return categories

    @model_validator(mode="after")
    def _key_with_certificate(self) -> WatchlistSettings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        return self


class MatchingSettings(Settings):
    """What counts as meeting an entry of the watchlist.

    A reading that is less likely than ``possible_floor`` meets nothing; 1 leaves the voted plate
    alone. At most ``most_readings`` of a passage are looked up. With ``mismatch_lowers`` an exact
    hit on another class or colour than the entry names counts as possible only.
    """

    possible_floor: float = Field(default=0.05, ge=0.001, le=1)
    most_readings: int = Field(default=20, ge=1, le=1000)
    mismatch_lowers: bool = False


class TlsSettings(Settings):
    """PEM files for TLS; with ``client_ca`` every client must show a certificate.

    A process that publishes to ``alerts.target`` shows this certificate there as its own.
    ``revoked``: SHA-256 fingerprints of client certificates that count no more.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    revoked: tuple[Annotated[str, Field(pattern=r"^([0-9A-Fa-f]{2}:?){32}$")], ...] = ()


class LimitSettings(Settings):
    """What callers of the alert service may ask for; a peer is an address.

    Beyond it a call is told RESOURCE_EXHAUSTED, and when to try again.
    """

    calls_per_s: float = Field(default=200.0, gt=0, description="of one peer; twice that at once")
    streams: int = Field(default=500, ge=1, description="calls of one peer that are open at once")
    all_streams: int = Field(default=2000, ge=1, description="of all peers together")


class AlertSettings(Settings):
    """The alert service: where it listens, and where this checkpoint publishes to.

    With ``tls.client_ca`` whoever calls ``listen`` shows a certificate; ``listen_tokens`` is then a
    second address, for people who have a token and none. ``publishers`` gives the common name of a
    machine's certificate the checkpoints that it may publish for ("*": all); without it every
    certificate may for the checkpoint of its own name. An alert of ``escalate_priority`` or more
    urgent that nobody has reviewed after ``escalate_after_s`` is escalated; 0: never.
    """

    listen: str = Field(default="127.0.0.1:50051", pattern=r"^.+:\d{1,5}$")
    listen_tokens: str | None = Field(default=None, pattern=r"^.+:\d{1,5}$")
    target: str | None = Field(default=None, pattern=r"^.+:\d{1,5}$")
    tls: TlsSettings | None = None
    target_ca: Path | None = None
    publishers: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    limits: LimitSettings = LimitSettings()
    escalate_after_s: float = Field(default=300.0, ge=0)
    escalate_priority: int = Field(default=1, ge=1, le=4)


class AccessRole(StrEnum):
    """What a person may do. Each is given by itself; none holds another."""

    VIEWER = "viewer"
    """See alerts, passages and the watchlist."""
    EDITOR = "editor"
    """Draft entries of the watchlist."""
    APPROVER = "approver"
    """Answer for entries, review alerts, give out tokens."""
    AUDITOR = "auditor"
    """Verify and export the audit log."""


class AccessSettings(Settings):
    """Who may act. Tokens are given out by ``checkpoint access add``.

    Without ``required`` the operating system's user acts with all roles where no token is given.
    ``certificates`` gives roles to the common names of client certificates.
    """

    required: bool = False
    token_file: Path | None = Field(default=None, description="our own token; mode 600")
    token_days: int = Field(default=90, ge=1, le=366, description="how long a new token lasts")
    certificates: dict[str, frozenset[AccessRole]] = Field(default_factory=dict)


class AuditSettings(Settings):
    """The audit log: how long its records are kept, never less than six months."""

    keep_days: int = Field(default=366, ge=MINIMUM_AUDIT_DAYS)


class RetentionSettings(Settings):
    """What is deleted when. 0 deletes at the next sweep.

    A passage without a hit goes ``passages_h`` hours after its end, one with a hit after
    ``hits_days``, or the days that ``categories`` names for the entry's category: the longest
    counts. An expired or cancelled entry goes after ``entries_days``, a reviewed alert
    ``alerts_days`` after its review.
    """

    passages_h: float = Field(default=24.0, ge=0, le=24 * 3660)
    hits_days: float = Field(default=180.0, ge=0, le=3660)
    categories: dict[str, Annotated[float, Field(ge=0, le=3660)]] = Field(default_factory=dict)
    entries_days: float = Field(default=180.0, ge=0, le=3660)
    alerts_days: float = Field(default=180.0, ge=0, le=3660)
    sweep_every_s: float = Field(default=300.0, gt=0, le=3600)


class OutboxSettings(Settings):
    """What a checkpoint sends to ``alerts.target``, and in which order.

    Hits go up in the order in which they were found. With ``urgent_first`` those of that priority,
    or more urgent, go before all others and the newest of them first: after a time without a link
    what can still be acted on is known at once. The feed then has them in the order in which they
    came, not in that in which they happened; ``occurred_at`` tells.
    """

    urgent_first: int = Field(default=0, ge=0, le=4, description="least urgent priority; 0: none")
    report_every_s: float = Field(
        default=10.0, gt=0, le=3600, description="how often the checkpoint says how it is"
    )


class ProvinceSettings(Settings):
    """The watch over checkpoints: one of which nothing is heard for so long is silent."""

    silent_after_s: float = Field(default=60.0, ge=1, le=86_400)


SinkEvent = Literal["alert", "review", "escalation", "checkpoint"]


class SinkSettings(Settings):
    """What all sinks have.

    What is sent is signed with the secret of ``secret_file`` (mode 600), or with ``secret`` itself:
    write it as ``${NAME}``, so that it comes from the environment. ``begin``: what is sent at the
    very first start of the sink, all that is there or what comes from then on.
    """

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    secret: str | None = Field(default=None, min_length=16, repr=False)
    secret_file: Path | None = None
    events: tuple[SinkEvent, ...] = Field(
        default=("alert", "review", "escalation", "checkpoint"), min_length=1
    )
    evidence: bool = Field(default=False, description="send the picture along, in Base64")
    begin: Literal["now", "all"] = "now"
    timeout_s: float = Field(default=10.0, gt=0, le=300)

    @model_validator(mode="after")
    def _one_secret(self) -> SinkSettings:
        if (self.secret is None) == (self.secret_file is None):
            raise ValueError("name either secret_file or secret: what is sent is always signed")
        return self


class WebhookSettings(SinkSettings):
    """A web server that takes every event as a POST of JSON."""

    url: str = Field(min_length=1, repr=False)
    ca: Path | None = Field(default=None, description="PEM; None: the system's authorities")

    @field_validator("url")
    @classmethod
    def _encrypted(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write https://host/path")
        if parts.scheme == "http" and not _is_here(parts.hostname):
            raise ValueError("plates and pictures leave this machine: write https://")
        return url


class MqttSettings(SinkSettings):
    """An MQTT 5 broker that takes every event with QoS 1.

    ``topic``: ``{checkpoint}`` and ``{event}`` in it are replaced.
    """

    host: str = Field(min_length=1)
    port: int = Field(default=8883, ge=1, le=65_535)
    topic: str = Field(default="checkpoint/{checkpoint}/{event}", min_length=1, max_length=200)
    user: str | None = None
    password: str | None = Field(default=None, repr=False)
    tls: bool = True
    ca: Path | None = Field(default=None, description="PEM; None: the system's authorities")
    certificate: Path | None = Field(default=None, description="PEM, shown to the broker")
    key: Path | None = None

    @model_validator(mode="after")
    def _consistent(self) -> MqttSettings:
        if not self.tls and not _is_here(self.host):
            raise ValueError("plates and pictures leave this machine: keep tls = true")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        if set("+#\0") & set(self.topic) or self.topic.startswith("$"):
            raise ValueError("topic: '+', '#' and a leading '$' mean something else to a broker")
        return self


class SinksSettings(Settings):
    """Where else every event of the feed goes."""

    webhooks: tuple[WebhookSettings, ...] = ()
    mqtt: tuple[MqttSettings, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> SinksSettings:
        names = [one.name for one in (*self.webhooks, *self.mqtt)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two sinks have the same name: {', '.join(twice)}")
        return self


class Role(StrEnum):
    """What one process does."""

    RECOGNISE = "recognise"
    ALERTS = "alerts"
    PROVINCE = "province"
    """The alert service for many checkpoints."""


class CheckpointSettings(Settings):
    """The whole file."""

    checkpoint: str = Field(default="checkpoint", min_length=1, max_length=64)
    data_dir: Path = Path("var")
    roles: tuple[Role, ...] = (Role.RECOGNISE, Role.ALERTS)
    cameras: tuple[CameraSettings, ...] = ()
    recognition: RecognitionSettings = RecognitionSettings()
    passages: PassageSettings = PassageSettings()
    watchlist: WatchlistSettings = WatchlistSettings()
    matching: MatchingSettings = MatchingSettings()
    alerts: AlertSettings = AlertSettings()
    outbox: OutboxSettings = OutboxSettings()
    province: ProvinceSettings = ProvinceSettings()
    sinks: SinksSettings = SinksSettings()
    access: AccessSettings = AccessSettings()
    audit: AuditSettings = AuditSettings()
    retention: RetentionSettings = RetentionSettings()
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
    def _periods_of_known_categories(self) -> CheckpointSettings:
        unknown = sorted(set(self.retention.categories) - set(self.watchlist.categories))
        if unknown:
            raise ValueError(f"retention.categories: no such category: {', '.join(unknown)}")
        return self

    @property
    def serves(self) -> bool:
        """Whether this process has an alert service."""
        return Role.ALERTS in self.roles or Role.PROVINCE in self.roles

    @model_validator(mode="after")
    def _province_alone(self) -> CheckpointSettings:
        if Role.PROVINCE in self.roles and len(self.roles) > 1:
            raise ValueError("roles: 'province' is an alert service and a process of its own")
        return self

    @model_validator(mode="after")
    def _sinks_of_a_service(self) -> CheckpointSettings:
        if (self.sinks.webhooks or self.sinks.mqtt) and not self.serves:
            raise ValueError("sinks: they read the feed; move them to where roles has 'alerts'")
        return self

    @model_validator(mode="after")
    def _somewhere_to_publish(self) -> CheckpointSettings:
        if (
            Role.RECOGNISE in self.roles
            and Role.ALERTS not in self.roles
            and not self.alerts.target
        ):
            raise ValueError("roles has no 'alerts': name alerts.target, the service to publish to")
        return self


def _is_here(host: str) -> bool:
    """Whether nothing sent to ``host`` leaves this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
