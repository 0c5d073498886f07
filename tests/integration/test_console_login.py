"""Logging in to the console: by token, certificate and link; how long it lasts; who is refused."""

from __future__ import annotations

import signal
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from pipeline.access import AccessRole
from pipeline.certificates import Authority, certificate_info
from pipeline.config import CheckpointSettings, Role
from pipeline.errors import ConfigError, ConsoleError
from pipeline.runtime import Runtime
from tests.integration.alerts_support import make_certificates
from tests.support.console import ALL, ConsoleRig, running_console
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.grpc, pytest.mark.redis]

COOKIE = "__Host-checkpoint-"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("certificates") / "c"
    return make_certificates(folder, "Li Na", "nobody", "gone")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[ConsoleRig]:
    gone = certificate_info(authority.folder / "gone.pem").fingerprint
    tls = {
        "certificate": authority.folder / "server.pem",
        "key": authority.folder / "server.key",
        "client_ca": authority.certificate,
        "revoked": (gone,),
    }
    with running_console(
        tmp_path_factory.mktemp("console"),
        authority=authority,
        certificates={
            "Li Na": frozenset({AccessRole.APPROVER, AccessRole.VIEWER}),
            "gone": frozenset({AccessRole.VIEWER}),
        },
        console={"tls": tls, "login_attempts": 1000},
    ) as running:
        yield running


def test_nothing_but_the_login_is_to_be_had_without_a_session(rig: ConsoleRig) -> None:
    with rig.browser() as browser:
        assert "<script" in browser.get("/").text
        assert browser.get("/static/api.js").status_code == 200
        assert browser.get("/healthz").json() == {"status": "ok"}
        for path in (
            "/api/me",
            "/api/alerts",
            "/api/alerts/x",
            "/api/alerts/x/picture",
            "/api/feed",
            "/api/cameras",
            "/api/cameras/x/still",
            "/api/figures",
            "/api/watchlist",
            "/metrics",
            "/api/nothing",
            "/static",
            "//static/api.js",
            "/static/../server.py",
            "/static/%2e%2e/server.py",
            "/docs",
        ):
            answer = browser.get(path)
            assert answer.status_code in (401, 404), (path, answer.status_code)
            assert "import" not in answer.text
        assert browser.post("/api/alerts/x/review").status_code == 401
        assert browser.get("/api/alerts").json()["error"]["code"] == "login_required"


def test_a_token_logs_in_and_out(rig: ConsoleRig) -> None:
    token = rig.token("Wang", AccessRole.VIEWER)
    with rig.browser() as browser:
        answer = browser.log_in(token)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(COOKIE)
        for word in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
            assert word in cookie
        me = browser.get("/api/me").json()
        assert (me["person"], me["roles"], me["by"]) == ("Wang", ["viewer"], "token")
        assert datetime.fromisoformat(me["expires_at"]) > datetime.now(UTC) + timedelta(hours=11)
        assert token not in answer.text
        shown = browser.client.cookies[rig.cookie]
        assert browser.post("/api/logout").status_code == 200
        assert browser.get("/api/me").status_code == 401
        browser.client.cookies.set(rig.cookie, shown)  # the cookie itself counts no more
        assert browser.get("/api/me").status_code == 401
    assert rig.tokens.verify(token).name == "Wang"  # the person's own token goes on to count
    how = [(one.actor, one.action) for one in rig.audited() if one.actor == "Wang"]
    assert how == [("Wang", "console.login"), ("Wang", "console.logout")]


@pytest.mark.parametrize("token", ["", "wrong", "checkpoint_" + "a" * 43, "\u8fbd", " ", "a" * 256])
def test_wrong_tokens_are_refused(rig: ConsoleRig, token: str) -> None:
    with rig.browser() as browser:
        answer = browser.log_in(token)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert browser.get("/api/me").status_code == 401


def test_revoked_tokens_end_their_sessions(rig: ConsoleRig) -> None:
    issued = rig.tokens.issue("Zhao", ALL, timedelta(days=1), given_by="test")
    with rig.browser() as browser, rig.browser() as other:
        assert browser.log_in(issued.token).status_code == 200
        rig.tokens.revoke(issued.record.id, revoked_by="test")
        # the alert service looks at once, the console itself after some seconds
        assert browser.get("/api/alerts").status_code == 401
        wait_until(lambda: browser.get("/api/me").status_code == 401)
        assert other.log_in(issued.token).status_code == 401


