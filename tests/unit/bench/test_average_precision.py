"""Average precision of vehicle boxes, on cases whose value is known."""

from __future__ import annotations

import pytest

from detectors.training.average_precision import average_precision
from pipeline.types import Box, VehicleClass, VehicleDetection

pytest.importorskip("pycocotools")
CLASSES = ("car", "bus", "truck")
A: Box = (0, 0, 100, 100)
B: Box = (200, 0, 300, 100)


def seen(box: Box, sure: float, kind: VehicleClass = VehicleClass.CAR) -> VehicleDetection:
    return VehicleDetection(box, kind, sure)


def test_everything_found_exactly() -> None:
    result = average_precision(
        CLASSES,
        [[("car", A), ("bus", B)], [("car", B)]],
        [[seen(A, 0.9), seen(B, 0.8, VehicleClass.BUS)], [seen(B, 0.7)]],
    )
    assert result.map50 == pytest.approx(1)
    assert result.map50_95 == pytest.approx(1)
    assert result.by_class == {"car": pytest.approx(1), "bus": pytest.approx(1)}  # no truck there


def test_a_surer_false_box_halves_the_precision() -> None:
    far: Box = (600, 600, 700, 700)
    result = average_precision(CLASSES, [[("car", A)]], [[seen(far, 0.9), seen(A, 0.5)]])
    assert result.map50 == pytest.approx(0.5)
    surer = average_precision(CLASSES, [[("car", A)]], [[seen(far, 0.5), seen(A, 0.9)]])
    assert surer.map50 == pytest.approx(1)


def test_loose_boxes_count_at_loose_thresholds_only() -> None:
    loose: Box = (0, 0, 100, 72)  # IoU 0.72: right at 0.50, 0.55, 0.60, 0.65, 0.70 of ten
    result = average_precision(CLASSES, [[("car", A)]], [[seen(loose, 0.9)]])
    assert result.map50 == pytest.approx(1)
    assert result.map50_95 == pytest.approx(0.5)


def test_other_classes_are_left_out_and_nothing_found_is_zero() -> None:
    bicycle_only = average_precision(CLASSES, [[("bicycle", A)]], [[seen(A, 0.9)]])
    assert bicycle_only.map50 == 0
    assert average_precision(CLASSES, [[("car", A)]], [[]]).map50 == 0
