"""The sentence at the end of a run, in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.events import Summary
from pipeline.summary_words import DROP_CAUSES, Language, summary_sentence

WORDS = Path(__file__).parents[3] / "pipeline/console/static/i18n/cameras.en.js"


def of(**dropped: int) -> Summary:
    return Summary(
        decoded=840, recognised=420, dropped=dropped, skipped={}, passages=1, hits=2, wall_s=12.1
    )


@pytest.mark.parametrize(
    ("language", "dropped", "said"),
    [
        (
            "en",
            {"stale": 2, "mailbox": 12, "shutdown": 0},
            "1 passage and 2 hits in 12.1 s; 840 frames decoded, 420 recognised, 14 dropped: "
            "12 because newer ones came faster than they are recognised, "
            "2 because they had become too old.",
        ),
        ("en", {"stale": 0}, "840 frames decoded, 420 recognised, none dropped."),
        ("zh", {"stale": 2, "mailbox": 12}, "丢帧 14：因来不及处理 12 帧，因已过时 2 帧。"),
        ("zh", {}, "12.1 秒内过车 1 次，比中 2 次；解码 840 帧，识别 420 帧，未丢帧。"),
        ("en", {"elsewhere": 3}, "3 dropped: 3 (elsewhere)."),
    ],
)
def test_causes_are_told_in_words(language: Language, dropped: dict[str, int], said: str) -> None:
    assert summary_sentence(of(**dropped), language).endswith(said)


def test_every_cause_that_the_console_names_has_words_here() -> None:
    named = set(re.findall(r'"cameras\.drop\.(\w+)"', WORDS.read_text(encoding="utf-8")))
    assert named == set(DROP_CAUSES)
