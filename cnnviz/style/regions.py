"""Regions of an image by mask, each with its styles, and an image that is optimized only within a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.synthesis.multiscale import Size
from cnnviz.synthesis.parameterization import Pixels


@dataclass(frozen=True)
class Region:
    """A part of the image and the styles blended in it, by number, with their weights.

    ``mask`` (1, 1, H, W) in [0, 1] says where the region is; None is the whole image.
    """

    styles: tuple[int, ...]
    weights: tuple[float, ...]
    mask: Tensor | None = None

    @property
    def area(self) -> float:
        """The region's fraction of the image's area."""
        return 1.0 if self.mask is None else float(self.mask.mean())


def make_regions(
    styles: int, weights: Sequence[float] | None = None, masks: Sequence[Tensor] | None = None
) -> list[Region]:
    """One region of all styles blended by ``weights``; or, with a mask for each style, a region for each.

    Raises:
        UsageError: the counts do not match, a weight is negative or none is positive, or a mask is empty.
    """
    weights = list(weights) if weights is not None else [1.0] * styles
    if styles < 1:
        raise UsageError("A style image is needed.")
    if len(weights) != styles:
        raise UsageError(f"{styles} styles cannot have {len(weights)} weights.")
    if min(weights) < 0 or sum(weights) <= 0:
        raise UsageError("The weights of styles must not be negative, and one of them must be positive.")
    if not masks:
        return [Region(tuple(range(styles)), tuple(weights))]
    for number, mask in enumerate(masks, start=1):
        if float(mask.max()) <= 0:
            raise UsageError(f"Mask {number} is black all over: it leaves nothing to paint.")
    if len(masks) == 1:
        return [Region(tuple(range(styles)), tuple(weights), masks[0])]
    if len(masks) != styles:
        raise UsageError(f"{len(masks)} masks need as many styles, one for each; there are {styles}.")
    return [Region((i,), (1.0,), mask) for i, mask in enumerate(masks)]


def union_mask(regions: Sequence[Region], size: Size) -> Tensor | None:
    """The union of the regions' masks, (1, 1, H, W) in [0, 1] at ``size``; None where it is everywhere."""
    if any(region.mask is None for region in regions):
        return None
    union = torch.stack([region.mask for region in regions if region.mask is not None]).amax(0)
    union = torch.nn.functional.interpolate(union, size, mode="area")
    return None if float(union.min()) >= 1 else union


def border_weight(size: Size, fraction: float) -> Tensor:
    """A mask (1, 1, H, W) that rises linearly from 0 at the borders to 1 within ``fraction`` of each side."""
    sides = []
    for side in size:
        middle = torch.arange(side) + 0.5
        sides.append((torch.minimum(middle, side - middle) / (fraction * side)).clamp(max=1))
    return (sides[0][:, None] * sides[1])[None, None]


class MaskedPixels(Pixels):
    """Pixels that show only where ``mask`` (1, 1, H, W) is 1; elsewhere ``background`` (1, 3, H, W) shows."""

    def __init__(self, start: Tensor, background: Tensor, mask: Tensor, bounded: bool = True) -> None:
        super().__init__(start, bounded)
        self.background, self.mask = background, mask

    def image(self) -> Tensor:
        """Pixels (1, 3, H, W), blended with the background by the mask; differentiable."""
        return self.background + self.mask * (self.parameter - self.background)
