"""The CPU's backend with the shipped scene net: sizes compiled of their own, and whose answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from detectors.backends.openvino import OpenVinoNetwork
from detectors.manifest import load_model
from pipeline.errors import WeightsError

OFTEN = 9
"""Pictures of one size after which it has been compiled of its own."""


def network(own_sizes: int, threads: int = 2) -> OpenVinoNetwork:
    return OpenVinoNetwork(load_model("scene", None).path, threads, own_sizes=own_sizes)


def pictures(count: int, height: int = 64, width: int = 96, seed: int = 0) -> np.ndarray:
    """Soft blobs: a network's answers to mere noise hang on the last bit."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, height // 16, width // 16, 3), np.uint8)
    return np.repeat(np.repeat(coarse, 16, axis=1), 16, axis=2)


@pytest.fixture(scope="module")
def any_size() -> OpenVinoNetwork:
    return network(own_sizes=0)


def alike(found: np.ndarray, wanted: np.ndarray) -> bool:
    """The same but for what other kernels round: the network runs in 8 and 16 bits."""
    return found.shape == wanted.shape and float(np.abs(found - wanted).mean()) < 0.1


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_size_of_its_own_gives_the_same_answers_in_the_same_order(
    any_size: OpenVinoNetwork, threads: int
) -> None:
    own = network(own_sizes=1, threads=threads)
    own(pictures(OFTEN))
    assert own.own_sizes == [(64, 96)]
    batch = pictures(5, seed=1)
    (wanted,), (found,) = any_size(batch), own(batch)
    assert all(alike(one, other) for one, other in zip(found, wanted, strict=True))
    assert not alike(found[0], wanted[1])  # pictures are told apart at all


def test_only_sizes_that_come_often_and_no_more_than_allowed() -> None:
    own = network(own_sizes=1)
    own(pictures(OFTEN - 1))
    assert own.own_sizes == []
    own(pictures(OFTEN - 1, 96, 64))
    own(pictures(1, 96, 64))
    own(pictures(1))
    assert own.own_sizes == [(96, 64)]
    assert own(pictures(2))[0].shape == own(pictures(2, 96, 64))[0].shape


def test_answers_stay_as_they_are_when_others_are_asked_for() -> None:
    own = network(own_sizes=1)
    own(pictures(OFTEN))
    (first,) = own(pictures(3, seed=1))
    kept = first.copy()
    own(pictures(3, seed=2))
    assert np.array_equal(first, kept)


def test_threads_that_ask_at_once_get_their_own_answers() -> None:
    own = network(own_sizes=1)
    own(pictures(OFTEN))
    batches = [pictures(1 + seed % 4, seed=seed) for seed in range(12)]
    wanted = [own(batch)[0] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda batch: own(batch)[0], batches))
    assert all(np.array_equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.xml"
    path.write_text("<nothing/>")
    with pytest.raises(WeightsError, match="cannot use it"):
        OpenVinoNetwork(path)
