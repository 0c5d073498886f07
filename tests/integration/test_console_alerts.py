"""Alerts in the console: listed, shown, decided by several people, and followed over a restart."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from pipeline.access import AccessRole
from pipeline.types import Evidence, Hit, MatchKind
from tests.integration.alerts_support import make_hit, redis_server
from tests.support.console import ConsoleRig, running_console
from tests.support.ports import free_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.grpc, pytest.mark.redis]

REVIEWER = (AccessRole.EDITOR, AccessRole.VIEWER)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleRig]:
    with running_console(tmp_path_factory.mktemp("console"), alerts=ALERTS) as running:
        yield running


ALERTS = {"listen": "127.0.0.1:0", "escalate_after_s": 0, "undo_s": 60.0}


def picture() -> bytes:
    """A grey picture with a blue plate at (40, 60) to (140, 90)."""
    image = np.full((120, 200, 3), 128, np.uint8)
    image[60:90, 40:140] = (200, 80, 20)
    return cv2.imencode(".jpg", image)[1].tobytes()


def pictured_hit(number: int, **how: Any) -> Hit:
    hit = make_hit(number, jpeg=picture(), **how)
    corners = np.array([[40, 60], [140, 60], [140, 90], [40, 90]], np.float32)
    evidence = hit.passage.evidence
    assert isinstance(evidence, Evidence)
    passage = replace(hit.passage, evidence=replace(evidence, plate_corners=corners))
    return replace(hit, passage=passage)


def test_alerts_are_listed_with_all_that_a_person_must_see(rig: ConsoleRig) -> None:
    rig.publish(pictured_hit(1), make_hit(2, kind=MatchKind.POSSIBLE, jpeg=b""))
    with rig.person("Wang", AccessRole.VIEWER) as browser:
        listed = browser.get("/api/alerts").json()
        two, one = listed["alerts"][:2]
        assert (one["id"], one["kind"], one["has_picture"]) == ("hit-1", "exact", True)
        assert (two["id"], two["kind"], two["has_picture"]) == ("hit-2", "possible", False)
        assert one["char_probabilities"] == [0.99, 0.98, 1.0, 1.0, 1.0, 1.0, 1.0]
        assert one["plate_class"] == "blue"
        assert one["entry"]["case_number"] == "2026-17"
        assert one["mismatches"] == ["vehicle_colour"]
        assert one["review"] == {
            "state": "unverified",
            "reviewer": None,
            "note": None,
            "outcome": None,
            "at": None,
            "named_by": None,
        }
        assert one["escalated"] is None
        assert listed["feed"]["sequence"] >= 2
        page = browser.get("/api/alerts?limit=1").json()
        assert [alert["id"] for alert in page["alerts"]] == ["hit-2"]
        rest = browser.get(f"/api/alerts?limit=1&page_token={page['next_page_token']}").json()
        assert [alert["id"] for alert in rest["alerts"]] == ["hit-1"]
        for query, ids in {
            "kinds=possible": ["hit-2"],
            "kinds=exact,possible": ["hit-2", "hit-1"],
            "kinds=exact&kinds=possible": ["hit-2", "hit-1"],
            "reviews=confirmed": [],
            "categories=stolen&max_priority=1": ["hit-2", "hit-1"],
            "escalated=true": [],
        }.items():
            found = browser.get(f"/api/alerts?{query}").json()["alerts"]
            assert [alert["id"] for alert in found] == ids, query


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=\u0665", "limit"),
        ("limit=501", "limit"),
        ("kinds=none", "kinds"),
        ("max_priority=5", "max_priority"),
        ("page_token=x", "page_token"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(rig: ConsoleRig, query: str, field: str) -> None:
    with rig.person("Wang", AccessRole.VIEWER) as browser:
        answer = browser.get(f"/api/alerts?{query}")
        assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)


def test_an_alert_is_shown_with_history_pictures_and_other_readings(rig: ConsoleRig) -> None:
    rig.publish(pictured_hit(3), pictured_hit(3, revision=1), make_hit(4, jpeg=b""))
    with rig.person("Qian", AccessRole.VIEWER) as browser:
        shown = browser.get("/api/alerts/hit-3").json()
        assert [one["kind"] for one in shown["history"]] == ["hit", "hit"]
        assert shown["alternatives"][0] == {"plate": "京A12345", "probability": 0.97}
        evidence = shown["evidence"]
        assert evidence["url"] == "/api/alerts/hit-3/picture?revision=1"
        answer = browser.get(evidence["url"])
        assert answer.content == picture()
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["cache-control"] == "no-store"
        plate = browser.get(evidence["plate_url"])
        image = cv2.imdecode(np.frombuffer(plate.content, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape[1] > 400
        blue, green, red = image[image.shape[0] // 2, image.shape[1] // 2]
        assert int(blue) > int(green) + 50 > int(red) + 50
        assert browser.get("/api/alerts/hit-4").json()["evidence"] is None
        for path in (
            "hit-4/picture",
            "hit-4/plate",
            "hit-3/picture?revision=9",
            "none",
            "none/plate",
        ):
            assert browser.get(f"/api/alerts/{path}").status_code == 404, path
    records = [one for one in rig.audited() if one.actor == "Qian"]
    assert {one.action for one in records} >= {"console.login", "alerts.get", "alerts.evidence"}
    got = next(one for one in records if one.action == "alerts.evidence")
    assert got.subject == "hit-3"
    assert got.origin == "127.0.0.1 console"


def test_two_reviewers_and_the_first_decides(rig: ConsoleRig) -> None:
    rig.publish(make_hit(10))
    with rig.person("Wang", *REVIEWER) as wang, rig.person("Qian", *REVIEWER) as qian:
        with qian.feed() as feed:
            feed.next("state")
            decided = wang.post(
                "/api/alerts/hit-10/review",
                {"decision": "confirmed", "note": "same car", "outcome": "stopped"},
            )
            assert decided.status_code == 200, decided.text
            assert decided.json()["alert"]["review"]["reviewer"] == "Wang"
            told = feed.next("review")
            assert (told.data["id"], told.data["review"]["state"]) == ("hit-10", "confirmed")
        late = qian.post("/api/alerts/hit-10/review", {"decision": "rejected"})
        assert late.status_code == 409
        error = late.json()["error"]
        assert (error["code"], error["reason"]) == ("conflict", "ALREADY_DECIDED")
        assert "Wang" in error["message"]
        assert error["alert"]["review"]["reviewer"] == "Wang"
        assert qian.delete("/api/alerts/hit-10/review").status_code == 409
        assert qian.post("/api/alerts/hit-10/escalate", {"note": "x"}).status_code == 409


def test_a_decision_is_taken_back_in_time_and_not_after(rig: ConsoleRig) -> None:
    rig.publish(make_hit(11))
    with rig.person("Wang", *REVIEWER) as browser:
        assert browser.me["undo_s"] == 60.0
        body = {"decision": "rejected", "seen_revision": 0}
        assert browser.post("/api/alerts/hit-11/review", body).status_code == 200
        back = browser.delete("/api/alerts/hit-11/review")
        assert back.json()["alert"]["review"]["state"] == "unverified"
        history = browser.get("/api/alerts/hit-11").json()["history"]
        assert [one["kind"] for one in history] == ["hit", "review", "withdrawal"]
        service = rig.runtime._service
        assert service is not None
        long_ago_us = int((time.time() - 61) * 1e6)
        service._stores.alerts.review("hit-11", "rejected", "Wang", "", long_ago_us)
        late = browser.delete("/api/alerts/hit-11/review")
        assert (late.status_code, late.json()["error"]["code"]) == (409, "conflict")


def test_an_alert_amended_meanwhile_is_not_decided(rig: ConsoleRig) -> None:
    rig.publish(make_hit(12), make_hit(12, revision=1))
    with rig.person("Wang", *REVIEWER) as browser:
        body = {"decision": "confirmed", "seen_revision": 0}
        answer = browser.post("/api/alerts/hit-12/review", body)
        assert answer.json()["error"]["reason"] == "AMENDED"
        assert answer.json()["error"]["alert"]["revision"] == 1


def test_an_alert_is_escalated(rig: ConsoleRig) -> None:
    rig.publish(make_hit(13))
    with rig.person("Wang", *REVIEWER) as browser, browser.feed() as feed:
        feed.next("state")
        answer = browser.post("/api/alerts/hit-13/escalate", {"note": "armed"})
        assert answer.json()["alert"]["escalated"]["by"] == "Wang"
        assert feed.next("escalation").data["escalated"]["note"] == "armed"


@pytest.mark.parametrize("role", [AccessRole.VIEWER, AccessRole.AUDITOR])
def test_who_may_not_decide_is_refused(rig: ConsoleRig, role: AccessRole) -> None:
    rig.publish(make_hit(14))
    with rig.person("Sun", role) as browser:
        for answer in (
            browser.post("/api/alerts/hit-14/review", {"decision": "confirmed"}),
            browser.delete("/api/alerts/hit-14/review"),
            browser.post("/api/alerts/hit-14/escalate"),
        ):
            assert answer.status_code == 403
            assert "editor" in answer.json()["error"]["message"]
        assert browser.get("/api/alerts/hit-14").json()["alert"]["review"]["state"] == "unverified"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"decision": "unverified"},
        {"decision": "confirmed", "reviewer": "Li"},
        {"decision": "confirmed", "note": "x" * 4001},
        {"decision": "confirmed", "seen_revision": -1},
        {"decision": "confirmed", "seen_revision": 2**40},
        ["confirmed"],
        "confirmed",
    ],
)
def test_a_decision_that_is_none_is_refused(rig: ConsoleRig, body: Any) -> None:
    rig.publish(make_hit(15))
    with rig.person("Wang", *REVIEWER) as browser:
        answer = browser.post("/api/alerts/hit-15/review", body)
        assert answer.status_code == 400, answer.text


def test_an_alert_is_told(rig: ConsoleRig) -> None:
    with rig.person("Wang", *REVIEWER) as browser, browser.feed() as feed:
        feed.next("state")
        rig.publish(make_hit(20))
        assert feed.next("alert").data["id"] == "hit-20"


def test_listing_and_then_following_misses_nothing(rig: ConsoleRig) -> None:
    rig.publish(make_hit(21))
    with rig.person("Wang", *REVIEWER) as browser:
        at = browser.get("/api/alerts").json()["feed"]
        rig.publish(make_hit(22))
        with browser.client.stream(
            "GET", f"/api/feed?after={at['feed_id']}:{at['sequence']}"
        ) as stream:
            text = next(piece for piece in stream.iter_text() if "hit-2" in piece)
            assert "hit-22" in text
            assert "hit-21" not in text


@pytest.mark.parametrize(
    "after", ["x", "1:2:x", ":-1", "feed:\u0661", "a" * 200 + ":1", "f:" + "9" * 30]
)
def test_a_place_that_is_none_is_refused(rig: ConsoleRig, after: str) -> None:
    with rig.person("Wang", AccessRole.VIEWER) as browser:
        answer = browser.get("/api/feed", params={"after": after})
        assert (answer.status_code, answer.json()["error"]["field"]) == (400, "after")


def test_another_feed_is_said_and_followed_from_now_on(rig: ConsoleRig) -> None:
    with rig.person("Wang", AccessRole.VIEWER) as browser:
        for place in ("another-feed:1", f"{'0' * 32}:99999999", "99999999"):
            with browser.feed(place) as feed:
                assert feed.next().kind == "reset"
                now = feed.next("state")
                assert now.data["live"] is True
                assert now.place.rpartition(":")[0] != "another-feed"


def test_the_feed_ends_with_its_session(rig: ConsoleRig) -> None:
    with rig.person("Wang", AccessRole.VIEWER) as browser, browser.feed() as feed:
        feed.next("state")
        threading.Timer(0.2, browser.post, ("/api/logout",)).start()
        assert feed.next().kind == "logout"
        with pytest.raises(AssertionError, match="ended"):
            feed.next()


def test_a_view_of_the_feed_is_recorded_once(rig: ConsoleRig) -> None:
    with rig.person("Once", AccessRole.VIEWER) as browser:
        for _ in range(3):
            with browser.feed() as feed:
                feed.next("state")
    assert [one.actor for one in rig.audited("console.feed")].count("Once") == 1


def test_a_restart_loses_and_doubles_nothing(tmp_path: Path) -> None:
    port = free_port()
    how: dict[str, Any] = {"console": {"listen": f"127.0.0.1:{port}"}, "required": False}
    seen: list[tuple[str, int]] = []
    with (
        running_console(tmp_path, **how) as rig,
        rig.person("Wang") as browser,
        browser.feed() as feed,
    ):
        place = feed.next("state").place
        rig.publish(make_hit(1), make_hit(2))
        for _ in range(2):
            event = feed.next("alert")
            seen.append((event.data["id"], event.data["revision"]))
            place = event.place
        rig.publish(make_hit(3))  # comes, but the browser has gone before it has read it
    with running_console(tmp_path, **how) as rig, rig.person("Wang") as browser:
        rig.publish(make_hit(4))
        with browser.feed(place) as feed:
            for _ in range(2):
                event = feed.next("alert")
                seen.append((event.data["id"], event.data["revision"]))
    assert seen == [(f"hit-{number}", 0) for number in (1, 2, 3, 4)]


def test_stopping_does_not_wait_for_those_who_follow(tmp_path: Path) -> None:
    with (
        running_console(tmp_path, shutdown_deadline_s=120.0) as rig,
        rig.person("Wang") as browser,
        browser.feed() as feed,
    ):
        feed.next("state")
        began = time.monotonic()
        rig.runtime.stop()
        assert time.monotonic() - began < 60.0
        with pytest.raises((AssertionError, httpx.HTTPError)):
            feed.next("alert")


@pytest.mark.slow
def test_a_browser_that_takes_nothing_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.console.feed_api._SEND_S", 1.0)
    with running_console(tmp_path) as rig, rig.person("Wang") as browser:
        cookie = "; ".join(f"{one.name}={one.value}" for one in browser.client.cookies.jar)
        host, _, port = rig.host.rpartition(":")
        slow = socket.create_connection((host, int(port)))
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(
            f"GET /api/feed HTTP/1.1\r\nHost: {rig.host}\r\nCookie: {cookie}\r\n\r\n".encode()
        )
        assert slow.recv(100).startswith(b"HTTP/1.1 200")
        with browser.feed() as feed:  # another one goes on meanwhile
            feed.next("state")
            disposition = "stop " * 1500
            hits = [make_hit(number) for number in range(500)]
            large = [
                replace(one, entry=replace(one.entry, disposition=disposition)) for one in hits
            ]
            publishing = threading.Thread(target=rig.publish, args=large)
            publishing.start()
            told = [feed.next("alert").data["id"] for _ in hits]
            assert told == [hit.id for hit in hits]
            publishing.join()

        server, ours = rig.server._server, slow.getsockname()
        assert server is not None
        wait_until(lambda: all(one.client != ours for one in server.server_state.connections))
        slow.close()


def test_the_feed_outlives_its_store(tmp_path: Path) -> None:
    with redis_server(tmp_path) as store:
        how: dict[str, Any] = {"watchlist": {"redis_url": f"unix://{store.socket}"}}
        with (
            running_console(tmp_path / "console", **how) as rig,
            rig.person("Wang") as browser,
            browser.feed() as feed,
        ):
            assert feed.next("state").data == {"live": True, "problem": None}
            rig.publish(make_hit(1))
            assert feed.next("alert").data["id"] == "hit-1"
            store.kill()
            away = feed.next()
            assert (away.kind, away.data["live"]) == ("state", False)
            assert away.data["problem"]
            assert browser.get("/api/alerts").status_code == 503
            store.start()
            assert feed.next("state").data["live"] is True
            rig.publish(make_hit(2))
            assert feed.next("alert").data["id"] == "hit-2"


def test_a_quiet_feed_says_that_it_is_still_there(
    rig: ConsoleRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.console.feed_api._PING_S", 0.2)
    with rig.person("Wang") as browser, browser.feed() as feed:
        feed.next("state")
        assert next(line for line in feed.lines if line).startswith(": still here")


def test_a_feed_whose_view_cannot_be_recorded_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.console.views._AGAIN_S", 0.5)
    monkeypatch.setattr("pipeline.console.feed_api._LOOK_S", 0.2)
    with running_console(tmp_path) as rig, rig.person("Wang") as browser, browser.feed() as feed:
        feed.next("state")
        for name in ("audit.sqlite", "audit.sqlite-wal", "audit.sqlite-shm"):
            (tmp_path / name).unlink()
        (tmp_path / "audit.sqlite").mkdir()
        ended = feed.next("state")
        assert ended.data["live"] is False
        assert "audit" in ended.data["problem"]
        with pytest.raises(AssertionError, match="ended"):
            feed.next()
        assert browser.get("/api/feed").status_code == 503
