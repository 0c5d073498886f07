"""What a run amounted to, in a sentence for people, in English or Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from pipeline.events import Summary

Language = Literal["en", "zh"]

DROP_CAUSES: Final[Mapping[str, tuple[str, str]]] = {
    "mailbox": ("because newer ones came faster than they are recognised", "因来不及处理"),
    "stale": ("because they had become too old", "因已过时"),
    "overload": ("because there are too many cameras", "因过载"),
    "behind": ("because they were decoded too late", "因解码过迟"),
    "shutdown": ("at the end of the run", "因停机"),
    "moved": ("because the camera moved to another node", "因转移到其他节点"),
}
"""Why frames are dropped, by the cause that they are counted under: English, Chinese."""


def summary_sentence(record: Summary, language: Language = "en") -> str:
    """One sentence: passages, hits, frames, and why some were dropped."""
    if language == "zh":
        return (
            f"{record.wall_s:.1f} 秒内过车 {record.passages} 次，比中 {record.hits} 次；"
            f"解码 {record.decoded} 帧，识别 {record.recognised} 帧，{_dropped(record, 'zh')}。"
        )
    return (
        f"{_count(record.passages, 'passage')} and {_count(record.hits, 'hit')} "
        f"in {record.wall_s:.1f} s; {record.decoded} frames decoded, "
        f"{record.recognised} recognised, {_dropped(record, 'en')}."
    )


def _dropped(record: Summary, language: Language) -> str:
    causes = {cause: number for cause, number in record.dropped.items() if number}
    if not causes:
        return "未丢帧" if language == "zh" else "none dropped"
    most_first = sorted(causes.items(), key=lambda item: -item[1])
    if language == "zh":
        told = "，".join(f"{_cause(cause)[1]} {number} 帧" for cause, number in most_first)
        return f"丢帧 {sum(causes.values())}：{told}"
    told = ", ".join(f"{number} {_cause(cause)[0]}" for cause, number in most_first)
    return f"{sum(causes.values())} dropped: {told}"


def _cause(cause: str) -> tuple[str, str]:
    return DROP_CAUSES.get(cause, (f"({cause})", cause))


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
