"""How fast passages are matched, over a list of a million entries in a Redis of its own.

List and passages are made up, always the same ones. The passages are such as a checkpoint has:
most are read surely, some have one or two characters in doubt, some plates are not read at all;
``MIX`` says how many. A few are wanted, as their likeliest reading or as their second; a pattern is
met by more than would be on a road, which is the harder case.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.clock import SystemClock
from pipeline.config import MatchingSettings, WatchlistSettings
from pipeline.errors import WatchlistError
from pipeline.matching import Matcher
from pipeline.plate_forms import FORMS, columns
from pipeline.readings import readings_of
from pipeline.types import (
    ALPHABET,
    PROVINCES,
    SLOTS,
    Passage,
    PlateClass,
    VehicleClass,
    WatchlistEntry,
)
from watchlist.embedded import open_redis
from watchlist.patterns import is_pattern, matches
from watchlist.store import Watchlist

BATCH = 64
SIZES = (1_000, 100_000)
"""Plates on the list, beside all that it has in the end."""
MIX = {"sure": 0.75, "one_in_doubt": 0.15, "two_in_doubt": 0.07, "unread": 0.03}
WANTED = 0.02
"""Share of passages whose plate is wanted; of as many the second reading is."""
_PASSAGES = 4096
_CHECKED = 256
_SERIES = len(PROVINCES) * 24  # provinces and issuing letters
_STEP = 7_368_787  # a prime: neighbouring numbers give plates far apart
_PAIRS = ("0D", "8B", "2Z", "5S", "1L", "3E", "6G", "7T", "CH", "MN", "RP", "UV")
_LOOKALIKES = {pair[a]: pair[1 - a] for pair in _PAIRS for a in (0, 1)}
_MASKS = [
    (length, fixed)
    for length in (7, 8)
    for known in (4, 5, 6)
    for fixed in combinations(range(length), known)
]
MOST_MASKS = len(_MASKS)

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast passages were matched over ``plates`` plates and all patterns.

    Batches of ``BATCH``: ``passages_per_s``, ``cpu_us`` (processor time of this process for
    one passage), and ``doubtful_per_s`` where all passages have two characters in doubt; each
    the median of rounds over all ``passages``. One passage at a time: ``single_ms``, quantiles
    by name. ``hits``: of one round, by kind.
    """

    plates: int
    passages_per_s: float
    doubtful_per_s: float
    cpu_us: float
    single_ms: dict[str, float]
    passages: int
    hits: dict[str, int]


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured.

    ``bytes_per_entry`` is the memory of Redis for each entry, ``history_bytes`` what of it is
    kept to take the changes back. ``reload_ms``: reading all patterns anew when one has changed,
    the first time and later. ``checked``: passages for which a search of the whole list found
    the same hits.
    """

    entries: int
    patterns: int
    masks: int
    speeds: tuple[Speed, ...]
    redis: str
    bytes_per_entry: float
    history_bytes: float
    load_s: float
    reload_ms: tuple[float, float]
    checked: int


def measure(
    *, entries: int, patterns: int, masks: int, seconds: float, progress: Progress
) -> Report:
    """Load a list step by step, and match passages over it at each size.

    Args:
        entries: plates and patterns on the list in the end.
        patterns: how many of them are patterns.
        masks: how many masks (lengths and fixed places) the patterns have.
        seconds: how long each speed is measured.
        progress: told how it goes.

    Raises:
        WatchlistError: what was matched is not what a search of the whole list finds.
        StoreUnavailable: the redis-server does not start, or ends.
    """
    texts = pattern_texts(patterns, masks)
    plates = entries - len(texts)
    with (
        tempfile.TemporaryDirectory(prefix="checkpoint-bench-") as folder,
        open_redis(WatchlistSettings(), Path(folder)) as client,
    ):
        info: Any = client.info()
        watchlist = Watchlist(client, "bench", SystemClock())
        bench = _Bench(watchlist, passages(), seconds, progress)
        bench.add(entries_of(texts, plates), len(texts))
        reload_ms = (bench.reload_ms(None), bench.reload_ms(texts[0]))
        speeds, known = [], 0
        for size in sorted({min(size, plates) for size in (*SIZES, plates)}):
            bench.add(entries_of(map(plate, range(known, size)), known), size - known)
            known = size
            speeds.append(bench.speed(size))
        full: Any = client.info("memory")
        history: Any = client.hget("{bench}:watchlist:plates", "@history")
        bench.check(lambda: _whole_list(texts, plates))
        return Report(
            entries=entries,
            patterns=len(texts),
            masks=len({tuple(c == "?" for c in text) for text in texts}),
            speeds=tuple(speeds),
            redis=str(info["redis_version"]),
            bytes_per_entry=(full["used_memory"] - info["used_memory"]) / entries,
            history_bytes=int(history or 0) / entries,
            load_s=bench.load_s,
            reload_ms=reload_ms,
            checked=_CHECKED,
        )


class _Bench:
    """The measurements, over one list that grows."""

    def __init__(
        self,
        watchlist: Watchlist,
        mixed: dict[str, list[Passage]],
        seconds: float,
        progress: Progress,
    ) -> None:
        self._watchlist = watchlist
        self._mixed, self._doubtful = mixed["mixed"], mixed["doubtful"]
        self._seconds = seconds
        self._progress = progress
        self.load_s = 0.0

    def add(self, entries: Iterator[WatchlistEntry], count: int) -> None:
        """Put entries on the list."""
        began = time.perf_counter()
        self._watchlist.add(
            entries, progress=lambda done: self._progress("loading the list", done, count)
        )
        self.load_s += time.perf_counter() - began

    def reload_ms(self, pattern: str | None) -> float:
        """How long a lookup takes that has to read the patterns anew; ``pattern``: add it."""
        if pattern is not None:
            self._watchlist.add([_entry(pattern, 10**12)])
        began = time.perf_counter()
        self._watchlist.lookup([plate(0)])
        return 1000 * (time.perf_counter() - began)

    def speed(self, plates: int) -> Speed:
        """Match for some seconds in each way."""
        what = f"matching over {plates:,} plates"
        rate, cpu_us, hits = self._batches(what, self._mixed)
        doubtful, _, _ = self._batches(what + ", all in doubt", self._doubtful)
        return Speed(
            plates=plates,
            passages_per_s=rate,
            doubtful_per_s=doubtful,
            cpu_us=cpu_us,
            single_ms=self._singly(what + ", one by one"),
            passages=len(self._mixed),
            hits=hits,
        )

    def check(self, whole_list: Callable[[], Iterator[WatchlistEntry]]) -> None:
        """Compare with a search of the whole list."""
        self._progress("searching the whole list, to compare", 0, 1)
        some = self._mixed[:_CHECKED]
        chosen = MatchingSettings()
        likely = readings_of(some, chosen.possible_floor, chosen.most_readings)
        by_text: dict[str, list[tuple[str, float]]] = defaultdict(list)
        for passage, readings in zip(some, likely, strict=True):
            for reading in readings:
                by_text[reading.text].append((passage.id, reading.probability))
        searched: dict[tuple[str, str], float] = defaultdict(float)
        for entry in whole_list():
            fits = is_pattern(entry.plate)
            for text in filter(partial(matches, entry.plate), by_text) if fits else [entry.plate]:
                for passage_id, probability in by_text.get(text, ()):
                    searched[passage_id, entry.id] += probability
        matched = {
            (hit.passage.id, hit.entry.id): hit.probability for hit in self._matcher().match(some)
        }
        differ = {
            pair
            for pair in matched.keys() | searched.keys()
            if abs(matched.get(pair, 0.0) - min(searched.get(pair, 0.0), 1.0)) > 1e-9
        }
        if differ:
            raise WatchlistError(
                f"of {_CHECKED} passages matching gave {len(matched)} hits, a search of the "
                f"whole list {len(searched)}, and {len(differ)} differ; report this"
            )

    def _batches(self, what: str, some: Sequence[Passage]) -> tuple[float, float, dict[str, int]]:
        hits: Counter[str] = Counter()
        rounds: list[tuple[float, float]] = []  # seconds, and of them processor time
        while sum(spent for spent, _ in rounds) < self._seconds:
            matcher = self._matcher()  # a matcher says a hit only once
            hits.clear()
            began, began_cpu = time.perf_counter(), time.thread_time()
            for start in range(0, len(some), BATCH):
                hits.update(hit.kind.value for hit in matcher.match(some[start : start + BATCH]))
            rounds.append((time.perf_counter() - began, time.thread_time() - began_cpu))
            done_s = sum(spent for spent, _ in rounds)
            self._progress(what, int(1000 * done_s), int(1000 * self._seconds))
        spent, spent_cpu = np.median(rounds, axis=0)
        counts = dict(sorted(hits.items()))
        return float(len(some) / spent), float(1e6 * spent_cpu / len(some)), counts

    def _singly(self, what: str) -> dict[str, float]:
        matcher = self._matcher()
        taken: list[float] = []
        until = time.perf_counter() + self._seconds
        while time.perf_counter() < until or len(taken) < 200:
            passage = self._mixed[len(taken) % len(self._mixed)]
            began = time.perf_counter()
            matcher.match([passage])
            taken.append(1000 * (time.perf_counter() - began))
            if len(taken) % 200 == 0:
                left_s = max(until - time.perf_counter(), 0.0)
                done_s = self._seconds - left_s
                self._progress(what, int(1000 * done_s), int(1000 * self._seconds))
        p50, p99 = np.percentile(taken, [50, 99])
        return {"p50": float(p50), "p99": float(p99), "max": max(taken)}

    def _matcher(self) -> Matcher:
        return Matcher(self._watchlist, "bench", SystemClock())


def plate(number: int) -> str:
    """The plate of a number below some 70 million; each has another."""
    series, serial = divmod(number * _STEP % (_SERIES * 10**5), 10**5)
    return f"{PROVINCES[series // 24]}{'ABCDEFGHJKLMNPQRSTUVWXYZ'[series % 24]}{serial:05}"


def pattern_texts(count: int, masks: int) -> list[str]:
    """Patterns of that many masks: in each, four to six characters of a plate are fixed."""
    rng = random.Random(17)
    chosen = rng.sample(_MASKS, masks)
    found: dict[str, None] = {}
    while len(found) < count:
        length, fixed = rng.choice(chosen)
        text = _random_plate(rng, length)
        found["".join(c if slot in fixed else "?" for slot, c in enumerate(text))] = None
    return list(found)


def entries_of(texts: Any, first: int) -> Iterator[WatchlistEntry]:
    """An entry for each text; its id is its number."""
    return (_entry(text, number) for number, text in enumerate(texts, start=first))


def passages() -> dict[str, list[Passage]]:
    """Passages as in ``MIX`` (``mixed``), and as many with two characters in doubt
    (``doubtful``)."""
    rng = random.Random(23)
    kinds = rng.choices(list(MIX), list(MIX.values()), k=_PASSAGES)
    return {
        "mixed": [_passage(rng, number, kind) for number, kind in enumerate(kinds)],
        "doubtful": [_passage(rng, number, "two_in_doubt") for number in range(_PASSAGES)],
    }


def _whole_list(texts: Sequence[str], plates: int) -> Iterator[WatchlistEntry]:
    yield _entry(texts[0], 10**12)
    yield from entries_of(texts, plates)
    yield from entries_of(map(plate, range(plates)), 0)


def _entry(text: str, number: int) -> WatchlistEntry:
    return replace(_ENTRY, id=f"{number:016}", plate=text)


_ENTRY = WatchlistEntry(
    id="",
    plate="",
    plate_class=None,
    vehicle_class=VehicleClass.CAR,
    vehicle_colour=None,
    category="stolen",
    priority=2,
    disposition="拦截检查",
    reason="车主报案：停放在小区门口的车辆被盗",
    case_number="A2101024500002026010017",
    authoriser="王警官",
    requester="李警官",
    valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    expires_at=datetime(2126, 1, 1, tzinfo=UTC),
    source="bench",
)


def _random_plate(rng: random.Random, length: int) -> str:
    forms = [form for form in FORMS if len(form.slots) == length and form.slots[0] == PROVINCES]
    return "".join(rng.choice(slot) for slot in rng.choice(forms).slots)


def _passage(rng: random.Random, number: int, kind: str) -> Passage:
    doubts: dict[int, str] = {}  # what else may stand in a slot
    text = _random_plate(rng, rng.choice((7, 7, 7, 8)))
    wanted = rng.random()
    if wanted < 2 * WANTED:
        text = plate(rng.randrange(SIZES[0]))
    if kind.endswith("in_doubt"):
        places = [slot for slot, c in enumerate(text) if slot > 1 and c in _LOOKALIKES]
        for slot in rng.sample(places, min(len(places), 1 if kind.startswith("one") else 2)):
            doubts[slot] = _LOOKALIKES[text[slot]]
        if wanted > WANTED and doubts:  # the wanted plate is the second reading
            slot = next(iter(doubts))
            text, doubts[slot] = text[:slot] + doubts[slot] + text[slot + 1 :], text[slot]
    own = columns([text])[0]
    probs = np.full((SLOTS, len(ALPHABET)), 1e-6, np.float32)
    probs[range(SLOTS), own] = 0.7 if kind == "unread" else 1.0
    for slot, other in doubts.items():
        probs[slot, [own[slot], ALPHABET.index(other)]] = 1.0, rng.uniform(0.1, 0.8)
    if kind == "unread":
        probs[:, 1:] += 0.3 / len(ALPHABET)
    probs /= probs.sum(axis=1, keepdims=True)
    probability = float(probs[range(SLOTS), own].prod())
    called = probability >= 0.5
    at = datetime(2026, 6, 1, 8, tzinfo=UTC) + timedelta(seconds=number)
    return Passage(
        id=f"{kind}-{number}",
        revision=0,
        camera="gate",
        lane="1",
        direction=None,
        started_at=at,
        ended_at=at,
        start_s=float(number),
        end_s=float(number),
        plate=text if called else None,
        plate_class=PlateClass.BLUE if called else None,
        probability=probability if called else None,
        text_probabilities=(),
        char_probs=probs,
        reads=5,
        vehicle_class=VehicleClass.CAR,
        vehicle_colour=None,
        evidence=None,
        closed=True,
    )
