"""The reader's network: a small residual stack, eight attention slots, one transformer layer.

(B, 3, 48, 168) in → a 6 x 21 map of 144 channels. Eight learned queries, one for each character
slot, attend to the map; because attention does not know rows, single-row and double-row plates
are read alike. One transformer layer lets the slots talk (grammar), then each gives logits over
the alphabet. A ninth query gives the plate class. About 1.7 M parameters.
"""

# OpenCV's stubs widen every dtype, and torch is untyped for the check.
# mypy: disable-error-code="arg-type,assignment,call-overload,misc,no-any-return,operator"
# mypy: disable-error-code="return-value,untyped-decorator,var-annotated"

from __future__ import annotations

import torch
from torch import nn

from pipeline.types import ALPHABET, SLOTS, PlateClass

WIDTH = 144
MAP = (6, 21)


class Residual(nn.Module):
    """Two 3 x 3 convolutions around a shortcut."""

    def __init__(self, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inside, outside, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outside),
            nn.ReLU(inplace=True),
            nn.Conv2d(outside, outside, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outside),
        )
        self.short: nn.Module = nn.Identity()
        if stride != 1 or inside != outside:
            self.short = nn.Sequential(
                nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return torch.relu(self.body(x) + self.short(x))


class Attention(nn.Module):
    """Multi-head attention of queries (B, Q, D) to memory (B, M, D), written out for export."""

    def __init__(self, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.value, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:
        """(B, Q, D) out."""
        depth = WIDTH // self.heads

        def split(x: torch.Tensor) -> torch.Tensor:
            return x.reshape(x.shape[0], x.shape[1], self.heads, depth).transpose(1, 2)

        q, k = split(self.query(queries)), split(self.key(keys))
        v = split(self.value(values))
        weights = (q @ k.transpose(2, 3) * depth**-0.5).softmax(-1)
        mixed = (weights @ v).transpose(1, 2).reshape(queries.shape)
        return self.out(mixed)


class ReaderNet(nn.Module):
    """Plates (B, 3, 48, 168), 0 to 255 → logits (B, SLOTS, alphabet) and (B, plate classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = nn.Sequential(
            nn.Conv2d(3, 24, 3, 2, 1, bias=False),
            nn.BatchNorm2d(24),
            nn.ReLU(inplace=True),
            Residual(24, 32),
            Residual(32, 64, 2),
            Residual(64, 64),
            Residual(64, WIDTH, 2),
            Residual(WIDTH, WIDTH),
        )
        self.place = nn.Parameter(torch.randn(1, MAP[0] * MAP[1], WIDTH) * 0.02)
        self.slots = nn.Parameter(torch.randn(1, SLOTS + 1, WIDTH) * 0.5)
        self.look, self.talk = Attention(), Attention()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(4))
        self.feed = nn.Sequential(
            nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Dropout(0.1), nn.Linear(2 * WIDTH, WIDTH)
        )
        self.characters = nn.Linear(WIDTH, len(ALPHABET))
        self.kinds = nn.Linear(WIDTH, len(PlateClass))

    def forward(self, plates: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See the class."""
        mean = plates.mean((1, 2, 3), keepdim=True)
        spread = (plates - mean).square().mean((1, 2, 3), keepdim=True).sqrt()
        x = self.stack((plates - mean) / (spread + 4.0))
        memory = self.norms[0](x.flatten(2).transpose(1, 2))
        slots = self.slots.expand(plates.shape[0], -1, -1)
        slots = slots + self.look(slots, memory + self.place, memory)
        inner = self.norms[1](slots)
        slots = slots + self.talk(inner, inner, inner)
        slots = slots + self.feed(self.norms[2](slots))
        slots = self.norms[3](slots)
        return self.characters(slots[:, :SLOTS]), self.kinds(slots[:, SLOTS])
