"""Plate reading by the shipped slot net: eight slots, one distribution over characters each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.base import FloatArray, Network
from detectors.decode import TEXT_FLOOR, decode
from detectors.postprocess import softmax
from detectors.preprocess import PLATE_SIZE, resize_plate
from pipeline.types import ImageBgr, PlateClass, PlateRead

CLASSES = tuple(PlateClass)


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """``temperature`` divides the logits; fitted on the val fold so that probabilities hold."""

    temperature: float = 1.0
    floor: float = TEXT_FLOOR
    batch: int = 64


class SlotReader:
    """Implements :class:`detectors.base.PlateReader` over a raw network.

    The network takes (B, 48, 168, 3) uint8 and returns character logits
    (B, SLOTS, len(ALPHABET)) and class logits (B, len(PlateClass)).
    """

    def __init__(self, network: Network, options: ReaderOptions | None = None) -> None:
        self._network = network
        self.options = options or ReaderOptions()

    def read(self, plates: Sequence[ImageBgr]) -> list[PlateRead]:
        """See :class:`detectors.base.PlateReader`."""
        reads: list[PlateRead] = []
        width, height = PLATE_SIZE
        for start in range(0, len(plates), self.options.batch):
            part = plates[start : start + self.options.batch]
            batch = np.empty((len(part), height, width, 3), np.uint8)
            for row, plate in enumerate(part):
                batch[row] = resize_plate(plate)
            logits, classes = self._network(batch)
            characters = softmax(logits / np.float32(self.options.temperature))
            reads += [
                interpret(probs, kinds, self.options.floor)
                for probs, kinds in zip(characters, softmax(classes), strict=True)
            ]
        return reads


def interpret(
    char_probs: FloatArray, class_probs: FloatArray, floor: float = TEXT_FLOOR
) -> PlateRead:
    """The read that a distribution over characters and classes amounts to."""
    decoded = decode(char_probs, floor)
    return PlateRead(
        text=decoded.text,
        plate_class=CLASSES[int(class_probs.argmax())],
        probability=decoded.probability,
        text_probabilities=decoded.text_probabilities,
        char_probs=char_probs,
        class_probs=class_probs,
    )


def average(reads: Sequence[PlateRead]) -> PlateRead:
    """One read out of several of the same plate, cut out in different ways."""
    characters = np.stack([read.char_probs for read in reads]).mean(axis=0)
    classes = np.stack([read.class_probs for read in reads]).mean(axis=0)
    return interpret(np.asarray(characters, np.float32), np.asarray(classes, np.float32))
