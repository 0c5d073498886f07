"""Body colours of vehicles by the shipped colour net."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from detectors.base import Network
from detectors.postprocess import softmax
from pipeline.types import ImageBgr, VehicleColour

CLASSES = tuple(VehicleColour)
SIDE = 64
"""Side of the net's input in pixels."""
PIXELS = 2 * SIDE
"""Pixels of a vehicle's shorter side that are enough to tell its colour."""
LEAST = 0.6
"""Under this probability the colour is left open."""
DIM = 65.0
"""Mean grey value under which black is left open: in a dim picture every vehicle looks black."""


class ColourNet:
    """Implements :class:`detectors.base.ColourClassifier` over a raw network.

    The network takes (B, 64, 64, 3) uint8 BGR and returns logits (B, len(VehicleColour)).
    """

    def __init__(self, network: Network, temperature: float = 1.0, least: float = LEAST) -> None:
        self._network = network
        self._temperature = temperature
        self._least = least

    def colours(self, vehicles: Sequence[ImageBgr]) -> list[VehicleColour | None]:
        """See :class:`detectors.base.ColourClassifier`."""
        if not vehicles:
            return []
        batch = np.stack([_small(vehicle) for vehicle in vehicles])
        (logits,) = self._network(batch)
        answers: list[VehicleColour | None] = []
        grey = batch.mean(axis=(1, 2, 3))
        for probs, tone in zip(softmax(logits / np.float32(self._temperature)), grey, strict=True):
            best = int(probs.argmax())
            unsure = probs[best] < self._least
            dim = CLASSES[best] is VehicleColour.BLACK and tone < DIM
            answers.append(None if unsure or dim else CLASSES[best])
        return answers


def _small(vehicle: ImageBgr) -> ImageBgr:
    """The picture at the network's size; a large one is thinned out first: colour does not mind."""
    step = max(1, min(vehicle.shape[:2]) // PIXELS)
    small = cv2.resize(vehicle[::step, ::step], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)
