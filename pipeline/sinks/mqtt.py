"""A sink that publishes every event to an MQTT 5 broker, with QoS 1.

The payload is JSON as ``base.Event.body`` makes it. The user properties ``checkpoint-signature``
(see ``signing.py``), ``checkpoint-event`` and ``idempotency-key`` say what a webhook's headers say.
The broker has an event safe when it has acknowledged it; then the next ones follow.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Sequence
from typing import Any, Final

from pipeline.clock import Clock
from pipeline.config import MqttSettings
from pipeline.errors import ConfigError
from pipeline.sinks.base import Event, SinkError
from pipeline.sinks.signing import HEADER, secret_of, sign

_KEEPALIVE_S: Final = 30


class MqttSink:
    """Sends events to one broker.

    Raises:
        ConfigError: the secret or a TLS file cannot be used, or paho-mqtt is missing.
    """

    def __init__(self, settings: MqttSettings, clock: Clock) -> None:
        try:
            import paho.mqtt.client as paho  # an extra: needed where there is a broker only
        except ImportError:
            raise ConfigError(
                f"sinks: {settings.name}: MQTT needs paho-mqtt; "
                "pip install 'checkpoint-vehicles[sinks]'"
            ) from None
        self.name = settings.name
        self.events = settings.events
        self.evidence = settings.evidence
        self.begin = settings.begin
        self._settings = settings
        self._clock = clock
        self._where = f"{settings.host}:{settings.port}"
        self._secret = secret_of(settings)
        self._paho: Any = paho
        self._client: Any = None
        self._connected = threading.Event()
        self._refusal = ""
        self._not_taken: dict[int, str] = {}
        self._tls = self._context() if settings.tls else None

    def deliver(self, events: Sequence[Event]) -> None:
        """Publish events, all at once, and wait for their acknowledgements in order."""
        client = self._connection()
        under_way = []
        self._not_taken.clear()
        for event in events:
            body = event.body()
            topic = self._settings.topic.format(checkpoint=_level(event), event=event.name)
            under_way.append(
                client.publish(topic, body, qos=1, properties=self._properties(event, body))
            )
        for done, message in enumerate(under_way):
            try:
                message.wait_for_publish(self._settings.timeout_s)
                acknowledged = message.is_published()
            except (ValueError, RuntimeError):
                acknowledged = False
            if not acknowledged:
                self.close()  # what paho still holds is sent again by us
                raise SinkError(f"{self._where}: did not acknowledge in time", done=done)
            if (why := self._not_taken.get(message.mid)) is not None:
                raise SinkError(f"{self._where}: does not take it: {why}", done=done)

    def close(self) -> None:
        """End the connection."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def _connection(self) -> Any:
        if self._client is not None and self._client.is_connected():
            return self._client
        self.close()
        paho, settings = self._paho, self._settings
        self._connected.clear()
        self._refusal = ""
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        if settings.user is not None:
            client.username_pw_set(settings.user, settings.password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        client.connect_timeout = settings.timeout_s
        try:
            client.connect(settings.host, settings.port, keepalive=_KEEPALIVE_S)
        except (OSError, ValueError) as error:
            raise SinkError(f"{self._where}: {error}") from error
        client.loop_start()
        self._client = client
        if not self._connected.wait(settings.timeout_s) or self._refusal:
            self.close()
            raise SinkError(f"{self._where}: {self._refusal or 'did not answer in time'}")
        return client

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, more: Any) -> None:
        self._refusal = str(reason) if reason.is_failure else ""
        self._connected.set()

    def _on_publish(self, client: Any, data: Any, mid: int, reason: Any, more: Any) -> None:
        if reason.is_failure:  # acknowledged, but not taken: not authorised, over a quota
            self._not_taken[mid] = str(reason)

    def _properties(self, event: Event, body: bytes) -> Any:
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = "application/json"
        properties.UserProperty = [
            (HEADER.lower(), sign(self._secret, body, self._clock.now().timestamp())),
            ("checkpoint-event", event.name),
            ("idempotency-key", event.key),
        ]
        return properties

    def _context(self) -> ssl.SSLContext:
        settings = self._settings
        try:
            context = ssl.create_default_context(cafile=settings.ca)
            if settings.certificate is not None:
                context.load_cert_chain(settings.certificate, settings.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"sinks: {settings.name}: ca, certificate or key cannot be used: {error}"
            ) from error
        return context


def _level(event: Event) -> str:
    """The checkpoint's name as one level of a topic."""
    return "".join("_" if one in "/+#\0" else one for one in event.checkpoint)
