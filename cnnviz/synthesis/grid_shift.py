"""Random shifts of an image in the network's stride grid, so that the grid does not show in it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class GridShift:
    """A random position of the image in the network's stride grid, drawn every ``every`` steps.

    A network of stride 16 treats each 16th pixel differently, and an image optimized at one position shows that grid.
    Optimized at many positions in turn, it does not. The position depends on ``seed`` and the step alone, so that a
    resumed run is the same.

    Attributes:
        largest: the stride to be covered, in pixels; 0 never shifts.
        every: steps between two draws.
        seed: of the positions.
        circular: the image wraps around its borders, and may be shifted by any multiple of ``step`` pixels;
            otherwise it is reflected.
        step: pixels, of circular shifts.
        offset: the current shift (down, right).
    """

    largest: int
    every: int
    seed: int
    circular: bool = False
    step: int = 1
    offset: tuple[int, int] = (0, 0)
    period: int = field(default=-1, init=False)

    def draw(self, step: int) -> bool:
        """Set the position of ``step``, which counts from 1; whether it was newly drawn."""
        period = (step - 1) // self.every
        if period == self.period or not self.largest:
            return False
        self.period = period
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + period)
        down, right = torch.randint(0, 1 << 30, (2,), generator=generator).tolist()
        self.offset = (down * self.step, right * self.step)
        return True

    def __call__(self, pixels: Tensor) -> Tensor:
        """Pixels (N, C, H, W) at this position, padded circularly or by reflection.

        The sides become ``largest`` longer. The padding also keeps the network's zero padding away.
        """
        height, width = pixels.shape[2:]
        room = min(self.largest, height - 1, width - 1)
        if room <= 0:
            return pixels
        down, right = self.offset
        if self.circular:
            pixels = pixels.roll((down % height, right % width), (2, 3))
        down, right = down % (room + 1), right % (room + 1)
        mode = "circular" if self.circular else "reflect"
        return F.pad(pixels, (right, room - right, down, room - down), mode=mode)
