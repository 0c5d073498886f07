"""The reader as a PP-OCR model folder, which PaddleOCR and what builds on it can run.

    python -m detectors.training.export_paddle

takes ``reader_state.pt`` of the weights folder, the torch weights that ``reader.xml`` was made
from, and writes ``reader_ppocr/inference.onnx`` and ``inference.yml`` beside them, with a manifest
entry. Training does the same at its end.

PaddleOCR decodes by CTC, the reader fills slots. So the network is wrapped: PaddleOCR's
normalisation is undone, the temperature is within, and before each slot stands a step that is
surely blank, so that equal neighbours stay two characters. Slots are the odd steps, trailing
blank slots decode to nothing. A second output, which PaddleOCR itself leaves alone, holds the
plate classes; ``Checkpoint`` in ``inference.yml`` says so to :mod:`detectors.backends.paddleocr`.
"""

# torch and onnx are untyped for the check.
# mypy: disable-error-code="misc,no-any-return"

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from detectors.manifest import SHIPPED, load_model
from detectors.nets.reader import ReaderNet
from detectors.preprocess import PLATE_SIZE
from detectors.training.manifest import write_entry
from pipeline.types import ALPHABET, SLOTS, PlateClass

FOLDER = "reader_ppocr"
REGISTERED_NAME = "PP-OCRv5_mobile_rec"
"""PaddleOCR only runs models under a name that it knows; it says how pictures are prepared."""
OPSET = 17
HALF_FROM = 256
"""Weights of so many values are stored with 16 bits, as those of ``reader.xml`` are."""


class SlotsAsSteps(nn.Module):
    """(B, 3, 48, 168) as PaddleOCR prepares it → steps (B, 2 SLOTS, C), classes (B, classes)."""

    def __init__(self, net: nn.Module, temperature: float) -> None:
        super().__init__()
        self.net, self.temperature = net, temperature

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See the class; C is blank, the alphabet's characters, space."""
        logits, kinds = self.net((x * 0.5 + 0.5) * 255.0)
        slots = (logits / self.temperature).softmax(-1)
        slots = nn.functional.pad(slots, (0, 1))  # a space is never seen
        blank = torch.zeros_like(slots)
        blank[..., 0] = 1.0
        steps = torch.stack((blank, slots), dim=2).flatten(1, 2)
        return steps, kinds.softmax(-1)


def export_ppocr(net: nn.Module, weights: Path, temperature: float) -> None:
    """Write the folder and its entry in the manifest, beside the reader's own.

    ``net`` is the :class:`ReaderNet` that the weights folder's ``reader.xml`` was made from.
    """
    folder = weights / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    example = torch.zeros(2, 3, PLATE_SIZE[1], PLATE_SIZE[0])
    names = ["steps", "classes"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the newer exporter would need onnxscript
        torch.onnx.export(
            SlotsAsSteps(net, temperature).eval(),
            (example,),
            str(folder / "inference.onnx"),
            input_names=["x"],
            output_names=names,
            dynamic_axes={name: {0: "batch"} for name in ("x", *names)},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(folder / "inference.onnx")
    halve(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, folder / "inference.onnx")
    text = json.dumps(description(), ensure_ascii=False, indent=1)  # JSON is YAML
    (folder / "inference.yml").write_text(text + "\n", encoding="utf-8")
    reader = load_model("reader", weights)
    details = {
        "input": ["batch", 3, PLATE_SIZE[1], PLATE_SIZE[0]],
        "temperature": temperature,
        "training": "python -m detectors.training.export_paddle",
        "seed": reader.details.get("seed"),
        "made_from": reader.details["files"],
    }
    write_entry(weights, FOLDER, [f"{FOLDER}/inference.onnx", f"{FOLDER}/inference.yml"], details)


def description() -> dict[str, Any]:
    """What ``inference.yml`` says."""
    width, height = PLATE_SIZE
    return {
        "Global": {"model_name": REGISTERED_NAME},
        "PreProcess": {
            "transform_ops": [
                {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
                {"RecResizeImg": {"image_shape": [3, height, width]}},
            ]
        },
        "PostProcess": {"name": "CTCLabelDecode", "character_dict": list(ALPHABET[1:])},
        "Checkpoint": {"slots": SLOTS, "plate_classes": [str(name) for name in PlateClass]},
    }


def halve(model: onnx.ModelProto) -> None:
    """Store large weights as float16, with a cast back that runtimes fold when they load it."""
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= HALF_FROM:
            name, half = tensor.name, f"{tensor.name}.half"
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), half))
            casts.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def check_same(net: nn.Module, weights: Path) -> None:
    """Refuse a network that ``reader.xml`` was not made from, by their answers to noise."""
    from detectors.backends.openvino import OpenVinoNetwork

    width, height = PLATE_SIZE
    noise = np.random.default_rng(0).integers(0, 256, (16, height, width, 3), np.uint8)
    path = load_model("reader", weights).path
    shipped = OpenVinoNetwork(path, precision="f32")(noise)
    with torch.no_grad():
        given = net.eval()(torch.from_numpy(noise).permute(0, 3, 1, 2).float())
    for one, other in zip(shipped, given, strict=True):
        if np.abs(one - other.numpy()).max() > 0.1 * np.abs(one).max():
            raise SystemExit(f"{path}: was made from other weights; export the reader first")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", type=Path, default=SHIPPED)
    parser.add_argument("--state", type=Path, help="other torch weights than reader_state.pt")
    options = parser.parse_args()
    weights: Path = options.weights
    net = ReaderNet()
    state = options.state or load_model("reader_state", weights).path
    net.load_state_dict(torch.load(state, weights_only=True))
    check_same(net, weights)
    export_ppocr(net, weights, load_model("reader", weights).details["temperature"])


if __name__ == "__main__":
    main()
