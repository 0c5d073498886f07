"""Runs a network with OpenVINO on the CPU; the base install's backend."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Literal

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from detectors.base import FloatArray
from pipeline.errors import WeightsError

Precision = Literal["auto", "f32", "bf16"]


class OpenVinoNetwork:
    """A compiled model. Takes (B, H, W, 3) uint8 BGR; batch and, if dynamic, sides may vary.

    ``threads`` 0 takes all cores. ``precision`` auto is what the processor does best (bf16 where
    it has it). One call runs at a time; concurrent callers wait.
    """

    def __init__(self, path: Path, threads: int = 0, precision: Precision = "auto") -> None:
        core = ov.Core()
        try:
            model = core.read_model(path)
            model = _with_uint8_input(model)
            options: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY"}
            if threads:
                options["INFERENCE_NUM_THREADS"] = threads
            if precision != "auto":
                options["INFERENCE_PRECISION_HINT"] = precision
            compiled = core.compile_model(model, "CPU", options)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise WeightsError(f"{path}: OpenVINO cannot use it ({reason})") from None
        self._request = compiled.create_infer_request()
        self._outputs = list(compiled.outputs)
        self._lock = threading.Lock()

    def __call__(self, batch: NDArray[np.uint8]) -> list[FloatArray]:
        """Outputs in the model's order, copied out of the engine's buffers."""
        with self._lock:
            answer = self._request.infer({0: np.ascontiguousarray(batch)}, share_inputs=True)
            return [np.array(answer[output], np.float32) for output in self._outputs]


def _with_uint8_input(model: ov.Model) -> ov.Model:
    """Let the model take uint8 NHWC and convert by itself: cheaper than doing it in numpy."""
    steps = ov.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    return steps.build()
