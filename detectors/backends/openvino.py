"""Runs a network with OpenVINO on the CPU; the base install's backend."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from detectors.base import FloatArray
from pipeline.errors import WeightsError

Precision = Literal["auto", "f32", "bf16"]

_Size: TypeAlias = tuple[int, int]  # height and width
_OFTEN = 8  # pictures of one size, from which it is worth being compiled for


class OpenVinoNetwork:
    """A compiled model. Takes (B, H, W, 3) uint8 BGR; batch and, if dynamic, sides may vary.

    A batch is cut into parts, one for each thread: threads that share one picture wait for each
    other at every layer, and where decoders want the cores too that costs a third of the time.
    A batch of one is run by one thread all the same, unless ``together``: then all threads share
    each batch, which answers a single picture sooner on an idle machine.

    ``own_sizes``: so many sizes of pictures, each once it has come often, get the model compiled
    for one picture of just that size: a tenth faster than for any size. Compiling holds up that
    call for half a second.

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
        own_sizes: int = 0,
    ) -> None:
        threads = threads or cores()
        self._streams = 1 if together else threads
        self._core = ov.Core()
        self._options: dict[str, object] = {
            "NUM_STREAMS": self._streams,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # decoders run on the same cores
        }
        if precision != "auto":
            self._options["INFERENCE_PRECISION_HINT"] = precision
        try:
            self._model = _with_uint8_input(self._core.read_model(path))
            self._any_size = self._compiled(self._model)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise WeightsError(f"{path}: OpenVINO cannot use it ({reason})") from None
        self._most_own = own_sizes
        self._own: dict[_Size, list[ov.InferRequest]] = {}
        self._seen: Counter[_Size] = Counter()
        self._lock = threading.Lock()

    def __call__(self, batch: NDArray[np.uint8]) -> list[FloatArray]:
        """Outputs in the model's order; they are the caller's own."""
        with self._lock:
            batch = np.ascontiguousarray(batch)
            own = self._requests_for(batch)
            return _in_parts(self._any_size, batch) if own is None else _one_by_one(own, batch)

    @property
    def own_sizes(self) -> list[tuple[int, int]]:
        """Heights and widths that the model has been compiled for by now."""
        return list(self._own)

    def _requests_for(self, batch: NDArray[np.uint8]) -> list[ov.InferRequest] | None:
        """Those of the pictures' own size, compiled now if it is time to; None: any size's."""
        count, height, width, _ = batch.shape
        size = height, width
        if size not in self._own and len(self._own) < self._most_own:
            self._seen[size] += count
            if self._seen[size] > _OFTEN:
                model = self._model.clone()
                model.reshape({0: ov.PartialShape([1, height, width, 3])})
                self._own[size] = self._compiled(model)
        return self._own.get(size)

    def _compiled(self, model: ov.Model) -> list[ov.InferRequest]:
        """One request for each thread that works on parts of a batch."""
        compiled = self._core.compile_model(model, "CPU", self._options)
        return [compiled.create_infer_request() for _ in range(self._streams)]


def _in_parts(requests: Sequence[ov.InferRequest], batch: NDArray[np.uint8]) -> list[FloatArray]:
    """Run a batch cut into as many parts as there are requests; answers are copied out."""
    parts = min(len(requests), max(len(batch), 1))
    cuts = [round(part * len(batch) / parts) for part in range(parts + 1)]
    running = requests[:parts]
    for request, (start, end) in zip(running, pairwise(cuts), strict=True):
        request.start_async({0: batch[start:end]}, share_inputs=True)
    answers: list[list[FloatArray]] = []
    for request in running:
        request.wait()
        answers.append([np.array(tensor.data, np.float32) for tensor in request.output_tensors])
    return [np.concatenate(parts_of_one) for parts_of_one in zip(*answers, strict=True)]


def _one_by_one(requests: Sequence[ov.InferRequest], batch: NDArray[np.uint8]) -> list[FloatArray]:
    """Run requests for single pictures in turns; they write their answers where they belong."""
    answers: list[FloatArray] = [
        np.empty((len(batch), *tensor.shape[1:]), np.float32)
        for tensor in requests[0].output_tensors
    ]
    for index in range(len(batch)):
        request = requests[index % len(requests)]
        if index >= len(requests):
            request.wait()
        for output, answer in enumerate(answers):
            place = ov.Tensor(answer[index : index + 1], shared_memory=True)
            request.set_output_tensor(output, place)
        request.start_async({0: batch[index : index + 1]}, share_inputs=True)
    for request in requests[: len(batch)]:
        request.wait()
    return answers


def cores() -> int:
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
