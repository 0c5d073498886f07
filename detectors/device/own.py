"""Weights of one's own on a device: an ultralytics ``.pt`` in the place of the scene net."""

# Torch is untyped for the check.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from detectors.backends.ultralytics import Names, open_model
from detectors.base import Detections
from detectors.device.lanes import Graphed, Lane
from detectors.device.postprocess import PLATES, VEHICLES
from detectors.device.scene import KINDS, DeviceScene
from detectors.preprocess import Letterbox
from detectors.scene import SceneOptions
from pipeline.types import ImageBgr

THRESHOLD = 0.3
IOU = 0.45


class OwnScene(DeviceScene):
    """Looks through an ultralytics detection or pose model; one look for each picture.

    Raises WeightsError as :class:`detectors.backends.ultralytics.UltralyticsDetector` does.
    """

    def __init__(self, weights: Path, lane: Lane, options: SceneOptions) -> None:
        model, self._names = open_model(weights)
        net = model.model.float().fuse(verbose=False)
        super().__init__(net, lane, options)
        self._classes = torch.tensor(_numbers(self._names), device=lane.device)
        self._run = Graphed(self._predict, lane.device)

    def look_closer(
        self, images: Sequence[ImageBgr], boxes: list[Letterbox], found: list[Detections]
    ) -> None:
        """None: at which size a network of one's own sees best is not known."""

    def see(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """See :meth:`detectors.device.scene.DeviceScene.see`."""
        from ultralytics.utils.nms import non_max_suppression

        (predictions,) = self._run(batch)
        rows = non_max_suppression(
            predictions, THRESHOLD, IOU, nc=len(self._names.all), end2end=self._ends
        )
        packed = [self._pack(one.float()) for one in rows]
        return torch.stack([p for p, _ in packed]), torch.stack([v for _, v in packed])

    @property
    def _ends(self) -> bool:
        """Whether the network suppresses rivals by itself."""
        return bool(getattr(self._net, "end2end", False))

    def _predict(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rgb = batch.flip(1).contiguous(memory_format=torch.channels_last)
        answer: Any = self._net(rgb)
        return (answer[0] if isinstance(answer, (list, tuple)) else answer,)

    def _pack(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One picture's rows (box, score, class, keypoints) as plates and vehicles."""
        classes = self._classes[rows[:, 5].long()]
        plates = rows.new_zeros((PLATES, 9))
        seen = rows[classes == 0][:PLATES]
        corners = seen[:, [0, 1, 2, 1, 2, 3, 0, 3]]
        if rows.shape[1] in (14, 18):  # four keypoints, with or without their visibility
            corners = seen[:, 6:].unflatten(1, (4, -1))[..., :2].flatten(1)
        plates[: len(seen)] = torch.cat((corners, seen[:, 4:5]), 1)
        vehicles = rows.new_zeros((VEHICLES, 6))
        chosen = classes > 0
        seen, names = rows[chosen][:VEHICLES], classes[chosen][:VEHICLES, None]
        vehicles[: len(seen)] = torch.cat((seen[:, :5], names.to(seen.dtype)), 1)
        return plates, vehicles


def _numbers(names: Names) -> list[int]:
    """For each class of the model its number in :data:`detectors.device.scene.KINDS`, or -1."""
    known = dict.fromkeys(names.plates, 0)
    known |= {index: KINDS.index(kind) for index, kind in names.vehicles.items()}
    return [known.get(index, -1) for index in names.all]
