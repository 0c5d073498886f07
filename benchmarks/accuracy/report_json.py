"""The report as one JSON object: unknown values null, shares with their 95 % intervals."""

from __future__ import annotations

from typing import Any

from benchmarks.accuracy.records import ExtraPlate, PlateOutcome
from benchmarks.accuracy.report import FALSE_PER, Breakdown, FalsePlates, Report
from benchmarks.accuracy.statistics import BIN_READS, BINS, SURE, Calibration, Share

Json = dict[str, Any]


def as_json(report: Report) -> Json:
    """Everything that the report holds."""
    return {
        "source": report.source,
        "form": report.form,
        "fold": report.fold,
        "labels": report.texts,
        "recogniser": report.recogniser,
        "pictures": report.pictures,
        "plates": report.plates,
        "found": _share(report.found),
        "read": _share(report.read),
        "class": _share(report.plate_class),
        "characters": _share(report.characters),
        "by": {b.name.replace(" ", "_"): _breakdown(b) for b in report.breakdowns},
        "confusions": [
            {"truth": c.truth or None, "read": c.read or None, "count": c.count}
            for c in report.confusions
        ],
        "calibration": _calibration(report.calibration),
        "false_plates": _false_plates(report.false_plates),
        "worst": [_case(case) for case in report.worst],
        "timing": None
        if report.timing is None
        else {
            "pictures": report.timing.pictures,
            "median_ms": round(report.timing.median_ms, 1),
            "p90_ms": round(report.timing.p90_ms, 1),
            "cpu": report.timing.cpu,
            "cores": report.timing.cores,
        },
        "failures": list(report.failures),
    }


def _share(share: Share | None) -> Json | None:
    if share is None:
        return None
    low, high = share.interval()
    return {
        "count": share.count,
        "of": share.of,
        "share": _rounded(share.value),
        "low": _rounded(low),
        "high": _rounded(high),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _breakdown(breakdown: Breakdown) -> Json:
    return {
        "note": breakdown.note,
        "groups": [
            {
                "group": row.group,
                "plates": row.plates,
                "found": _share(row.found),
                "read": _share(row.read),
            }
            for row in breakdown.rows
        ],
    }


def _calibration(calibration: Calibration) -> Json:
    return {
        "reads": calibration.right.of,
        "right": _share(calibration.right),
        "mean_probability": _rounded(calibration.mean_probability),
        "expected_calibration_error": _rounded(calibration.error),
        "binning": f"bins of equal mass, at most {BINS}, of {BIN_READS} reads or more",
        "bins": [
            {"mean_probability": _rounded(b.mean_probability), "right": _share(b.right)}
            for b in calibration.bins
        ],
        "sure": {"from_probability": SURE, "right": _share(calibration.sure)},
    }


def _false_plates(false: FalsePlates) -> Json:
    return {
        "complete_pictures": false.pictures,
        "with_text": false.texts,
        f"with_text_per_{FALSE_PER}_pictures": _rounded(false.rate()),
        "with_text_and_sure": false.sure,
        "pictures_with_one": _share(false.with_text),
        "without_text": false.unread,
    }


def _case(case: PlateOutcome | ExtraPlate) -> Json:
    labelled = isinstance(case, PlateOutcome)
    return {
        "image": case.picture.name,
        "annotated": labelled,
        "truth": case.plate.text if isinstance(case, PlateOutcome) else None,
        "found": case.found if isinstance(case, PlateOutcome) else True,
        "read": case.text,
        "probability": _rounded(case.probability) if case.text else None,
        "corners": None
        if case.corners is None
        else [[round(float(x), 1), round(float(y), 1)] for x, y in case.corners],
    }
