"""Samples of stacks become shares of the processor time: each thread's time among its parts."""

from __future__ import annotations

import subprocess

import pytest

from benchmarks import profile
from pipeline.errors import InputError

CAMERA = 'thread (7): "camera-a";Thread._bootstrap (threading.py:1);CameraWorker.run (pipeline/'
READ = f"{CAMERA}ingest.py:9);VideoSource.read (pipeline/video.py:8)"
RECOGNITION = 'thread (8): "recognition";RecognitionStage._run (pipeline/recognise.py:3)'
TEXT = f"""{READ};VideoSource._decode (pipeline/video.py:5) 60
{READ};VideoSource._take (pipeline/video.py:6);VideoSource._bgr (pipeline/video.py:7) 15
{READ};VideoSource._take (pipeline/video.py:6);luma_grid (pipeline/motion.py:4);resize (x.py:1) 5
{CAMERA}ingest.py:9);Condition.wait (threading.py:331) 900
{RECOGNITION};Recogniser.recognise (detectors/recogniser.py:1);OpenVinoNetwork.__call__ (o.py:9) 70
{RECOGNITION};PassageBuilder.update (pipeline/passage.py:1);link (pipeline/tracking.py:2) 9
{RECOGNITION};np_thing (elsewhere.py:2) 1
thread (9): "delivery";Delivery._run (pipeline/delivery.py:3) 40
not a stack
"""
THREADS = {"cameras": 0.4, "recognition": 0.1, "native": 0.45, "delivery": 0.05}


def test_each_threads_time_is_divided_among_its_parts() -> None:
    parts = profile.parts(profile.parsed(TEXT), THREADS)
    assert parts == pytest.approx(
        {
            "networks": 0.45,
            "decoding": 0.4 * 60 / 80,
            "tracking, voting, passages": 0.1 * 9 / 10,
            "conversion to BGR": 0.4 * 15 / 80,
            "delivery": 0.05,
            "motion gate": 0.4 * 5 / 80,
            "batching": 0.1 / 10,
        }
    )
    assert list(parts.values()) == sorted(parts.values(), reverse=True)


def test_threads_that_were_never_caught_at_work_keep_their_time() -> None:
    assert profile.parts(profile.parsed(""), THREADS) == pytest.approx(
        {"networks": 0.45, "cameras": 0.4, "recognition": 0.1, "delivery": 0.05}
    )


def test_a_process_that_may_not_be_looked_into_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "Error: Permission denied\n")

    monkeypatch.setattr(subprocess, "run", refused)
    with pytest.raises(InputError, match=r"Permission denied.*ptrace_scope"):
        profile.check()


def test_a_missing_sampler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="needs py-spy: pip install"):
        profile.check()
