"""XRAI: regions of the image, ranked by the integrated gradients in them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cnnviz.attribution.integrated_gradients import integrated_gradients
from cnnviz.attribution.settings import IntegratedGradientsSettings
from cnnviz.attribution.superpixels import overlapping_segments
from cnnviz.attribution.targets import Target, resolved_targets
from cnnviz.imaging.checks import require_pixels
from cnnviz.imaging.pixel_ops import resize
from cnnviz.network.network import Network

_SIDE = 224
"""The shorter side at which regions are found: their masks take memory."""

_LEAST_NEW = 0.001
"""A region that adds less than this fraction of the image is left out: 50 pixels of 224 × 224."""


def xrai(
    network: Network, pixels: Tensor, target: Target = None, *, steps: int = IntegratedGradientsSettings.steps
) -> Tensor:
    """XRAI map: regions of the image, the one with the largest mean attribution first, and so on.

    Kapishnikov, Bolukbasi, Viégas & Terry, "XRAI: Better Attributions Through Regions", ICCV 2019, arXiv:1906.02825.
    The attribution is that of integrated gradients from black and from white, averaged, and summed over the colors.
    Regions are those of six segmentations of the image; each pixel gets the mean attribution that the region which
    covered it first had beyond those before. Larger images than 224 pixels are segmented at that size.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; the class predicted for each image if None. Or what ``saliency`` takes.
        steps: number of gradients on each of the two paths.

    Returns:
        Maps (N, 1, H, W), signed, in units of the score a pixel.

    Raises:
        UsageError: no such class, or no steps.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.xrai(network, pixels, "tabby", steps=4).shape
        torch.Size([1, 1, 64, 96])
    """
    pixels = require_pixels(pixels, network.spec.channels).to(network.device)
    targets = resolved_targets(network, pixels, target)
    ends = ("black", "white")
    found = [integrated_gradients(network, pixels, targets, steps=steps, baseline=end) for end in ends]
    attribution = ((found[0] + found[1]) / 2).sum(1, keepdim=True)
    pairs = zip(pixels.split(1), attribution.split(1), strict=True)
    return torch.cat([_by_regions(image, values) for image, values in pairs])


def _by_regions(image: Tensor, values: Tensor) -> Tensor:
    """Each pixel's value (1, 1, H, W) by the region that covers it first."""
    size = (image.shape[2], image.shape[3])
    scale = min(1.0, _SIDE / min(size))
    small = (round(size[0] * scale), round(size[1] * scale))
    if small == size:
        regions, shares = overlapping_segments(image), values
    else:
        regions, shares = overlapping_segments(resize(image, small)), resize(values, small)
    ranked = region_values(regions, shares[0, 0].double().cpu().numpy())
    found = torch.from_numpy(ranked)[None, None].to(values)
    return torch.nn.functional.interpolate(found, size, mode="nearest")


def region_values(regions: NDArray[np.bool_], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The value (H, W) of each pixel: the mean of ``values`` in what the best of ``regions`` (S, H, W) adds, in turn.

    Pixels that no region adds have the mean of those that are left.
    """
    flat, weights = regions.reshape(len(regions), -1), values.ravel()
    left, least = np.ones(flat.shape[1], bool), max(1, round(_LEAST_NEW * weights.size))
    counts, sums = flat.sum(1).astype(float), flat @ weights
    found = np.zeros(flat.shape[1])
    while True:
        means = np.where(counts >= least, sums / np.maximum(counts, 1), -np.inf)
        best = int(means.argmax())
        if means[best] == -np.inf:
            break
        new = flat[best] & left
        found[new] = means[best]
        left &= ~new
        added = flat[:, new]
        counts -= added.sum(1)
        sums -= added @ weights[new]
    found[left] = weights[left].mean() if left.any() else 0.0
    return found.reshape(values.shape)
