"""Render the clip that ``checkpoint demo`` plays, with its truth.

    python -m benchmarks.render_demo --glyphs DIR --out pipeline/demo_assets

``--vehicles N --seed S`` renders a random scene of N vehicles instead, for benchmarks.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from benchmarks.scene import demo_scene, random_scene, render, scene_seconds, truth
from detectors.training.render import Glyphs


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and render."""
    parser = argparse.ArgumentParser(prog="render_demo", description=__doc__.split("\n")[0])
    parser.add_argument("--glyphs", type=Path, required=True, help="folder of glyph pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder for the clip and its JSON")
    parser.add_argument("--name", default="demo", help="file name without its ending")
    parser.add_argument("--vehicles", type=int, help="a random scene of so many vehicles")
    parser.add_argument("--seed", type=int, default=1, help="seed of a random scene")
    parser.add_argument("--seconds", type=float, help="length; default: until the road is empty")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--crf", type=int, default=23, help="H.264 quality, lower is better")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)

    scene = demo_scene()
    if options.vehicles is not None:
        scene = random_scene(options.seed, options.vehicles)
    seconds = options.seconds or scene_seconds(scene)
    options.out.mkdir(parents=True, exist_ok=True)
    clip = options.out / f"{options.name}.mp4"
    with Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    ) as progress:
        task = progress.add_task(f"Rendering {clip.name}", total=round(seconds * options.fps))
        render(
            scene,
            clip,
            Glyphs(options.glyphs),
            seconds,
            options.fps,
            workers=options.workers,
            crf=options.crf,
            on_frame=lambda: progress.advance(task),
        )
    happened = truth(scene, seconds, options.fps)
    text = json.dumps(happened, ensure_ascii=False, indent=1)
    clip.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    size = clip.stat().st_size / 1e6
    passages = len(happened["passages"])
    print(f"{clip}: {happened['frames']} frames, {passages} passages, {size:.1f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
