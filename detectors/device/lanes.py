"""CUDA streams, events, pinned copies and graphs; on the CPU the same calls work at once."""

# Torch is untyped for the check.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

MOST_GRAPHS = 32
WARM_UPS = 3
"""Plain calls of a shape before its graph is recorded. Libraries choose their kernels in them, and
a shape that comes but once is not worth a graph."""
_log = structlog.get_logger(__name__)


class Landing:
    """Tensors on their way to the host; :meth:`arrays` waits for them."""

    def __init__(self, copies: Sequence[torch.Tensor], event: Any) -> None:
        self._copies = copies
        self._event = event

    def arrays(self) -> list[NDArray[np.float32]]:
        """The tensors as arrays, once they are there."""
        if self._event is not None:
            self._event.synchronize()
        return [copy.numpy() for copy in self._copies]


class Lane:
    """A stage's own queue of work on a device: a CUDA stream. On the CPU nothing is queued.

    Any thread may open it, one at a time; what was put in is then done in order.
    """

    def __init__(self, device: torch.device, *, urgent: bool = False) -> None:
        self.device = device
        self._lock = threading.RLock()
        self._stream: Any = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device, priority=-1 if urgent else 0)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Work inside goes into this lane, without gradients."""
        with self._lock, torch.inference_mode():
            if self._stream is None:
                yield
            else:
                with torch.cuda.stream(self._stream):
                    yield

    def settle(self) -> None:
        """Wait until all that has been put into this lane is done."""
        if self._stream is not None:
            self._stream.synchronize()

    def send(self, array: NDArray[Any]) -> torch.Tensor:
        """A host array on the device, through pinned memory so that nobody waits for the copy."""
        tensor = torch.from_numpy(np.require(array, requirements=("C", "W")))
        if self._stream is None:
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def fetch(self, tensors: Sequence[torch.Tensor]) -> Landing:
        """Start to copy tensors to the host."""
        if self._stream is None:
            return Landing(tensors, None)
        copies = [torch.empty(t.shape, dtype=t.dtype, pin_memory=True) for t in tensors]
        for copy, tensor in zip(copies, tensors, strict=True):
            copy.copy_(tensor, non_blocking=True)
        return Landing(copies, self._stream.record_event())


class Graphed:
    """A function of one tensor, recorded as a CUDA graph for each shape and replayed.

    A graph starts its hundreds of small kernels in one call. On the CPU the function is called
    plainly; so it is where it cannot be recorded, which is logged once, and for shapes beyond
    :data:`MOST_GRAPHS`. What is returned is overwritten by the next call.
    """

    def __init__(
        self, function: Callable[[torch.Tensor], tuple[torch.Tensor, ...]], device: torch.device
    ) -> None:
        self._function = function
        self._records = device.type == "cuda"
        self._pool = torch.cuda.graph_pool_handle() if self._records else None
        self._calls: Counter[tuple[int, ...]] = Counter()
        self._graphs: dict[tuple[int, ...], tuple[Any, torch.Tensor, tuple[torch.Tensor, ...]]] = {}

    def __call__(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The function of ``batch``."""
        shape = tuple(batch.shape)
        if self._is_due(shape):
            try:
                self._graphs[shape] = self._record(batch)
            except RuntimeError as error:
                self._records = False
                _log.warning("runs without CUDA graphs", reason=str(error).partition("\n")[0])
        if shape not in self._graphs:
            return self._function(batch)
        graph, entry, outputs = self._graphs[shape]
        entry.copy_(batch)
        graph.replay()
        return outputs

    def _is_due(self, shape: tuple[int, ...]) -> bool:
        """Whether a graph is to be recorded now."""
        if not self._records or shape in self._graphs or len(self._graphs) == MOST_GRAPHS:
            return False
        self._calls[shape] += 1
        return self._calls[shape] > WARM_UPS

    def _record(self, batch: torch.Tensor) -> tuple[Any, torch.Tensor, tuple[torch.Tensor, ...]]:
        entry = batch.clone()
        graph = torch.cuda.CUDAGraph()
        # thread_local: cameras' threads may take device memory meanwhile
        stream = torch.cuda.current_stream()
        with torch.cuda.graph(graph, self._pool, stream, capture_error_mode="thread_local"):
            outputs = self._function(entry)
        return graph, entry, outputs


def round_up(count: int, most: int) -> int:
    """The batch that ``count`` rows are filled up to: a power of two, ``most`` at most."""
    return min(1 << max(count - 1, 0).bit_length(), most)
