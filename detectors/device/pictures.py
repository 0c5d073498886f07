"""Pictures in a device's memory: single ones as decoders give them, and stacks to work on."""

# Torch is untyped for the check.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch

from detectors.base import FloatArray, Size
from detectors.device.lanes import Lane
from detectors.device.sampling import (
    BT601,
    Colours,
    Planes,
    letterbox,
    straighten,
    to_bgr,
    to_picture,
)
from detectors.preprocess import PLATE_SIZE, Letterbox
from pipeline.types import ImageBgr

Slices = tuple[slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class DevicePicture:
    """A decoded picture in a device's memory, NV12; indexed, it is a BGR array on the host.

    It goes through the pipeline in the place of an (H, W, 3) uint8 BGR array: it has its
    ``shape``, and ``picture[y1:y2, x1:x2]`` copies just that part to the host, as such an array.

    ``luma`` (H, W, 1) and ``chroma`` (H / 2, W / 2, 2) are uint8 and its own: complete when it is
    made, and never written to again.
    """

    luma: torch.Tensor = field(repr=False)
    chroma: torch.Tensor = field(repr=False)
    colours: Colours = BT601

    @property
    def shape(self) -> tuple[int, int, int]:
        """As of a BGR array."""
        return int(self.luma.shape[0]), int(self.luma.shape[1]), 3

    def __getitem__(self, part: Slices) -> ImageBgr:
        rows, columns = (
            torch.arange(*s.indices(n), device=self.luma.device)
            for s, n in zip(part, self.shape[:2], strict=True)
        )
        with torch.inference_mode():
            luma = self.luma[rows][:, columns].float()
            chroma = self.chroma[rows // 2][:, columns // 2].float()
            return np.asarray(to_bgr((luma, chroma), self.colours).byte().cpu().numpy(), np.uint8)


Picture = ImageBgr | DevicePicture


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """One picture of a :class:`Gallery`, to be handed around in its place."""

    gallery: Gallery
    index: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, 3)."""
        return self.gallery.pictures[self.index].shape

    def __getitem__(self, part: Slices) -> ImageBgr:
        return self.gallery.pictures[self.index][part]


@dataclass(frozen=True, slots=True, eq=False)
class _Stack:
    """Pictures of one size and kind: their numbers in the gallery, and their stacked planes."""

    numbers: tuple[int, ...]
    planes: Planes
    colours: Colours


class Gallery:
    """A batch of pictures in a device's memory, stacked by size and kind.

    Host arrays are sent there, device pictures are copied there. Made and used inside open lanes;
    one that did not make it may use it once the host has had an answer made of it.
    """

    def __init__(self, pictures: Sequence[Picture], lane: Lane) -> None:
        self.pictures = tuple(pictures)
        groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for number, picture in enumerate(self.pictures):
            colours = picture.colours if isinstance(picture, DevicePicture) else None
            groups[(picture.shape, colours)].append(number)
        self._stacks = [
            _stack(tuple(numbers), [self.pictures[n] for n in numbers], lane)
            for numbers in groups.values()
        ]
        self._places = {
            number: (index, row)
            for index, stack in enumerate(self._stacks)
            for row, number in enumerate(stack.numbers)
        }

    def held(self) -> list[ImageBgr]:
        """Handles for all pictures, in order, that pass where pictures are asked for."""
        return [cast(ImageBgr, Held(self, index)) for index in range(len(self.pictures))]

    def letterboxed(
        self, lane: Lane, numbers: Sequence[int], boxes: Sequence[Letterbox], dtype: torch.dtype
    ) -> torch.Tensor:
        """Pictures as the scene net's input, (B, 3, H, W) BGR from 0 to 1.

        All boxes must have the same size.
        """
        groups: dict[tuple[int, Letterbox], list[int]] = defaultdict(list)
        for place, (number, box) in enumerate(zip(numbers, boxes, strict=True)):
            groups[(self._places[number][0], box)].append(place)
        parts = [
            self._letterboxed(lane, index, [numbers[place] for place in places], box, dtype)
            for (index, box), places in groups.items()
        ]
        if len(parts) == 1:
            return parts[0]
        order = [place for places in groups.values() for place in places]
        return torch.cat(parts)[lane.send(np.argsort(order))]

    def _letterboxed(
        self, lane: Lane, index: int, numbers: Sequence[int], box: Letterbox, dtype: torch.dtype
    ) -> torch.Tensor:
        """The same for pictures of one stack."""
        stack = self._stacks[index]
        planes = stack.planes
        if tuple(numbers) != stack.numbers:
            rows = lane.send(np.array([self._places[number][1] for number in numbers]))
            planes = tuple(plane[rows] for plane in planes)
        return letterbox(planes, stack.colours, box, dtype)

    def straightened(
        self,
        lane: Lane,
        numbers: Sequence[int],
        corners: FloatArray,
        margins: FloatArray,
        size: Size = PLATE_SIZE,
    ) -> torch.Tensor:
        """Plates straightened as the reader's input: (R, 3, H, W) BGR, 0 to 255, float32.

        ``numbers`` (R): their pictures. ``corners`` (R, 4, 2) and ``margins`` (R, 2) as in
        :func:`detectors.preprocess.rectify`.
        """
        # a plate much larger than the target is sampled at twice the size, then averaged
        factors = np.where(_lengths(corners) > 2.0 * size[0], 2, 1).tolist()
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for place, (number, factor) in enumerate(zip(numbers, factors, strict=True)):
            groups[(self._places[number][0], factor)].append(place)
        plates = torch.empty((len(numbers), size[1], size[0], 3), device=lane.device)
        for (index, factor), places in groups.items():
            stack = self._stacks[index]
            large = (size[0] * factor, size[1] * factor)
            matrices = lane.send(to_picture(corners[places], margins[places], large))
            owners = lane.send(np.array([self._places[numbers[p]][1] for p in places]))
            flat = straighten(stack.planes, stack.colours, owners, matrices, large)
            if factor > 1:
                parts = flat.unflatten(2, (size[0], factor)).unflatten(1, (size[1], factor))
                flat = parts.mean((2, 4)).round()
            plates[lane.send(np.array(places))] = flat
        return plates.permute(0, 3, 1, 2)


def held_together(images: Sequence[ImageBgr], lane: Lane) -> tuple[Gallery, list[int]]:
    """The gallery that holds all images, and their numbers in it; a new one where there is none."""
    first: Any = images[0]
    if isinstance(first, Held):
        return first.gallery, [cast(Any, image).index for image in images]
    distinct = {id(image): image for image in images}
    order = {key: number for number, key in enumerate(distinct)}
    return Gallery(list(distinct.values()), lane), [order[id(image)] for image in images]


def _stack(numbers: tuple[int, ...], pictures: Sequence[Picture], lane: Lane) -> _Stack:
    first = pictures[0]
    if isinstance(first, DevicePicture):
        members = cast(Sequence[DevicePicture], pictures)
        luma = torch.stack([member.luma for member in members]).to(lane.device)
        chroma = torch.stack([member.chroma for member in members]).to(lane.device)
        return _Stack(numbers, (luma, chroma), first.colours)
    bgr = torch.stack([lane.send(cast(ImageBgr, picture)) for picture in pictures])
    return _Stack(numbers, (bgr,), BT601)


def _lengths(corners: FloatArray) -> FloatArray:
    """The longer of each plate's two long sides, pixels."""
    upper = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)
    lower = np.linalg.norm(corners[:, 2] - corners[:, 3], axis=1)
    return np.maximum(upper, lower)
