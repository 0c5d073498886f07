"""Plates read by PaddleOCR: this project's own reader as a PP-OCR folder, or any other such model.

Needs the ``paddleocr`` extra, and no PaddlePaddle: ``TextRecognition`` runs the folder's
``inference.onnx`` with ONNX Runtime as ``inference.yml`` says. PaddleOCR decodes by itself and
then reports one mean score; what it would decode is taken here instead, so that voting and
matching get the whole distribution of every character.

A model that has no plate classes of its own leaves them to the text's form and, for ordinary
plates, to the share of blue and yellow pixels. One that reads a single line does not read plates
in two rows.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import structlog

from detectors.base import FloatArray
from detectors.ctc import slots_of, spread_of
from detectors.decode import TEXT_FLOOR
from detectors.preprocess import PLATE_SIZE, resize_plate
from detectors.reader import CLASSES, interpret
from pipeline.errors import WeightsError
from pipeline.plate_forms import classes_of
from pipeline.types import (
    ALPHABET,
    DIGITS,
    LETTERS,
    PROVINCES,
    SLOTS,
    ImageBgr,
    PlateClass,
    PlateRead,
)

_log = structlog.get_logger(__name__)

OLDEST = (3, 7)
"""The first PaddleOCR that runs ONNX files by itself."""
RESTORE = "pip install --force-reinstall --no-deps opencv-python"
"""Puts our OpenCV back where opencv-contrib-python 4.10, which PaddleX pins, has replaced it."""
INSTALL = f"pip install 'checkpoint-vehicles[paddleocr]' && {RESTORE}"
BATCH = 64

NEEDED = PROVINCES + DIGITS + LETTERS.replace("O", "")
"""Characters without which a dictionary cannot spell ordinary plates."""
BLUE = ((85, 50, 30), (130, 255, 255))
YELLOW = ((12, 50, 30), (35, 255, 255))
"""Ground colours of ordinary plates: ranges of hue (0 to 180), saturation and value in OpenCV."""
GROUND = 0.5
"""Share of a plate's picture that is ground at least; characters and edges take the rest."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """What ``inference.yml`` says of a PP-OCR recognition model.

    ``slots``: the model is this project's: the odd steps are the slots, and a second output
    holds the plate classes.
    """

    path: Path
    name: str
    characters: tuple[str, ...]
    slots: bool


class PaddleReader:
    """Implements :class:`detectors.base.PlateReader` over a PP-OCR model folder, on the CPU.

    ``threads`` 0 takes all cores. One call runs at a time; concurrent callers wait.

    Raises:
        WeightsError: PaddleOCR is not installed or too old, a file of the folder is missing or
            unusable, or the model cannot spell plates. Nothing is ever downloaded instead.
    """

    def __init__(self, folder: Path, threads: int = 0, floor: float = TEXT_FLOOR) -> None:
        recogniser = _text_recognition(folder)
        self._folder = describe(folder)
        self._spread = spread_of(self._folder.characters)
        self._floor = floor
        self._lock = threading.Lock()
        try:
            self._model = recogniser(
                model_name=self._folder.name,
                model_dir=str(folder),
                device="cpu",
                engine="onnxruntime",
                engine_config={"intra_op_num_threads": threads} if threads else None,
            )
        except Exception as error:  # PaddleOCR and ONNX Runtime raise all kinds
            raise WeightsError(f"{folder}: PaddleOCR cannot use it ({_reason(error)})") from None
        self._model.paddlex_predictor.post_op = _hand_on
        self._try_out()

    def read(self, plates: Sequence[ImageBgr]) -> list[PlateRead]:
        """See :class:`detectors.base.PlateReader`."""
        if not plates:
            return []
        # of one size: PaddleOCR would pad all to the widest, and read them otherwise then
        resized = [resize_plate(plate) for plate in plates]
        return [
            self._interpret(plate, outputs)
            for plate, outputs in zip(resized, self._run(resized), strict=True)
        ]

    def _run(self, plates: list[ImageBgr]) -> list[tuple[FloatArray, ...]]:
        """All outputs of the network for each plate."""
        with self._lock:
            answers = self._model.predict(plates, batch_size=BATCH)
        return [answer["rec_score"] for answer in answers]

    def _interpret(self, plate: ImageBgr, outputs: tuple[FloatArray, ...]) -> PlateRead:
        steps = outputs[0]
        if self._folder.slots:
            return interpret(steps[1::2] @ self._spread, outputs[1], self._floor)
        seen = interpret(slots_of(steps, self._spread), ground_colours(plate), self._floor)
        classes = class_probs(seen)
        return replace(seen, plate_class=CLASSES[int(classes.argmax())], class_probs=classes)

    def _try_out(self) -> None:
        """Read a grey plate, so that a model that does not fit is refused at once."""
        path = self._folder.path / "inference.onnx"
        grey = np.full((PLATE_SIZE[1], PLATE_SIZE[0], 3), 128, np.uint8)
        try:
            (outputs,) = self._run([grey])
        except Exception as error:
            raise WeightsError(f"{path}: does not run on a plate ({_reason(error)})") from None
        steps, classes = outputs[0], len(self._spread)
        if steps.ndim != 2 or steps.shape[1] != classes:
            raise WeightsError(
                f"{path}: gives {' x '.join(map(str, steps.shape))} values for a plate; the "
                f"character_dict of inference.yml asks for {classes} in each step (blank, "
                f"{classes - 2} characters, space): the two files belong to different models"
            )
        if not (steps.min() >= 0 and np.abs(steps.sum(axis=1) - 1).max() <= 1e-2):
            raise WeightsError(
                f"{path}: gives no probabilities; export the model with its final softmax"
            )
        if self._folder.slots and (
            len(steps) != 2 * SLOTS or len(outputs) < 2 or outputs[1].shape != (len(CLASSES),)
        ):
            raise WeightsError(
                f"{path}: is not the reader that 'Checkpoint' in inference.yml promises; "
                "export it again with detectors.training.export_paddle"
            )


def describe(folder: Path) -> ModelFolder:
    """Read and check ``inference.yml``; raises WeightsError with what is wrong and what to do."""
    import yaml

    for name in ("inference.yml", "inference.onnx"):
        if not (folder / name).is_file():
            raise WeightsError(
                f"{folder / name}: missing; reader_model names a PP-OCR recognition model as a "
                "folder of inference.onnx and inference.yml (PaddleX makes the first out of "
                "Paddle's own format: paddlex --paddle2onnx)"
            )
    path = folder / "inference.yml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        name = content["Global"]["model_name"]
        decoder = content["PostProcess"]["name"]
        characters = content["PostProcess"]["character_dict"]
        steps = [name for step in content["PreProcess"]["transform_ops"] for name in step]
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise WeightsError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
    except (KeyError, TypeError):
        steps = []
    if "RecResizeImg" not in steps or not isinstance(characters, list):
        raise WeightsError(
            f"{path}: describes no PP-OCR recognition model: that has Global.model_name, "
            "PreProcess.transform_ops with RecResizeImg, PostProcess with name and character_dict"
        )
    if decoder != "CTCLabelDecode":
        raise WeightsError(f"{path}: PostProcess is {decoder!r}; only CTCLabelDecode can be read")
    for index, character in enumerate(characters):
        if not isinstance(character, str):
            raise WeightsError(
                f"{path}: entry {index + 1} of character_dict is {character!r}, no text; quote it"
            )
    missing = [character for character in NEEDED if character not in characters]
    if missing:
        raise WeightsError(
            f"{path}: character_dict lacks {' '.join(missing)}: it cannot spell plates; name a "
            "model whose dictionary has all provinces, digits and letters"
        )
    own = content.get("Checkpoint")
    if own is not None and (
        own != {"slots": SLOTS, "plate_classes": [str(name) for name in CLASSES]}
        or tuple(characters) != ALPHABET[1:]
    ):
        raise WeightsError(
            f"{path}: was exported for another version of Checkpoint; export it again with "
            "detectors.training.export_paddle"
        )
    return ModelFolder(folder, str(name), tuple(characters), own is not None)


def ground_colours(plate: ImageBgr) -> FloatArray:
    """Plate classes by ground colour: shares of blue and of yellow pixels, OTHER for the rest."""
    hsv = cv2.cvtColor(plate, cv2.COLOR_BGR2HSV)
    shares = [cv2.inRange(hsv, *colour).mean() / 255.0 for colour in (BLUE, YELLOW)]
    seen = np.array(shares) / max(GROUND, sum(shares))
    probs = np.zeros(len(CLASSES), np.float32)
    probs[[CLASSES.index(PlateClass.BLUE), CLASSES.index(PlateClass.YELLOW_SINGLE)]] = seen
    probs[CLASSES.index(PlateClass.OTHER)] = 1.0 - seen.sum()
    return probs


def class_probs(read: PlateRead) -> FloatArray:
    """Plate classes of a read that brings ground colours: the form decides where it can.

    As likely as the text is, its form's class counts; the rest is left to the colours. A form
    that cars and motorcycles share is taken for a car's.
    """
    possible = classes_of(read.text) - {PlateClass.MOTORCYCLE} if read.text else frozenset()
    if len(possible) != 1:
        return read.class_probs
    (only,) = possible
    probs = read.class_probs * np.float32(1.0 - read.probability)
    probs[CLASSES.index(only)] += read.probability
    return np.asarray(probs, np.float32)


def _hand_on(outputs: Sequence[FloatArray], **_: object) -> tuple[list[str], list[Any]]:
    """In the place of PaddleOCR's decoder: no text, and all outputs of a picture as its score."""
    arrays = [np.asarray(output, np.float32) for output in outputs]
    return [""] * len(arrays[0]), list(zip(*arrays, strict=True))


