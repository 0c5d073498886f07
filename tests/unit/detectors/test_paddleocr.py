"""PaddleOCR as the reader: our own network exported for it, models of others, and their mistakes.

Skipped where the ``paddleocr`` extra is missing; nothing of PaddleOCR is imitated.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from structlog.testing import capture_logs

from detectors.backends.openvino import OpenVinoNetwork
from detectors.backends.paddleocr import RESTORE, _check_opencv, class_probs, ground_colours
from detectors.manifest import SHIPPED, load_model
from detectors.preprocess import rectify
from detectors.reader import CLASSES, ReaderOptions, SlotReader, interpret
from detectors.recogniser import load_recogniser
from pipeline.commands.demo import CLIP
from pipeline.errors import WeightsError
from pipeline.types import ALPHABET, BLANK, PROVINCES, SLOTS, PlateClass
from tests.support.ppocr import CHARACTERS, description, matrix, spell, write_folder

OWN = SHIPPED / "reader_ppocr"
WHITE, BLACK = (np.full((48, 168, 3), value, np.uint8) for value in (255, 0))

missing = [name for name in ("paddleocr", "onnx") if importlib.util.find_spec(name) is None]
with_paddleocr = pytest.mark.skipif(
    bool(missing), reason=f"{' and '.join(missing)} missing: pip install -e '.[dev,paddleocr]' onnx"
)


def paddle_reader(folder: Path):
    from detectors.backends.paddleocr import PaddleReader

    return PaddleReader(folder)


@pytest.fixture(scope="module")
def plates(recogniser) -> list[np.ndarray]:
    """Straightened plates of the demo clip, near and far."""
    found = []
    with av.open(str(CLIP)) as clip:
        for number, frame in enumerate(clip.decode(video=0)):
            if number % 45 == 0:
                image = frame.to_ndarray(format="bgr24")
                (detections,) = recogniser.detector.detect([image])
                found += [rectify(image, plate.corners) for plate in detections.plates]
    assert len(found) > 10
    return found


@pytest.fixture(scope="module")
def own():
    return load_recogniser(reader="paddleocr").reader


@pytest.fixture(scope="module")
def shipped() -> SlotReader:
    """The shipped reader in the precision that ONNX Runtime computes in."""
    model = load_model("reader")
    options = ReaderOptions(temperature=float(model.details["temperature"]))
    return SlotReader(OpenVinoNetwork(model.path, 0, "f32"), options)


@with_paddleocr
def test_the_exported_reader_says_what_the_shipped_one_says(shipped, own, plates) -> None:
    wanted, given = shipped.read(plates), own.read(plates)
    assert [read.text for read in given] == [read.text for read in wanted]
    assert [read.plate_class for read in given] == [read.plate_class for read in wanted]
    assert sum(read.text is not None for read in wanted) > 8
    for one, other in zip(given, wanted, strict=True):
        np.testing.assert_allclose(one.char_probs, other.char_probs, atol=1e-3)
        np.testing.assert_allclose(one.class_probs, other.class_probs, atol=1e-3)
        assert one.text_probabilities == pytest.approx(other.text_probabilities, abs=1e-3)
        assert one.char_probs.dtype == one.class_probs.dtype == np.float32


@with_paddleocr
def test_plates_of_any_size_are_read_alike(shipped, own, plates) -> None:
    images = [cv2.resize(plate, size) for plate in plates[:3] for size in ((94, 24), (500, 100))]
    wanted = shipped.read(images)
    for one, other in zip(own.read(images), wanted, strict=True):
        np.testing.assert_allclose(one.char_probs, other.char_probs, atol=1e-3)
    assert own.read([]) == []


@with_paddleocr
def test_the_exported_reader_runs_in_bare_paddleocr(own, plates) -> None:
    """Without us PaddleOCR decodes the same characters, equal neighbours included."""
    from paddleocr import TextRecognition

    bare = TextRecognition(
        model_name="PP-OCRv5_mobile_rec", model_dir=str(OWN), engine="onnxruntime", device="cpu"
    )
    answers = bare.predict(plates, batch_size=8)
    for answer, read in zip(answers, own.read(plates), strict=True):
        best = read.char_probs.argmax(axis=1)
        assert answer["rec_text"] == "".join(ALPHABET[column] for column in best)
        sure = read.char_probs.max(axis=1)[best != BLANK]
        if len(sure):
            assert answer["rec_score"] == pytest.approx(float(sure.mean()), abs=1e-3)


@with_paddleocr
def test_a_foreign_model_gives_each_character_its_distribution(tmp_path: Path) -> None:
    white = matrix(
        [
            *({"川": 0.8, "藏": 0.15}, {}, {"A": 0.97}, {"·": 0.6}),
            *({"6": 0.9, "8": 0.1}, {}, {"6": 0.95}, {}, {"1": 0.75, "I": 0.2}),
            *({"0": 0.6, "D": 0.4}, {"0": 0.7, "D": 0.3}, {"8": 0.99}, {}),
        ]
    )
    black = matrix([{}] * len(white))
    reader = paddle_reader(write_folder(tmp_path, white, black))
    first, empty, third = reader.read([WHITE, BLACK, cv2.resize(WHITE, (94, 24))])
    assert first.text == third.text == "川A66108"
    assert first.text_probabilities == pytest.approx(
        (0.8, 0.97, 0.9, 0.95, 0.75 + 0.2 / 75, 0.7, 0.99), abs=1e-5
    )
    assert first.probability == pytest.approx(np.prod(first.text_probabilities))
    assert first.char_probs[0, ALPHABET.index("藏")] == pytest.approx(0.15)
    assert first.char_probs[5, ALPHABET.index("D")] == pytest.approx(0.3)
    assert first.char_probs.shape == (SLOTS, len(ALPHABET))
    np.testing.assert_allclose(first.char_probs.sum(axis=1), 1, atol=1e-5)
    assert first.plate_class is PlateClass.OTHER  # an ordinary form, and no colour
    assert empty.text is None
    assert empty.char_probs[0, BLANK] == pytest.approx(1)


@with_paddleocr
def test_a_foreign_model_sees_the_picture_as_paddleocr_prepares_it(tmp_path: Path) -> None:
    """Half the light, half of each answer: the normalisation is that of inference.yml."""
    white, black = matrix(spell("川A66108", 1.0)), matrix(spell("藏B66108", 1.0))
    reader = paddle_reader(write_folder(tmp_path, white, black))
    bright = np.full((48, 168, 3), 204, np.uint8)  # 0.8 of white
    (read,) = reader.read([bright])
    assert read.text == "川A66108"
    assert read.text_probabilities == pytest.approx((0.8, 0.8, 1, 1, 1, 1, 1), abs=1e-4)


@with_paddleocr
def test_order_and_batches(tmp_path: Path) -> None:
    white, black = matrix(spell("川A66108")), matrix(spell("藏B12345"))
    reader = paddle_reader(write_folder(tmp_path, white, black))
    chosen = np.random.default_rng(5).integers(0, 2, 150)
    reads = reader.read([(BLACK, WHITE)[light] for light in chosen])
    assert [read.text for read in reads] == [("藏B12345", "川A66108")[light] for light in chosen]


FITTING = matrix(spell("川A66108"))


def changed(**parts) -> dict:
    return {**description(), **parts}


def without(*characters: str) -> list[str]:
    return [character for character in CHARACTERS if character not in characters]


@with_paddleocr
@pytest.mark.parametrize(
    ("describe", "steps", "says"),
    [
        ([], FITTING, "inference.yml: describes no PP-OCR recognition model"),
        (changed(PreProcess={"transform_ops": []}), FITTING, "RecResizeImg"),
        (changed(Global={}), FITTING, "Global.model_name"),
        (
            changed(PostProcess={"name": "NRTRLabelDecode", "character_dict": list(CHARACTERS)}),
            FITTING,
            "'NRTRLabelDecode'; only CTCLabelDecode",
        ),
        (
            description([*without("7"), 7]),
            FITTING,
            f"entry {len(CHARACTERS)} of character_dict is 7, no text; quote it",
        ),
        (
            description(without("川", "宁")),
            matrix(spell("藏A66108"), without("川", "宁")),
            "character_dict lacks 川 宁: it cannot spell plates",
        ),
        (
            description(without(*PROVINCES)),
            FITTING,
            "it cannot spell plates",
        ),
        (changed(Global={"model_name": "mine"}), FITTING, "PaddleOCR cannot use it"),
        (description(without("a")), FITTING, "asks for 79 in each step (blank, 77 characters"),
        (description(), FITTING * 9 - 4, "with its final softmax"),
        (description(), FITTING[:, :, None], "the two files belong to different models"),
        (
            changed(Checkpoint={"slots": 9, "plate_classes": []}),
            FITTING,
            "exported for another version of Checkpoint",
        ),
    ],
)
def test_a_folder_that_does_not_fit_says_why(tmp_path: Path, describe, steps, says) -> None:
    folder = write_folder(tmp_path, steps, steps, description())
    (folder / "inference.yml").write_text(json.dumps(describe, ensure_ascii=False), "utf-8")
    with pytest.raises(WeightsError) as caught:
        paddle_reader(folder)
    assert says in str(caught.value)
    assert str(folder) in str(caught.value)


@with_paddleocr
@pytest.mark.parametrize("name", ["inference.yml", "inference.onnx"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path, FITTING, FITTING)
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=rf"{name}: missing; .*folder of inference\.onnx"):
        paddle_reader(folder)
    with pytest.raises(WeightsError, match="missing"):
        paddle_reader(tmp_path / "nowhere")


@with_paddleocr
def test_files_with_rubbish_are_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, FITTING, FITTING)
    (folder / "inference.onnx").write_bytes(b"no network")
    with pytest.raises(WeightsError, match="PaddleOCR cannot use it"):
        paddle_reader(folder)
    (folder / "inference.yml").write_bytes(b"a: [")
    with pytest.raises(WeightsError, match=r"inference\.yml: cannot be read"):
        paddle_reader(folder)
    (folder / "inference.yml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(WeightsError, match=r"inference\.yml: cannot be read"):
        paddle_reader(folder)


@with_paddleocr
def test_a_reader_of_ours_must_keep_its_promise(tmp_path: Path) -> None:
    said = json.loads((OWN / "inference.yml").read_text(encoding="utf-8"))
    characters = ALPHABET[1:]
    steps = matrix([{}] * 2 * SLOTS, characters)
    classes = np.full(len(CLASSES), 1 / len(CLASSES))
    reader = paddle_reader(write_folder(tmp_path / "a", steps, steps, said, {"classes": classes}))
    assert reader.read([WHITE])[0].text is None
    for name, bad, more in (
        ("b", steps, None),
        ("c", steps[1:], {"classes": classes}),
        ("d", steps, {"classes": classes[1:]}),
    ):
        with pytest.raises(WeightsError, match="is not the reader that 'Checkpoint' in"):
            paddle_reader(write_folder(tmp_path / name, bad, bad, said, more))


def test_without_paddleocr_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paddleocr", None)  # importing it fails
    with pytest.raises(WeightsError, match=r"pip install 'checkpoint-vehicles\[paddleocr\]'"):
        load_recogniser(reader="paddleocr")


def test_an_old_paddleocr_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "paddleocr-2.10.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: paddleocr\nVersion: 2.10.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WeightsError, match=r"PaddleOCR 2\.10\.0 is too old.*\[paddleocr\]"):
        load_recogniser(reader="paddleocr")


def test_another_opencv_in_the_place_of_ours_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "opencv_python-99.0.0.1.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: opencv-python\nVersion: 99.0.0.1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with capture_logs() as logs:
        _check_opencv()
    assert [(log["wanted"], log["imported"]) for log in logs] == [("99.0.0.1", cv2.__version__)]
    assert logs[0]["mend"] == RESTORE


@with_paddleocr
def test_a_cache_that_cannot_be_written_is_said() -> None:
    code = "from detectors.recogniser import load_recogniser; load_recogniser(reader='paddleocr')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PADDLE_PDX_CACHE_HOME": "/dev/null/cache"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 1
    assert "set PADDLE_PDX_CACHE_HOME to a folder that can" in done.stderr


def distribution(text: str, probability: float) -> np.ndarray:
    probs = np.zeros((SLOTS, len(ALPHABET)), np.float32)
    for slot in range(SLOTS):
        character = text[slot] if slot < len(text) else ""
        probs[slot, ALPHABET.index(character)] = 1.0
    probs[1] *= probability
    probs[1, BLANK] += 1 - probability
    return probs


def painted(*colours: tuple[int, int, int]) -> np.ndarray:
    return np.repeat(np.uint8(colours), 20, axis=0)[None].repeat(48, axis=0)


@pytest.mark.parametrize(
    ("colours", "name"),
    [
        (((150, 60, 20), (150, 60, 20), (255, 255, 255)), PlateClass.BLUE),
        (((210, 190, 40), (210, 190, 40), (255, 255, 255)), PlateClass.BLUE),  # overexposed
        (((20, 160, 220), (20, 160, 220), (20, 20, 20)), PlateClass.YELLOW_SINGLE),
        (((240, 240, 240), (20, 20, 20)), PlateClass.OTHER),
        (((90, 190, 90), (20, 20, 20)), PlateClass.OTHER),  # green has a form of its own
        (((12, 10, 9),), PlateClass.OTHER),  # too dark to tell
    ],
)
def test_the_ground_colour_tells_ordinary_plates(colours, name: PlateClass) -> None:
    probs = ground_colours(painted(*colours))
    assert CLASSES[int(probs.argmax())] is name
    assert probs.sum() == pytest.approx(1)
    assert probs.dtype == np.float32


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("川A66108", PlateClass.BLUE),
        ("川AD66108", PlateClass.GREEN_SMALL),
        ("川A66108D", PlateClass.GREEN_LARGE),
        ("川A6610警", PlateClass.POLICE),
        ("川A6610学", PlateClass.COACH),
        ("川A6610挂", PlateClass.TRAILER),
        ("粤Z6610港", PlateClass.HK_MACAU),
        ("661081使", PlateClass.EMBASSY),
        ("川66108领", PlateClass.CONSULATE),
        ("WJ川66108", PlateClass.WJ),
        ("川X6610应急", PlateClass.EMERGENCY),
    ],
)
def test_the_form_tells_the_class_as_surely_as_the_text_was_read(text: str, name) -> None:
    colours = ground_colours(painted((150, 60, 20)))
    probs = class_probs(interpret(distribution(text, 0.7), colours))
    assert CLASSES[int(probs.argmax())] is name
    assert probs[CLASSES.index(name)] == pytest.approx(1.0 if name is PlateClass.BLUE else 0.7)
    assert probs.sum() == pytest.approx(1)
    unread = interpret(distribution(text, 0.01), colours)
    assert unread.text is None
    np.testing.assert_array_equal(class_probs(unread), colours)
