"""What a source of frames is, whatever it reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from av.codec.hwaccel import HWAccel
from av.video.frame import VideoFrame

from pipeline.types import ImageBgr


class EndOfMedia(Exception):
    """The source has delivered its last frame, or the server has closed the connection."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A sampled picture and its time: seconds from the source's first frame.

    ``small`` is the same picture at the detector's size, where it was made. ``arrived_s`` is the
    monotonic second at which it was received, None where it did not come from outside.
    """

    media_s: float
    image: ImageBgr = field(repr=False)
    small: ImageBgr | None = field(default=None, repr=False)
    arrived_s: float | None = None


class Decoder(Protocol):
    """Decodes elsewhere than on the CPU; see :class:`pipeline.gpu_source.GpuDecoder`."""

    def hwaccel(self) -> HWAccel | None:
        """What a container is to be opened with."""
        ...

    def picture(self, frame: VideoFrame) -> ImageBgr:
        """A decoded frame, upright, as what goes where a BGR picture would."""
        ...


class Source(Protocol):
    """An opened source. One thread reads it; ``close`` is called by that thread too."""

    decoded: int
    """Frames decoded so far, sampled or not."""
    broken: int
    """Packets or pictures so far that could not be decoded, or not without damage."""
    position_s: float
    """Media time of the last decoded frame, seconds."""
    step_s: float
    """Time from one frame to the next at the nominal rate, seconds."""

    def read(self) -> Sample | None:
        """Do one step: the next sampled frame, or None where this step gave none.

        None means a frame that is not sampled, something broken, or silence of a stream;
        ``decoded`` and ``broken`` say which.

        Raises:
            EndOfMedia: nothing more will come.
            SourceError, InputError: the source failed.
        """
        ...

    def close(self) -> None:
        """Let go of the file or connection; may be called twice."""
        ...
