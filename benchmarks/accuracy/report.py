"""Outcomes → a report: shares, breakdowns, confusions, calibration, worst cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy.conditions import BLUR_NOTE, LIGHT_NOTE
from benchmarks.accuracy.confusion import Confusion, align, confusions
from benchmarks.accuracy.records import ExtraPlate, Labels, Measured, PlateOutcome
from benchmarks.accuracy.statistics import SURE, Calibration, Share, calibrate
from pipeline.types import PROVINCES

WIDTHS_PX = (40, 60, 80, 100, 140, 200)
"""Edges of the bands of plate widths."""
FEW = 5
"""Groups of fewer plates are shown together; the JSON keeps each."""
FALSE_PER = 200
WORST = 24

Group = Callable[[PlateOutcome], str | None]


@dataclass(frozen=True, slots=True)
class Row:
    """The plates of one group. ``found`` is None for plates that were given cut out."""

    group: str
    plates: int
    found: Share | None
    read: Share

    @property
    def label(self) -> str:
        """The group's name for people."""
        return self.group.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The plates by one property; those of which it is not known are left out."""

    name: str
    note: str
    rows: tuple[Row, ...]
    ordered: bool
    """Whether the rows follow a scale (width, blur) rather than their size."""

    def shown(self) -> tuple[Row, ...]:
        """The rows for people: groups of fewer than :data:`FEW` plates are put together."""
        small = [row for row in self.rows if row.plates < FEW]
        if self.ordered or len(small) < 2:
            return self.rows
        names = " ".join(row.group for row in small)
        return (*(row for row in self.rows if row.plates >= FEW), _sum(f"few each: {names}", small))


@dataclass(frozen=True, slots=True)
class FalsePlates:
    """Detections where a complete annotation has no plate.

    ``pictures``: completely annotated ones; ``with_text``: the share of them in which a false
    plate was given a text; ``texts`` such plates in all, ``sure`` of them at least :data:`SURE`;
    ``unread``: false plates that were left without a text.
    """

    pictures: int
    with_text: Share
    texts: int
    sure: int
    unread: int

    def rate(self) -> float | None:
        """False plates with a text in :data:`FALSE_PER` pictures."""
        return FALSE_PER * self.texts / self.pictures if self.pictures else None


@dataclass(frozen=True, slots=True)
class Timing:
    """How long ``recognise`` takes for a single picture, decoding left out."""

    pictures: int
    median_ms: float
    p90_ms: float
    cpu: str
    cores: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a run found out.

    ``read`` is over all annotated plates with a text, found or not; ``plate_class`` over the
    found ones whose class the label tells; ``characters`` over the characters of all texts that
    were read. ``worst`` holds the plates to look at, the surest mistakes first.
    """

    source: str
    form: str
    fold: str | None
    texts: str
    recogniser: str
    pictures: int
    plates: int
    found: Share | None
    read: Share
    plate_class: Share
    characters: Share
    breakdowns: tuple[Breakdown, ...]
    confusions: tuple[Confusion, ...]
    calibration: Calibration
    false_plates: FalsePlates
    worst: tuple[PlateOutcome | ExtraPlate, ...]
    timing: Timing | None
    failures: tuple[str, ...]


def summarise(
    labels: Labels,
    measured: Measured,
    *,
    recogniser: str,
    fold: str | None = None,
    texts: str = "all",
    cpu: tuple[str, int] = ("", 0),
) -> Report:
    """The report of one run. ``cpu``: name and cores, for the timing."""
    plates = measured.plates
    with_text = [o for o in plates if o.plate.text is not None]
    reads = [o for o in with_text if o.text]
    pairs = [(o.plate.text or "", o.text or "") for o in reads]
    aligned = [pair for truth, read in pairs for pair in align(truth, read)]
    classes = [o for o in plates if o.plate.plate_class and o.plate_class]
    times = measured.times_ms
    return Report(
        source=str(labels.source),
        form=labels.form,
        fold=fold,
        texts=texts,
        recogniser=recogniser,
        pictures=measured.pictures,
        plates=len(plates),
        found=None if labels.crops else Share.among(bool(o.found) for o in plates),
        read=Share.among(o.right for o in with_text),
        plate_class=Share.among(o.plate_class is o.plate.plate_class for o in classes),
        characters=Share.among(a == b for a, b in aligned if a),
        breakdowns=_breakdowns(plates),
        confusions=confusions(pairs),
        calibration=calibrate([o.probability for o in reads], [o.right for o in reads]),
        false_plates=_false_plates(measured),
        worst=worst(measured),
        timing=Timing(len(times), float(np.median(times)), float(np.percentile(times, 90)), *cpu)
        if times
        else None,
        failures=labels.failures + measured.failures,
    )


