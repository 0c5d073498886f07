"""A camera, a video file or pictures, as one kind of thing: a source of sampled frames.

A source is opened by :func:`open_source` and read by one thread. It samples by media time,
so that a clip with a variable frame rate or a strange first timestamp gives the same frames
whether it is read at full speed or at its own; only sampled frames are converted to BGR.
What cannot be decoded is counted, logged with its file's name, and left out; a frame that a
decoder could mend is counted and used.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import av
import av.error
import cv2
import numpy as np
import structlog
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from pipeline.errors import CheckpointError, InputError, SourceError, redact
from pipeline.sampling import MediaClock, Sampler
from pipeline.types import ImageBgr

_PICTURE_KINDS = "jpg jpeg jpe jp2 png bmp dib tif tiff webp avif gif pbm pgm ppm"
PICTURE_SUFFIXES = frozenset(f".{kind}" for kind in _PICTURE_KINDS.split())
_JUMP_AHEAD_LIVE_S = 10.0
_log = structlog.get_logger(__name__)

# Broken pictures are reported by name through our own log; OpenCV would repeat them unnamed.
_set_log_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel  # OpenCV 4, 5
_set_log_level(0)


class EndOfMedia(Exception):
    """The source has delivered its last frame, or the server has closed the connection."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A sampled picture and its time: seconds from the source's first frame."""

    media_s: float
    image: ImageBgr = field(repr=False)


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


def is_live(source: str) -> bool:
    """True for an address that does not wait for its reader (any URL but ``file://``)."""
    return "://" in source and not source.startswith("file://")


def display_name(source: str) -> str:
    """The source as logs and messages may show it: without user, password or token."""
    return redact(source) if is_live(source) else source


def local_path(source: str) -> Path:
    """Path of a file source, given as a path or as a ``file://`` URL."""
    if source.startswith("file://"):
        return Path(unquote(urlsplit(source).path))
    return Path(source).expanduser()


