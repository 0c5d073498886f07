"""Recognition asks nothing of the network, and its libraries neither."""

import importlib.util
import os
import subprocess
import sys

import pytest

WATCHED = """
import sys

import numpy as np

from detectors.recogniser import load_recogniser

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise SystemExit(f"asked the network: {arguments}")

sys.addaudithook(watch)
recogniser = load_recogniser(reader=sys.argv[1])
print(len(recogniser.recognise([np.zeros((300, 400, 3), np.uint8)])))
print(len(recogniser.reader.read([np.zeros((48, 168, 3), np.uint8)])))
"""


@pytest.mark.parametrize("reader", ["openvino", "paddleocr"])
def test_loading_and_reading_ask_nothing_and_print_nothing(reader: str) -> None:
    if reader == "paddleocr" and importlib.util.find_spec("paddleocr") is None:
        pytest.skip("paddleocr missing: pip install -e '.[dev,paddleocr]'")
    # OpenVINO holds its reports back where it sees CI
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, reader],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n1\n", "")
