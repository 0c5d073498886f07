"""Recognition on a device: while the plates of one batch are read, the next is looked at."""

# Torch is untyped for the check.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detectors.base import ColourClassifier
from detectors.colour import SIDE
from detectors.device.lanes import Lane
from detectors.device.pictures import Gallery, held_together
from detectors.device.reader import DeviceReader
from detectors.device.scene import DeviceScene, Look
from detectors.manifest import Model, load_model
from detectors.preprocess import Letterbox
from detectors.reader import ReaderOptions
from detectors.recogniser import Known, Recognised, Recogniser
from detectors.scene import SceneOptions
from pipeline.errors import WeightsError
from pipeline.types import Box, ImageBgr, VehicleColour

AHEAD = 1
"""Batches that are looked at while an earlier one is read."""
BATCH = 64
"""Pictures in a batch on a GPU."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A batch whose first look has been started."""

    images: list[ImageBgr]
    boxes: list[Letterbox]
    look: Look


@dataclass(frozen=True, slots=True)
class DeviceRecogniser(Recogniser):
    """A recogniser on a device. Pictures are host arrays, or device pictures in their place.

    ``lane``: where pictures are brought to the device and looked at.
    """

    detector: DeviceScene
    reader: DeviceReader
    lane: Lane = field(kw_only=True)

    @property
    def device(self) -> str:
        """See :attr:`detectors.recogniser.Recogniser.device`."""
        return str(self.lane.device)

    def recognise(
        self,
        images: Sequence[ImageBgr],
        small: Sequence[ImageBgr | None] | None = None,
        known: Known | None = None,
    ) -> list[Recognised]:
        """See :meth:`detectors.recogniser.Recogniser.recognise`; ``small`` is not needed here."""
        size = self.detector.options.batch
        answers: list[Recognised] = []
        jobs: deque[Job] = deque()
        for start in range(0, len(images), size):
            jobs.append(self.submit(images[start : start + size]))
            if len(jobs) > AHEAD:
                answers += self.collect(jobs.popleft(), known, first=len(answers))
        while jobs:
            answers += self.collect(jobs.popleft(), known, first=len(answers))
        return answers

    def submit(self, images: Sequence[ImageBgr]) -> Job:
        """Start to look at a batch and return at once; :meth:`collect` gives its answers."""
        with self.lane.open():
            held = Gallery(images, self.lane).held()
            boxes = self.detector.first_boxes(held)
            return Job(held, boxes, self.detector.start(held, boxes))

    def collect(self, job: Job, known: Known | None = None, first: int = 0) -> list[Recognised]:
        """Plates with reads, and vehicles with colours, for each picture of a job, in order.

        ``known`` is asked with the picture's index, which is ``first`` for the job's first.
        """
        found = self.detector.finish(job.look)
        self.detector.look_closer(job.images, job.boxes, found)
        asked = None if known is None else lambda index, plate: known(first + index, plate)
        return self.complete(job.images, found, asked)

    def colours(self, vehicles: Sequence[tuple[ImageBgr, Box]]) -> list[VehicleColour | None]:
        """See :meth:`detectors.recogniser.Recogniser.colours`; shrunk before they are fetched."""
        if self.colour is None or not vehicles:
            return [None] * len(vehicles)
        boxes = np.array([box for _, box in vehicles], np.float32)
        corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        margins = np.zeros((len(boxes), 2), np.float32)
        lane = self.reader.lane  # the other one is busy with the next batch
        with lane.open():
            gallery, numbers = held_together([image for image, _ in vehicles], lane)
            small = gallery.straightened(lane, numbers, corners, margins, (SIDE, SIDE))
            landing = lane.fetch([small.permute(0, 2, 3, 1).byte()])
        return self.colour.colours(list(landing.arrays()[0]))


def load_device_recogniser(
    device: str,
    weights: Path | None = None,
    *,
    colour: ColourClassifier | None = None,
    scene: SceneOptions | None = None,
    scene_weights: Path | None = None,
) -> DeviceRecogniser:
    """A recogniser on a torch device, ``cuda``, ``cuda:N`` or, for a check, ``cpu``.

    See :func:`detectors.recogniser.load_recogniser`, which calls it. ``scene_weights`` runs on
    the device too. Raises WeightsError where weights are missing, altered or unusable.
    """
    from detectors.nets.reader import ReaderNet
    from detectors.nets.scene import build, for_inference

    place = torch.device(device)
    options = scene or SceneOptions()
    if place.type == "cuda":
        torch.backends.cudnn.benchmark = True
        options = replace(options, batch=BATCH)
    lane, read_lane = Lane(place), Lane(place, urgent=True)
    if scene_weights is not None:
        from detectors.device.own import OwnScene

        detector: DeviceScene = OwnScene(scene_weights, lane, options)
        close_up, version = None, scene_weights.name
    else:
        model = load_model("scene_state", weights)
        net = for_inference(_filled(build(), model))
        detector, version = DeviceScene(net, lane, options), model.version
        close_up = DeviceScene(net, lane, replace(options, side=256, second_look=False))
    details = load_model("reader", weights).details
    model = load_model("reader_state", weights)
    reader = DeviceReader(
        _filled(ReaderNet(), model),
        read_lane,
        ReaderOptions(temperature=float(details.get("temperature", 1.0))),
    )
    version = f"scene {version}, reader {model.version}, by torch on {place}"
    batch = (1 + AHEAD) * options.batch
    return DeviceRecogniser(detector, reader, colour, version, close_up, batch, lane=lane)


def _filled(net: Any, model: Model) -> Any:
    """A network with its weights from a state file of the manifest."""
    try:
        state = torch.load(model.path, map_location="cpu", weights_only=True)
        net.load_state_dict({name: value.float() for name, value in state.items()})
    except (RuntimeError, ValueError, AttributeError, pickle.UnpicklingError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise WeightsError(f"{model.path}: does not fit the network ({reason})") from None
    return net.eval()
