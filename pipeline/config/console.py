"""Settings of the console: the web page of a checkpoint or a province."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.config.base import Settings
from pipeline.config.service import LimitSettings, TlsSettings


class ConsoleSettings(Settings):
    """Where the console listens, whom it lets in, and for how long.

    With ``tls.client_ca`` a browser may show a client certificate instead of a token. A session
    ends ``session_hours`` after the login, after ``idle_minutes`` without a request, and when its
    token counts no more; a page that follows the feed uses its session. Of one address
    ``login_attempts`` failed logins are taken in a minute. ``limits``: requests of one session, or
    of one address that has none; a followed feed is an open one.
    """

    listen: str = Field(default="127.0.0.1:8080", pattern=r"^.+:\d{1,5}$")
    tls: TlsSettings | None = None
    language: Literal["zh", "en"] = Field(default="zh", description="before a person has chosen")
    session_hours: float = Field(default=12.0, gt=0, le=168)
    idle_minutes: float = Field(default=60.0, gt=0, le=24 * 60)
    sessions: int = Field(default=500, ge=1, description="open at once, of all persons")
    login_attempts: int = Field(default=10, ge=1, le=1000)
    limits: LimitSettings = LimitSettings(calls_per_s=50, streams=50, all_streams=1000)
