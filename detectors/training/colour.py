"""Trains the colour net: nine body colours from a 64 x 64 picture of one vehicle.

    python -m detectors.training.colour --data DIR --minutes 3

Light is varied (night, tint, noise) so that dark pictures become unsure instead of black.
"""

# OpenCV's stubs widen every dtype, and torch is untyped for the check.
# mypy: disable-error-code="arg-type,assignment,call-overload,misc,no-any-return,operator"
# mypy: disable-error-code="return-value,untyped-decorator,var-annotated"

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from detectors.colour import CLASSES, LEAST, SIDE
from detectors.nets.reader import Residual
from detectors.training import data as labels
from detectors.training.loop import Average, schedule
from detectors.training.reader import fit_single_temperature

SEED = 20_262


class ColourModel(nn.Module):
    """Vehicles (B, 3, 64, 64), 0 to 255 → logits (B, 9). About 0.3 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = nn.Sequential(
            nn.Conv2d(3, 24, 3, 2, 1, bias=False),
            nn.BatchNorm2d(24),
            nn.ReLU(inplace=True),
            Residual(24, 48, 2),
            Residual(48, 80, 2),
            Residual(80, 96, 2),
        )
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(2 * 96, len(CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        maps = self.stack(x / 127.5 - 1)
        pooled = torch.cat((maps.mean((2, 3)), maps.amax((2, 3))), 1)
        return self.out(self.drop(pooled))


def load(data: Path, fold: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, 96, 96, 3) uint8 and class indices (N,)."""
    images, names = [], []
    for row in labels.rows(data, "colours", fold):
        images.append(cv2.resize(labels.picture(data, row), (96, 96), interpolation=cv2.INTER_AREA))
        names.append([c.value for c in CLASSES].index(row["colour"]))
    return np.stack(images), np.array(names)


def augment(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random crop at (64, 64), mirrored or not, in another light."""
    size = int(rng.integers(56, 97))
    x, y = rng.integers(0, 97 - size, 2)
    out = cv2.resize(image[y : y + size, x : x + size], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        out = out[:, ::-1]
    gain, gamma = np.exp(rng.normal(0, 0.15)), np.exp(rng.normal(0, 0.15))
    value = 255 * (out.astype(np.float32) / 255) ** gamma * gain
    value *= np.exp(rng.normal(0, 0.04, 3)).astype(np.float32)
    value += rng.normal(0, rng.uniform(0, 8), value.shape)
    if rng.random() < 0.3:
        value = cv2.GaussianBlur(value, (0, 0), rng.uniform(0.4, 1.5))
    return np.clip(value, 0, 255)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the label files")
    parser.add_argument("--minutes", type=float, default=3.0, help="training time")
    parser.add_argument("--weights", type=Path, default=Path(__file__).parents[1] / "weights")
    options = parser.parse_args()
    import openvino as ov

    from detectors.training.manifest import write_entry

    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    images, names = load(options.data, "train")
    net = ColourModel()
    average = Average(net, 0.995)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05)
    cost = nn.CrossEntropyLoss(label_smoothing=0.1)
    begun, step, budget = time.monotonic(), 0, options.minutes * 60
    bar = tqdm(total=round(budget), unit="s", mininterval=10)
    while (used := time.monotonic() - begun) < budget:
        chosen = rng.integers(0, len(images), 64)
        batch = np.stack([augment(images[i], rng) for i in chosen]).astype(np.float32)
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * schedule(used / budget, step)
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(torch.from_numpy(batch).permute(0, 3, 1, 2))
        loss = cost(logits.float(), torch.from_numpy(names[chosen]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(net)
        step += 1
        bar.update(time.monotonic() - begun - bar.n)
        bar.set_postfix_str(f"step {step} loss {loss.item():.3f}", refresh=False)
    bar.close()
    model = average.model.eval()
    val_images, val_names = load(options.data, "val")
    area = cv2.INTER_AREA
    small = np.stack([cv2.resize(i, (SIDE, SIDE), interpolation=area) for i in val_images])
    with torch.no_grad():
        logits = model(torch.from_numpy(small).permute(0, 3, 1, 2).float())
    temperature = fit_single_temperature(logits, val_names)
    probs = (logits / temperature).softmax(-1).numpy()
    sure = probs.max(axis=1) >= LEAST
    right = probs.argmax(axis=1) == val_names
    figures = {
        "right": round(float(right.mean()), 3),
        "answered": round(float(sure.mean()), 3),
        "right_of_answered": round(float(right[sure].mean()), 3),
        "pictures": len(right),
    }
    exported = ov.convert_model(model, example_input=torch.zeros(2, 3, SIDE, SIDE))
    exported.reshape({0: ov.PartialShape([-1, 3, SIDE, SIDE])})
    options.weights.mkdir(parents=True, exist_ok=True)
    ov.save_model(exported, options.weights / "colour.xml", compress_to_fp16=True)
    write_entry(
        options.weights,
        "colour",
        ["colour.xml", "colour.bin"],
        {
            "input": ["batch", 3, SIDE, SIDE],
            "classes": [c.value for c in CLASSES],
            "temperature": temperature,
            "steps": step,
            "seed": SEED,
            "val": figures,
            "training": f"python -m detectors.training.colour --minutes {options.minutes:g}",
        },
    )
    print(figures, "temperature", temperature)


if __name__ == "__main__":
    main()
