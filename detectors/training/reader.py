"""Trains the reader.

    python -m detectors.training.reader --data DIR --minutes 32 --out RUN

bf16 autocast, channels-last, AdamW, EMA, a cosine that ends when the minutes of training time
are used up; resumes from ``RUN/last.pt``. Ends with the export: OpenVINO with 16-bit weights, a
temperature fitted on the val fold, figures, manifest entry, curves as ``RUN/curve.png``, and the
same reader as a PP-OCR folder.
"""

# OpenCV's stubs widen every dtype, and torch is untyped for the check.
# mypy: disable-error-code="arg-type,assignment,call-overload,misc,no-any-return,operator"
# mypy: disable-error-code="return-value,untyped-decorator,var-annotated"

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from detectors.nets.reader import ReaderNet
from detectors.preprocess import PLATE_SIZE, rectify
from detectors.training import data as labels
from detectors.training.loop import Run, add_options, plot
from detectors.training.reader_data import (
    UNKNOWN,
    Patch,
    ReaderBatches,
    ReaderSamples,
    crop_patch,
    encode,
    frame_patches,
    readable,
    view,
)
from pipeline.types import ALPHABET

SEED = 20_261
BASE_LR = 1.5e-3
BATCH = 128


WRONG_VAL_LABELS = Path(__file__).with_name("wrong_val_labels.txt")


def val_patches(data: Path, without: frozenset[str] = frozenset()) -> Iterator[tuple[str, Patch]]:
    """The labelled val plates with the set each belongs to, but for pictures in ``without``."""
    for row in labels.rows(data, "crops", "val"):
        known = row["text_source"] != "model" and readable(row["text"])
        if known and row["image"] not in without:
            yield "crops", crop_patch(labels.picture(data, row), row)
    for frame in labels.rows(data, "frames", "val"):
        for patch in frame_patches(labels.picture(data, frame), frame):
            yield frame["set"], patch


