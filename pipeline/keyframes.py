"""Decoding key frames alone while a lane is empty, without losing the vehicle that ends it.

Packets after a key frame are kept undecoded, those of one picture group at most. The next key
frame is looked at by itself; where it shows motion, what was kept is decoded after all, and its
last ``LOOK_BACK_S`` are sampled as if nothing had been saved. So a vehicle that is in view at a key
frame is seen from before it on; one that comes and goes between two of them is not seen: it must
be in view for as long as key frames are apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import av
import av.error
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

LOOK_BACK_S: Final = 1.0
"""Of what was kept when motion is seen, so much is sampled: what is older shows an empty lane."""
LONGEST_GROUP_S: Final = 2.5
"""Streams with rarer key frames are decoded as ever."""
_MOST_PACKETS: Final = 256

Packet: TypeAlias = "av.Packet[VideoStream]"


@dataclass(frozen=True, slots=True)
class Awake:
    """What is to be decoded now that the lane is empty no more: ``packets``, in order.

    Their frames up to ``seen_s`` have been taken before, those before ``from_s`` are too old to be
    sampled; both in seconds of the stream's own clock.
    """

    packets: Sequence[Packet]
    seen_s: float
    from_s: float


class KeyFrames:
    """Keeps the packets of one stream while its lane is empty. Owned by the thread that decodes."""

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._peeping: VideoCodecContext | None = None
        self._kept: list[Packet] = []
        self._last_key_s: float | None = None
        self._group_s = float("inf")

    def note(self, packet: Packet) -> None:
        """A packet came: how far key frames are apart is learnt from it."""
        if packet.is_keyframe and (at_s := _seconds(packet)) is not None:
            if self._last_key_s is not None and at_s > self._last_key_s:
                self._group_s = at_s - self._last_key_s
            self._last_key_s = at_s

    @property
    def suits(self) -> bool:
        """Whether key frames come often enough."""
        return self._group_s <= LONGEST_GROUP_S

    @property
    def keeping(self) -> bool:
        """Whether packets are being kept, from a key frame on."""
        return bool(self._kept)

    @property
    def full(self) -> bool:
        """Whether the picture group has become longer than it should be."""
        if len(self._kept) >= _MOST_PACKETS:
            return True
        first_s, last_s = _seconds(self._kept[0]), _seconds(self._kept[-1])
        return first_s is not None and last_s is not None and last_s - first_s > LONGEST_GROUP_S

    def picture(self, packet: Packet) -> VideoFrame | None:
        """A key frame's picture, by a decoder of its own; None where it cannot be decoded."""
        if self._peeping is None:
            context = self._stream.codec_context
            made = av.CodecContext.create(context.codec.name, "r")
            self._peeping = cast(VideoCodecContext, made)
            self._peeping.extradata = context.extradata
            self._peeping.thread_count = 1
        try:
            frames = [*self._peeping.decode(packet), *self._peeping.decode(None)]
        except av.error.FFmpegError:
            return None
        finally:
            self._peeping.flush_buffers()
        frame = next((one for one in frames if isinstance(one, VideoFrame)), None)
        if frame is not None:
            frame.pts, frame.time_base = packet.pts, packet.time_base
        return frame

    def begin(self, packet: Packet) -> None:
        """Keep from this key frame on, whose picture has been taken; forget what was kept."""
        self._kept = [packet]

    def keep(self, packet: Packet) -> None:
        """Keep one more packet, but for frames that are shown before the key frame: they refer to
        ones that were not decoded."""
        key_s, at_s = _seconds(self._kept[0]), _seconds(packet)
        if key_s is None or at_s is None or at_s >= key_s:
            self._kept.append(packet)

    def wake(self, *latest: Packet) -> Awake:
        """The lane is empty no more: give up what was kept, and ``latest`` after it."""
        packets = [*self._kept, *latest]
        self._kept = []
        times = [at_s for one in packets if (at_s := _seconds(one)) is not None]
        return Awake(packets, times[0], max(times) - LOOK_BACK_S)

    def forget(self) -> None:
        """Something in between was left out: what was kept can no longer be decoded."""
        self._kept = []


def _seconds(packet: Packet) -> float | None:
    if packet.pts is None or packet.time_base is None:
        return None
    return float(packet.pts * packet.time_base)
