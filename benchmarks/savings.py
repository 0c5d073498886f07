"""What each saving saves, and what it costs: one clip, replayed with each switch by itself.

A replay does what a camera's thread and the recognition thread do, in one thread and frame by
frame, so that it gives the same on every run and its processor time can be counted. A passage is
right where its plate is the truth's and it overlaps the truth's time.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.measuring import Machine, Progress
from detectors.recogniser import Recogniser
from pipeline.attention import Attention
from pipeline.clock import SystemClock
from pipeline.config import CameraSettings, PassageSettings, SavingSettings
from pipeline.evidence import EvidenceStore
from pipeline.health import Health
from pipeline.media import EndOfMedia, Sample
from pipeline.passage import PassageBuilder
from pipeline.source import open_source
from pipeline.tracking import KnownRead
from pipeline.types import Frame, Passage, PlateDetection, PlateRead, Recognition

NONE: Final = SavingSettings(
    motion_gate=False,
    light_decoding=False,
    key_frames=False,
    skip_deblocking=False,
    scale_planes=False,
    skip_settled=False,
    ease_known=False,
)
ROWS: Final[Mapping[str, SavingSettings]] = {
    "none": NONE,
    "motion_gate": NONE.model_copy(update={"motion_gate": True}),
    # the gate says when a lane is empty
    "light_decoding": NONE.model_copy(update={"motion_gate": True, "light_decoding": True}),
    "key_frames": NONE.model_copy(update={"motion_gate": True, "key_frames": True}),
    "skip_deblocking": NONE.model_copy(update={"skip_deblocking": True}),
    "scale_planes": NONE.model_copy(update={"scale_planes": True}),
    "skip_settled": NONE.model_copy(update={"skip_settled": True}),
    # what need not be read is what is known
    "ease_known": NONE.model_copy(update={"skip_settled": True, "ease_known": True}),
    "all": SavingSettings(),
}
"""What is measured: without any saving, with each, and as it comes."""

_START: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Truth:
    """One passage that a clip shows."""

    plate: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Row:
    """One replay. ``cpu_s``: processor time of decoding (with conversion and gate), of recognition,
    of the rest; ``right``: passages of the truth that were told, None where no truth is known."""

    name: str
    decoded: int
    looked_at: int
    skipped: dict[str, int]
    read: int
    known: int
    passages: int
    plates: tuple[str, ...]
    right: int | None
    of: int | None
    cpu_s: dict[str, float]


def truth_of(clip: Path) -> list[Truth] | None:
    """What the JSON file beside a clip says of its passages; None where there is none."""
    path = clip.with_suffix(".json")
    if not path.is_file():
        return None
    passages: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["passages"]
    return [Truth(one["main_plate"], one["start_s"], one["end_s"]) for one in passages]


def measure(
    clip: Path,
    recogniser: Recogniser,
    rows: Mapping[str, SavingSettings] = ROWS,
    progress: Progress = lambda what, share: None,
    sample_fps: float = 5.0,
) -> list[Row]:
    """Replay ``clip`` with each of ``rows``; the first is what the others are held against."""
    replay(clip, recogniser, "warming up", NONE, seconds=1.0)
    answers = []
    for number, (name, savings) in enumerate(rows.items()):
        progress(name, number / len(rows))
        answers.append(replay(clip, recogniser, name, savings, sample_fps=sample_fps))
    return answers


def replay(
    clip: Path,
    recogniser: Recogniser,
    name: str,
    savings: SavingSettings,
    *,
    sample_fps: float = 5.0,
    seconds: float = float("inf"),
) -> Row:
    """Replay ``clip``, or its first ``seconds``, with ``savings``.

    Raises:
        InputError: the clip cannot be read.
    """
    settings = PassageSettings()
    attention = Attention(savings, settings.close_after_s, recogniser.input_side)
    source = open_source(str(clip), sample_fps=sample_fps, attention=attention)
    with tempfile.TemporaryDirectory(prefix="checkpoint-bench-") as folder:
        builder = PassageBuilder(
            CameraSettings(name="bench", source=str(clip), sample_fps=sample_fps),
            settings,
            EvidenceStore(Path(folder), Health()),
            SystemClock(),
            skips_known=savings.skip_settled,
        )
        one = _Replay(recogniser, builder, attention)
        try:
            while source.position_s < seconds:
                began_s = time.process_time()
                sample = source.read()
                one.cpu_s["decode"] += time.process_time() - began_s
                if sample is not None:
                    one.look(sample)
        except EndOfMedia:
            pass
        finally:
            source.close()
        one.told += builder.close()
    latest = {passage.id: passage for passage in one.told}
    truth = truth_of(clip)
    return Row(
        name=name,
        decoded=source.decoded,
        looked_at=one.looked_at,
        skipped=dict(attention.skipped),
        read=one.read,
        known=one.known,
        passages=len(latest),
        plates=tuple(sorted(one.plate or "" for one in latest.values())),
        right=None if truth is None else right(truth, list(latest.values())),
        of=None if truth is None else len(truth),
        cpu_s=one.cpu_s,
    )


class _Replay:
    """What is known so far of a replay."""

    def __init__(
        self, recogniser: Recogniser, builder: PassageBuilder, attention: Attention
    ) -> None:
        self._recogniser, self._builder, self._attention = recogniser, builder, attention
        self.looked_at = self.read = self.known = 0
        self.told: list[Passage] = []
        self.cpu_s = {"decode": 0.0, "recognise": 0.0, "passages": 0.0}

    def look(self, sample: Sample) -> None:
        """Recognise one sampled picture."""
        at = _START + timedelta(seconds=sample.media_s)
        frame = Frame(
            "bench",
            self.looked_at,
            at,
            sample.media_s,
            time.monotonic(),
            sample.image,
            small=sample.small,
        )
        self.looked_at += 1

        def known(_: int, plate: PlateDetection) -> PlateRead | None:
            return self._builder.known_read(plate, frame.media_s)

        began_s = time.process_time()
        ((plates, vehicles),) = self._recogniser.recognise([frame.image], [frame.small], known)
        done_s = time.process_time()
        unread = sum(isinstance(plate.read, KnownRead) for plate in plates)
        self.known += unread
        self.read += len(plates) - unread
        self.told += self._builder.update(Recognition(frame, plates, vehicles))
        self._attention.tell(self._builder.in_view(frame.media_s), frame.media_s)
        self.cpu_s["recognise"] += done_s - began_s
        self.cpu_s["passages"] += time.process_time() - done_s


def right(truth: Sequence[Truth], told: Sequence[Passage]) -> int:
    """How many of the truth's passages were told with their plate and in their time."""
    return sum(
        any(
            passage.plate == one.plate
            and passage.start_s < one.end_s
            and passage.end_s >= one.start_s
            for passage in told
        )
        for one in truth
    )


def as_json(clip: Path, sample_fps: float, machine: Machine, rows: Sequence[Row]) -> dict[str, Any]:
    """The rows as one JSON object, without the plates that a clip shows."""
    kept = []
    for row in rows:
        record = asdict(row)
        del record["plates"]
        kept.append(record)
    return {
        "source": clip.name,
        "sample_fps": sample_fps,
        "rows": kept,
        "machine": asdict(machine),
    }
