"""The console against forged requests, wrong input and hostile data."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.access import AccessRole
from pipeline.console.security import CSP
from tests.integration.alerts_support import make_certificates, make_hit
from tests.support.console import Browser, ConsoleRig, running_console
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.grpc, pytest.mark.redis]

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "{{7*7}}${7*7}",
    "'; DROP TABLE passages; --",
    "\u202egnp.exe",
    "京\u0000A\r\nSet-Cookie: checkpoint=1\r\n\r\n",
    "=HYPERLINK(1)",
    "\ud7ff\uffff",
)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleRig]:
    authority = make_certificates(tmp_path_factory.mktemp("certificates") / "c")
    with running_console(
        tmp_path_factory.mktemp("console"),
        authority=authority,
        console={"login_attempts": 1000, "limits": {"calls_per_s": 1000}},
    ) as running:
        running.publish(make_hit(1))
        yield running


@pytest.fixture
def browser(rig: ConsoleRig) -> Iterator[Browser]:
    with rig.person("Wang") as found:
        yield found


PATHS = (
    "/",
    "/static/api.js",
    "/api/me",
    "/api/alerts",
    "/api/nothing",
    "/login?code=x",
    "/healthz",
)


def test_every_answer_has_the_strict_headers(browser: Browser) -> None:
    for path in PATHS:
        headers = browser.get(path).headers
        assert headers["content-security-policy"] == CSP
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["strict-transport-security"].startswith("max-age=")
        assert "server" not in headers
        if path.startswith(("/api", "/login", "/healthz")):
            assert headers["cache-control"] == "no-store"
    assert "unsafe" not in CSP
    assert "http" not in CSP


def test_what_changes_something_needs_the_csrf_header(rig: ConsoleRig, browser: Browser) -> None:
    with rig.person("Qian") as other:
        for shown in ("", "x", other.me["csrf"], browser.me["csrf"][:-1], browser.me["csrf"] + "x"):
            for method, path in (
                ("POST", "/api/alerts/hit-1/review"),
                ("DELETE", "/api/alerts/hit-1/review"),
                ("POST", "/api/alerts/hit-1/escalate"),
                ("POST", "/api/logout"),
                ("PUT", "/api/nothing"),
            ):
                answer = browser.client.request(
                    method, path, json={"decision": "confirmed"}, headers={"X-CSRF-Token": shown}
                )
                assert (answer.status_code, answer.json()["error"]["code"]) == (403, "csrf")
    assert browser.get("/api/alerts/hit-1").json()["alert"]["review"]["state"] == "unverified"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_origins_change_nothing(browser: Browser, headers: dict[str, str]) -> None:
    for path in ("/api/alerts/hit-1/escalate", "/api/login", "/api/logout"):
        answer = browser.post(path, {}, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "other_origin")
    assert browser.get("/api/me").status_code == 200


def test_our_own_page_is_no_other_origin(rig: ConsoleRig, browser: Browser) -> None:
    headers = {"Origin": f"https://{rig.host}", "Sec-Fetch-Site": "same-origin"}
    assert browser.post("/api/logout", {}, headers=headers).status_code == 200


def test_only_json_is_read(browser: Browser) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = browser.client.post(
            "/api/alerts/hit-1/escalate", content=b'{"note": ""}', headers={"Content-Type": kind}
        )
        assert answer.status_code == 415, kind
    for body in (b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"note": NaN}', b'{"note": "\\ud800"}'):
        answer = browser.client.post(
            "/api/alerts/hit-1/escalate",
            content=body[:60_000],
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 400, body[:20]


def test_large_bodies_are_refused_whatever_they_say(rig: ConsoleRig, browser: Browser) -> None:
    answer = browser.post("/api/alerts/hit-1/escalate", {"note": "x" * 70_000})
    assert answer.status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 4096

    headers = {"Content-Type": "application/json"}
    answer = browser.client.post("/api/login", content=endless(), headers=headers)
    assert answer.status_code == 413


def test_requests_of_one_session_are_limited(rig: ConsoleRig, tmp_path: Any) -> None:
    rare = {"limits": {"calls_per_s": 0.5}}
    with running_console(tmp_path / "rare", console=rare) as small, small.person("Wang") as browser:
        said = [browser.get("/api/me").status_code for _ in range(20)]
        assert said[0] == 200
        assert 429 in said
        with small.browser() as other:  # each session has an allowance of its own
            token = small.token("Qian")
            wait_until(lambda: other.log_in(token).status_code == 200)  # as an address has, too
            assert other.get("/api/me").status_code == 200
    few = {"limits": {"streams": 2}}
    with running_console(tmp_path / "few", console=few) as small, small.person("Wang") as browser:
        with browser.feed(), browser.feed():
            assert browser.get("/api/me").status_code == 429
        wait_until(lambda: browser.get("/api/me").status_code == 200)


def test_metrics_take_a_viewers_token_or_session(rig: ConsoleRig) -> None:
    with rig.browser() as browser:
        assert browser.get("/metrics").status_code == 401
        for header in (
            "Bearer wrong",
            "Bearer",
            "Bearer a b",
            "Basic x",
            "Bearer " + "x" * 300,
        ):
            named = {"Authorization": header}
            assert browser.get("/metrics", headers=named).status_code == 401
        token = rig.token("Collector", AccessRole.VIEWER)
        shown = {"Authorization": f"Bearer {token}"}
        assert browser.get("/metrics", headers=shown).status_code == 200
        assert browser.get("/api/me", headers=shown).status_code == 401  # nothing else does
        auditor = {"Authorization": f"Bearer {rig.token('Auditor', AccessRole.AUDITOR)}"}
        assert browser.get("/metrics", headers=auditor).status_code == 403


@given(cookie=st.binary(max_size=80), id_part=st.text(max_size=40))
@settings(max_examples=50, deadline=None)
def test_random_cookies_and_ids_open_nothing(rig: ConsoleRig, cookie: bytes, id_part: str) -> None:
    cleaned = bytes(byte for byte in cookie if byte >= 32 and byte != 127).strip()
    with rig.browser() as browser:
        name = f"{rig.cookie}=".encode()
        answer = browser.client.get("/api/me", headers={b"Cookie": name + cleaned})  # type: ignore[dict-item]
        assert answer.status_code == 401
    with rig.person("Fuzz") as browser:
        path = f"/api/alerts/{quote(id_part, safe='')}"
        answer = browser.get(path)
        assert answer.status_code in (200, 307, 400, 404), (path, answer.text)
        assert answer.headers["content-security-policy"] == CSP


def test_hostile_text_comes_back_as_data_alone(rig: ConsoleRig, browser: Browser) -> None:
    texts = [text.replace("\0", "") for text in HOSTILE]  # the alert service takes no NUL
    for number, text in enumerate(texts, start=100):
        hit = make_hit(number, camera=text)
        passage = replace(hit.passage, plate=text[:20], lane=text)
        entry = replace(hit.entry, disposition=text, reason=text, category=text)
        rig.publish(replace(hit, passage=passage, entry=entry))
        note = {"decision": "rejected", "note": text, "outcome": text}
        decided = browser.post(f"/api/alerts/hit-{number}/review", note)
        assert decided.status_code == 200, decided.text
        for path in (f"/api/alerts/hit-{number}", "/api/alerts?limit=1"):
            answer = browser.get(path)
            assert answer.headers["content-type"] == "application/json"
            assert "set-cookie" not in answer.headers
            found = answer.json()
            alert = found["alert"] if "alert" in found else found["alerts"][0]
            assert alert["camera"] == text
            assert alert["plate"] == text[:20]
            assert alert["entry"]["reason"] == text
            assert alert["review"]["note"] == text
    with browser.feed() as feed:
        place = feed.next("state").place
    feed_id = place.rpartition(":")[0]
    with browser.feed(f"{feed_id}:1") as feed:
        told = [feed.next("alert", "review").data["camera"] for _ in range(len(texts))]
    assert set(told) <= {*texts, "east"}


@pytest.mark.parametrize("name", [*HOSTILE, "..", "../../etc/passwd", "%2e%2e", "a/b", "\u0000"])
def test_hostile_camera_names_find_nothing(browser: Browser, name: str) -> None:
    answer = browser.get(f"/api/cameras/{quote(name, safe='')}/still")
    assert answer.status_code in (400, 404)
    assert answer.headers["content-type"] == "application/json"


def test_methods_that_are_none_are_refused(browser: Browser) -> None:
    for method in ("PUT", "PATCH", "TRACE", "OPTIONS", "CONNECTX"):
        answer = browser.client.request(method, "/api/alerts")
        assert answer.status_code == 405
    assert browser.client.head("/api/feed").status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x00\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
        b"GET " + b"/" * 100_000,
        b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ],
)
def test_what_is_no_request_harms_nobody(rig: ConsoleRig, browser: Browser, sent: bytes) -> None:
    assert rig.authority is not None
    context = ssl.create_default_context(cafile=str(rig.authority.certificate))
    host, _, port = rig.host.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=90) as plain:
        plain.sendall(sent)
    with (
        socket.create_connection((host, int(port)), timeout=90) as plain,
        context.wrap_socket(plain, server_hostname=host) as wrapped,
    ):
        try:
            wrapped.sendall(sent)
            assert b"import" not in wrapped.recv(4096)
        except OSError:
            pass
    assert browser.get("/api/me").status_code == 200


def test_old_tls_is_refused(rig: ConsoleRig) -> None:
    assert rig.authority is not None
    context = ssl.create_default_context(cafile=str(rig.authority.certificate))
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    host, _, port = rig.host.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=90) as plain,
        pytest.raises((ssl.SSLError, OSError)),
    ):
        context.wrap_socket(plain, server_hostname=host)
