"""Small array helpers of the trainings."""

from __future__ import annotations

from typing import Any

import numpy as np

from detectors.base import FloatArray


def f32(values: Any) -> FloatArray:
    """Anything array-like as float32."""
    return np.asarray(values, np.float32)