def val_plates(data: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Straightened val plates (N, 48, 168, 3), labels (N, SLOTS), the set each belongs to."""
    found = list(val_patches(data))
    images = [rectify(patch.image, patch.corners) for _, patch in found]
    return np.stack(images), np.stack([encode(p.text) for _, p in found]), [s for s, _ in found]


def calibration_plates(data: Path, views: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Val plates as they are and through worse cameras, (N, 48, 168, 3), and labels (N, SLOTS).

    The val plates alone are nearly all read: a temperature fitted on them would promise too much
    for harder pictures.
    """
    rng = np.random.default_rng(SEED)
    images, texts = [], []
    for _, patch in val_patches(data, labels.names(WRONG_VAL_LABELS)):
        images.append(rectify(patch.image, patch.corners))
        images += [view(patch.image, patch.corners, rng, real=True) for _ in range(views)]
        texts += [encode(patch.text)] * (views + 1)
    return np.stack(images), np.stack(texts)


@torch.no_grad()
def logits_of(net: nn.Module, images: np.ndarray) -> torch.Tensor:
    """Character logits (N, SLOTS, alphabet), float32."""
    net.eval()
    parts = []
    for start in range(0, len(images), 64):
        batch = torch.from_numpy(images[start : start + 64]).permute(0, 3, 1, 2).float()
        parts.append(net(batch)[0])
    return torch.cat(parts)


def exact_shares(logits: torch.Tensor, texts: np.ndarray, sets: list[str]) -> dict[str, float]:
    """Share of plates read exactly by plain argmax, for each set."""
    right = (logits.argmax(-1).numpy() == texts).all(axis=1)
    names = np.array(sets)
    return {name: round(float(right[names == name].mean()), 4) for name in dict.fromkeys(sets)}


def fit_temperature(logits: torch.Tensor, texts: np.ndarray) -> float:
    """The temperature with the least negative log likelihood, by a fine grid."""
    return fit_single_temperature(logits.reshape(-1, len(ALPHABET)), texts.ravel())


def fit_single_temperature(flat: torch.Tensor, labels_: np.ndarray) -> float:
    """The same for plain logits (N, classes) and labels (N,)."""
    target = torch.from_numpy(labels_)
    grid = np.exp(np.linspace(np.log(0.3), np.log(4.0), 120))
    costs = [float(nn.functional.cross_entropy(flat / t, target)) for t in grid]
    return round(float(grid[int(np.argmin(costs))]), 3)


def train(options: argparse.Namespace) -> None:
    """Run the loop until the minutes are used up; see the module's docstring."""
    torch.manual_seed(SEED)
    net = ReaderNet()
    run = Run(net, options, ema=0.999, weight_decay=0.05, betas=(0.9, 0.98), clip=2.0)
    samples = ReaderSamples(
        options.data,
        options.rendered,
        SEED,
        options.out,
        options.font,
        options.mined,
        labels.names(options.without),
    )
    val_images, val_texts, val_sets = val_plates(options.data)
    text_loss = nn.CrossEntropyLoss(label_smoothing=0.01)
    kind_loss = nn.CrossEntropyLoss(ignore_index=UNKNOWN)

    def saved() -> dict[str, float]:
        plot(run.log, ["loss"], ["crops", "pku", "ccpd"], "reader", options.out / "curve.png")
        return exact_shares(logits_of(run.average.model, val_images), val_texts, val_sets)

    for images, texts, kinds in run.batches(ReaderBatches(samples, BATCH, SEED + run.step), saved):
        with torch.autocast("cpu", torch.bfloat16):
            characters, classes = net(images.permute(0, 3, 1, 2).float())
        loss = text_loss(characters.float().flatten(0, 1), texts.flatten())
        loss = loss + 0.2 * kind_loss(classes.float(), kinds)
        run.learn(loss, {"loss": loss.item()})


def export(options: argparse.Namespace) -> None:
    """OpenVINO model, temperature and manifest entry from the EMA weights."""
    import openvino as ov

    from detectors.training.export_paddle import export_ppocr
    from detectors.training.manifest import save_state, write_entry

    state = torch.load(options.out / "last.pt", weights_only=False)
    net = ReaderNet()
    net.load_state_dict(state["ema"])
    net.eval()
    images, texts, sets = val_plates(options.data)
    shares = exact_shares(logits_of(net, images), texts, sets)
    images, texts = calibration_plates(options.data)
    temperature = fit_temperature(logits_of(net, images), texts)
    example = torch.zeros(2, 3, PLATE_SIZE[1], PLATE_SIZE[0])
    model = ov.convert_model(net, example_input=example)
    model.reshape({0: ov.PartialShape([-1, 3, PLATE_SIZE[1], PLATE_SIZE[0]])})
    options.weights.mkdir(parents=True, exist_ok=True)
    ov.save_model(model, options.weights / "reader.xml", compress_to_fp16=True)
    details = {
        "input": ["batch", 3, PLATE_SIZE[1], PLATE_SIZE[0]],
        "temperature": temperature,
        "training": f"python -m detectors.training.reader --minutes {options.minutes:g}",
        "steps": state["step"],
        "seed": SEED,
        "val_exact_by_given_corners": shares,
    }
    write_entry(options.weights, "reader", ["reader.xml", "reader.bin"], details)
    export_ppocr(net, options.weights, temperature)
    save_state(options.weights, "reader", state["ema"])
    print(details)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_options(parser, "reader", minutes=85.0, rate=BASE_LR)
    parser.add_argument("--rendered", type=int, default=60_000, help="rendered plates to draw from")
    parser.add_argument("--mined", type=Path, help="hard negatives of detectors.training.mine")
    parser.add_argument("--without", type=Path, help="list of detectors.training.doubt")
    options = parser.parse_args()
    if not options.export_only:
        train(options)
    export(options)


if __name__ == "__main__":
    main()
