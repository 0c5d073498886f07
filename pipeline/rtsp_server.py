"""A real RTSP server that plays H.264 and H.265 files in a loop, and a handle to run it as a child.

Two programs meet in this file. Run by the system's Python (which has GStreamer's bindings) it
*is* the server; imported by the project's Python it offers :class:`RtspServer`, which starts,
kills, freezes and resumes that child. Only the standard library is imported at the top, and
nothing newer than Python 3.9 is used.

    /usr/bin/python3 -I pipeline/rtsp_server.py --port 8554 gate=clip.mp4 yard=other.mp4

prints ``ready 8554`` and serves ``rtsp://127.0.0.1:8554/gate`` and ``/yard``. Every client gets
the clip from its beginning; its access units are read into memory once and pushed at their
own pace with timestamps that go on over the end of the clip, for a looped mp4 does not play on.

Debian and Ubuntu packages: ``PACKAGES``.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import quote

PACKAGES = (
    "gir1.2-gst-rtsp-server-1.0",
    "gir1.2-gst-plugins-base-1.0",
    "python3-gi",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-ugly",
    "gstreamer1.0-libav",
    "gstreamer1.0-rtsp",
)
SYSTEM_PYTHON = "/usr/bin/python3"
_CODECS = ("h264", "h265")
_IMPORTS = (
    "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
)


def available() -> bool:
    """True where the system's Python can serve RTSP."""
    if not Path(SYSTEM_PYTHON).exists():
        return False
    try:
        found = subprocess.run(
            [SYSTEM_PYTHON, "-c", _IMPORTS], capture_output=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return found.returncode == 0


def free_port() -> int:
    """A TCP port of the loopback address on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RtspServer:
    """The server as a child process; it ends with its parent.

    ``mounts`` maps each mount point's name to an H.264 or H.265 file. With ``user`` and
    ``password`` the server asks for them (RTSP basic authentication). ``shared``: all clients of
    a mount point see the same pictures at a time, as of a camera. The port stays the same over
    :meth:`restart`. Usable as a context manager.
    """

    def __init__(
        self,
        mounts: dict[str, Path],
        *,
        port: int | None = None,
        user: str | None = None,
        password: str | None = None,
        shared: bool = False,
    ) -> None:
        self.port = port or free_port()
        self._mounts = dict(mounts)
        self._user, self._password = user, password
        self._shared = shared
        self._child: subprocess.Popen[str] | None = None

    def url(self, mount: str, *, user: str | None = None, password: str | None = None) -> str:
        """Address of a mount point, with credentials where ``user`` is given."""
        login = f"{quote(user, safe='')}:{quote(password or '', safe='')}@" if user else ""
        return f"rtsp://{login}127.0.0.1:{self.port}/{mount}"

    def start(self, timeout_s: float = 20.0) -> None:
        """Start the child and wait until it listens.

        Raises:
            RuntimeError: it ended, or did not listen within ``timeout_s``.
        """
        # -I: the folder of this file is no import path; its types.py is not the library's
        command = [SYSTEM_PYTHON, "-I", str(Path(__file__).resolve()), "--port", str(self.port)]
        if self._user:
            command += ["--user", self._user]
        if self._shared:
            command.append("--shared")
        command += [f"{name}={path}" for name, path in self._mounts.items()]
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the parent, which ends this child in its turn
        )
        self._child = child
        if child.stdin is None or child.stdout is None:
            raise RuntimeError("the RTSP server has no pipes")
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(f"{self._password or ''}\n")
            child.stdin.flush()
        watchdog = threading.Timer(timeout_s, child.kill)
        watchdog.start()
        try:
            line = child.stdout.readline()
        finally:
            watchdog.cancel()
        if not line.startswith("ready"):
            self.kill()
            raise RuntimeError(f"the RTSP server did not start on port {self.port}")

    @property
    def pid(self) -> int:
        """Process id of the running child."""
        if self._child is None:
            raise RuntimeError("the RTSP server is not running")
        return self._child.pid

    def kill(self) -> None:
        """End the child at once, as a crash would; nothing where it is not running."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait(timeout=10)
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    stop = kill

    def freeze(self) -> None:
        """Stop the child without ending it: connections stay open and nothing answers."""
        if self._child is not None:
            self._child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen child go on."""
        if self._child is not None:
            self._child.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Kill the child and start it again on the same port."""
        self.kill()
        self.start()

    def __enter__(self) -> RtspServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def _access_units(gst: Any, path: str) -> tuple[str, list[tuple[Any, int, int]]]:
    """The file's codec (h264, h265) and access units, with PTS and DTS in nanoseconds, from 0."""
    if not Path(path).is_file():
        raise SystemExit(f"{path}: no such file")
    pipeline = gst.parse_launch("filesrc name=file ! parsebin name=parsed")
    pipeline.get_by_name("file").set_property("location", path)
    found: SimpleQueue[tuple[str, Any]] = SimpleQueue()

    def link(_: Any, pad: Any) -> None:
        kind = pad.query_caps(None).get_structure(0).get_name()
        codec = kind.rpartition("/x-")[2]
        if codec not in _CODECS:
            return
        rest = gst.parse_bin_from_description(
            f"{codec}parse config-interval=-1 ! {_caps(codec)} ! appsink name=out sync=false", True
        )
        pipeline.add(rest)
        rest.sync_state_with_parent()
        pad.link(rest.get_static_pad("sink"))
        found.put((codec, rest.get_by_name("out")))

    pipeline.get_by_name("parsed").connect("pad-added", link)
    pipeline.set_state(gst.State.PLAYING)
    try:
        codec, out = found.get(timeout=10)
    except Empty:
        raise SystemExit(f"{path}: holds no H.264 or H.265 video") from None
    units: list[tuple[Any, int, int]] = []
    while True:
        sample = out.emit("try-pull-sample", 10 * gst.SECOND)
        if sample is None:
            break
        buffer = sample.get_buffer()
        units.append((buffer.extract_dup(0, buffer.get_size()), buffer.pts, buffer.dts))
    pipeline.set_state(gst.State.NULL)
    if len(units) < 2:
        raise SystemExit(f"{path}: holds no video that is longer than a picture")
    none = gst.CLOCK_TIME_NONE
    step = max(1, (units[-1][2] - units[0][2]) // (len(units) - 1)) if units[0][2] != none else 0
    if not step:
        step = gst.SECOND // 25
        evenly = [(data, index * step, index * step) for index, (data, _, _) in enumerate(units)]
        return codec, evenly
    origin = units[0][2]
    return codec, [(data, pts - origin, dts - origin) for data, pts, dts in units]


def _caps(codec: str) -> str:
    return f"video/x-{codec},stream-format=byte-stream,alignment=au"


def _serve(arguments: argparse.Namespace) -> None:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstApp", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstApp, GstRtspServer

    del GstApp  # imported for the methods that it adds to appsrc
    Gst.init(None)
    password = sys.stdin.readline().rstrip("\n") if arguments.user else ""
    if not arguments.user and not sys.stdin.isatty():
        sys.stdin.readline()
    loop = GLib.MainLoop()
    server = GstRtspServer.RTSPServer()
    server.set_address(arguments.address)
    server.set_service(str(arguments.port))
    if arguments.user:
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        login = GstRtspServer.RTSPAuth()
        login.add_basic(GstRtspServer.RTSPAuth.make_basic(arguments.user, password), token)
        server.set_auth(login)

    def play(media: Any, units: list[tuple[Any, int, int]]) -> None:
        source = media.get_element().get_by_name("source")
        length = units[-1][2] + units[-1][2] // (len(units) - 1)
        started = GLib.get_monotonic_time() * 1000
        done = threading.Event()
        position = [0]

        def push() -> bool:
            if done.is_set():
                return False
            elapsed = GLib.get_monotonic_time() * 1000 - started
            while True:
                lap, index = divmod(position[0], len(units))
                data, pts, dts = units[index]
                if lap * length + dts > elapsed:
                    return True
                buffer = Gst.Buffer.new_wrapped(data)
                buffer.pts, buffer.dts = lap * length + pts, lap * length + dts
                if source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
                    return False
                position[0] += 1

        media.connect("unprepared", lambda _: done.set())
        GLib.timeout_add(5, push)

    for mount in arguments.mounts:
        name, _, path = mount.partition("=")
        codec, units = _access_units(Gst, path)
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(
            "( appsrc name=source is-live=true format=time max-bytes=0 "
            f"caps={_caps(codec)} ! rtp{codec}pay name=pay0 pt=96 config-interval=0 )"
        )
        factory.set_shared(arguments.shared)
        if arguments.user:
            roles = GstRtspServer.RTSPPermissions()
            roles.add_permission_for_role("viewer", "media.factory.access", True)
            roles.add_permission_for_role("viewer", "media.factory.construct", True)
            factory.set_permissions(roles)
        factory.connect("media-configure", lambda _, media, units: play(media, units), units)
        server.get_mount_points().add_factory(f"/{name}", factory)
    if not server.attach(None):
        raise SystemExit(f"port {arguments.port} is taken")

    def until_parent_ends() -> None:
        while sys.stdin.read(1):
            pass
        loop.quit()

    if not sys.stdin.isatty():
        threading.Thread(target=until_parent_ends, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    print(f"ready {server.get_bound_port()}", flush=True)
    loop.run()


def main() -> None:
    """Serve until the process is ended, or until standard input closes."""
    parser = argparse.ArgumentParser(
        description="Serve H.264 and H.265 files over RTSP, in a loop."
    )
    parser.add_argument("mounts", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--port", type=int, default=8554)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--user", help="ask for this user; its password is read from stdin")
    parser.add_argument("--shared", action="store_true", help="one stream for all clients")
    _serve(parser.parse_args())


if __name__ == "__main__":
    main()
