"""Photos kept back from a training, which its previews show and which reveal when it no longer improves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cnnviz.imaging.pixel_ops import resize

_WINDOW = 4
"""Measurements that are averaged: one alone is as uneven as the steps are."""
_LEAST_GAIN = 0.01
"""Fraction by which the loss must fall from one window to the next to count as improving."""
_MEASUREMENTS = 40
"""Measurements in a whole training."""
_SMALLEST_INTERVAL = 25
"""Steps between measurements, at least: each costs as much as a few steps."""


def held_out_numbers(photos: int, wanted: int) -> list[int]:
    """The numbers of the photos kept back: evenly spaced, at most a quarter of all."""
    count = min(wanted, photos // 4)
    return [(2 * i + 1) * photos // (2 * count) for i in range(count)]


def interval(steps: int) -> int:
    """Steps from one measurement to the next."""
    return max(_SMALLEST_INTERVAL, steps // _MEASUREMENTS)


@dataclass
class Improvement:
    """The loss on held-out photos, measured at regular steps."""

    losses: list[tuple[int, float]] = field(default_factory=list)
    """Step and loss of each measurement."""
    stopped_at: int | None = None
    """The first step at which it no longer improved."""

    def add(self, step: int, loss: float) -> None:
        """Keep a measurement, and find out whether the loss still falls."""
        self.losses.append((step, loss))
        if self.stopped_at is None and len(self.losses) >= 2 * _WINDOW:
            values = [value for _, value in self.losses]
            before, now = sum(values[-2 * _WINDOW : -_WINDOW]), sum(values[-_WINDOW:])
            if now > (1 - _LEAST_GAIN) * before:
                self.stopped_at = step

    @property
    def sentence(self) -> str:
        """What to say when it has stopped."""
        since, before = self.losses[-2 * _WINDOW] if len(self.losses) >= 2 * _WINDOW else self.losses[0]
        return (
            f"At step {self.stopped_at} the training has stopped improving: the loss on photos kept back was "
            f"{before:.3g} at step {since} and is {self.losses[-1][1]:.3g}. The falling learning rate of the last "
            "third will still lower it a little."
        )


def preview_sheet(styles: Sequence[Tensor], photos: Tensor, painted: Sequence[Tensor]) -> Tensor:
    """A sheet (1, 3, H, W): photos (N, 3, s, s) in the first row, then each style beside what was painted in it."""
    side = photos.shape[3]
    corner = torch.ones_like(photos[:1])
    rows = [torch.cat([corner, *photos.split(1)], dim=3)]
    for style, images in zip(styles, painted, strict=True):
        rows.append(torch.cat([square(style, side).to(photos), *images.split(1)], dim=3))
    return torch.cat(rows, dim=2)


def square(pixels: Tensor, side: int) -> Tensor:
    """The middle square of an image (1, 3, H, W), at ``side`` pixels."""
    height, width = pixels.shape[2:]
    extent = min(height, width)
    top, left = (height - extent) // 2, (width - extent) // 2
    return resize(pixels[:, :, top : top + extent, left : left + extent], (side, side)).clamp(0, 1)
