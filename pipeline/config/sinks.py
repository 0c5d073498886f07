"""Settings of where else the events of the feed go."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from pipeline.config.base import Settings, is_here

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
        if parts.scheme == "http" and not is_here(parts.hostname):
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
        if not self.tls and not is_here(self.host):
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
