"""Video, decoded frame by frame: files and streams alike.

It samples by media time, so that a clip with a variable frame rate or a strange first timestamp
gives the same frames whether it is read at full speed or at its own; only sampled frames that are
to be looked at are converted to BGR. A frame that a decoder could mend is counted as broken and
used.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from typing import cast

import av
import av.error
import numpy as np
import structlog
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from pipeline.attention import Attention
from pipeline.errors import InputError, SourceError
from pipeline.keyframes import KeyFrames, Packet
from pipeline.lag import StreamLag
from pipeline.media import Decoder, EndOfMedia, Sample
from pipeline.motion import Luma
from pipeline.sampling import MediaClock, Sampler
from pipeline.types import ImageBgr

NO_DEBLOCKING = {"skip_loop_filter": "all"}
"""FFmpeg's option for decoding without the filter that smooths the edges of blocks."""

_JUMP_AHEAD_LIVE_S = 10.0
_REMEMBERED_PACKETS = 512
_PLANAR = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray")
_log = structlog.get_logger(__name__)


class VideoSource:
    """The first video stream of an opened container, decoded by one thread.

    One decoding thread on purpose: for 1280x720 H.264 two cost a tenth more CPU, add a frame
    of lag each, and the cores are wanted by recognition. ``attention`` decides which frames are
    left undecoded or, though sampled, not looked at; None: none.
    """

    def __init__(
        self,
        container: InputContainer,
        name: str,
        sample_fps: float,
        attention: Attention | None = None,
        decoder: Decoder | None = None,
        *,
        live: bool,
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
        self._decoder = decoder
        self._attention = attention
        if attention is not None:
            attention.restart()
            if not attention.deblocks:
                self._stream.codec_context.options = NO_DEBLOCKING
        self._light = self._leaving_out = False
        self._keys = KeyFrames(self._stream) if attention is not None and not decoder else None
        self._backlog: deque[Packet] = deque()  # kept, and to be decoded after all
        self._taken_pts: int | None = None  # of a frame that comes a second time
        self._too_old_s = (0.0, 0.0)  # from, to: frames that are not to be sampled
        self._lag = StreamLag()
        self._whole, self._small = VideoReformatter(), VideoReformatter()
        self._arrived_s: dict[int | None, float] = {}  # of packets whose frames are still to come
        self._pending: deque[VideoFrame] = deque()
        self._packets: Iterator[av.Packet[av.VideoStream]] = container.demux(self._stream)

    def read(self) -> Sample | None:
        """Read one packet or take one of its frames; see :meth:`Source.read`."""
        if self._pending:
            return self._take(self._pending.popleft())
        if self._backlog:
            self._decode_or_count(self._backlog.popleft())
            return self._take(self._pending.popleft()) if self._pending else None
        asked_s = time.monotonic()
        try:
            packet = next(self._packets)
        except StopIteration:
            raise self._end() from None
        except av.error.ExitError:  # nothing came within the time-out
            self._packets = self._container.demux(self._stream)
            return None
        except av.error.FFmpegError as error:
            if self._live:
                raise SourceError(
                    f"{self._name}: the stream broke off: {reason_of(error)}"
                ) from None
            self._count_broken(reason_of(error))
            raise self._end() from None
        if len(self._arrived_s) > _REMEMBERED_PACKETS:
            self._arrived_s.clear()
        now_s = self._arrived_s[packet.pts] = time.monotonic()
        if not (self._leaves_out(packet, now_s, now_s - asked_s) or self._keeps(packet)):
            self._decode_or_count(packet)
        return self._take(self._pending.popleft()) if self._pending else None

    def close(self) -> None:
        """Close the container."""
        self._pending.clear()
        self._container.close()

    def _leaves_out(self, packet: Packet, now_s: float, waited_s: float) -> bool:
        """Whether a packet goes by undecoded: decoding is late, and it is no key frame.

        From there on none can be decoded before the next key frame; that one always is, so that a
        camera is seen at that rate at least, however late the machine is.
        """
        attention = self._attention
        if attention is None or packet.pts is None or packet.time_base is None:
            return False
        media_s = float(packet.pts * packet.time_base)
        if self._live:
            attention.late(self._lag.at(now_s, media_s, waited_s), now_s)
        if packet.is_keyframe:
            self._leaving_out = False
        elif attention.behind and not self._leaving_out:
            self._leaving_out = True
            self._drain()
        if self._leaving_out and self._keys is not None:
            self._keys.forget()
        if self._leaving_out and not self._pending:
            self._arrived_s.pop(packet.pts, None)
            self.position_s = self._clock.at(media_s)
            if self._sampler.takes(self.position_s):
                attention.missed()
        return self._leaving_out

    def _keeps(self, packet: Packet) -> bool:
        """Whether a packet need not be decoded now, for key frames are enough; a key frame's
        picture has been taken then, and what was kept is in the backlog where they are not."""
        keys, attention = self._keys, self._attention
        if keys is None or attention is None or not packet.size:
            return False
        keys.note(packet)
        if packet.is_keyframe:
            return self._keeps_from(packet, keys, attention)
        if not keys.keeping:
            return False
        keys.keep(packet)
        attention.not_decoded()
        if packet.pts is not None and packet.time_base is not None:
            ahead_s = self._clock.ahead(float(packet.pts * packet.time_base))
            self.position_s = max(self.position_s, ahead_s)
        if keys.full or not attention.key_frames:
            self._wake(keys, attention)
        return True

    def _keeps_from(self, packet: Packet, keys: KeyFrames, attention: Attention) -> bool:
        """The same of a key frame."""
        if not keys.keeping and not (keys.suits and attention.key_frames):
            return False
        frame = keys.picture(packet) if attention.key_frames else None
        if frame is None or attention.stirs(_luma(frame)):
            if keys.keeping:
                self._wake(keys, attention, packet)
                return True
            return False
        if not keys.keeping:
            self._drain()
        keys.begin(packet)
        self._pending.append(frame)
        return True

    def _wake(self, keys: KeyFrames, attention: Attention, *latest: Packet) -> None:
        awake = keys.wake(*latest)
        self._backlog += awake.packets
        attention.not_decoded(1 + len(latest) - len(awake.packets))
        self._taken_pts = awake.packets[0].pts
        self._too_old_s = (awake.seen_s, awake.from_s)

    def _drain(self) -> None:
        """Take what the decoder still holds, for what comes next does not follow on from it."""
        context = self._stream.codec_context
        self._pending += [one for one in context.decode(None) if isinstance(one, VideoFrame)]
        context.flush_buffers()

    def _decode_or_count(self, packet: Packet) -> None:
        try:
            self._decode(packet)
        except av.error.FFmpegError as error:
            self._count_broken(reason_of(error))

    def _decode(self, packet: Packet) -> None:
        light = self._attention is not None and self._attention.light
        if light is not self._light:  # safe at any frame: what others refer to is always decoded
            self._light = light
            self._stream.codec_context.skip_frame = "NONREF" if light else "DEFAULT"
        frames = [frame for frame in packet.decode() if isinstance(frame, VideoFrame)]
        self._pending += frames
        if light and packet.size and not frames and self._attention is not None:
            self._attention.not_decoded()

    def _take(self, frame: VideoFrame) -> Sample | None:
        if self._taken_pts is not None and frame.pts == self._taken_pts:
            self._taken_pts = None
            return None
        arrived_s = self._arrived_s.pop(frame.pts, None)
        pts_s = None
        if frame.pts is not None and frame.time_base is not None:
            pts_s = float(frame.pts * frame.time_base)
        media_s = self._clock.at(pts_s)
        self.position_s = max(self.position_s, media_s)
        self.decoded += 1
        if frame.is_corrupt:  # concealed by the decoder: counted, and used all the same
            self._count_broken("damaged picture")
        if pts_s is not None and self._too_old_s[0] <= pts_s < self._too_old_s[1]:
            return None
        if not self._sampler.takes(media_s):
            return None
        attention = self._attention
        if attention is not None and not attention.wants(_luma(frame), media_s):
            return None
        small = self._scaled(frame, attention.small_side) if attention is not None else None
        return Sample(media_s, self._bgr(frame), small, arrived_s)

    def _bgr(self, frame: VideoFrame) -> ImageBgr:
        if self._decoder is not None:
            return self._decoder.picture(frame)
        image = self._whole.reformat(frame, format="bgr24", threads=1).to_ndarray()
        upright = np.rot90(image, round(frame.rotation / 90)) if frame.rotation else image
        return np.ascontiguousarray(upright, dtype=np.uint8)

    def _scaled(self, frame: VideoFrame, side: int | None) -> ImageBgr | None:
        """The frame with a longer side of ``side`` pixels; None where it is none of ours to scale.

        From the planes and in one step with the conversion: a third of what it costs from BGR.
        """
        longer = max(frame.width, frame.height)
        if side is None or frame.rotation or longer <= side:
            return None
        width, height = (
            max(1, round(edge * side / longer)) for edge in (frame.width, frame.height)
        )
        small = self._small.reformat(
            frame, width, height, "bgr24", interpolation=Interpolation.AREA, threads=1
        )
        return np.asarray(small.to_ndarray(), np.uint8)

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


def _luma(frame: VideoFrame) -> Luma | None:
    """The frame's brightness where the decoder put it, without a copy; None in rarer formats."""
    if frame.format.name not in _PLANAR:
        return None
    plane = frame.planes[0]
    rows: Luma = np.frombuffer(cast(bytes, plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width]
