"""``checkpoint bench throughput``: how many cameras this machine carries, and its ceilings."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from pipeline import logs
from pipeline.config import RecognitionSettings, SavingSettings
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from benchmarks import measuring
    from benchmarks import throughput as bench

_LONG_S = 300.0
SWITCHES = tuple(SavingSettings.model_fields)

Source = Annotated[Path, typer.Option(help="The clip that every camera plays in a loop.")]
Cameras = Annotated[int, typer.Option(min=1, max=1_000, help="How many cameras.")]
Seconds = Annotated[float, typer.Option(min=1.0, help="How long it is measured.")]
SampleFps = Annotated[
    float, typer.Option(min=0.1, max=60.0, help="Frames sampled from each camera in a second.")
]
Rtsp = Annotated[bool, typer.Option("--rtsp", help="Serve the clip by a real RTSP server.")]


def throughput(
    source: Source,
    cameras: Cameras = 1,
    seconds: Seconds = 60.0,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, max=10_080, help="Instead of --seconds: to see if memory grows."),
    ] = None,
    fps: SampleFps = 5.0,
    rtsp: Rtsp = False,
    off: Annotated[
        list[str] | None,
        typer.Option(help=f"A saving that is switched off: {', '.join(SWITCHES)}, or all."),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(help="A saving that is off unless asked for: key_frames or skip_deblocking."),
    ] = None,
    threads: Annotated[
        int, typer.Option(min=0, help="Threads of the networks; 0: as many as there are cores.")
    ] = 0,
    device: Annotated[
        str, typer.Option(help="Where recognition runs: cpu, cuda or auto, as in the settings.")
    ] = "auto",
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Also say where the processor time goes, with py-spy."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for throughput.json, plots and the profile.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout instead of tables.")
    ] = False,
) -> None:
    """Play a clip on many cameras at its own pace and measure the whole path.

    What decoding, detection and reading do when run alone is measured in the same run, so that
    the figures can be judged on any machine. A long run with --out shows that memory is bounded.
    """
    # Here, not above: the other commands start without the benchmarks.
    from benchmarks import measuring
    from benchmarks import throughput as bench

    logs.configure(logging.WARNING)
    settings = bench.Settings(
        source=source,
        cameras=cameras,
        seconds=seconds if minutes is None else 60 * minutes,
        fps=fps,
        rtsp=rtsp,
        savings=_chosen(on or [], off or []),
        recognition=RecognitionSettings(threads=threads, device=device),
        profile=profile,
    )
    with progress_bar() as progress:
        report = bench.measure(settings, progress)
    record = measuring.rounded(bench.as_json(report))
    if as_json:
        print(json.dumps(record, ensure_ascii=False), flush=True)
    else:
        _print(report, Console())
    if out is not None:
        from benchmarks import throughput_files

        throughput_files.write(report, record, out)
        Console(stderr=True).print(f"Report: {out}", highlight=False, soft_wrap=True)


def _chosen(on: list[str], off: list[str]) -> SavingSettings:
    """The savings as they come, but for those that are named."""
    without = set(SWITCHES if "all" in off else off)
    for option, names in (("--on", set(on)), ("--off", without)):
        if unknown := sorted(names - set(SWITCHES)):
            raise ConfigError(
                f"{option} {unknown[0]}: no such saving; one of {', '.join(SWITCHES)}"
                + (", all" if option == "--off" else "")
            )
    return SavingSettings(**dict.fromkeys(without, False) | dict.fromkeys(on, True))


@contextmanager
def progress_bar() -> Iterator[measuring.Progress]:
    """One bar on stderr for what is being measured; none where nobody watches."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)


def _print(report: bench.Report, console: Console) -> None:
    settings = report.settings
    table = Table(
        title=f"{settings.cameras} cameras play {settings.source.name}"
        f" {'by RTSP' if settings.rtsp else 'from its file'}, {report.seconds:.0f} s",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for heading in ("", "frames/s", "ceiling alone", "share of CPU time"):
        table.add_column(heading, justify="left" if not heading else "right")
    ceiling, shares = report.ceiling, report.cpu_shares
    table.add_row(
        f"decoded, of {report.expected_fps:.0f}",
        f"{report.decoded_fps:.1f}",
        f"{ceiling.decode_only_fps:.0f}",
        f"{shares['decode']:.0%}",
    )
    table.add_row(
        f"recognised, of {settings.cameras * settings.fps:.0f} sampled",
        f"{report.recognised_fps:.1f}",
        f"{ceiling.detect_only_fps:.0f}",
        f"{shares['detect']:.0%}",
    )
    read = "–" if ceiling.read_only_fps is None else f"{ceiling.read_only_fps:.0f} plates/s"
    table.add_row("read", "", read, f"{shares['read']:.0%}")
    table.add_row("everything else", "", "", f"{1 - report.efficiency:.0%}")
    console.print(table)
    left_out = ", ".join(f"{name} {fps:.1f}/s" for name, fps in report.skipped_fps.items())
    lost = ", ".join(f"{name} {count}" for name, count in report.dropped.items())
    threads = ", ".join(
        f"{name} {share:.0%}"
        for name, share in sorted(report.cpu_threads.items(), key=lambda one: -one[1])
    )
    passages = f"{report.passages} passages"
    if report.shown is not None:
        passages += f"; of {report.shown} shown {report.right} told with the right plate"
    console.print(
        f"{passages}; {report.unsettled} told only when the vehicle had left.\n"
        f"Frame to settled passage, ms: {_times(report.latency_ms)}; "
        f"frame to read: {_times(report.frame_ms)}.\n"
        f"Left out, nothing to be seen: {left_out}. Frames lost: {lost}; "
        f"{report.overlooked_s:.1f} s in which a vehicle could pass unseen for it.\n"
        f"Recognised of each camera: {report.camera_fps['least']:.2f} to "
        f"{report.camera_fps['most']:.2f} frames/s, fairness {report.fairness:.3f}.\n"
        f"Processor time by threads: {threads}.\n"
        f"{report.cpu_cores:.2f} cores busy, {report.rss_mib:.0f} MiB; {report.machine.cpu}, "
        f"{report.machine.cores} cores, load {report.machine.load:.1f} before." + _growth(report),
        highlight=False,
        soft_wrap=True,
    )
    if (parts := report.profile) is not None:
        _print_profile(parts, console)


def _print_profile(parts: Mapping[str, float], console: Console) -> None:
    table = Table(title="Where it goes", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("part")
    table.add_column("share of CPU time", justify="right")
    for part, share in parts.items():
        table.add_row(part, f"{share:.1%}")
    console.print(table)


def _growth(report: bench.Report) -> str:
    """One more line of a run that was long enough to tell."""
    if report.growth is None or report.seconds < _LONG_S:
        return ""
    one = report.growth
    return (
        f"\nMemory, first third to last: {one.first_third_mib:.0f} to {one.last_third_mib:.0f} "
        f"MiB, slope {one.slope_mib_h:+.1f} MiB an hour, peak {one.peak_mib:.0f} MiB."
    )


def _times(ms: dict[str, float | None]) -> str:
    return ", ".join(f"{name} {'–' if at is None else f'{at:.0f}'}" for name, at in ms.items())
