"""Texture synthesis without a network: each pixel is copied from the best matching neighborhood of the sample."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.runtime.progress import OnStep, Step
from cnnviz.synthesis.multiscale import Size
from cnnviz.synthesis.settings import EfrosLeungSettings, build_settings


def efros_leung_texture(
    sample: Tensor,
    size: Size | None = None,
    *,
    settings: EfrosLeungSettings | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
    **options: Any,
) -> Tensor:
    """A texture grown pixel by pixel, row by row, from the sample's best matching neighborhoods.

    Efros & Leung, "Texture Synthesis by Non-parametric Sampling", ICCV 1999: a pixel is drawn at random from the
    positions of the sample whose neighborhoods are nearly as close as the closest, in Gaussian-weighted squared
    distance. Unlike the paper, pixels are made in scanline order, with the half neighborhood above and to the left, as
    in Wei & Levoy, "Fast Texture Synthesis using Tree-structured Vector Quantization", SIGGRAPH 2000 (without its
    pyramid), so that pixels ``window // 2 + 1`` columns apart in successive rows, which are not in each other's
    neighborhood, are searched for together.

    Args:
        sample: pixels (1, 3, h, w), RGB in [0, 1].
        size: (H, W) of the result; the sample's if None.
        settings: None takes the defaults of ``EfrosLeungSettings``.
        seed: of the random choices.
        on_step: called after each wave of pixels.
        options: fields of ``EfrosLeungSettings``, which replace those of ``settings``: ``window``, ``tolerance``.

    Returns:
        Pixels (1, 3, H, W), of colors that the sample has.

    Raises:
        UsageError: the window is even, or larger than the sample.
    """
    chosen = build_settings(EfrosLeungSettings, settings, options)
    height, width = size or (sample.shape[2], sample.shape[3])
    window = chosen.window
    if window > min(sample.shape[2:]):
        raise UsageError(f"The window of {window} pixels is larger than the sample.")
    reach = window // 2
    neighborhoods = _Neighborhoods(sample, reach, chosen.tolerance, torch.Generator().manual_seed(seed))
    canvas = neighborhoods.noise(height + reach, width + 2 * reach)
    # The column of a wave in row 0; one row down it is ``reach + 1`` columns behind.
    waves = width + (reach + 1) * (height - 1)
    for wave in range(waves):
        rows = torch.arange(height)
        columns = wave - (reach + 1) * rows
        inside = (columns >= 0) & (columns < width)
        rows, columns = rows[inside], columns[inside]
        canvas[:, rows + reach, columns + reach] = neighborhoods.draw(canvas, rows, columns)
        if on_step is not None:
            on_step(Step(wave + 1, waves, {}, lambda: _cropped(canvas, height, width, reach)))
    return _cropped(canvas, height, width, reach).to(sample)


class _Neighborhoods:
    """The sample's half neighborhoods, above and to the left of each of its pixels, with the pixels' colors."""

    def __init__(self, sample: Tensor, reach: int, tolerance: float, generator: torch.Generator) -> None:
        self.reach, self.tolerance, self.generator = reach, tolerance, generator
        side = 2 * reach + 1
        across = torch.arange(side) - reach
        self.before = (torch.arange(side) - reach)[:reach]  # rows above
        offsets = [(dy, dx) for dy in self.before.tolist() for dx in across.tolist()]
        offsets += [(0, dx) for dx in range(-reach, 0)]
        self.dy, self.dx = (torch.tensor(axis) for axis in zip(*offsets, strict=True))
        sigma = side / 6.4  # the paper's
        weights = torch.exp(-(self.dy.square() + self.dx.square()) / (2 * sigma * sigma))
        self.root = (weights / weights.sum()).sqrt().repeat(3)
        patches = F.unfold(sample.cpu().float(), side)[0].view(3, side * side, -1)
        positions = (self.dy + reach) * side + (self.dx + reach)
        self.known = (patches[:, positions].reshape(len(self.root), -1) * self.root[:, None]).contiguous()
        self.lengths = self.known.square().sum(0)
        self.colors = patches[:, side * reach + reach]
        self.all_colors = sample.cpu().float()[0].flatten(1)

    def noise(self, height: int, width: int) -> Tensor:
        """Random colors of the sample, (3, height, width)."""
        chosen = torch.randint(self.all_colors.shape[1], (height * width,), generator=self.generator)
        return self.all_colors[:, chosen].view(3, height, width)

    def draw(self, canvas: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """A color (3, n) for each of the pixels, by its half neighborhood on the canvas."""
        y, x = rows[:, None] + self.reach + self.dy, columns[:, None] + self.reach + self.dx
        current = canvas[:, y, x].permute(1, 0, 2).flatten(1) * self.root
        distances = (self.lengths - 2 * current @ self.known + current.square().sum(1, keepdim=True)).clamp_min(0)
        limit = distances.amin(1, keepdim=True) * (1 + self.tolerance) + 1e-7
        chosen = torch.multinomial((distances <= limit).float(), 1, generator=self.generator)[:, 0]
        return self.colors[:, chosen]


def _cropped(canvas: Tensor, height: int, width: int, reach: int) -> Tensor:
    return canvas[None, :, reach : reach + height, reach : reach + width].clone()
