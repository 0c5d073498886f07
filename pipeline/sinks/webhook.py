"""A sink that POSTs every event to a web server.

One request for each event, in order, over one connection: JSON as ``base.Event.body`` makes it,
with the headers ``Checkpoint-Signature`` (see ``signing.py``), ``Checkpoint-Event`` (its kind) and
``Idempotency-Key`` (its key: the same when it is sent again). A status of 2xx says that the
receiver has it safe. 400, 413 and 422 say that it will never take it: the event is set aside. After
anything else it is sent again, whatever comes behind it waits; ``Retry-After`` is kept to.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from pipeline.clock import Clock
from pipeline.config import WebhookSettings
from pipeline.errors import ConfigError
from pipeline.sinks.base import Event, SinkError, SinkRefusedError
from pipeline.sinks.signing import HEADER, secret_of, sign

_NEVER: Final = frozenset({400, 413, 422})
_LONGEST_RETRY_S: Final = 300.0


class WebhookSink:
    """Sends events to one URL.

    Raises:
        ConfigError: the secret or the authority's file cannot be used, or httpx is missing.
    """

    def __init__(self, settings: WebhookSettings, clock: Clock) -> None:
        try:
            import httpx  # an extra: needed where there is a webhook only
        except ImportError:
            raise ConfigError(
                f"sinks: {settings.name}: a webhook needs httpx; "
                "pip install 'checkpoint-vehicles[sinks]'"
            ) from None
        self.name = settings.name
        self.events = settings.events
        self.evidence = settings.evidence
        self.begin = settings.begin
        self._clock = clock
        self._url = settings.url
        self._where = urlsplit(settings.url).hostname or ""  # the rest of a URL may be a secret
        self._secret = secret_of(settings)
        try:
            context = ssl.create_default_context(cafile=settings.ca)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"sinks: {settings.name}: ca = {settings.ca}: cannot be used: {error}"
            ) from error
        self._failures: Any = (httpx.HTTPError, httpx.InvalidURL)
        self._client = httpx.Client(
            verify=context,
            timeout=settings.timeout_s,
            follow_redirects=False,
            trust_env=False,
            headers={"Content-Type": "application/json; charset=utf-8"},
        )

    def deliver(self, events: Sequence[Event]) -> None:
        """POST events one after the other."""
        for done, event in enumerate(events):
            body = event.body()
            headers = {
                HEADER: sign(self._secret, body, self._clock.now().timestamp()),
                "Checkpoint-Event": event.name,
                "Idempotency-Key": event.key,
            }
            try:
                answer = self._client.post(self._url, content=body, headers=headers)
            except self._failures as error:
                reason = str(error) or type(error).__name__
                raise SinkError(f"{self._where}: {reason}", done=done) from error
            if answer.is_success:
                continue
            said = f"{self._where}: answered {answer.status_code}"
            if answer.status_code in _NEVER:
                raise SinkRefusedError(f"{said}: {answer.text[:200]}", done=done)
            raise SinkError(said, done=done, retry_s=_retry_s(answer.headers.get("Retry-After")))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _retry_s(header: str | None) -> float:
    """Seconds of a Retry-After header; 0 where there is none, or a date."""
    if header is None or not header.strip().isdecimal():
        return 0.0
    return min(float(header), _LONGEST_RETRY_S)
