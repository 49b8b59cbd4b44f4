"""Textures without a network: each pixel is copied from where the sample looks alike. The classic baseline."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.runtime.progress import OnStep, Step
from cnnviz.synthesis.multiscale import Size


def efros_leung_texture(
    sample: Tensor,
    size: Size | None = None,
    *,
    window: int = 11,
    tolerance: float = 0.1,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Grow a texture pixel by pixel, row by row, from the sample's best matching neighbourhoods.

    Efros & Leung, "Texture Synthesis by Non-parametric Sampling", ICCV 1999: a pixel is drawn by chance from those
    places of the sample whose neighbourhoods are nearly as near as the nearest, in Gaussian-weighted squared
    distance. Opposed to the paper, pixels come in scanline order, with the half neighbourhood above and to the left, as
    in Wei & Levoy, "Fast Texture Synthesis using Tree-structured Vector Quantization", SIGGRAPH 2000 (without its
    pyramid), so that pixels ``window // 2 + 1`` columns apart in successive rows, which do not see each other, are
    searched for together.

    Args:
        sample: (1, 3, h, w), RGB in [0, 1].
        size: (H, W) of the result; the sample's if None.
        window: side of the neighbourhood in pixels, odd; about the size of the largest regular feature.
        tolerance: how much farther than the nearest a place may be, as a share of its distance.
        seed: of all that is drawn.
        on_step: told after each wave of pixels.

    Returns:
        (1, 3, H, W), of colours that the sample has.

    Raises UsageError if the window is even, or larger than the sample.
    """
    height, width = size or (sample.shape[2], sample.shape[3])
    if window % 2 == 0 or window < 3:
        raise UsageError(f"The window must be odd and at least 3, not {window}.")
    if window > min(sample.shape[2:]):
        raise UsageError(f"The window of {window} pixels is larger than the sample.")
    reach = window // 2
    places = _Places(sample, reach, tolerance, torch.Generator().manual_seed(seed))
    canvas = places.noise(height + reach, width + 2 * reach)
    # Column of row 0 at which a wave begins; one row down it is ``reach + 1`` columns behind.
    waves = width + (reach + 1) * (height - 1)
    for wave in range(waves):
        rows = torch.arange(height)
        columns = wave - (reach + 1) * rows
        here = (columns >= 0) & (columns < width)
        rows, columns = rows[here], columns[here]
        canvas[:, rows + reach, columns + reach] = places.draw(canvas, rows, columns)
        if on_step is not None:
            on_step(Step(wave + 1, waves, {}, lambda: _inside(canvas, height, width, reach)))
    return _inside(canvas, height, width, reach).to(sample)


class _Places:
    """The sample's neighbourhoods above and to the left of each of its pixels, ready to be searched."""

    def __init__(self, sample: Tensor, reach: int, tolerance: float, chance: torch.Generator) -> None:
        self.reach, self.tolerance, self.chance = reach, tolerance, chance
        side = 2 * reach + 1
        across = torch.arange(side) - reach
        self.before = (torch.arange(side) - reach)[:reach]  # rows above
        offsets = [(dy, dx) for dy in self.before.tolist() for dx in across.tolist()]
        offsets += [(0, dx) for dx in range(-reach, 0)]
        self.dy, self.dx = (torch.tensor(axis) for axis in zip(*offsets, strict=True))
        sigma = side / 6.4  # the paper's
        weights = torch.exp(-(self.dy.square() + self.dx.square()) / (2 * sigma * sigma))
        self.root = (weights / weights.sum()).sqrt().repeat(3)
        patches = F.unfold(sample.cpu().float()[:, :, :, :], side)[0].view(3, side * side, -1)
        seen = (self.dy + reach) * side + (self.dx + reach)
        self.known = (patches[:, seen].reshape(len(self.root), -1) * self.root[:, None]).contiguous()
        self.lengths = self.known.square().sum(0)
        self.colors = patches[:, side * reach + reach]
        self.all_colors = sample.cpu().float()[0].flatten(1)

    def noise(self, height: int, width: int) -> Tensor:
        """Colours of the sample, strewn at random, (3, height, width)."""
        chosen = torch.randint(self.all_colors.shape[1], (height * width,), generator=self.chance)
        return self.all_colors[:, chosen].view(3, height, width)

    def draw(self, canvas: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """A colour (3, n) for each of the pixels, by what lies above and to the left of it on the canvas."""
        y, x = rows[:, None] + self.reach + self.dy, columns[:, None] + self.reach + self.dx
        seen = canvas[:, y, x].permute(1, 0, 2).flatten(1) * self.root
        distances = (self.lengths - 2 * seen @ self.known + seen.square().sum(1, keepdim=True)).clamp_min(0)
        limit = distances.amin(1, keepdim=True) * (1 + self.tolerance) + 1e-7
        chosen = torch.multinomial((distances <= limit).float(), 1, generator=self.chance)[:, 0]
        return self.colors[:, chosen]


def _inside(canvas: Tensor, height: int, width: int, reach: int) -> Tensor:
    return canvas[None, :, reach : reach + height, reach : reach + width].clone()
