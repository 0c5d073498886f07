import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.manifest import SHIPPED, load_model
from pipeline.errors import CheckpointError, WeightsError

CONTENT = b"weights " * 50


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.xml").write_bytes(CONTENT)
    (tmp_path / "net.bin").write_bytes(CONTENT[::-1])
    write(
        tmp_path,
        {
            "net.xml": hashlib.sha256(CONTENT).hexdigest(),
            "net.bin": hashlib.sha256(CONTENT[::-1]).hexdigest(),
        },
    )
    return tmp_path


def write(folder: Path, files: dict[str, str]) -> None:
    manifest = {"format": 1, "models": {"net": {"files": files, "date": "2026-01-01", "x": 3}}}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def test_an_untouched_model_loads(folder: Path) -> None:
    model = load_model("net", folder)
    assert model.path == folder / "net.xml"
    assert model.details["x"] == 3
    assert model.version.startswith("2026-01-01-")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.sampled_from(["net.xml", "net.bin"]), st.integers(0, len(CONTENT) - 1), st.integers(1, 255)
)
def test_any_altered_byte_is_noticed(folder: Path, name: str, at: int, change: int) -> None:
    path = folder / name
    original = path.read_bytes()
    altered = bytearray(original)
    altered[at] ^= change
    path.write_bytes(altered)
    try:
        with pytest.raises(WeightsError, match=name):
            load_model("net", folder)
    finally:
        path.write_bytes(original)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "net.bin").unlink()
    with pytest.raises(WeightsError, match=r"net\.bin: cannot be read"):
        load_model("net", folder)


def test_an_unknown_model_is_named(folder: Path) -> None:
    with pytest.raises(WeightsError, match="names no model 'other'"):
        load_model("other", folder)


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', "{"])
def test_a_bad_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(WeightsError, match=r"manifest\.json"):
        load_model("net", tmp_path)


def test_no_manifest_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no weights"):
        load_model("net", tmp_path)


@pytest.mark.parametrize("file", ["../net.xml", "a/../../net.xml", "/net.xml", "..", ".", "a/", ""])
def test_files_outside_the_folder_are_refused(folder: Path, file: str) -> None:
    write(folder, {file: "0" * 64})
    with pytest.raises(WeightsError, match="no file of this folder"):
        load_model("net", folder)


def test_a_file_of_a_folder_within_is_verified_too(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "net.onnx").write_bytes(CONTENT)
    write(folder, {"deep/net.onnx": hashlib.sha256(CONTENT).hexdigest()})
    assert load_model("net", folder).path == folder / "deep" / "net.onnx"
    (folder / "deep" / "net.onnx").write_bytes(CONTENT[1:])
    with pytest.raises(WeightsError, match=r"deep/net\.onnx: altered"):
        load_model("net", folder)


@pytest.mark.parametrize(
    ("name", "folder"),
    [("scene", ""), ("reader", ""), ("colour", ""), ("reader_ppocr", "reader_ppocr")],
)
def test_shipped_weights_are_whole(name: str, folder: str) -> None:
    model = load_model(name)
    assert model.path.parent == SHIPPED / folder
    assert {"training", "seed", "input"} <= set(model.details)


def test_both_forms_of_the_reader_come_from_the_same_training() -> None:
    reader, exported = load_model("reader").details, load_model("reader_ppocr").details
    assert exported["made_from"] == reader["files"]
    assert exported["temperature"] == reader["temperature"]


def test_shipped_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) < 30 * 2**20
