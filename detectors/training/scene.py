"""Trains the scene net: plates with their four corners, and vehicles, in one pass.

    python -m detectors.training.scene --data DIR --minutes 65 --out RUN

yolo11n-pose from scratch (definition and assigner from ultralytics) in a bare loop: bf16
autocast, channels-last, AdamW, EMA, warm-up and a cosine that ends when ``--minutes`` of
training time are used up. The clock counts training only: time the process was stopped is left
out. ``RUN/last.pt`` is written every three minutes; the same command resumes from it.
``--export-only`` turns the EMA weights of ``RUN/last.pt`` into ``detectors/weights/scene.*``, and
into ``RUN/scene.pt`` for :mod:`detectors.backends.ultralytics`.
"""

# OpenCV's stubs widen every dtype, and torch is untyped for the check.
# mypy: disable-error-code="arg-type,assignment,call-overload,misc,no-any-return,operator"
# mypy: disable-error-code="return-value,untyped-decorator,var-annotated"

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from detectors.nets import scene
from detectors.preprocess import fit, letterbox
from detectors.training import data as labels
from detectors.training.loop import Run, add_options, plot
from detectors.training.scene_data import INFERENCE_SIDE, Composer, SceneBatches, load_sources

SEED = 20_260
BASE_LR = 2e-3
CORNER_BRANCH = r".*model\.23\.cv4.*"
"""Stays in floating point: it is small, and 8 bits would move the corners by half a pixel."""


class CornerLoss(nn.Module):
    """Distance of predicted and true corners in units of the plate's size.

    Linear far away, logarithmic near zero, so that the last pixel still matters: the object
    keypoint similarity that poses use is flat there.
    """

    def forward(
        self, pred: torch.Tensor, true: torch.Tensor, mask: torch.Tensor, area: torch.Tensor
    ) -> torch.Tensor:
        """Mean over visible corners."""
        distance = (pred[..., :2] - true[..., :2]).square().sum(-1).add(1e-9).sqrt()
        distance = distance / area.sqrt().clamp_min(0.3)
        cost = distance + 0.25 * torch.log1p(distance / 0.02)
        return (cost * mask).sum() / mask.sum().clamp_min(1)


def build_model() -> Any:
    """The scene net, untrained, with the losses that it is trained by."""
    from ultralytics.cfg import get_cfg

    net = scene.build()
    net.args = get_cfg()
    net.args.pose = 3.0
    net.criterion = net.init_criterion()
    net.criterion.keypoint_loss = CornerLoss()
    plain = nn.BCEWithLogitsLoss(reduction="none")

    def weighted(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        weights = net.negative_weights[:, None, :]  # (B, 1, classes)
        return plain(scores, targets) * torch.where(targets > 0, 1.0, weights)

    net.criterion.bce = weighted
    return net


def train(options: argparse.Namespace) -> None:
    """Run the loop until the minutes are used up; see the module's docstring."""
    torch.manual_seed(SEED)
    net = build_model()
    run = Run(net, options, ema=0.9985, weight_decay=0.02, betas=(0.9, 0.99), clip=10.0)
    sources = load_sources(options.data, options.limit)
    composer = Composer(options.data, sources, SEED, options.font)

    def saved() -> dict[str, float]:
        plot(
            run.log,
            ["box", "corners", "class", "spread"],
            [],
            "scene net",
            options.out / "loss.png",
        )
        return {}

    for batch in run.batches(SceneBatches(composer, SEED + run.step), saved):
        images = batch["img"].to(memory_format=torch.channels_last).float() / 255
        net.negative_weights = batch["weights"]
        with torch.autocast("cpu", torch.bfloat16):
            raw = net(images)
        preds = {
            k: [f.float() for f in v] if isinstance(v, list) else v.float() for k, v in raw.items()
        }
        losses, parts = net.criterion(preds, batch)
        box, corners, _, classes, spread = (float(value) for value in parts.values())
        shown = {"box": box, "corners": corners, "class": classes, "spread": spread}
        run.learn(losses.sum() / len(images), shown)


def export(options: argparse.Namespace) -> None:
    """Write the EMA weights as an 8-bit OpenVINO model, and its manifest entry."""
    import openvino as ov

    from detectors.training.manifest import save_state, write_entry
    from detectors.training.quantise import quantise

    state = torch.load(options.out / "last.pt", weights_only=False)
    net = build_model()
    net.load_state_dict(state["ema"])
    save_for_ultralytics(net, options.out / "scene.pt")
    raw = scene.for_inference(net)
    # pixel scaling and colour order live in the model: input (B, 3, H, W) BGR, 0 to 255
    net.model[0].conv.weight.data /= 255.0
    example = torch.zeros(1, 3, 384, 640)
    model = ov.convert_model(raw, example_input=example)
    model.reshape({0: ov.PartialShape([-1, 3, -1, -1])})
    model.inputs[0].tensor.set_names({"images"})
    model.outputs[0].tensor.set_names({"raw"})
    options.weights.mkdir(parents=True, exist_ok=True)
    small = quantise(model, inference_inputs(options.data), keep=(CORNER_BRANCH,))
    ov.save_model(small, options.weights / "scene.xml")
    write_entry(
        options.weights,
        "scene",
        ["scene.xml", "scene.bin"],
        {
            "input": ["batch", 3, "height", "width"],
            "classes": list(scene.CLASSES),
            "strides": [8, 16, 32],
            "reg_max": 16,
            "training": f"python -m detectors.training.scene --minutes {options.minutes:g}",
            "steps": state["step"],
            "seed": SEED,
        },
    )
    save_state(options.weights, "scene", state["ema"])


def inference_inputs(data: Path, count: int = 240) -> Iterator[np.ndarray]:
    """Train frames as inference letterboxes them, (1, 3, H, W) float32 BGR."""
    frames = labels.rows(data, "frames", "train")
    chosen = np.random.default_rng(SEED).permutation(len(frames))[:count]
    for index in chosen:
        image = labels.picture(data, frames[index])
        view = letterbox(image, fit((image.shape[1], image.shape[0]), INFERENCE_SIDE))
        yield view.transpose(2, 0, 1)[None].astype(np.float32)


def save_for_ultralytics(net: Any, path: Path) -> None:
    """The same weights as a ``.pt`` that ultralytics loads, for a GPU or for fine-tuning."""
    plain = copy.deepcopy(net.float().eval())
    plain.criterion = None
    plain.args = {"task": "pose", "imgsz": 640, **vars(net.args)}
    plain.task = "pose"
    torch.save({"model": plain, "train_args": plain.args, "epoch": -1}, path)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_options(parser, "scene", minutes=85.0, rate=BASE_LR)
    parser.add_argument("--limit", type=int, help="only so many photographs, for a trial")
    options = parser.parse_args()
    if not options.export_only:
        train(options)
    export(options)


if __name__ == "__main__":
    main()
