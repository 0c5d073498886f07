"""Passages in the console: who may search, what is masked, what is recorded, what is exported."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.access import AccessRole
from pipeline.archive import ARCHIVE_FILE, PassageArchive
from pipeline.evidence import UNBLURRED_FOLDER, EvidenceStore, cut
from pipeline.evidence_manifest import Origin
from pipeline.health import Health
from pipeline.tracking import Sighting
from pipeline.types import Frame, Passage, VehicleClass, VehicleColour
from tests.support import scenes, watchlists
from tests.support.console import Browser, ConsoleRig, running_console

pytestmark = [pytest.mark.grpc, pytest.mark.redis]

VIEWER, APPROVER = AccessRole.VIEWER, AccessRole.APPROVER
START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
WHY = {"reason": "hit and run in Gate Street", "case_number": "C-2026-9"}
COUNT = 60


def passage(number: int, store: EvidenceStore) -> Passage:
    """One a minute; every third another plate, camera and class."""
    at = START + timedelta(minutes=number)
    odd = number % 3 == 0
    frame = scenes.frame(0.0, camera="=gate" if odd else "north", shade=60 + number)
    frame = Frame(frame.camera, number, at, 0.0, 0.0, frame.image)
    frame.image[200:225, 290:330:4] = 255  # strokes on the plate
    sighting = Sighting(
        scenes.plate(280, 200, 60, scenes.read("辽A12345")), scenes.car(280, 200, 60)
    )
    evidence = store.save(f"p{number}", 0, cut(frame, sighting))
    made = watchlists.passage(
        f"京B{number:05d}" if odd else f"辽A{number:05d}",
        passage_id=f"p{number}",
        closed=True,
        vehicle_class=VehicleClass.VAN if odd else VehicleClass.CAR,
        vehicle_colour=VehicleColour.RED if odd else None,
    )
    return replace(
        made,
        camera=frame.camera,
        started_at=at - timedelta(seconds=2),
        ended_at=at,
        evidence=replace(evidence, jpeg=b""),
        text_probabilities=(0.99,) * 7,
    )


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleRig]:
    folder = tmp_path_factory.mktemp("console")
    archive = PassageArchive(folder / ARCHIVE_FILE)
    store = EvidenceStore(
        folder / "evidence",
        Health(),
        originals=folder / UNBLURRED_FOLDER,
        origin=Origin("north gate", "1.2", {"reader": {"reader.bin": "ab" * 32}}),
        list_version=lambda: 7,
    )
    archive.keep([passage(number, store) for number in range(COUNT)])
    unknown = passage(COUNT, store)
    assert unknown.evidence is not None
    archive.keep([replace(unknown, evidence=replace(unknown.evidence, plate_corners=None))])
    archive.close()
    with running_console(folder, keep_unblurred=True) as running:
        yield running


def find(browser: Browser, **wanted: Any) -> dict[str, Any]:
    answer = browser.post("/api/passages/search", {**WHY, **wanted})
    assert answer.status_code == 200, answer.text
    return answer.json()


def last(rig: ConsoleRig, action: str) -> tuple[Any, dict[str, Any]]:
    record = rig.audited(action)[-1]
    return record, json.loads(record.details)


def test_a_viewer_searches_and_sees_masked_plates_and_the_log_says_so(rig: ConsoleRig) -> None:
    with rig.person("Wang", VIEWER) as browser:
        found = find(browser, plate="辽a·000?1", limit=2)
        assert (found["total"], found["masked"]) == (4, True)  # 21 and 51 are of the others
        assert [one["plate"] for one in found["passages"]] == ["辽••••41", "辽••••31"]
        assert found["passages"][0]["has_picture"]
        assert "00041" not in json.dumps(found, ensure_ascii=False)
        record, details = last(rig, "passages.search")
        assert (record.actor, record.subject) == ("Wang", "辽A000?1")
        assert (record.reason, record.case) == (WHY["reason"], WHY["case_number"])
        assert (details["count"], details["shown"], details["unmasked"]) == (4, 2, False)
        assert details["search"] == found["search"]


def test_pages_follow_one_another_without_a_gap(rig: ConsoleRig) -> None:
    with rig.person("Wang", VIEWER) as browser:
        seen, after = [], None
        while True:
            page = find(browser, limit=17, after=after)
            seen += [one["id"] for one in page["passages"]]
            after = page["next"]
            if after is None:
                break
        assert seen == [f"p{number}" for number in range(COUNT, -1, -1)]
        assert page["total"] == COUNT + 1
        assert last(rig, "passages.search")[1]["further_page"]


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"camera": "=gate"}, 21),
        ({"vehicle_class": "van", "plate": "京*"}, 21),
        ({"colour": "red"}, 21),
        ({"plate_class": "blue", "colour": "blue"}, 0),
        ({"with_hit": True}, 0),
        ({"from": (START + timedelta(minutes=10)).isoformat()}, 51),
        ({"to": (START + timedelta(minutes=10)).isoformat()}, 10),
        ({"plate": "*[A-Z]*"}, None),
        ({"plate": "辽A00001"}, 1),
        ({"plate": "辽A99999"}, 0),
        ({"plate": "  "}, 61),
        ({"plate": "??00001", "camera": ""}, 1),
    ],
)
def test_each_field_narrows(rig: ConsoleRig, wanted: dict[str, Any], count: int | None) -> None:
    with rig.person("Wang", VIEWER) as browser:
        answer = browser.post("/api/passages/search", {**WHY, **wanted})
        if count is None:
            assert answer.json()["total"] == 0, "brackets are characters, not a class"
        else:
            assert answer.json()["total"] == count


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"reason": " "}, "reason"),
        ({"case_number": ""}, "case_number"),
        ({"reason": None}, "reason"),
        ({"plate": "A123"}, "plate"),
        ({"plate": "辽А12345"}, "plate"),  # a Cyrillic А
        ({"plate": "辽A'; DROP TABLE passages; --"}, "plate"),
        ({"from": "2026-01-01T00:00:00"}, "from"),
        ({"from": "yesterday"}, "from"),
        ({"colour": "pinkish"}, "colour"),
        ({"limit": 0}, "limit"),
        ({"limit": 1000}, "limit"),
        ({"after": "1.2.3"}, "after"),
        ({"after": "x"}, "after"),
        ({"after": "9" * 39 + ".1"}, "after"),
        ({"unknown": 1}, "unknown"),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, None),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_is_searched(
    rig: ConsoleRig, wanted: dict[str, Any], field: str | None
) -> None:
    before = len(rig.audited("passages.search"))
    with rig.person("Wang", VIEWER) as browser:
        answer = browser.post("/api/passages/search", {**WHY, **wanted})
        assert answer.status_code == 400
        assert answer.json()["error"]["field"] == field
    assert len(rig.audited("passages.search")) == before


def test_plates_as_they_are_take_an_approver_and_a_refusal_is_recorded(rig: ConsoleRig) -> None:
    with rig.person("Wang", VIEWER, AccessRole.EDITOR) as browser:
        answer = browser.post("/api/passages/search", {**WHY, "unmasked": True})
        assert answer.status_code == 403
        record, _ = last(rig, "passages.search.refused")
        assert (record.actor, record.case) == ("Wang", "C-2026-9")
        options = browser.get("/api/passages").json()
        assert (options["may_unmask"], options["may_export"]) == (False, False)
    with rig.person("Li", APPROVER) as browser:
        found = find(browser, plate="京B0000?", unmasked=True)
        assert {one["plate"] for one in found["passages"]} == {
            f"京B{number:05d}" for number in (0, 3, 6, 9)
        }
        assert last(rig, "passages.search")[1]["unmasked"] is True
    with rig.person("Zhao", AccessRole.AUDITOR) as browser:
        assert browser.post("/api/passages/search", WHY).status_code == 403


def test_what_cannot_be_recorded_is_not_given_out(rig: ConsoleRig) -> None:
    anchor = rig.settings.data_dir / "audit.sqlite.anchor"
    with rig.person("Li", APPROVER) as browser:
        found = find(browser, plate="辽A00001", unmasked=True)
        content = anchor.read_text()
        anchor.write_text("{}")
        try:
            for path, body in (
                ("/api/passages/search", WHY),
                ("/api/passages/export", WHY),
                ("/api/passages/p1/unblurred", WHY),
            ):
                answer = browser.post(path, body)
                assert answer.status_code == 503, path
                assert "辽" not in answer.text
            for part in ("", "/picture", "/plate"):
                path = f"/api/passages/p1{part}?search={found['search']}"
                assert browser.get(path).status_code == 503, path
        finally:
            anchor.write_text(content)


def grey(jpeg: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return image.astype(int)


def test_a_picture_takes_a_search_of_ones_own_that_found_it(rig: ConsoleRig) -> None:
    with rig.person("Wang", VIEWER) as one, rig.person("Li", APPROVER) as two:
        found = find(one, plate="辽A00001")
        path = f"/api/passages/p1/picture?search={found['search']}"
        assert one.get("/api/passages/p1/picture").json()["error"]["code"] == "search_first"
        assert two.get(path).status_code == 403, "another session's search"
        assert one.get(path.replace("p1", "p2")).status_code == 403, "not among what it found"
        answer = one.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/jpeg"
        record, details = last(rig, "passages.picture")
        assert (record.subject, record.case) == ("p1", "C-2026-9")
        assert (details["search"], details["unmasked"]) == (found["search"], False)


def test_the_plate_in_the_picture_is_hidden_where_plates_are_masked(rig: ConsoleRig) -> None:
    with rig.person("Li", APPROVER) as browser:
        masked = find(browser, plate="辽A00001")["search"]
        shown = find(browser, plate="辽A00001", unmasked=True)["search"]
        hidden = grey(browser.get(f"/api/passages/p1/picture?search={masked}").content)
        whole = browser.get(f"/api/passages/p1/picture?search={shown}").content
        top, left = 150, 96  # the plate in the cutting
        plate = (slice(top + 3, top + 15), slice(left + 4, left + 54))
        assert grey(whole)[plate].std() > 20
        assert hidden[plate].std() < 8
        kept = rig.settings.data_dir / "evidence" / f"{START:%Y-%m-%d}" / "p1-0.jpg"
        assert whole == kept.read_bytes(), "unmasked it is the picture as it was saved"
        assert browser.get(f"/api/passages/p1/plate?search={masked}").status_code == 403
        enlarged = browser.get(f"/api/passages/p1/plate?search={shown}")
        assert grey(enlarged.content).shape[1] == 480


def test_a_plate_whose_place_is_not_known_is_not_shown_by_accident(rig: ConsoleRig) -> None:
    name, plate = f"p{COUNT}", f"京B{COUNT:05d}"
    with rig.person("Li", APPROVER) as browser:
        masked, shown = find(browser, plate=plate), find(browser, plate=plate, unmasked=True)
        refused = browser.get(f"/api/passages/{name}/picture?search={masked['search']}")
        assert refused.json()["error"]["code"] == "plate_shown"
        assert browser.get(f"/api/passages/{name}/picture?search={shown['search']}").is_success
        details = browser.get(f"/api/passages/{name}?search={masked['search']}").json()
        assert details["evidence"]["shown"] is False


def test_the_details_say_what_the_manifest_knows(rig: ConsoleRig) -> None:
    with rig.person("Wang", VIEWER) as browser:
        found = find(browser, plate="辽A00002")
        answer = browser.get(f"/api/passages/p2?search={found['search']}").json()
        assert answer["passage"]["plate"] == "辽••••02"
        evidence = answer["evidence"]
        assert evidence["list_version"] == 7
        assert evidence["models"] == {"reader": "ab" * 32}
        assert (evidence["blurred"], evidence["original"]) == (True, True)
        assert (evidence["plate"], evidence["shown"]) == (False, True)
        assert rig.audited("passages.view")


def test_the_unblurred_picture_takes_an_approver_a_reason_and_a_case(rig: ConsoleRig) -> None:
    path = "/api/passages/p4/unblurred"
    with rig.person("Wang", VIEWER) as browser:
        assert browser.post(path, WHY).status_code == 403
        assert rig.audited("evidence.unblurred.refused")[-1].actor == "Wang"
    with rig.person("Li", APPROVER) as browser:
        assert browser.post(path, {"reason": "x"}).json()["error"]["field"] == "case_number"
        assert browser.post("/api/passages/nobody/unblurred", WHY).status_code == 404
        answer = browser.post(path, WHY)
        files = list((rig.settings.data_dir / UNBLURRED_FOLDER).rglob("p4-0.jpg"))
        assert answer.content == files[0].read_bytes()
        record, details = last(rig, "evidence.unblurred")
        assert (record.actor, record.subject, record.case) == ("Li", "p4", "C-2026-9")
        assert details["sha256"] == hashlib.sha256(answer.content).hexdigest()
        files[0].write_bytes(b"another")
        assert browser.post(path, WHY).json()["error"]["code"] == "damaged"


def test_a_changed_or_missing_picture_is_said_and_not_shown(rig: ConsoleRig) -> None:
    with rig.person("Li", APPROVER) as browser:
        found = find(browser, plate="辽A00007")
        path = f"/api/passages/p7/picture?search={found['search']}"
        (file,) = (rig.settings.data_dir / "evidence").rglob("p7-0.jpg")
        file.write_bytes(file.read_bytes() + b"x")
        assert browser.get(path).json()["error"]["code"] == "damaged"
        file.unlink()
        assert browser.get(path).status_code == 404


def test_an_export_is_masked_takes_an_approver_and_is_recorded_with_its_digest(
    rig: ConsoleRig,
) -> None:
    with rig.person("Wang", VIEWER, AccessRole.EDITOR) as browser:
        assert browser.post("/api/passages/export", WHY).status_code == 403
        assert rig.audited("passages.export.refused")[-1].actor == "Wang"
    with rig.person("Li", APPROVER) as browser:
        answer = browser.post("/api/passages/export", {**WHY, "camera": "=gate"})
        assert answer.headers["content-type"].startswith("text/csv")
        assert "attachment" in answer.headers["content-disposition"]
        rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
        assert len(rows) == 21
        assert {row["camera"] for row in rows} == {"'=gate"}, (
            "no spreadsheet takes it for a formula"
        )
        assert {row["plate"][1:5] for row in rows} == {"••••"}
        record, details = last(rig, "passages.export")
        assert (record.case, details["count"], details["unmasked"]) == ("C-2026-9", 21, False)
        assert details["sha256"] == hashlib.sha256(answer.content).hexdigest()
        assert answer.headers["x-checkpoint-sha256"] == details["sha256"]
        whole = browser.post("/api/passages/export", {**WHY, "unmasked": True, "plate": "辽A00001"})
        assert "辽A00001" in whole.content.decode("utf-8-sig")
        assert last(rig, "passages.export")[1]["unmasked"] is True


def test_it_takes_a_login_and_the_csrf_header(rig: ConsoleRig) -> None:
    with rig.browser() as stranger:
        assert stranger.post("/api/passages/search", WHY).status_code == 401
        assert stranger.get("/api/passages/p1/picture").status_code == 401
    with rig.person("Li", APPROVER) as browser:
        del browser.client.headers["X-CSRF-Token"]
        for path in ("search", "export", "p1/unblurred"):
            answer = browser.post(f"/api/passages/{path}", WHY)
            assert answer.json()["error"]["code"] == "csrf"


def test_where_no_passages_are_kept_that_is_said(tmp_path: Path) -> None:
    with running_console(tmp_path) as rig, rig.person("Li", APPROVER) as browser:
        assert browser.get("/api/passages").json()["available"] is False
        answer = browser.post("/api/passages/search", WHY)
        assert answer.status_code == 404
        assert "checkpoint" in answer.json()["error"]["message"]
