"""Settings: one TOML file, frozen models that refuse unknown keys.

Secrets come from the environment: ``${NAME}`` in any string of the file is replaced by that
variable. Nothing outside this package reads the environment. A mistake is reported with file,
line, key and value.
"""

from pipeline.config.base import Settings
from pipeline.config.cluster import ClusterSettings
from pipeline.config.console import ConsoleSettings
from pipeline.config.governance import (
    MINIMUM_AUDIT_DAYS,
    AccessRole,
    AccessSettings,
    AuditSettings,
    RetentionSettings,
)
from pipeline.config.loading import line_of, load
from pipeline.config.recognition import (
    MAX_SAMPLE_FPS,
    CameraSettings,
    LaneSettings,
    PassageSettings,
    Point,
    RecognitionSettings,
    SavingSettings,
)
from pipeline.config.service import (
    AlertSettings,
    LimitSettings,
    OutboxSettings,
    ProvinceSettings,
    TlsSettings,
)
from pipeline.config.sinks import (
    MqttSettings,
    SinkEvent,
    SinkSettings,
    SinksSettings,
    WebhookSettings,
)
from pipeline.config.tokens import TOKEN_VARIABLE, child_environment, given_token
from pipeline.config.watchlist import (
    CATEGORIES,
    MOST_ENTRY_DAYS,
    MatchingSettings,
    WatchlistSettings,
)
from pipeline.config.whole import CheckpointSettings, Role

__all__ = [
    "CATEGORIES",
    "MAX_SAMPLE_FPS",
    "MINIMUM_AUDIT_DAYS",
    "MOST_ENTRY_DAYS",
    "TOKEN_VARIABLE",
    "AccessRole",
    "AccessSettings",
    "AlertSettings",
    "AuditSettings",
    "CameraSettings",
    "CheckpointSettings",
    "ClusterSettings",
    "ConsoleSettings",
    "LaneSettings",
    "LimitSettings",
    "MatchingSettings",
    "MqttSettings",
    "OutboxSettings",
    "PassageSettings",
    "Point",
    "ProvinceSettings",
    "RecognitionSettings",
    "RetentionSettings",
    "Role",
    "SavingSettings",
    "Settings",
    "SinkEvent",
    "SinkSettings",
    "SinksSettings",
    "TlsSettings",
    "WatchlistSettings",
    "WebhookSettings",
    "child_environment",
    "given_token",
    "line_of",
    "load",
]
