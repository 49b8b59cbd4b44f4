"""ROAD: removal of pixels that leaves no trace of which were removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cnnviz.attribution.faithfulness import FaithfulnessCurve
from cnnviz.attribution.metrics.hiding import ranks_of
from cnnviz.attribution.targets import Target, measures, resolved_targets
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.network.network import Network

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_NEIGHBORS = {(0, 1): 1 / 6, (1, 0): 1 / 6, (1, 1): 1 / 12, (1, -1): 1 / 12}
"""The weights of neighbors by (down, right), of which each stands for its opposite, too."""

Array = NDArray[Any]


@torch.no_grad()
def road_curve(
    network: Network,
    pixels: Tensor,
    saliency_map: Tensor,
    target: Target = None,
    *,
    shares: Sequence[float] = SHARES,
    least_first: bool = False,
    noise: float = 0.01,
    seed: int = 0,
) -> FaithfulnessCurve:
    """Probability of the class as pixels are replaced by what surrounds them; most important first, low is good.

    Rong, Leemann, Borisov, Kasneci & Kasneci, "A Consistent and Efficient Evaluation Strategy for Attribution Methods",
    ICML 2022, arXiv:2202.00449. Each removed pixel becomes the weighted mean of its eight neighbors, all of them at
    once, by a system of linear equations, and noise is added: unlike gray, that does not show the network which pixels
    were removed.

    Args:
        network: the network that was explained.
        pixels: (N, C, H, W) in [0, 1].
        saliency_map: (N, 1, H, W), larger where more important; equal pixels are removed in random order.
        target: the class explained; the class predicted for each image if None.
        shares: of the pixels that are removed, each in (0, 1).
        least_first: remove the least important pixels first; high is then good.
        noise: standard deviation of the noise.
        seed: of the noise.

    Raises:
        UsageError: no such class, maps of another size than the images, or shares that are none.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> curve = cnnviz.road_curve(network, pixels, cnnviz.saliency(network, pixels), shares=(0.2, 0.5))
        >>> curve.probabilities.shape
        torch.Size([1, 2])
    """
    pixels = require_pixels(pixels, network.spec.channels)
    if saliency_map.shape != (pixels.shape[0], 1, *pixels.shape[2:]):
        raise UsageError(
            f"Pixels {tuple(pixels.shape)} need maps of the same height and width, not {tuple(saliency_map.shape)}."
        )
    if not shares or not all(0 < share < 1 for share in shares):
        raise UsageError("ROAD removes shares of the pixels above 0 and below 1.")
    pixels = pixels.to(network.device)
    ranks = ranks_of(-saliency_map if least_first else saliency_map)
    counts = [round(share * ranks[0].numel()) for share in shares]
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for image, rank, one in zip(pixels.split(1), ranks, resolved_targets(network, pixels, target), strict=True):
        removed = [linear_imputation(image, rank < count, noise, generator) for count in counts]
        rows.append(torch.cat([measures(network, network.logits(each), one).cpu() for each in removed]))
    return FaithfulnessCurve(torch.tensor(shares, dtype=torch.float64), torch.stack(rows))


def linear_imputation(
    image: Tensor, removed: Tensor, noise: float = 0.0, generator: torch.Generator | None = None
) -> Tensor:
    """An image (1, C, H, W) whose ``removed`` pixels (1, H, W) are the weighted mean of their neighbors, plus noise.

    Neighbors beside a pixel count twice as much as those at its corners. Not clipped to [0, 1].
    """
    holes = removed[0].cpu().numpy()
    if not holes.any() or holes.all():
        filled = image.clone() if not holes.any() else image.mean((2, 3), keepdim=True).expand_as(image).clone()
    else:
        values = image[0].double().cpu().numpy()
        solved = values.copy()
        solved[:, holes] = _solve(values, holes)
        filled = torch.from_numpy(solved)[None].to(image)
    if noise:
        drawn = noise * torch.randn(image.shape, generator=generator).to(image)
        filled = torch.where(removed.to(image.device), filled + drawn, filled)
    return filled


def _solve(values: Array, holes: Array) -> Array:
    """The values (C, number of holes) that are the weighted means of their neighbors in ``values`` (C, H, W)."""
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import splu

    height, width = holes.shape
    numbers = np.full(holes.shape, -1)
    numbers[holes] = np.arange(holes.sum())
    weight, known, pairs = np.zeros(holes.shape), np.zeros_like(values), []
    for (down, right), share in _NEIGHBORS.items():
        one = slice(0, height - down), slice(max(0, -right), width - max(0, right))
        other = slice(down, height), slice(max(0, right), width - max(0, -right))
        for here, there in ((one, other), (other, one)):
            weight[here] += share
            known[:, here[0], here[1]] += share * np.where(holes[there], 0.0, values[:, there[0], there[1]])
            both = holes[here] & holes[there]
            pairs.append((numbers[here][both], numbers[there][both], np.full(both.sum(), -share)))
    rows, columns, entries = (np.concatenate(part) for part in zip(*pairs, strict=True))
    size = (len(numbers[holes]),) * 2
    matrix = (coo_matrix((entries, (rows, columns)), shape=size) + diags(weight[holes])).tocsc()
    # Symmetric and positive definite: the ordering for such matrices, and no pivots.
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    solved: Array = factors.solve(known[:, holes].T).T
    return solved
