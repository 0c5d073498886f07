"""The scene net: ultralytics' yolo11n-pose with our classes and the four corners of a plate."""

# Torch is untyped for the check.
# mypy: disable-error-code="misc,no-any-return"

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

CLASSES = ("plate", "car", "van", "bus", "truck", "motorcycle")


def build() -> Any:
    """An untrained yolo11n-pose with our classes and four two-dimensional keypoints."""
    from ultralytics.nn.tasks import PoseModel

    logging.getLogger("ultralytics").setLevel(logging.ERROR)  # it writes to stdout
    net = PoseModel("yolo11n-pose.yaml", nc=len(CLASSES), data_kpt_shape=(4, 2), verbose=False)
    net.names = dict(enumerate(CLASSES))
    return net


class RawHead(nn.Module):
    """The net without decoding: (B, 64 + 6 + 8, N) over the anchors of strides 8, 16 and 32."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See the class."""
        self.net.eval()
        self.net.model[-1].training = True  # the head alone, so that it returns raw maps
        raw = self.net(images)
        return torch.cat((raw["boxes"], raw["scores"], raw["kpts"]), 1)


def for_inference(net: Any) -> Any:
    """The net with its normalisation folded in, for (B, 3, H, W) BGR from 0 to 1."""
    net.fuse(verbose=False)
    first = net.model[0].conv
    first.weight.data = first.weight.data.flip(1)  # trained on RGB
    return RawHead(net)
