"""Which device is chosen, and what is said where it cannot be; no torch is needed."""

import importlib.util

import pytest
from structlog.testing import capture_logs

from detectors.device import choice
from detectors.device.choice import choose_device
from detectors.recogniser import Recogniser, load_recogniser
from pipeline.config import RecognitionSettings
from pipeline.errors import ConfigError


@pytest.fixture
def no_driver(monkeypatch) -> None:
    monkeypatch.setattr(choice, "DRIVERS", ("no-such-driver.so",))


@pytest.fixture
def driver(monkeypatch) -> None:
    """A machine whose NVIDIA driver is installed: another library stands for it."""
    monkeypatch.setattr(choice, "DRIVERS", ("libc.so.6",))


def test_the_cpu_is_openvino() -> None:
    assert choose_device("cpu") is None


def test_auto_is_the_cpu_without_a_gpu_and_says_nothing(no_driver) -> None:
    with capture_logs() as logs:
        assert choose_device("auto") is None
    assert not logs


@pytest.mark.parametrize("wanted", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_a_mistake_in_the_configuration(no_driver, wanted) -> None:
    with pytest.raises(ConfigError, match=f"device {wanted}: no NVIDIA driver.*does without"):
        choose_device(wanted)
    with pytest.raises(ConfigError, match="no NVIDIA driver"):
        load_recogniser(device=wanted)


def test_what_is_missing_is_named_with_its_command(driver, monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"torch and ultralytics; .* pip install .*\[gpu\]"):
        choose_device("cuda")


def test_an_idle_gpu_is_said(driver, monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with capture_logs() as logs:
        assert choose_device("auto") is None
    (line,) = logs
    assert line["log_level"] == "warning"
    assert "torch and ultralytics" in line["reason"]


def test_a_torch_without_cuda_is_said(driver) -> None:
    torch = pytest.importorskip("torch", reason="torch missing: pip install 'torch>=2.7'")
    if torch.backends.cuda.is_built():
        pytest.skip("this torch has CUDA")
    pytest.importorskip("ultralytics", reason="ultralytics missing")
    with pytest.raises(ConfigError, match="built without CUDA"):
        choose_device("cuda")


def test_auto_loads_the_recogniser_of_the_cpu(no_driver) -> None:
    assert type(load_recogniser(device="auto")) is Recogniser


@pytest.mark.parametrize("wanted", ["auto", "cpu", "cuda", "cuda:0", "cuda:12"])
def test_devices_that_can_be_configured(wanted) -> None:
    assert RecognitionSettings(device=wanted).device == wanted


@pytest.mark.parametrize("wanted", ["gpu", "cuda:", "cuda:x", "CUDA", "mps", ""])
def test_other_devices_are_refused(wanted) -> None:
    with pytest.raises(ValueError, match="device"):
        RecognitionSettings(device=wanted)
    with pytest.raises(ConfigError, match="name auto, cpu, cuda or cuda:N"):
        choose_device(wanted)


def test_paddleocr_stays_on_the_cpu() -> None:
    with pytest.raises(ValueError, match=r"paddleocr.*runs on the CPU"):
        RecognitionSettings(device="cuda", reader="paddleocr")
    assert RecognitionSettings(reader="paddleocr").device == "auto"
    with pytest.raises(ConfigError, match="PaddleOCR reads on the CPU"):
        load_recogniser(device="cuda", reader="paddleocr")
