"""Metrics of a real console, read as Prometheus reads them; and what asks for them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from pipeline.access import AccessRole
from pipeline.camera import CameraState, CameraStatus
from pipeline.console.metrics import ConsoleCollector
from pipeline.meters import Counts, Meters
from pipeline.recognise import FrameTimes
from pipeline.rollup import FIGURES_FILE
from tests.conftest import ROOT
from tests.integration.alerts_support import make_hit
from tests.support import watchlists
from tests.support.console import ConsoleRig, running_console
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.grpc, pytest.mark.redis]

ASKED = re.compile(r"\b(?:checkpoint|process)_[a-z0-9_]+")
DASHBOARD = ROOT / "deploy" / "grafana" / "checkpoint.json"
RULES = ROOT / "deploy" / "prometheus" / "checkpoint-rules.yml"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleRig]:
    with running_console(tmp_path_factory.mktemp("console"), checkpoint="north") as made:
        yield made


def families(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(found: dict[str, Metric], sample: str, **labels: str) -> float | None:
    for family in found.values():
        for one in family.samples:
            if one.name == sample and labels.items() <= one.labels.items():
                return float(one.value)
    return None


def scraped(rig: ConsoleRig) -> dict[str, Metric]:
    with rig.browser() as browser:
        token = rig.token("prometheus", AccessRole.VIEWER)
        answer = browser.get("/metrics", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/plain")
        return families(answer.text)


class Full:
    """A queue in which something waits."""

    def depth(self) -> int:
        return 3

    def oldest_age_s(self) -> float:
        return 1.5

    def refused(self) -> list[str]:
        return ["one"]


def feed(meters: Meters) -> None:
    """One batch of two frames, and three passages, each in two revisions."""
    meters.on_times(
        [FrameTimes("gate", 0.01, 0.02, 0.2, reads=1), FrameTimes("gate", 0.01, 0.02, 0.2, reads=1)]
    )
    for number, (plate, reads) in enumerate([("辽A12345", 5), (None, 3), (None, 0)]):
        made = watchlists.passage(plate, passage_id=f"p{number}")
        meters.on_passage(replace(made, reads=reads))
        meters.on_passage(replace(made, reads=reads, revision=1))


def busy(rig: ConsoleRig) -> str:
    """Everything that a process may count, as it is exposed."""
    now = datetime.now(UTC)
    cameras = [
        CameraStatus(
            f"gate {number}",
            "rtsp://camera/1",
            CameraState.STREAMING,
            now,
            decoded=100,
            sampled=20,
            broken=1,
            dropped={"stale": 2},
            skipped={"still": 70},
            reconnects=3,
            overlooked_s=4.5,
            last_frame_age_s=0.2,
        )
        for number in range(2)
    ]
    meters = Meters()
    meters.queues = {"outbox": Full()}
    feed(meters)
    of_service = rig.runtime._meters.counts()

    def counts() -> Counts:
        return replace(
            meters.counts(),
            hits={("exact", "stolen"): 2, ("possible", "of another checkpoint"): 1},
            latencies={("north", "gate"): meters.counts().stages["total"]},
            alerts=of_service.alerts,
            subscribers=of_service.subscribers,
            publishers=of_service.publishers,
        )

    context = replace(rig.server._context, cameras=lambda: cameras, counts=counts)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ConsoleCollector(context))
    return generate_latest(registry).decode()


def test_hits_reviews_and_latency_are_counted(rig: ConsoleRig) -> None:
    now = datetime.now(UTC)

    def hit(number: int, revision: int = 0, age_s: float = 0.7) -> object:
        made = make_hit(number, checkpoint="north", revision=revision)
        ended = replace(made.passage, camera="gate", ended_at=now - timedelta(seconds=age_s))
        return replace(made, passage=ended)

    rig.publish(hit(1), hit(2), hit(1, revision=1, age_s=50.0))
    with rig.person("Wang", AccessRole.APPROVER) as browser:
        body = {"decision": "confirmed", "note": "seen", "seen_revision": 1}
        answer = browser.post("/api/alerts/hit-1/review", body)
        assert answer.status_code == 200, answer.text
    rollup = rig.runtime._meters.rollup
    assert rollup is not None
    wait_until(lambda: rollup.states() == {"unverified": 1, "confirmed": 1})
    found = scraped(rig)
    kind, category = str(make_hit(1).kind), make_hit(1).entry.category
    assert value(found, "checkpoint_hits_total", kind=kind, category=category) == 2
    labels = {"checkpoint": "north", "camera": "gate"}
    assert value(found, "checkpoint_alert_latency_seconds_count", **labels) == 2
    assert value(found, "checkpoint_alert_latency_seconds_bucket", le="0.5", **labels) == 0
    assert value(found, "checkpoint_alerts", state="confirmed") == 1
    assert value(found, "checkpoint_alerts", state="rejected") == 0
    assert value(found, "checkpoint_watchlist_up") == 1
    assert value(found, "checkpoint_healthy") == 1
    assert value(found, "checkpoint_build_info", checkpoint="north") == 1
    assert (value(found, "checkpoint_audit_records_total") or 0) > 0
    assert (value(found, "checkpoint_database_bytes", file=FIGURES_FILE) or 0) > 0
    with rig.person("Li", AccessRole.VIEWER) as browser:
        told = browser.get("/api/figures").json()
    everything, gate = told["cameras"]
    assert (everything["camera"], gate["camera"]) == (None, "gate")
    assert gate["total"]["alerts"] == 2
    assert gate["total"]["precision"] == 1.0
    assert 0.7 <= gate["total"]["latency_p50_s"] < 30
    assert sum(gate["series"]["alerts"]) == 2


def test_frames_batches_and_passages_are_counted(rig: ConsoleRig) -> None:
    feed(rig.runtime._meters)
    found = scraped(rig)
    assert value(found, "checkpoint_frames_recognised_total", camera="gate") == 2
    assert value(found, "checkpoint_batch_frames_bucket", le="2.0") == 1
    assert value(found, "checkpoint_stage_seconds_count", stage="recognise") == 2
    assert value(found, "checkpoint_stage_seconds_sum", stage="total") == pytest.approx(0.46)
    assert value(found, "checkpoint_passages_total", camera="gate") == 3
    assert value(found, "checkpoint_passages_plate_found_total", camera="gate") == 2
    assert value(found, "checkpoint_passages_plate_read_total", camera="gate") == 1


def test_problems_and_queues_are_told(rig: ConsoleRig) -> None:
    rig.runtime.health.report("disk", "is full")
    try:
        found = families(busy(rig))
    finally:
        rig.runtime.health.report("disk", None)
    assert value(found, "checkpoint_healthy") == 0
    assert value(found, "checkpoint_health_problem", component="disk") == 1
    assert value(found, "checkpoint_queue_depth", queue="outbox") == 3
    assert value(found, "checkpoint_queue_refused", queue="outbox") == 1
    assert value(found, "checkpoint_hits_total", category="other") == 1
    states = {"camera": "gate 0", "state": "streaming"}
    assert value(found, "checkpoint_camera_state", **states) == 1
    assert value(found, "checkpoint_camera_state", camera="gate 0", state="stalled") == 0
    assert value(found, "checkpoint_camera_frames_dropped_total", cause="stale") == 2
    assert value(found, "checkpoint_camera_frames_skipped_total", cause="still") == 70
    assert value(found, "checkpoint_camera_overlooked_seconds_total", camera="gate 0") == 4.5


def test_nobody_scrapes_without_a_token(rig: ConsoleRig) -> None:
    with rig.browser() as browser:
        assert browser.get("/metrics").status_code == 401
        wrong = browser.get("/metrics", headers={"Authorization": "Bearer checkpoint_wrong"})
        assert wrong.status_code == 401


def test_open_metrics_are_valid_too(rig: ConsoleRig) -> None:
    with rig.person("Li", AccessRole.VIEWER) as browser:
        accept = "application/openmetrics-text; version=1.0.0"
        answer = browser.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    names = {one.name for one in openmetrics.text_string_to_metric_families(answer.text)}
    assert "checkpoint_hits" in names


def test_no_metric_tells_of_plates_or_persons(rig: ConsoleRig) -> None:
    text = busy(rig)
    assert "辽" not in text
    assert "Wang" not in text
    allowed = {"camera", "state", "cause", "kind", "category", "stage", "le", "queue", "file"}
    allowed |= {"component", "checkpoint", "version"}
    used = {label for one in families(text).values() for s in one.samples for label in s.labels}
    assert used <= allowed
    for family in families(text).values():
        assert family.documentation
        assert re.fullmatch(r"checkpoint_[a-z_]+", family.name)


@pytest.mark.parametrize("path", [DASHBOARD, RULES], ids=["dashboard", "rules"])
def test_dashboard_and_rules_ask_for_metrics_and_labels_that_exist(
    rig: ConsoleRig, path: Path
) -> None:
    samples: dict[str, set[str]] = {}
    with rig.person("Li", AccessRole.VIEWER) as browser:
        process = families(browser.get("/metrics").text)
    for family in [*families(busy(rig)).values(), *process.values()]:
        samples.setdefault(family.name, set())
        for one in family.samples:
            samples.setdefault(one.name, set()).update(one.labels)
    text = path.read_text(encoding="utf-8")
    if path == DASHBOARD:
        dashboard = json.loads(text)
        wanted = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        wanted += [one["query"] for one in dashboard["templating"]["list"]]
        text = "\n".join(wanted)
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(ids) == len(set(ids)) >= 20
    asked = set(ASKED.findall(text))
    assert len(asked) >= 10
    assert {name for name in asked if name not in samples} == set()
    for name, matchers in re.findall(r"(checkpoint_[a-z_]+)\{([^}]*)\}", text):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!=|=)", matchers)) - {"instance"}
        if samples[name]:
            assert labels <= samples[name], name


def test_every_metric_stands_in_the_documentation(rig: ConsoleRig) -> None:
    text = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(checkpoint_[a-z_]+)`", text))
    exposed = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in families(busy(rig)).values()
    }
    assert exposed <= told
    assert told - exposed == {"checkpoint_passages_kept"}  # this process keeps none
