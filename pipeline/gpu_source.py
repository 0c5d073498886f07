"""Decoding for a GPU: frames that are in its memory when they are decoded, and stay there.

NVDEC is driven through PyAV, so files and streams are opened, timed out and counted as on the CPU.
Where there is no NVDEC, or it does not know a stream's codec, frames are decoded on the CPU and
their planes are sent: half the bytes of a BGR picture.
"""

# Torch is untyped for the check.
# mypy: disable-error-code="misc,no-any-return"

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import av
import structlog
from av.codec.hwaccel import HWAccel
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from detectors.device.lanes import Lane
from detectors.device.pictures import DevicePicture
from detectors.device.sampling import BT601, BT709, Colours
from pipeline.types import ImageBgr

_BT709, _FULL_RANGE = 1, 2  # as FFmpeg numbers them
_PROBE = Path(__file__).parent / "demo_assets" / "demo.mp4"
_ADVICE = (
    "check that the driver's video library (libnvcuvid) is installed, in a container that "
    "NVIDIA_DRIVER_CAPABILITIES names video"
)
_log = structlog.get_logger(__name__)


class GpuDecoder:
    """Opens decoders on a GPU and takes their frames. Any thread may use it.

    ``device``: of torch, ``cuda:N``; with ``cpu`` frames are decoded there and become tensors, for
    a check. ``nvdec`` says whether NVDEC decodes.
    """

    def __init__(self, device: Any) -> None:
        import torch

        self._torch = torch
        self._device = torch.device(device)
        self._lane = Lane(self._device)
        self._of_thread = threading.local()
        self.nvdec = self._device.type == "cuda"
        if self.nvdec:
            self._enter_context()
            problem = nvdec_problem(self._device.index or 0)
            if problem is not None:
                self.nvdec = False
                _log.warning("frames are decoded on the CPU and sent to the GPU", reason=problem)

    def hwaccel(self) -> HWAccel | None:
        """What ``av.open`` is to be given, in this thread; None where the CPU decodes."""
        if not self.nvdec:
            return None
        self._enter_context()
        return _nvdec(self._device.index or 0)

    def picture(self, frame: VideoFrame) -> ImageBgr:
        """A decoded frame as a device picture, which goes where a BGR array would.

        Returns when the picture is complete: the decoder may use its own memory again.
        """
        torch = self._torch
        colours = colours_of(frame)
        on_gpu = frame.format.name == "cuda"
        if not on_gpu or frame.sw_format is None or frame.sw_format.name != "nv12":
            on_gpu = False
            frame = self._reformatter.reformat(frame, format="nv12", threads=1)
        # a capsule: given the plane, torch would ask it to wait for a stream, which PyAV refuses
        luma, chroma = (torch.from_dlpack(cast(Any, plane).__dlpack__()) for plane in frame.planes)
        luma = luma[: 2 * chroma.shape[0], : 2 * chroma.shape[1]]  # an odd row has no chroma
        if turns := round(frame.rotation / 90):
            luma, chroma = torch.rot90(luma, turns), torch.rot90(chroma, turns)
        if on_gpu:
            # FFmpeg fills the frame in the default stream, so the copies are ordered after that
            with torch.cuda.device(self._device):
                whole = torch.contiguous_format
                luma, chroma = luma.clone(memory_format=whole), chroma.clone(memory_format=whole)
                torch.cuda.default_stream(self._device).synchronize()
        else:
            with self._lane.open():
                luma, chroma = self._lane.send(luma.numpy()), self._lane.send(chroma.numpy())
                if self._device.type == "cpu":  # "sent" means shared there
                    luma, chroma = luma.clone(), chroma.clone()
            self._lane.settle()
        return cast(ImageBgr, DevicePicture(luma[..., None], chroma, colours))

    def _enter_context(self) -> None:
        """Make torch's CUDA context the current one of this thread: NVDEC is to work in it."""
        cuda = self._torch.cuda
        cuda.set_device(self._device.index or 0)
        cuda.default_stream().synchronize()

    @property
    def _reformatter(self) -> VideoReformatter:
        """One for each thread: they keep state."""
        if not hasattr(self._of_thread, "reformatter"):
            self._of_thread.reformatter = VideoReformatter()
        return cast(VideoReformatter, self._of_thread.reformatter)


def nvdec_problem(index: int) -> str | None:
    """Why NVDEC of the GPU with that index cannot be used; None where it decodes a frame.

    The GPU's context must be current in this thread.
    """
    try:
        with av.open(str(_PROBE), hwaccel=_nvdec(index)) as container:
            frame = next(container.decode(video=0))
    except TypeError:
        return f"PyAV {av.__version__} cannot keep frames on the GPU; install a newer one"
    except Exception as error:  # PyAV raises all kinds, and none is a reason to stop
        return f"NVDEC cannot be opened ({getattr(error, 'strerror', None) or error}); {_ADVICE}"
    return None if frame.format.name == "cuda" else f"NVDEC decodes nothing; {_ADVICE}"


def colours_of(frame: VideoFrame) -> Colours:
    """How a frame's planes become colours; streams that do not say count as BT.601."""
    colours = BT709 if frame.colorspace == _BT709 else BT601
    return Colours(colours.red, colours.blue, frame.color_range == _FULL_RANGE)


def _nvdec(index: int) -> HWAccel:
    return HWAccel(
        "cuda",
        device=str(index),
        allow_software_fallback=True,
        # torch has set up the GPU's primary context in its own way; FFmpeg would refuse that one
        options={"primary_ctx": "0", "current_ctx": "1"},
        is_hw_owned=True,
    )