def read_picture(path: Path) -> ImageBgr:
    """Decode one picture file.

    Returns:
        (H, W, 3) uint8 BGR, turned upright by its EXIF orientation; grey, transparent and
        16-bit pictures are converted.

    Raises:
        InputError: it is missing, not readable, or no picture that can be decoded.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    image = None
    if content:
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:  # larger than OpenCV's limit on pixels
            image = None
    if image is None:
        what = "is empty" if not content else "is no picture that can be decoded, or is cut off"
        raise InputError(f"{path}: {what}; save it again as JPEG or PNG") from None
    return np.ascontiguousarray(image, dtype=np.uint8)


def is_picture(path: Path) -> bool:
    """True for a file that by its name, or else by its first bytes, is a picture."""
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return True
    return path.is_file() and not path.suffix and bool(cv2.haveImageReader(str(path)))


def list_pictures(folder: Path) -> list[Path]:
    """All pictures in a folder and its subfolders, sorted by path; hidden ones are left out.

    Raises:
        InputError: there are none, or the folder cannot be listed.
    """
    found: list[Path] = []
    failures: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=failures.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        candidates = (Path(parent, name) for name in names if not name.startswith("."))
        found += [path for path in candidates if path.suffix.lower() in PICTURE_SUFFIXES]
    if failures and not found:
        raise InputError(f"{folder}: cannot be listed: {failures[0].strerror}")
    if not found:
        raise InputError(
            f"{folder}: holds no pictures; name a folder with .jpg, .png or similar files"
        )
    return sorted(found)


class PictureSource:
    """Pictures as frames, ``1 / sample_fps`` seconds apart; a broken one leaves its place empty."""

    def __init__(self, paths: Sequence[Path], sample_fps: float) -> None:
        self.decoded = 0
        self.broken = 0
        self.position_s = 0.0
        self.step_s = 1.0 / sample_fps
        self._paths = tuple(paths)
        self._next = 0

    def read(self) -> Sample | None:
        """Decode the next picture; see :meth:`Source.read`."""
        if self._next == len(self._paths):
            if not self.decoded:
                raise InputError(
                    f"{self._paths[0].parent}: none of its {len(self._paths)} pictures can be "
                    "decoded; save them again as JPEG or PNG"
                )
            raise EndOfMedia
        path, self.position_s = self._paths[self._next], self._next * self.step_s
        self._next += 1
        try:
            image = read_picture(path)
        except InputError as error:
            if len(self._paths) == 1:
                raise
            self.broken += 1
            _log.warning("picture left out", reason=str(error))
            return None
        self.decoded += 1
        return Sample(self.position_s, image)

    def close(self) -> None:
        """Forget the pictures that are left."""
        self._next = len(self._paths)


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
                raise SourceError(f"{self._name}: the stream broke off: {_reason(error)}") from None
            self._count_broken(_reason(error))
            raise self._end() from None
        try:
            for frame in packet.decode():
                if isinstance(frame, VideoFrame):
                    self._pending.append(frame)
        except av.error.FFmpegError as error:
            self._count_broken(_reason(error))
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


def open_source(
    source: str,
    *,
    sample_fps: float,
    connect_timeout_s: float = 5.0,
    stall_timeout_s: float = 4.0,
) -> Source:
    """Open a stream, a video file, a folder of pictures or one picture.

    Opening a stream blocks for at most about twice ``connect_timeout_s``, a read of it for
    ``stall_timeout_s``.

    Raises:
        InputError: the source cannot be used as it is, and trying again will not help.
        SourceError: the stream cannot be reached now.
    """
    if is_live(source):
        return _open_stream(source, sample_fps, connect_timeout_s, stall_timeout_s)
    path = local_path(source)
    if path.is_dir():
        return PictureSource(list_pictures(path), sample_fps)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; check the path")
    if is_picture(path):
        return PictureSource([path], sample_fps)
    try:
        # "file:" keeps a name with a colon from being taken for a protocol, and the whitelist
        # keeps a playlist that poses as a video from opening addresses.
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file"})
    except av.error.FFmpegError as error:
        if isinstance(error, av.error.PermissionError):
            raise InputError(f"{path}: may not be read; check its permissions") from None
        raise InputError(
            f"{path}: is no video that can be decoded, or is cut off ({_reason(error)}); "
            "name a video file, a folder of pictures or an rtsp:// address"
        ) from None
    return _video(container, str(path), sample_fps, live=False)


def _open_stream(
    source: str, sample_fps: float, connect_timeout_s: float, stall_timeout_s: float
) -> VideoSource:
    name = display_name(source)
    options: dict[str, str] = {}
    if source.lower().startswith(("rtsp://", "rtsps://")):
        # No analysis before the first frame: a stream opens in 0.1 s instead of 1 s.
        options = {
            "rtsp_transport": "tcp",
            "allowed_media_types": "video",
            "analyzeduration": "0",
            "fpsprobesize": "0",
        }
    try:
        container = av.open(source, options=options, timeout=(connect_timeout_s, stall_timeout_s))
    except av.error.ProtocolNotFoundError:
        raise InputError(f"{name}: unknown kind of address; use rtsp://host/path") from None
    except (av.error.FFmpegError, ValueError) as error:
        raise SourceError(f"{name}: {_advice(error, connect_timeout_s)}") from None
    return _video(container, name, sample_fps, live=True)


def _video(container: InputContainer, name: str, sample_fps: float, *, live: bool) -> VideoSource:
    if not container.streams.video or container.streams.video[0].codec_context is None:
        container.close()
        kind: type[CheckpointError] = SourceError if live else InputError
        raise kind(f"{name}: holds no video that can be decoded; name another stream or file")
    return VideoSource(container, name, sample_fps, live=live)


def _reason(error: Exception) -> str:
    """FFmpeg's own words, without the address that it appends."""
    return str(getattr(error, "strerror", None) or type(error).__name__)


def _advice(error: Exception, timeout_s: float) -> str:
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return "refuses the user or password; put the right ones in the source's address"
    if isinstance(error, av.error.HTTPNotFoundError):
        return "the server has no such stream; check the path of the address"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there; check address and port, and that the camera is on"
    if isinstance(error, av.error.ExitError | av.error.InvalidDataError | TimeoutError):
        return f"no usable answer within {timeout_s:g} s; check that a camera answers there"
    return f"cannot be reached ({_reason(error)}); check host name and network"


def frames_in(source: str) -> int | None:
    """Frames that a file or folder holds, for a progress bar; None where that is not known."""
    path = local_path(source)
    if is_live(source) or not path.exists():
        return None
    if path.is_dir():
        return len(list_pictures(path))
    if is_picture(path):
        return 1
    try:
        with av.open(f"file:{path}", options={"protocol_whitelist": "file"}) as container:
            return container.streams.video[0].frames or None
    except (av.error.FFmpegError, IndexError):
        return None
