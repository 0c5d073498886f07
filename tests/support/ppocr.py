"""PP-OCR model folders made for a test: a real ONNX graph whose answers are known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.types import ALPHABET

CHARACTERS = ("I", *reversed(ALPHABET[1:]), "·", "a")
"""A dictionary in another order than our alphabet, with what no plate has."""

Steps = Sequence[Mapping[str, float]]
"""For each step the probabilities of some characters; blank has the rest."""


def matrix(steps: Steps, characters: Sequence[str] = CHARACTERS) -> np.ndarray:
    """(T, C) float32 as a CTC network gives it: blank, the characters, space."""
    classes = ["", *characters, " "]
    values = np.zeros((len(steps), len(classes)), np.float32)
    for row, step in enumerate(steps):
        for character, probability in step.items():
            values[row, classes.index(character)] = probability
        values[row, 0] = 1.0 - values[row].sum()
    return values


def spell(text: str, probability: float = 0.9) -> list[dict[str, float]]:
    """Steps that write ``text``, with a blank step after each character."""
    return [step for character in text for step in ({character: probability}, {})]


def description(characters: Sequence[Any] = CHARACTERS) -> dict[str, Any]:
    """What ``inference.yml`` says of a model that sees plates without padding."""
    return {
        "Global": {"model_name": "PP-OCRv5_mobile_rec"},
        "PreProcess": {
            "transform_ops": [
                {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
                {"RecResizeImg": {"image_shape": [3, 48, 168]}},
            ]
        },
        "PostProcess": {"name": "CTCLabelDecode", "character_dict": list(characters)},
    }


def write_folder(
    folder: Path,
    white: np.ndarray,
    black: np.ndarray,
    describe: Mapping[str, Any] | None = None,
    more: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """A model that answers ``white`` for a white picture, ``black`` for a black one, (T, C) each.

    For what lies between it mixes the two by mean brightness. ``more``: further outputs that
    are the same for every picture, without the batch's dimension.
    """
    from onnx import TensorProto, checker, helper, numpy_helper, save

    folder.mkdir(parents=True, exist_ok=True)
    constants = {
        "black": black.astype(np.float32)[None],
        "change": (white - black).astype(np.float32)[None],
        "half": np.float32([0.5]),
        "last": np.int64([3]),
        "none": np.float32([0]),
    }
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2, 3]),  # -1 black, 1 white
        helper.make_node("Squeeze", ["mean", "last"], ["light"]),
        helper.make_node("Mul", ["light", "half"], ["halved"]),
        helper.make_node("Add", ["halved", "half"], ["share"]),
        helper.make_node("Mul", ["share", "change"], ["changed"]),
        helper.make_node("Add", ["black", "changed"], ["steps"]),
    ]
    outputs = {"steps": white.ndim}
    for name, value in (more or {}).items():
        constants[f"{name}.value"] = value.astype(np.float32)[None]
        nodes += [
            helper.make_node("Mul", ["share", "none"], [f"{name}.zero"]),
            helper.make_node("Squeeze", [f"{name}.zero", "last.one"], [f"{name}.flat"]),
            helper.make_node("Add", [f"{name}.value", f"{name}.flat"], [name]),
        ]
        constants["last.one"] = np.int64([2])
        outputs[name] = value.ndim
    graph = helper.make_graph(
        nodes,
        "known",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 48, "width"])],
        [
            helper.make_tensor_value_info(
                name, TensorProto.FLOAT, ["batch", *(f"side{k}" for k in range(rank))]
            )
            for name, rank in outputs.items()
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    save(model, folder / "inference.onnx")
    text = json.dumps(describe or description(), ensure_ascii=False)
    (folder / "inference.yml").write_text(text, encoding="utf-8")
    return folder
