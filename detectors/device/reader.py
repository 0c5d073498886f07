"""Plate reading by the shipped slot net, as a torch module on a device."""

# Torch is untyped for the check.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from detectors.base import View
from detectors.device.lanes import Graphed, Landing, Lane, round_up
from detectors.device.pictures import held_together
from detectors.preprocess import resize_plate
from detectors.reader import ReaderOptions, interpret
from pipeline.types import ImageBgr, PlateRead


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A reading that has been started: for each batch how many plates, and its answer."""

    parts: Sequence[tuple[int, Landing]]


class DeviceReader:
    """Implements :class:`detectors.base.PlateReader` and :class:`detectors.base.ViewReader`.

    ``net``: a :class:`detectors.nets.reader.ReaderNet` with its weights.
    """

    def __init__(self, net: nn.Module, lane: Lane, options: ReaderOptions | None = None) -> None:
        self.options = options or ReaderOptions()
        self.lane = lane
        self._net = net.to(lane.device, memory_format=torch.channels_last).eval()
        self._run = Graphed(self._forward, lane.device)

    def read(self, plates: Sequence[ImageBgr]) -> list[PlateRead]:
        """See :class:`detectors.base.PlateReader`; for plates that lie on the host."""
        if not plates:
            return []
        with self.lane.open():
            batch = self.lane.send(np.stack([resize_plate(plate) for plate in plates]))
            reading = self._read(batch.permute(0, 3, 1, 2).float())
        return self.finish(reading)

    def read_views(self, views: Sequence[View]) -> list[PlateRead]:
        """See :class:`detectors.base.ViewReader`."""
        return self.finish(self.start(views))

    def start(self, views: Sequence[View]) -> Reading:
        """Put a reading into the lane and return at once."""
        if not views:
            return Reading(())
        with self.lane.open():
            gallery, numbers = held_together([view[0] for view in views], self.lane)
            corners = np.stack([np.asarray(view[1], np.float32) for view in views])
            margins = np.array([view[2] for view in views], np.float32)
            return self._read(gallery.straightened(self.lane, numbers, corners, margins))

    def finish(self, reading: Reading) -> list[PlateRead]:
        """Wait for a reading and say what was read."""
        reads: list[PlateRead] = []
        for count, landing in reading.parts:
            characters, classes = landing.arrays()
            reads += [
                interpret(probs, kinds, self.options.floor)
                for probs, kinds in zip(characters[:count], classes[:count], strict=True)
            ]
        return reads

    def _read(self, plates: torch.Tensor) -> Reading:
        parts = []
        for batch in plates.split(self.options.batch):
            count = len(batch)
            if self.lane.device.type == "cuda":
                spare = round_up(count, self.options.batch) - count
                batch = torch.cat((batch, batch[:1].expand(spare, -1, -1, -1))) if spare else batch
            parts.append((count, self.lane.fetch(self._run(batch))))
        return Reading(parts)

    def _forward(self, plates: torch.Tensor) -> tuple[torch.Tensor, ...]:
        on_gpu = plates.device.type == "cuda"
        # the cache of casted weights would outlive the recording of a graph
        with torch.autocast("cuda", torch.float16, enabled=on_gpu, cache_enabled=False):
            logits, classes = self._net(plates.contiguous(memory_format=torch.channels_last))
        characters = (logits.float() / self.options.temperature).softmax(-1)
        return characters, classes.float().softmax(-1)
