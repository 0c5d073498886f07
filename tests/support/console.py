"""A whole console for tests: alert service, embedded Redis, uvicorn, and browsers by httpx."""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from pipeline.access import AccessRole, TokenStore, token_store
from pipeline.alerts.publisher import Publisher
from pipeline.audit import AUDIT_FILE, AuditRecord, records
from pipeline.certificates import Authority, file_stem
from pipeline.config import CheckpointSettings, Role
from pipeline.console.server import ConsoleServer
from pipeline.outbox import Outbox
from pipeline.runtime import Runtime
from pipeline.types import Hit
from tests.integration.alerts_support import submit
from tests.support.waiting import wait_until

ALL = tuple(AccessRole)


@dataclass
class Browser:
    """A browser of one person: its cookies, and the CSRF header once it is logged in."""

    client: httpx.Client
    me: dict[str, Any] = field(default_factory=dict)

    def get(self, path: str, **how: Any) -> httpx.Response:
        return self.client.get(path, **how)

    def post(self, path: str, body: Any = None, **how: Any) -> httpx.Response:
        return self.client.post(path, json={} if body is None else body, **how)

    def delete(self, path: str) -> httpx.Response:
        return self.client.delete(path)

    def log_in(self, token: str | None = None) -> httpx.Response:
        """By a token, or by the certificate that the connection shows."""
        answer = self.post("/api/login", {} if token is None else {"token": token})
        if answer.status_code == 200:
            self.know(answer.json())
        return answer

    def know(self, me: dict[str, Any]) -> None:
        self.me = me
        self.client.headers["X-CSRF-Token"] = me["csrf"]

    @contextlib.contextmanager
    def feed(self, after: str = "", **headers: str) -> Iterator[Feed]:
        """Follow the feed; ``after``: the id of the last event seen."""
        named = {"Last-Event-ID": after} if after else {}
        with self.client.stream("GET", "/api/feed", headers={**named, **headers}) as stream:
            assert stream.status_code == 200, stream.read()
            yield Feed(stream.iter_lines())


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    kind: str
    place: str
    data: Any


@dataclass
class Feed:
    """The events of a followed feed, in order."""

    lines: Iterator[str]

    def next(self, *kinds: str) -> Event:
        """The next event, or the next of some kinds."""
        seen: dict[str, str] = {}
        for line in self.lines:
            if line:
                name, _, value = line.partition(": ")
                seen[name] = value
                continue
            if "event" in seen and (not kinds or seen["event"] in kinds):
                return Event(seen["event"], seen.get("id", ""), json.loads(seen["data"]))
            seen = {}
        raise AssertionError("the feed has ended")


@dataclass
class ConsoleRig:
    """A running console, and what tests do with it."""

    settings: CheckpointSettings
    runtime: Runtime
    authority: Authority | None

    @property
    def server(self) -> ConsoleServer:
        server = self.runtime.console
        assert server is not None
        return server

    @property
    def tokens(self) -> TokenStore:
        return token_store(self.settings)

    @property
    def host(self) -> str:
        """``localhost:PORT``, as the certificate names it."""
        return "localhost:" + self.server.url.rstrip("/").rpartition(":")[2]

    @property
    def cookie(self) -> str:
        """Name of the session's cookie."""
        secure = "__Host-" if self.authority is not None else ""
        return f"{secure}checkpoint-{self.host.rpartition(':')[2]}"

    def token(self, person: str, *roles: AccessRole) -> str:
        return self.tokens.issue(person, roles or ALL, timedelta(days=1), given_by="test").token

    @contextlib.contextmanager
    def browser(self, certificate: str | None = None) -> Iterator[Browser]:
        """A browser that nobody has logged in with; it may show a certificate."""
        scheme, verify = "http", False
        context: ssl.SSLContext | bool = verify
        if self.authority is not None:
            scheme = "https"
            context = ssl.create_default_context(cafile=str(self.authority.certificate))
            if certificate is not None:
                stem = self.authority.folder / file_stem(certificate)
                context.load_cert_chain(f"{stem}.pem", f"{stem}.key")
        with httpx.Client(
            base_url=f"{scheme}://{self.host}", verify=context, timeout=20.0, trust_env=False
        ) as client:
            yield Browser(client)

    @contextlib.contextmanager
    def person(self, name: str, *roles: AccessRole) -> Iterator[Browser]:
        """A browser in which a person is logged in by token."""
        with self.browser() as browser:
            answer = browser.log_in(self.token(name, *roles))
            assert answer.status_code == 200, answer.text
            yield browser

    def publish(self, *hits: Hit) -> None:
        """Hits arrive at the alert service, as from this machine's recognition."""
        service = self.runtime._service
        assert service is not None
        path = self.settings.data_dir / f"test-{time.monotonic_ns()}.sqlite"
        with contextlib.closing(Outbox(path)) as outbox:
            publisher = Publisher(outbox, service.local_target)
            publisher.start()
            for hit in hits:
                submit(publisher, hit)
            wait_until(lambda: outbox.depth() == 0)
            publisher.stop()

    def audited(self, action: str = "") -> list[AuditRecord]:
        """Records of an action, or all, the oldest first."""
        path = self.settings.data_dir / AUDIT_FILE
        found = list(records(path)) if path.exists() else []
        return [one for one in found if one.action == action or not action]


@contextlib.contextmanager
def running_console(
    folder: Path,
    *,
    authority: Authority | None = None,
    required: bool = True,
    certificates: dict[str, frozenset[AccessRole]] | None = None,
    console: dict[str, Any] | None = None,
    **settings: Any,
) -> Iterator[ConsoleRig]:
    """A console with its alert service, on free ports of this machine, stopped on leaving.

    ``authority``: of ``make_certificates``; the console then speaks TLS and takes client
    certificates. Without ``required`` the one-time link lets in.
    """
    tls = None
    if authority is not None:
        pem = authority.folder
        tls = {
            "certificate": pem / "server.pem",
            "key": pem / "server.key",
            "client_ca": authority.certificate,
        }
    made = CheckpointSettings.model_validate(
        {
            "data_dir": folder,
            "roles": (Role.ALERTS, Role.CONSOLE),
            "alerts": {"listen": "127.0.0.1:0", "escalate_after_s": 0},
            "console": {"listen": "127.0.0.1:0", "tls": tls, **(console or {})},
            "access": {"required": required, "certificates": certificates or {}},
            **settings,
        }
    )
    with Runtime(made) as runtime:
        yield ConsoleRig(made, runtime, authority)