def test_a_certificate_with_roles_logs_in(rig: ConsoleRig) -> None:
    with rig.browser("Li Na") as browser:
        assert browser.get("/api/me").status_code == 401
        assert COOKIE in browser.get("/").headers["set-cookie"]
        me = browser.get("/api/me").json()
        assert (me["person"], me["by"]) == ("Li Na", "certificate")
        assert browser.get("/api/alerts").status_code == 200
        shown = browser.client.cookies[rig.cookie]
        with rig.browser() as thief:  # the cookie alone is worth nothing
            thief.client.cookies.set(rig.cookie, shown)
            assert thief.get("/api/me").status_code == 401
        given = [one for one in rig.tokens.tokens() if one.person == "Li Na"]
        assert len(given) == 1
        browser.know(me)
        assert browser.post("/api/logout").status_code == 200
        assert not [one for one in rig.tokens.tokens() if one.person == "Li Na"]
    with rig.browser("Li Na") as browser:
        assert browser.log_in().status_code == 200
        assert browser.me["person"] == "Li Na"


@pytest.mark.parametrize("name", ["nobody", "gone"])
def test_other_certificates_do_not(rig: ConsoleRig, name: str) -> None:
    with rig.browser(name) as browser:
        assert "set-cookie" not in browser.get("/").headers
        assert browser.log_in().status_code == 401


def test_certificates_of_others_do_not_even_connect(rig: ConsoleRig, tmp_path: Path) -> None:
    stranger = make_certificates(tmp_path / "c", "Li Na")
    assert rig.authority is not None
    context = ssl.create_default_context(cafile=str(rig.authority.certificate))
    context.load_cert_chain(stranger.folder / "Li-Na.pem", stranger.folder / "Li-Na.key")
    with (
        httpx.Client(base_url=f"https://{rig.host}", verify=context, trust_env=False) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.get("/")


def test_a_login_makes_a_new_session_always(rig: ConsoleRig) -> None:
    with rig.browser() as browser:
        browser.client.cookies.set(rig.cookie, "chosen-by-someone-else")
        assert browser.log_in(rig.token("Wang")).status_code == 200
        first = [one for one in browser.client.cookies.jar if one.value != "chosen-by-someone-else"]
        assert len(first) == 1
        browser.client.cookies.clear()
        browser.client.cookies.set(rig.cookie, str(first[0].value))
        assert browser.log_in(rig.token("Qian")).status_code == 200
        second = [one.value for one in browser.client.cookies.jar if one.value != first[0].value]
        assert len(second) == 1
        browser.client.cookies.clear()
        browser.client.cookies.set(rig.cookie, str(first[0].value))
        assert browser.get("/api/me").status_code == 401  # the session before has ended


def test_a_plain_request_to_the_tls_port_gets_nothing(rig: ConsoleRig) -> None:
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.TransportError):
        client.get(f"http://{rig.host}/")


def test_the_link_logs_in_once_and_is_then_another(tmp_path: Path) -> None:
    with running_console(tmp_path, required=False) as rig, rig.browser() as browser:
        link = rig.server.login_url
        assert link is not None
        file = tmp_path / "console-login.url"
        assert file.read_text().strip() == link
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        path = link.removeprefix(rig.server.url.rstrip("/"))
        assert "set-cookie" not in browser.client.head(path).headers
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        assert "set-cookie" not in browser.get(path, headers=elsewhere).headers
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert browser.get("/api/me").json()["by"] == "operating system"
        with rig.browser() as other:
            assert "set-cookie" not in other.get(path).headers
            assert other.get("/api/me").status_code == 401
            again = rig.server.login_url
            assert again is not None
            assert again != link
            assert file.read_text().strip() == again
            other.get(again.removeprefix(rig.server.url.rstrip("/")))
            assert other.get("/api/me").status_code == 200
    assert not file.exists()


def test_without_a_link_no_code_lets_in(rig: ConsoleRig) -> None:
    assert rig.server.login_url is None
    with rig.browser() as browser:
        for code in ("", "None", "x"):
            assert "set-cookie" not in browser.get(f"/login?code={code}").headers


def test_failed_logins_are_limited_by_address(tmp_path: Path) -> None:
    with running_console(tmp_path, console={"login_attempts": 3}) as rig:
        token = rig.token("Wang")
        with rig.browser() as browser:
            for _ in range(5):  # logins that succeed cost nothing
                assert browser.log_in(token).status_code == 200
            browser.client.cookies.clear()
            said = [browser.log_in("wrong").status_code for _ in range(4)]
            assert said == [401, 401, 401, 429]
            refused = browser.log_in(token)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
            headers = {"Authorization": "Bearer wrong"}
            assert browser.get("/metrics", headers=headers).status_code == 429


