"""The loop that the larger networks are trained in: resumable, with an average of the weights.

The clock counts training only: time that the process was stopped is left out. ``RUN/last.pt`` is
written every few minutes, and the same command goes on from it.
"""

# Torch is untyped for the check.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import nn
from tqdm import tqdm

SAVE_EVERY_S = 150.0
LONGEST_STEP_S = 5.0
"""A step that took longer was interrupted: the rest of its time is not training."""


class Average:
    """Exponential moving average of a model's weights and buffers."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(net).eval()
        self.decay, self.count = decay, 0

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Move towards the weights of ``net``; faster at the start."""
        self.count += 1
        keep = min(self.decay, (1 + self.count) / (20 + self.count))
        mine, theirs = self.model.state_dict(), net.state_dict()
        names = [name for name, value in mine.items() if value.dtype.is_floating_point]
        torch._foreach_lerp_([mine[n] for n in names], [theirs[n] for n in names], 1 - keep)


def schedule(used: float, step: int) -> float:
    """Learning-rate factor: 200 steps of warm-up, then a cosine over the share of time used."""
    warm = min(1.0, (step + 1) / 200)
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(used, 1.0))))


def add_options(parser: argparse.ArgumentParser, name: str, minutes: float, rate: float) -> None:
    """The command-line options that every training takes."""
    weights = Path(__file__).parents[1] / "weights"
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with the label files")
    add("--minutes", type=float, default=minutes, help="training time")
    add("--out", type=Path, default=Path(f"runs/{name}"), help="folder of the run, to resume from")
    add("--weights", type=Path, default=weights, help="folder that the weights are written to")
    add("--start", type=Path, help=f"weights to go on from: {name}_state.pt")
    add("--rate", type=float, default=rate, help="highest learning rate")
    add("--font", type=Path, help="a font with Chinese characters, e.g. Noto CJK")
    add("--threads", type=int, default=2)
    add("--export-only", action="store_true", help="write the weights of RUN/last.pt")


class Run:
    """One training: a network, its average, the optimiser, the log and the time used."""

    def __init__(
        self,
        net: nn.Module,
        options: argparse.Namespace,
        *,
        ema: float,
        weight_decay: float,
        betas: tuple[float, float],
        clip: float,
    ) -> None:
        torch.set_num_threads(options.threads)
        cv2.setNumThreads(1)
        if options.start:
            net.load_state_dict(torch.load(options.start, weights_only=True))
        self.net, self.average = net, Average(net, ema)
        weights = [p for p in net.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in weights if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=options.rate, betas=betas, fused=True)
        self.step, self.seconds = 0, 0.0
        self.log: list[dict[str, float]] = []
        self._last = options.out / "last.pt"
        self._rate, self._budget_s, self._clip = options.rate, options.minutes * 60.0, clip
        self._running: dict[str, float] = {}
        options.out.mkdir(parents=True, exist_ok=True)
        if self._last.exists():
            self._resume(torch.load(self._last, weights_only=False))
        self.net = self.net.to(memory_format=torch.channels_last).train()

    def batches(
        self, source: Iterable[Any], saved: Callable[[], dict[str, float]]
    ) -> Iterator[Any]:
        """Batches until the time is used up; ``saved`` gives figures for the log at each save."""
        loader = iter(
            torch.utils.data.DataLoader(source, batch_size=None, num_workers=1, prefetch_factor=8)
        )
        since = self.seconds
        bar = tqdm(
            total=round(self._budget_s), initial=round(self.seconds), unit="s", mininterval=15
        )
        with bar:
            while self.seconds < self._budget_s:
                begun = time.monotonic()
                for group in self.optimizer.param_groups:
                    group["lr"] = self._rate * schedule(self.seconds / self._budget_s, self.step)
                yield next(loader)
                spent = min(time.monotonic() - begun, LONGEST_STEP_S)
                self.seconds += spent
                bar.update(spent)
                if self.step % 50 == 0:
                    losses = " ".join(f"{k} {v:.3f}" for k, v in self._running.items())
                    bar.set_postfix_str(f"step {self.step} {losses}")
                if self.seconds - since > SAVE_EVERY_S or self.seconds >= self._budget_s:
                    since = self.seconds
                    figures = {"seconds": self.seconds, "step": float(self.step)}
                    self.log.append({**figures, **self._running, **saved()})
                    tqdm.write(str(self.log[-1]))
                    self._save()

    def learn(self, loss: torch.Tensor, parts: dict[str, float]) -> None:
        """One step of the optimiser and the average; ``parts`` are the losses to show."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self._clip)
        self.optimizer.step()
        self.average.update(self.net)
        self.step += 1
        for name, value in parts.items():
            self._running[name] = 0.98 * self._running.get(name, value) + 0.02 * value

    def _resume(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.average.model.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.log = state["step"], state["seconds"], state["log"]
        self.average.count = self.step

    def _save(self) -> None:
        state = {
            "net": self.net.state_dict(),
            "ema": self.average.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "log": self.log,
        }
        part = self._last.with_suffix(".tmp")
        torch.save(state, part)
        part.replace(self._last)


def plot(
    log: list[dict[str, float]], losses: list[str], shares: list[str], title: str, path: Path
) -> None:
    """Losses, and shares of the val fold if there are any, over the minutes, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    minutes = [entry["seconds"] / 60 for entry in log]
    panels = 2 if shares else 1
    figure, axes = plt.subplots(1, panels, figsize=(5 * panels + 1, 4), squeeze=False)
    for names, axis, label in zip((losses, shares), axes[0], ("loss", "share (val)"), strict=False):
        for name in names:
            axis.plot(minutes, [entry.get(name, math.nan) for entry in log], label=name)
        axis.set(xlabel="minutes of training", ylabel=label, title=title)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)
