"""The whole configuration file as one model."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from pipeline.config.base import Settings
from pipeline.config.cluster import ClusterSettings
from pipeline.config.console import ConsoleSettings
from pipeline.config.governance import AccessSettings, AuditSettings, RetentionSettings
from pipeline.config.recognition import CameraSettings, PassageSettings, RecognitionSettings
from pipeline.config.service import AlertSettings, OutboxSettings, ProvinceSettings
from pipeline.config.sinks import SinksSettings
from pipeline.config.watchlist import MatchingSettings, WatchlistSettings


class Role(StrEnum):
    """What one process does."""

    RECOGNISE = "recognise"
    ALERTS = "alerts"
    PROVINCE = "province"
    """The alert service for many checkpoints."""
    CONSOLE = "console"
    """The web page, beside the alert service of the same process."""


class CheckpointSettings(Settings):
    """The whole file."""

    checkpoint: str = Field(default="checkpoint", min_length=1, max_length=64)
    data_dir: Path = Path("var")
    roles: tuple[Role, ...] = (Role.RECOGNISE, Role.ALERTS, Role.CONSOLE)
    cameras: tuple[CameraSettings, ...] = ()
    recognition: RecognitionSettings = RecognitionSettings()
    passages: PassageSettings = PassageSettings()
    watchlist: WatchlistSettings = WatchlistSettings()
    matching: MatchingSettings = MatchingSettings()
    alerts: AlertSettings = AlertSettings()
    outbox: OutboxSettings = OutboxSettings()
    province: ProvinceSettings = ProvinceSettings()
    console: ConsoleSettings = ConsoleSettings()
    cluster: ClusterSettings = ClusterSettings()
    sinks: SinksSettings = SinksSettings()
    access: AccessSettings = AccessSettings()
    audit: AuditSettings = AuditSettings()
    retention: RetentionSettings = RetentionSettings()
    evidence_quality: int = Field(default=85, ge=30, le=100)
    blur_occupants: bool = True
    keep_unblurred: bool = False
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
    def _originals_of_blurred_pictures(self) -> CheckpointSettings:
        if self.keep_unblurred and not self.blur_occupants:
            raise ValueError(
                "keep_unblurred: nothing is blurred; set blur_occupants = true as well"
            )
        return self

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
        if Role.PROVINCE in self.roles and set(self.roles) - {Role.PROVINCE, Role.CONSOLE}:
            raise ValueError("roles: 'province' is an alert service and a process of its own")
        return self

    @model_validator(mode="after")
    def _console_of_a_service(self) -> CheckpointSettings:
        if Role.CONSOLE in self.roles and not self.serves:
            raise ValueError("roles: 'console' shows the alert service beside it; add 'alerts'")
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