def worst(measured: Measured, count: int = WORST) -> tuple[PlateOutcome | ExtraPlate, ...]:
    """The cases to look at: wrong and false texts, surest first; then what was missed.

    Plates that were found and given no text come before plates that were not found at all.
    """
    wrong: list[PlateOutcome | ExtraPlate] = [
        o for o in measured.plates if o.text and o.plate.text and not o.right
    ]
    wrong += [extra for extra in measured.extras if extra.text]
    wrong.sort(key=lambda case: -case.probability)
    unread = [o for o in measured.plates if o.found is not False and not o.text and o.plate.text]
    missed = [o for o in measured.plates if o.found is False]
    return (*wrong, *unread, *missed)[:count]


def _false_plates(measured: Measured) -> FalsePlates:
    texts = [extra for extra in measured.extras if extra.text]
    touched = len({extra.picture.path for extra in texts})
    return FalsePlates(
        measured.complete,
        Share(touched, measured.complete),
        len(texts),
        sum(extra.probability >= SURE for extra in texts),
        len(measured.extras) - len(texts),
    )


# --- breakdowns ----------------------------------------------------------------------------


def _breakdowns(plates: Sequence[PlateOutcome]) -> tuple[Breakdown, ...]:
    blur_names, blur_of = _blur_bands(plates)
    width_names = [_band(low, high, " px") for low, high in _neighbours(WIDTHS_PX)]
    kinds = "by the label: its class, else the form of its text and its colour"
    made = (
        _breakdown("plate class", kinds, plates, lambda o: o.plate.kind),
        _breakdown("province", "the first character", plates, _province),
        _breakdown("light", LIGHT_NOTE, plates, lambda o: o.light, ("day", "night")),
        _breakdown("plate width", "in the picture", plates, _width, width_names),
        _breakdown("blur", f"quarters of this run; {BLUR_NOTE}", plates, blur_of, blur_names),
        _breakdown("set", "camera or collection", plates, lambda o: o.picture.subset),
    )
    return tuple(
        b for b in made if b.rows and (len(b.rows) > 1 or b.name in ("plate class", "light"))
    )


def _breakdown(
    name: str,
    note: str,
    plates: Iterable[PlateOutcome],
    group: Group,
    order: Sequence[str] | None = None,
) -> Breakdown:
    groups: dict[str, list[PlateOutcome]] = {}
    for outcome in plates:
        if (key := group(outcome)) is not None:
            groups.setdefault(str(key), []).append(outcome)
    keys = [key for key in order if key in groups] if order else _by_size(groups)
    return Breakdown(name, note, tuple(_row(key, groups[key]) for key in keys), order is not None)


def _by_size(groups: dict[str, list[PlateOutcome]]) -> list[str]:
    sizes = Counter({key: len(members) for key, members in groups.items()})
    return sorted(sizes, key=lambda key: (-sizes[key], key))


def _row(group: str, plates: Sequence[PlateOutcome]) -> Row:
    cut_out = all(o.found is None for o in plates)
    return Row(
        group,
        len(plates),
        None if cut_out else Share.among(bool(o.found) for o in plates),
        Share.among(o.right for o in plates if o.plate.text is not None),
    )


def _sum(group: str, rows: Sequence[Row]) -> Row:
    found, read = Share(0, 0), Share(0, 0)
    for row in rows:
        found, read = found + (row.found or Share(0, 0)), read + row.read
    cut_out = all(row.found is None for row in rows)
    return Row(group, sum(row.plates for row in rows), None if cut_out else found, read)


def _province(outcome: PlateOutcome) -> str | None:
    text = outcome.plate.text
    if not text:
        return None
    return text[0] if text[0] in PROVINCES else "none"


def _width(outcome: PlateOutcome) -> str | None:
    if outcome.width_px is None:
        return None
    bands = _neighbours(WIDTHS_PX)
    low, high = next(band for band in bands if outcome.width_px < band[1])
    return _band(low, high, " px")


def _blur_bands(plates: Sequence[PlateOutcome]) -> tuple[list[str], Group]:
    """Names of the quarters by blur, the most blurred first, and which a plate is in."""
    values = [o.blur for o in plates if o.blur is not None]
    if len(values) < 8:
        return [], lambda _: None
    edges = [float(edge) for edge in np.quantile(values, (0.25, 0.5, 0.75))]
    names = [_band(low, high, "") for low, high in _neighbours(edges)]
    names[0], names[-1] = f"most blurred, {names[0]}", f"sharpest, {names[-1]}"

    def group(outcome: PlateOutcome) -> str | None:
        if outcome.blur is None:
            return None
        return names[int(np.searchsorted(edges, outcome.blur, side="right"))]

    return names, group


def _neighbours(edges: Sequence[float]) -> list[tuple[float, float]]:
    return list(zip((0.0, *edges), (*edges, float("inf")), strict=True))


def _band(low: float, high: float, unit: str) -> str:
    if low == 0:
        return f"under {high:.0f}{unit}"
    return f"from {low:.0f}{unit}" if high == float("inf") else f"{low:.0f}–{high:.0f}{unit}"