def _text_recognition(folder: Path) -> Any:
    """PaddleOCR's ``TextRecognition``, imported so that it is quiet and never asks the network."""
    os.environ.setdefault("PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK", "True")
    try:
        version = importlib.metadata.version("paddleocr")
        if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST:
            raise WeightsError(
                f"{folder}: PaddleOCR {version} is too old to run it, 3.7 or newer is needed; "
                f"install it with: {INSTALL}"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import onnxruntime  # noqa: F401  (PaddleOCR itself would miss it late)
            from paddleocr import TextRecognition
            from paddlex.utils.logging import setup_logging
    except ImportError as error:
        raise WeightsError(
            f"{folder}: needs PaddleOCR and ONNX Runtime ({error}); install them with: {INSTALL}"
        ) from None
    except OSError as error:
        raise WeightsError(
            f"{folder}: PaddleOCR keeps a cache in the home folder, which cannot be written "
            f"({error}); set PADDLE_PDX_CACHE_HOME to a folder that can"
        ) from None
    setup_logging("WARNING")
    _check_opencv()
    return TextRecognition


def _check_opencv() -> None:
    """Two packages write the same ``cv2``: say so where the other's is imported now."""
    try:
        version = importlib.metadata.version("opencv-python")
    except importlib.metadata.PackageNotFoundError:
        return
    if not version.startswith(cv2.__version__):
        _log.warning(
            "another OpenCV has replaced opencv-python: cut-off pictures may pass for whole ones",
            imported=cv2.__version__,
            wanted=version,
            mend=RESTORE,
        )


def _reason(error: Exception) -> str:
    """The first line of what a library says, or the name of its error."""
    lines = str(error.__cause__ or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
