"""A camera, a video file or pictures, as one kind of thing: a source of sampled frames.

A source is opened by :func:`open_source` and read by one thread. What cannot be decoded is
counted, logged with its file's name, and left out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import av
import av.error
import cv2
import numpy as np
import structlog
from av.container import InputContainer

from pipeline.attention import Attention
from pipeline.errors import CheckpointError, InputError, SourceError, redact
from pipeline.media import Decoder, EndOfMedia, Sample, Source
from pipeline.types import ImageBgr
from pipeline.video import VideoSource, reason_of

__all__ = [
    "PICTURE_SUFFIXES",
    "EndOfMedia",
    "PictureSource",
    "Sample",
    "Source",
    "VideoSource",
    "display_name",
    "frames_in",
    "is_live",
    "is_picture",
    "list_pictures",
    "local_path",
    "open_source",
    "read_picture",
]

_PICTURE_KINDS = "jpg jpeg jpe jp2 png bmp dib tif tiff webp avif gif pbm pgm ppm"
PICTURE_SUFFIXES = frozenset(f".{kind}" for kind in _PICTURE_KINDS.split())
_log = structlog.get_logger(__name__)

# Broken pictures are reported by name through our own log; OpenCV would repeat them unnamed.
_set_log_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel  # OpenCV 4, 5
_set_log_level(0)


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


def open_source(
    source: str,
    *,
    sample_fps: float,
    connect_timeout_s: float = 5.0,
    stall_timeout_s: float = 4.0,
    attention: Attention | None = None,
    decoder: Decoder | None = None,
) -> Source:
    """Open a stream, a video file, a folder of pictures or one picture.

    Opening a stream blocks for at most about twice ``connect_timeout_s``, a read of it for
    ``stall_timeout_s``. ``attention`` decides which frames of a video are left out; None: none.
    ``decoder``: what decodes videos; None: the CPU.

    Raises:
        InputError: the source cannot be used as it is, and trying again will not help.
        SourceError: the stream cannot be reached now.
    """
    if is_live(source):
        return _open_stream(
            source, sample_fps, connect_timeout_s, stall_timeout_s, attention, decoder
        )
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
        container = av.open(
            f"file:{path}",
            options={"protocol_whitelist": "file"},
            hwaccel=decoder.hwaccel() if decoder else None,
        )
    except av.error.FFmpegError as error:
        if isinstance(error, av.error.PermissionError):
            raise InputError(f"{path}: may not be read; check its permissions") from None
        raise InputError(
            f"{path}: is no video that can be decoded, or is cut off ({reason_of(error)}); "
            "name a video file, a folder of pictures or an rtsp:// address"
        ) from None
    return _video(container, str(path), sample_fps, attention, decoder, live=False)


def _open_stream(
    source: str,
    sample_fps: float,
    connect_timeout_s: float,
    stall_timeout_s: float,
    attention: Attention | None,
    decoder: Decoder | None,
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
        container = av.open(
            source,
            options=options,
            timeout=(connect_timeout_s, stall_timeout_s),
            hwaccel=decoder.hwaccel() if decoder else None,
        )
    except av.error.ProtocolNotFoundError:
        raise InputError(f"{name}: unknown kind of address; use rtsp://host/path") from None
    except (av.error.FFmpegError, ValueError) as error:
        raise SourceError(f"{name}: {_advice(error, connect_timeout_s)}") from None
    return _video(container, name, sample_fps, attention, decoder, live=True)


def _video(
    container: InputContainer,
    name: str,
    sample_fps: float,
    attention: Attention | None,
    decoder: Decoder | None,
    *,
    live: bool,
) -> VideoSource:
    if not container.streams.video or container.streams.video[0].codec_context is None:
        container.close()
        kind: type[CheckpointError] = SourceError if live else InputError
        raise kind(f"{name}: holds no video that can be decoded; name another stream or file")
    return VideoSource(container, name, sample_fps, attention, decoder, live=live)


def _advice(error: Exception, timeout_s: float) -> str:
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return "refuses the user or password; put the right ones in the source's address"
    if isinstance(error, av.error.HTTPNotFoundError):
        return "the server has no such stream; check the path of the address"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there; check address and port, and that the camera is on"
    if isinstance(error, av.error.ExitError | av.error.InvalidDataError | TimeoutError):
        return f"no usable answer within {timeout_s:g} s; check that a camera answers there"
    return f"cannot be reached ({reason_of(error)}); check host name and network"


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
