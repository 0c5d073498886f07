"""Which device recognition runs on. Imports torch only where it may be wanted."""

from __future__ import annotations

import ctypes
import importlib.util
import re

import structlog

from pipeline.errors import ConfigError

INSTALL = "pip install 'checkpoint-vehicles[gpu]'"
DRIVERS = ("libcuda.so.1", "nvcuda.dll")
_log = structlog.get_logger(__name__)


def choose_device(wanted: str) -> str | None:
    """The CUDA device to recognise on, ``cuda`` or ``cuda:N``; None for the CPU with OpenVINO.

    ``wanted``: ``cpu``, ``cuda``, ``cuda:N``, or ``auto`` for a GPU where there is one that can be
    used. Raises ConfigError with what to do where a GPU is asked for and cannot be used.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", wanted):
        raise ConfigError(f"device {wanted}: no such device; name auto, cpu, cuda or cuda:N")
    if wanted == "cpu":
        return None
    problem = device_problem(wanted)
    if problem is None:
        return "cuda" if wanted == "auto" else wanted
    if wanted != "auto":
        raise ConfigError(f'device {wanted}: {problem}; device = "cpu" does without')
    if has_driver():  # a GPU is there, and lies idle
        _log.warning("recognition runs on the CPU", reason=problem)
    return None


def has_driver() -> bool:
    """Whether NVIDIA's driver is installed."""
    for name in DRIVERS:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False


def device_problem(wanted: str) -> str | None:
    """Why the GPU that is wanted (``auto``: any) cannot be used; None where it can."""
    if not has_driver():
        return "no NVIDIA driver is installed"
    if (problem := packages_problem()) is not None:
        return problem
    import torch

    if not torch.backends.cuda.is_built():
        return "the torch that is installed was built without CUDA; install one that was with it"
    count = torch.cuda.device_count()
    if not count:
        return "torch sees no NVIDIA GPU; nvidia-smi says whether driver and GPU work"
    index = int(wanted.partition(":")[2] or 0)
    if index >= count:
        return f"there are only {count} NVIDIA GPUs, counted from cuda:0"
    return None


def packages_problem() -> str | None:
    """Which packages are missing to run networks in tensors on any device; None where none is."""
    missing = [n for n in ("torch", "ultralytics") if importlib.util.find_spec(n) is None]
    return f"needs {' and '.join(missing)}; install with: {INSTALL}" if missing else None
