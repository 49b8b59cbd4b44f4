"""RISE: the mean of random masks, weighted by the score of what they leave visible."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnviz.attribution.masked_scores import MaskedScores, require_choices
from cnnviz.attribution.settings import PerturbationSettings
from cnnviz.attribution.targets import Target, each_image
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.network.network import Network

_VISIBLE = 0.5
"""The probability that a cell is visible."""


def rise(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    *,
    masks: int = PerturbationSettings.masks,
    cells: int = PerturbationSettings.cells,
    fill: str = PerturbationSettings.fill,
    score: str = PerturbationSettings.score,
    seed: int = PerturbationSettings.seed,
) -> Tensor:
    """RISE map: how much higher the score is, on average, where random masks leave a pixel visible.

    Petsiuk, Das & Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018,
    arXiv:1806.07421. Masks are coarse random grids, enlarged bilinearly and shifted at random; half the cells are
    visible. Unlike the paper the mean score of all masks is subtracted, so that a map is not brightest where chance
    showed a pixel most; what is hidden is filled with the image's mean color unless ``fill`` names another.

    Args:
        network: the network to explain; it needs no gradients.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; the class predicted for each image if None. Or what ``saliency`` takes.
        masks: number of masks; each costs a pass forward.
        cells: rows and columns of the coarse grid.
        fill: what replaces hidden pixels: ``mean``, ``gray``, ``black``, ``blur`` or ``noise``, as for ``occlusion``.
        score: ``probability`` or ``logit``, as for ``occlusion``.
        seed: of the masks; the same masks for each image.

    Returns:
        Maps (N, 1, H, W), signed, in units of the score: the mean score where a pixel is visible, less the mean of all.

    Raises:
        UsageError: no such class, fill or score, fewer than two masks, or no cells.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.rise(network, pixels, "tabby", masks=20).shape
        torch.Size([1, 1, 64, 96])
    """
    require_choices(fill, score)
    if masks < 2 or cells < 1:
        raise UsageError("RISE needs at least two masks, and a grid of at least one cell.")
    pixels = require_pixels(pixels, network.spec.channels).to(network.device)
    drawn = random_masks(masks, cells, (pixels.shape[2], pixels.shape[3]), seed)
    maps = []
    for image, one in each_image(network, pixels, target):
        scores = MaskedScores(network, image, one, fill, score, seed)
        maps.append(_weighted_mean(scores, masks, lambda part: drawn(part).to(image)))  # noqa: B023 - used at once
    return torch.cat(maps).to(pixels.dtype)


def _weighted_mean(scores: MaskedScores, count: int, masks: Callable[[slice], Tensor]) -> Tensor:
    """The mean score where each pixel is visible, less the mean of all, (1, 1, H, W)."""
    weighted = visible = torch.zeros_like(scores.image[:, :1], dtype=torch.float64)
    total = 0.0
    for found, some in scores.over(count, masks):
        flat, size = some.flatten(1).double(), some.shape[2:]
        weighted = weighted + (found.double() @ flat).view(1, 1, *size)
        visible = visible + flat.sum(0).view(1, 1, *size)
        total += float(found.double().sum())
    return weighted / visible.clamp_min(1e-12) - total / count


def random_masks(count: int, cells: int, size: tuple[int, int], seed: int) -> Callable[[slice], Tensor]:
    """A function from a slice of ``count`` to these masks (B, 1, H, W) in [0, 1], the same whatever the slices."""
    generator = torch.Generator().manual_seed(seed)
    steps = [-(-extent // cells) for extent in size]
    grids = (torch.rand(count, 1, cells + 1, cells + 1, generator=generator) < _VISIBLE).float()
    shifts = [torch.randint(step, (count,), generator=generator).tolist() for step in steps]
    whole = [(cells + 1) * step for step in steps]

    def masks(part: slice) -> Tensor:
        large = F.interpolate(grids[part], whole, mode="bilinear", align_corners=False)
        places = zip(large, shifts[0][part], shifts[1][part], strict=True)
        return torch.stack([one[:, top : top + size[0], left : left + size[1]] for one, top, left in places])

    return masks
