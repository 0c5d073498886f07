"""Runs a network with OpenVINO on the CPU; the base install's backend."""

from __future__ import annotations

import os
import threading
from itertools import pairwise
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

    A batch is cut into parts, one for each thread: threads that share one picture wait for each
    other at every layer, and where decoders want the cores too that costs a third of the time.
    A batch of one is run by one thread all the same, unless ``together``: then all threads share
    each batch, which answers a single picture sooner on an idle machine.

    ``threads`` 0 takes all cores. ``precision`` auto is what the processor does best (bf16 where
    it has it). One call runs at a time; concurrent callers wait.
    """

    def __init__(
        self,
        path: Path,
        threads: int = 0,
        precision: Precision = "auto",
        *,
        together: bool = False,
    ) -> None:
        threads = threads or _cores()
        streams = 1 if together else threads
        core = ov.Core()
        try:
            model = core.read_model(path)
            model = _with_uint8_input(model)
            options: dict[str, object] = {
                "NUM_STREAMS": streams,
                "INFERENCE_NUM_THREADS": threads,
                "ENABLE_CPU_PINNING": False,  # decoders run on the same cores
            }
            if precision != "auto":
                options["INFERENCE_PRECISION_HINT"] = precision
            compiled = core.compile_model(model, "CPU", options)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise WeightsError(f"{path}: OpenVINO cannot use it ({reason})") from None
        self._requests = [compiled.create_infer_request() for _ in range(streams)]
        self._outputs = list(compiled.outputs)
        self._lock = threading.Lock()

    def __call__(self, batch: NDArray[np.uint8]) -> list[FloatArray]:
        """Outputs in the model's order, copied out of the engine's buffers."""
        with self._lock:
            batch = np.ascontiguousarray(batch)
            parts = min(len(self._requests), max(len(batch), 1))
            cuts = [round(part * len(batch) / parts) for part in range(parts + 1)]
            running = self._requests[:parts]
            for request, (start, end) in zip(running, pairwise(cuts), strict=True):
                request.start_async({0: batch[start:end]}, share_inputs=True)
            answers: list[list[FloatArray]] = []
            for request in running:
                request.wait()
                answers.append(
                    [np.array(request.get_tensor(one).data, np.float32) for one in self._outputs]
                )
            return [np.concatenate(parts_of_one) for parts_of_one in zip(*answers, strict=True)]


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _with_uint8_input(model: ov.Model) -> ov.Model:
    """Let the model take uint8 NHWC and convert by itself: cheaper than doing it in numpy."""
    steps = ov.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    return steps.build()