def test_sessions_end_unused_and_with_their_time(tmp_path: Path) -> None:
    brief = {"session_hours": 1.5 / 3600}
    with running_console(tmp_path / "a", console=brief) as rig, rig.person("Wang") as browser:
        wait_until(lambda: browser.get("/api/me").status_code == 401)  # used all the time
    idle = {"idle_minutes": 1 / 60}
    with running_console(tmp_path / "b", console=idle) as rig, rig.person("Wang") as browser:
        time.sleep(1.5)
        assert browser.get("/api/me").status_code == 401


def test_an_audit_log_that_cannot_be_written_lets_nobody_in(tmp_path: Path) -> None:
    with running_console(tmp_path) as rig, rig.browser() as browser:
        token = rig.token("Wang")
        (tmp_path / "audit.sqlite").unlink(missing_ok=True)
        (tmp_path / "audit.sqlite").mkdir()
        answer = browser.log_in(token)
        assert answer.status_code == 503
        assert "audit" in answer.json()["error"]["message"]
        assert browser.get("/api/me").status_code == 401


@pytest.mark.parametrize(
    ("console", "required", "said"),
    [
        ({"listen": "0.0.0.0:0"}, True, "without TLS"),
        ({"listen": "0.0.0.0:0", "tls": True}, False, "access.required"),
        ({"listen": "127.0.0.1:99999"}, True, "console.listen"),
    ],
)
def test_what_would_be_exposed_is_refused(
    tmp_path: Path, authority: Authority, console: dict[str, object], required: bool, said: str
) -> None:
    if console.get("tls"):
        pem = authority.folder
        console = {**console, "tls": {"certificate": pem / "server.pem", "key": pem / "server.key"}}
    with (
        pytest.raises(ConfigError, match=said),
        running_console(tmp_path, required=required, console=console),
    ):
        pass


def test_a_taken_port_is_said(rig: ConsoleRig, tmp_path: Path) -> None:
    port = rig.host.rpartition(":")[2]
    with (
        pytest.raises(ConsoleError, match="cannot listen there"),
        running_console(tmp_path, console={"listen": f"127.0.0.1:{port}"}),
    ):
        pass


def test_without_a_configured_port_a_free_one_is_found(tmp_path: Path) -> None:
    made = {"roles": ("alerts", "console"), "alerts": {"listen": "127.0.0.1:0"}}
    one, other = (
        CheckpointSettings.model_validate({**made, "data_dir": tmp_path / name}) for name in "ab"
    )
    with Runtime(one) as first, Runtime(other) as second:
        assert first.console is not None
        assert second.console is not None
        assert first.console.url != second.console.url
        for runtime in (first, second):
            assert runtime.console is not None
            link = runtime.console.login_url
            assert link is not None
            assert httpx.get(link, trust_env=False).status_code == 303


def test_a_console_that_has_failed_is_in_health(tmp_path: Path) -> None:
    with running_console(tmp_path) as rig:
        rig.runtime.check()
        assert "console" not in rig.runtime.health.problems()
        server = rig.server._server
        assert server is not None
        server.should_exit = True
        wait_until(lambda: rig.server.problem is not None)
        rig.runtime.check()
        assert "console" in rig.runtime.health.problems()


def test_serve_names_the_links_file_where_nobody_sees_the_terminal(tmp_path: Path) -> None:
    config = tmp_path / "checkpoint.toml"
    config.write_text(
        f'data_dir = "{tmp_path}/var"\n[alerts]\nlisten = "127.0.0.1:0"\n'
        '[console]\nlisten = "127.0.0.1:0"\n'
    )
    command = [sys.executable, "-m", "pipeline.cli", "serve", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if line.startswith("Console: "))
        file = tmp_path / "var" / "console-login.url"
        assert str(file) in said
        assert "code=" not in said
        assert httpx.get(file.read_text().strip(), trust_env=False).status_code == 303
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(90) == 0, rest
        assert "Traceback" not in rest
    assert not file.exists()


def test_the_console_needs_its_alert_service() -> None:
    with pytest.raises(ValueError, match="add 'alerts'"):
        CheckpointSettings(
            roles=(Role.RECOGNISE, Role.CONSOLE), alerts={"target": "alerts.example:50051"}
        )


def test_a_province_may_have_one(tmp_path: Path) -> None:
    settings = CheckpointSettings.model_validate(
        {
            "data_dir": tmp_path,
            "roles": ("province", "console"),
            "alerts": {"listen": "127.0.0.1:0"},
            "console": {"listen": "127.0.0.1:0"},
        }
    )
    with Runtime(settings) as runtime:
        rig = ConsoleRig(settings, runtime, None)
        with rig.person("Wang") as browser:
            assert browser.me["province"] is True
            assert browser.get("/api/cameras").json()["cameras"] == []
