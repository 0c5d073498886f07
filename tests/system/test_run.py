"""The program as its users run it: real weights, a real Redis, the real clips."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.commands.demo import CLIP
from tests.support.program import Program, checkpoint, events
from tests.support.waiting import PATIENCE_S

TRUTH = json.loads(CLIP.with_suffix(".json").read_text(encoding="utf-8"))
WANTED = TRUTH["watchlist"][0]
PLATES = [passage["main_plate"] for passage in TRUTH["passages"]]

pytestmark = [pytest.mark.redis, pytest.mark.grpc]


def put_on_list(cwd: Path, plate: str) -> None:
    done = checkpoint(
        *("watchlist", "add", plate, "--category", "stolen", "--disposition", "stop and verify"),
        *("--reason", "test", "--case", "C-1", "--authoriser", "somebody", "--expires", "+1d"),
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr


def latest(passages: list[dict]) -> list[dict]:
    """The last revision of each passage."""
    return list({passage["id"]: passage for passage in passages}.values())


def test_every_vehicle_of_the_clip_is_one_passage_and_the_wanted_one_a_hit(tmp_path: Path) -> None:
    put_on_list(tmp_path, WANTED)
    done = checkpoint("run", "--source", str(CLIP), "--once", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = events(done.stdout)
    passages = latest([event for event in said if event["event"] == "passage"])
    assert sorted(passage["plate"] for passage in passages) == sorted(PLATES)
    (hit,) = {event["id"]: event for event in said if event["event"] == "hit"}.values()
    assert hit["kind"] == "exact"
    assert hit["list_version"] >= 1
    (met,) = (passage for passage in passages if passage["id"] == hit["passage"])
    assert met["plate"] == WANTED
    picture = tmp_path / "var" / "evidence" / met["evidence"]
    assert picture.stat().st_size > 1000
    manifest = json.loads(picture.with_suffix(".json").read_text(encoding="utf-8"))
    assert manifest["list_version"] == hit["list_version"]
    assert set(manifest["origin"]["models"]) == {"scene", "reader", "colour"}
    assert len(manifest["plate_corners"]) == 4
    verified = checkpoint("evidence", "verify", "--json", cwd=tmp_path)
    assert verified.returncode == 0, verified.stdout
    assert events(verified.stdout)[-1]["manifests"] >= len(PLATES)
    summary = said[-1]
    assert summary["event"] == "summary"
    assert summary["frames"]["decoded"] == TRUTH["frames"]
    assert sum(summary["frames"]["dropped"].values()) == 0
    assert (summary["passages"], summary["hits"]) == (len(PLATES), 1)


def test_real_checkpoint_clip(tmp_path: Path, data_dir: Path) -> None:
    clip = data_dir / "clips" / "checkpoint_24.mp4"
    truth = json.loads(clip.with_suffix(".json").read_text(encoding="utf-8"))["passages"]
    done = checkpoint("run", "--source", str(clip), "--once", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    passages = latest([e for e in events(done.stdout) if e["event"] == "passage"])
    right = sum(
        any(
            passage["plate"] == one["main_plate"]
            and passage["start_s"] < one["end_s"]
            and passage["end_s"] >= one["start_s"]
            for passage in passages
        )
        for one in truth
    )
    assert right >= 22
    plates = [passage["plate"] for passage in passages]
    assert None not in plates
    assert len(set(plates)) == len(plates)  # nobody twice
    assert len(plates) <= len(truth) + 1  # one of the photographs shows a second car


@pytest.mark.slow
def test_an_alert_waits_for_whoever_asks_later(tmp_path: Path) -> None:
    put_on_list(tmp_path, WANTED)
    settings = tmp_path / "checkpoint.toml"
    settings.write_text(
        f'[alerts]\nlisten = "127.0.0.1:0"\n[[cameras]]\nname = "gate"\nsource = "{CLIP}"\n',
        encoding="utf-8",
    )
    ran = checkpoint("run", "--config", str(settings), "--once", "--json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    with Program("serve", "--config", str(settings), cwd=tmp_path) as service:
        service.wait_until(lambda: "address=" in service.log, PATIENCE_S, "the service listens")
        address = service.log.split("address=")[1].split()[0]
        seen = checkpoint("alerts", "list", "--target", address, "--json", cwd=tmp_path)
        assert seen.returncode == 0, seen.stderr
        (alert,) = events(seen.stdout)
        assert WANTED in json.dumps(alert, ensure_ascii=False)
        status, _ = service.interrupt()
    assert status == 0, service.log


def test_ctrl_c_flushes_and_ends(tmp_path: Path) -> None:
    put_on_list(tmp_path, PLATES[0])
    with Program("run", "--source", str(CLIP), "--json", cwd=tmp_path) as program:
        program.wait_until(lambda: bool(program.passages()), PATIENCE_S, "a first passage")
        status, _ = program.interrupt()
        said = program.events
    assert status == 0, program.log
    assert said[-1]["event"] == "summary"
    assert "Traceback" not in program.log


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_text("not a video at all" * 100), "no video"),
        (lambda path: path.mkdir(), "no pictures"),
    ],
    ids=["missing", "no video", "empty folder"],
)
def test_a_source_that_cannot_be_used(tmp_path: Path, make, says: str) -> None:
    source = tmp_path / "gate.mp4"
    make(source)
    done = checkpoint("run", "--source", str(source), "--once", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert says in done.stderr
    assert "gate.mp4" in done.stderr
    assert "Traceback" not in done.stderr
    assert events(done.stdout)[-1]["event"] == "summary"


@pytest.mark.slow
def test_one_bad_source_does_not_stop_the_others(tmp_path: Path) -> None:
    done = checkpoint(
        *("run", "--source", str(tmp_path / "none.mp4"), "--source", str(CLIP), "--once", "--json"),
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert "none.mp4" in done.stderr
    passages = latest([e for e in events(done.stdout) if e["event"] == "passage"])
    assert sorted(passage["plate"] for passage in passages) == sorted(PLATES)


@pytest.mark.slow
def test_redis_away_loses_nothing(tmp_path: Path) -> None:
    """Passages wait on disk while Redis is away, and are matched at the next start."""
    settings = tmp_path / "checkpoint.toml"
    body = f'[alerts]\nlisten = "127.0.0.1:0"\n[[cameras]]\nname = "gate"\nsource = "{CLIP}"\n'
    settings.write_text('[watchlist]\nredis_url = "redis://127.0.0.1:1/0"\n' + body, "utf-8")
    away = checkpoint("run", "--config", str(settings), "--once", "--json", cwd=tmp_path)
    assert "Traceback" not in away.stderr
    assert "127.0.0.1:1" in away.stderr
    passages = latest([e for e in events(away.stdout) if e["event"] == "passage"])
    assert len(passages) == len(PLATES)
    assert "wait" in away.stderr
    settings.write_text(body, encoding="utf-8")
    put_on_list(tmp_path, WANTED)
    again = checkpoint("run", "--config", str(settings), "--once", "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    hits = list({e["id"]: e for e in events(again.stdout) if e["event"] == "hit"}.values())
    (first,) = (passage["id"] for passage in passages if passage["plate"] == WANTED)
    assert first in {hit["passage"] for hit in hits}
    assert len(hits) == 2  # the vehicle of the first run, late, and that of the second


def test_recognise_says_what_it_could_not_read(tmp_path: Path) -> None:
    broken, empty = tmp_path / "broken.jpg", tmp_path / "empty"
    broken.write_bytes(b"\xff\xd8\xff broken")
    empty.mkdir()
    good = tmp_path / "good.png"
    cv2.imwrite(str(good), np.full((300, 400, 3), 90, np.uint8))
    done = checkpoint("recognise", "--json", str(broken), str(good), str(empty), cwd=tmp_path)
    assert done.returncode == 1
    first, second = events(done.stdout)
    assert first["image"] == str(broken)
    assert "error" in first
    assert second == {"image": str(good), "plates": [], "vehicles": []}
    assert str(empty) in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_configuration_names_line_key_and_value(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.toml"
    file.write_text('checkpoint = "x"\n[[cameras]]\nname = "a"\nsource = "b"\nsample_fps = -1\n')
    done = checkpoint("check-config", str(file), cwd=tmp_path)
    assert done.returncode == 2
    assert f"{file}:5: cameras.0.sample_fps = -1" in done.stderr
    assert checkpoint("run", "--config", str(file), cwd=tmp_path).returncode == 2
    assert checkpoint("run", cwd=tmp_path).returncode == 2


def test_an_unwritable_data_folder_is_said(tmp_path: Path) -> None:
    blocked = tmp_path / "var"
    blocked.write_text("a file where the folder should be")
    done = checkpoint("run", "--source", str(CLIP), "--once", cwd=tmp_path)
    assert done.returncode == 2
    assert "data_dir" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.rtsp
@pytest.mark.slow
def test_demo_shows_the_alert(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "var", ignore_errors=True)
    done = checkpoint("demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "HIT" in done.stdout
    for plate in PLATES:
        assert f"{plate[:2]}·{plate[2:]}" in done.stdout
    assert os.listdir(tmp_path) == []
