"""Video, decoded frame by frame: files and streams alike.

It samples by media time, so that a clip with a variable frame rate or a strange first timestamp
gives the same frames whether it is read at full speed or at its own; only sampled frames that are
to be looked at are converted to BGR. A frame that a decoder could mend is counted as broken and
used.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

import av
import av.error
import numpy as np
import structlog
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from pipeline.errors import InputError, SourceError
from pipeline.media import EndOfMedia, Sample
from pipeline.sampling import MediaClock, Sampler

_JUMP_AHEAD_LIVE_S = 10.0
_log = structlog.get_logger(__name__)


class VideoSource:
    """The first video stream of an opened container, decoded by one thread.

    One decoding thread on purpose: for 1280x720 H.264 two cost a tenth more CPU, add a frame
    of lag each, and the cores are wanted by recognition.
    """

    def __init__(
        self, container: InputContainer, name: str, sample_fps: float, *, live: bool
    ) -> None:
        self.decoded = 0
        self.broken = 0
        self.position_s = 0.0
        self._container = container
        self._name = name
        self._live = live
        self._stream = container.streams.video[0]
        self._stream.codec_context.thread_count = 1
        rate = self._stream.average_rate
        self.step_s = 1.0 / float(rate) if rate else 0.04
        self._clock = MediaClock(self.step_s, _JUMP_AHEAD_LIVE_S if live else math.inf)
        self._sampler = Sampler(sample_fps)
        self._reformatter = VideoReformatter()
        self._pending: deque[VideoFrame] = deque()
        self._packets: Iterator[av.Packet[av.VideoStream]] = container.demux(self._stream)

    def read(self) -> Sample | None:
        """Read one packet or take one of its frames; see :meth:`Source.read`."""
        if self._pending:
            return self._take(self._pending.popleft())
        try:
            packet = next(self._packets)
        except StopIteration:
            raise self._end() from None
        except av.error.ExitError:  # nothing came within the time-out
            self._packets = self._container.demux(self._stream)
            return None
        except av.error.FFmpegError as error:
            if self._live:
                raise SourceError(f"{self._name}: the stream broke off: {reason_of(error)}") from None
            self._count_broken(reason_of(error))
            raise self._end() from None
        try:
            for frame in packet.decode():
                if isinstance(frame, VideoFrame):
                    self._pending.append(frame)
        except av.error.FFmpegError as error:
            self._count_broken(reason_of(error))
        return self._take(self._pending.popleft()) if self._pending else None

    def close(self) -> None:
        """Close the container."""
        self._pending.clear()
        self._container.close()

    def _take(self, frame: VideoFrame) -> Sample | None:
        pts_s = None
        if frame.pts is not None and frame.time_base is not None:
            pts_s = float(frame.pts * frame.time_base)
        self.position_s = self._clock.at(pts_s)
        self.decoded += 1
        if frame.is_corrupt:  # concealed by the decoder: counted, and used all the same
            self._count_broken("damaged picture")
        if not self._sampler.takes(self.position_s):
            return None
        image = self._reformatter.reformat(frame, format="bgr24").to_ndarray()
        upright = np.rot90(image, round(frame.rotation / 90)) if frame.rotation else image
        return Sample(self.position_s, np.ascontiguousarray(upright, dtype=np.uint8))

    def _count_broken(self, reason: str) -> None:
        self.broken += 1
        if math.log10(self.broken).is_integer():  # the 1st, 10th, 100th: no flood from one file
            _log.warning("frame broken", source=self._name, reason=reason, broken=self.broken)

    def _end(self) -> Exception:
        if self._live or self.decoded:
            return EndOfMedia()
        return InputError(
            f"{self._name}: not one of its frames can be decoded; convert it to H.264 in MP4"
        )


def reason_of(error: Exception) -> str:
    """FFmpeg's own words, without the address that it appends."""
    return str(getattr(error, "strerror", None) or type(error).__name__)


