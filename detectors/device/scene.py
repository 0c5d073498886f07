"""Plates and vehicles by the shipped scene net, as a torch module on a device."""

# Torch is untyped for the check.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from detectors.base import Detections, FloatArray
from detectors.device.lanes import Graphed, Landing, Lane, round_up
from detectors.device.pictures import held_together
from detectors.device.postprocess import decode
from detectors.postprocess import anchors
from detectors.preprocess import Letterbox
from detectors.scene import CLASSES, SceneLooks, SceneOptions
from pipeline.types import ImageBgr, PlateDetection, VehicleClass, VehicleDetection

KINDS = (*CLASSES, VehicleClass.OTHER)
"""Classes by the number that comes from the device; weights of one's own may know no more."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A look that has been started: for each batch its pictures, and the answer on its way."""

    images: Sequence[ImageBgr]
    boxes: Sequence[Letterbox]
    parts: Sequence[tuple[Sequence[int], Landing]]


class DeviceScene(SceneLooks):
    """Looks on a device: only what was found comes to the host.

    ``net``: BGR from 0 to 1 in, raw maps out, see :func:`detectors.nets.scene.for_inference`.
    """

    def __init__(self, net: nn.Module, lane: Lane, options: SceneOptions | None = None) -> None:
        super().__init__(options)
        self._lane = lane
        self._dtype = torch.float16 if lane.device.type == "cuda" else torch.float32
        self._net = net.to(lane.device, self._dtype, memory_format=torch.channels_last).eval()
        self._limits = torch.from_numpy(self._thresholds).to(lane.device)
        self._anchors: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}
        self._run = Graphed(self._forward, lane.device)

    def look(self, images: Sequence[ImageBgr], boxes: Sequence[Letterbox]) -> list[Detections]:
        """See :class:`detectors.scene.SceneLooks`."""
        return self.finish(self.start(images, boxes))

    def start(self, images: Sequence[ImageBgr], boxes: Sequence[Letterbox]) -> Look:
        """Put a look into the lane and return at once."""
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for place, box in enumerate(boxes):
            groups[box.size].append(place)
        parts: list[tuple[Sequence[int], Landing]] = []
        if images:
            with self._lane.open():
                gallery, numbers = held_together(images, self._lane)
                for places in groups.values():
                    for start in range(0, len(places), self.options.batch):
                        part = places[start : start + self.options.batch]
                        batch = gallery.letterboxed(
                            self._lane,
                            [numbers[p] for p in part],
                            [boxes[p] for p in part],
                            self._dtype,
                        )
                        parts.append((part, self._lane.fetch(self.see(self._filled(batch)))))
        return Look(images, boxes, parts)

    def finish(self, look: Look) -> list[Detections]:
        """Wait for a look and say what was seen."""
        found: list[Detections] = [Detections()] * len(look.images)
        for places, landing in look.parts:
            plates, vehicles = landing.arrays()
            for row, place in enumerate(places):
                size = look.images[place].shape[:2]
                found[place] = _interpret(plates[row], vehicles[row], look.boxes[place], size)
        return found

    def see(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Plates (B, PLATES, 9) and vehicles (B, VEHICLES, 6) of a batch, see :func:`decode`."""
        return self._run(batch)

    def _filled(self, batch: torch.Tensor) -> torch.Tensor:
        """``batch`` with rows added where graphs are recorded: they are so for few sizes."""
        if self._lane.device.type != "cuda":
            return batch
        spare = round_up(len(batch), self.options.batch) - len(batch)
        return torch.cat((batch, batch[:1].expand(spare, -1, -1, -1))) if spare else batch

    def _forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        size = (batch.shape[3], batch.shape[2])
        if size not in self._anchors:
            points, strides = anchors(size)
            device = batch.device
            self._anchors[size] = torch.tensor(points).to(device), torch.tensor(strides).to(device)
        points, strides = self._anchors[size]
        options = self.options.box_share, self.options.vehicle_iou
        raw = self._net(batch.contiguous(memory_format=torch.channels_last))
        return decode(raw, points, strides, self._limits, options)


def _interpret(
    plates: FloatArray, vehicles: FloatArray, box: Letterbox, size: tuple[int, ...]
) -> Detections:
    """Rows of the device's answer as detections in the picture's pixels."""
    plates = plates[plates[:, 8] > 0.0]
    corners = box.to_picture(plates[:, :8].reshape(-1, 4, 2))
    vehicles = vehicles[vehicles[:, 4] > 0.0]
    limit = np.array([size[1], size[0]], np.float32)
    edges = np.clip(box.to_picture(vehicles[:, :4].reshape(-1, 2, 2)), 0, limit).reshape(-1, 4)
    return Detections(
        tuple(
            PlateDetection(quad, float(score))
            for quad, score in zip(corners, plates[:, 8], strict=True)
        ),
        tuple(
            VehicleDetection(
                (float(e[0]), float(e[1]), float(e[2]), float(e[3])),
                KINDS[int(row[5])] or VehicleClass.OTHER,
                float(row[4]),
            )
            for e, row in zip(edges, vehicles, strict=True)
        ),
    )
