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
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from detectors.preprocess import fit, letterbox
from detectors.training import data as labels
from detectors.training.scene_data import (
    CLASSES,
    INFERENCE_SIDE,
    Composer,
    SceneBatches,
    load_sources,
)

SEED = 20_260
BASE_LR = 2e-3


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
    """An untrained yolo11n-pose with our classes and four two-dimensional keypoints."""
    from ultralytics.cfg import get_cfg
    from ultralytics.nn.tasks import PoseModel

    net = PoseModel("yolo11n-pose.yaml", nc=len(CLASSES), data_kpt_shape=(4, 2), verbose=False)
    net.args = get_cfg()
    net.args.pose = 3.0
    net.names = dict(enumerate(CLASSES))
    net.criterion = net.init_criterion()
    net.criterion.keypoint_loss = CornerLoss()
    plain = nn.BCEWithLogitsLoss(reduction="none")

    def weighted(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        weights = net.negative_weights[:, None, :]  # (B, 1, classes)
        return plain(scores, targets) * torch.where(targets > 0, 1.0, weights)

    net.criterion.bce = weighted
    return net


def optimiser(net: nn.Module) -> torch.optim.Optimizer:
    """AdamW; no decay on norms and biases."""
    decay = [p for p in net.parameters() if p.requires_grad and p.ndim > 1]
    rest = [p for p in net.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": 0.02}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=BASE_LR, betas=(0.9, 0.99), fused=True)


class Average:
    """Exponential moving average of a model's weights and buffers."""

    def __init__(self, net: nn.Module, decay: float = 0.9985) -> None:
        self.model = copy.deepcopy(net).eval()
        self.decay, self.count = decay, 0

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Move towards the weights of ``net``; faster at the start."""
        self.count += 1
        keep = min(self.decay, (1 + self.count) / (20 + self.count))
        mine, theirs = self.model.state_dict(), net.state_dict()
        names = [name for name, value in mine.items() if value.dtype.is_floating_point]
        torch._foreach_lerp_([mine[n] for n in names], [theirs[n] for n in names], 1 - keep)


def schedule(used: float, step: int) -> float:
    """Learning-rate factor: 200 steps of warm-up, then a cosine over the share of time used."""
    warm = min(1.0, (step + 1) / 200)
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(used, 1.0))))


def train(options: argparse.Namespace) -> None:
    """Run the loop until the minutes are used up; see the module's docstring."""
    torch.manual_seed(SEED)
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    composer = Composer(options.data, load_sources(options.data, options.limit), SEED)
    net = build_model()
    if options.start:
        net.load_state_dict(torch.load(options.start, weights_only=True))
    average = Average(net)
    optimizer = optimiser(net)
    step, seconds, log = 0, 0.0, []
    last = options.out / "last.pt"
    options.out.mkdir(parents=True, exist_ok=True)
    if last.exists():
        state = torch.load(last, weights_only=False)
        net.load_state_dict(state["net"])
        average.model.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        step, seconds, log = state["step"], state["seconds"], state["log"]
        average.count = step
    net = net.to(memory_format=torch.channels_last).train()
    loader = iter(
        torch.utils.data.DataLoader(
            SceneBatches(composer, SEED + step), batch_size=None, num_workers=1, prefetch_factor=6
        )
    )
    budget, saved, running = options.minutes * 60.0, seconds, None
    bar = tqdm(total=round(budget), initial=round(seconds), unit="s", mininterval=20)
    while seconds < budget:
        begun = time.monotonic()
        batch = next(loader)
        for group in optimizer.param_groups:
            group["lr"] = options.rate * schedule(seconds / budget, step)
        images = batch["img"].to(memory_format=torch.channels_last).float() / 255
        net.negative_weights = batch["weights"]
        with torch.autocast("cpu", torch.bfloat16):
            preds = net(images)
        preds = {
            k: [f.float() for f in v] if isinstance(v, list) else v.float()
            for k, v in preds.items()
        }
        losses, parts = net.criterion(preds, batch)
        optimizer.zero_grad(set_to_none=True)
        (losses.sum() / len(images) * 1.0).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        average.update(net)
        step += 1
        values = np.array([float(v) for v in parts.values()])
        running = values if running is None else 0.98 * running + 0.02 * values
        spent = min(time.monotonic() - begun, 5.0)
        seconds += spent
        bar.update(spent)
        if step % 50 == 0:
            log.append((seconds, *running.tolist()))
            named = " ".join(f"{k[:4]} {v:.3f}" for k, v in zip(parts, running, strict=True))
            bar.set_postfix_str(f"step {step} {named}")
        if seconds - saved > 180 or seconds >= budget:
            saved = seconds
            torch.save(
                {
                    "net": net.state_dict(),
                    "ema": average.model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step,
                    "seconds": seconds,
                    "log": log,
                },
                last.with_suffix(".tmp"),
            )
            last.with_suffix(".tmp").replace(last)
            plot(log, list(parts), options.out / "loss.png")
    bar.close()


def plot(log: list[tuple[float, ...]], names: list[str], path: Path) -> None:
    """Loss curves as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    table = np.array(log)
    if len(table) < 2:
        return
    figure, axes = plt.subplots(figsize=(8, 4))
    for index, name in enumerate(names):
        axes.semilogy(table[:, 0] / 60, np.maximum(table[:, index + 1], 1e-4), label=name)
    axes.set(xlabel="minutes of training", ylabel="loss", title="scene net")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)


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


def export(options: argparse.Namespace) -> None:
    """Write the EMA weights as an 8-bit OpenVINO model, and its manifest entry."""
    import openvino as ov

    from detectors.training.manifest import save_state, write_entry
    from detectors.training.quantise import quantise

    state = torch.load(options.out / "last.pt", weights_only=False)
    net = build_model()
    net.load_state_dict(state["ema"])
    save_for_ultralytics(net, options.out / "scene.pt")
    net.fuse(verbose=False)
    # pixel scaling and colour order live in the model: input (B, 3, H, W) BGR, 0 to 255
    first = net.model[0].conv
    first.weight.data = first.weight.data.flip(1) / 255.0
    example = torch.zeros(1, 3, 384, 640)
    model = ov.convert_model(RawHead(net), example_input=example)
    model.reshape({0: ov.PartialShape([-1, 3, -1, -1])})
    model.inputs[0].tensor.set_names({"images"})
    model.outputs[0].tensor.set_names({"raw"})
    options.weights.mkdir(parents=True, exist_ok=True)
    ov.save_model(quantise(model, inference_inputs(options.data)), options.weights / "scene.xml")
    write_entry(
        options.weights,
        "scene",
        ["scene.xml", "scene.bin"],
        {
            "input": ["batch", 3, "height", "width"],
            "classes": list(CLASSES),
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
    parser.add_argument("--data", type=Path, required=True, help="folder with the label files")
    parser.add_argument("--minutes", type=float, default=65.0, help="training time")
    parser.add_argument("--out", type=Path, default=Path("runs/scene"))
    parser.add_argument("--weights", type=Path, default=Path(__file__).parents[1] / "weights")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--start", type=Path, help="weights to go on from: scene_state.pt")
    parser.add_argument("--rate", type=float, default=BASE_LR, help="highest learning rate")
    parser.add_argument("--limit", type=int, help="only so many photographs, for a trial")
    parser.add_argument("--export-only", action="store_true")
    options = parser.parse_args()
    if not options.export_only:
        train(options)
    export(options)


if __name__ == "__main__":
    main()
