"""LIME and KernelSHAP: linear models of the score, fitted to images with superpixels hidden."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cnnviz.attribution.masked_scores import MaskedScores, require_choices
from cnnviz.attribution.settings import PerturbationSettings
from cnnviz.attribution.superpixels import superpixels
from cnnviz.attribution.targets import Target, each_image
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.network.network import Network

_KERNEL_WIDTH = 0.25
"""Width of LIME's exponential kernel over the cosine distance, as in the authors' code."""

_RIDGE = 1.0
"""L2 penalty of LIME's ridge regression, as in the authors' code."""


def lime(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    *,
    masks: int = PerturbationSettings.masks,
    segments: int = PerturbationSettings.segments,
    fill: str = PerturbationSettings.fill,
    score: str = PerturbationSettings.score,
    seed: int = PerturbationSettings.seed,
) -> Tensor:
    """LIME: the weights of a linear model of the score, in whether each superpixel is visible.

    Ribeiro, Singh & Guestrin, "'Why Should I Trust You?' Explaining the Predictions of Any Classifier", KDD 2016,
    arXiv:1602.04938. As in the authors' code for images, each superpixel is hidden with probability one half, and a
    ridge regression weights the masks by their nearness to the whole image. Unlike theirs, superpixels are SLIC's.

    Args:
        network: the network to explain; it needs no gradients.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; the class predicted for each image if None. Or what ``saliency`` takes.
        masks: number of images with superpixels hidden; each costs a pass forward.
        segments: about how many superpixels there are (SLIC).
        fill: what replaces hidden pixels: ``mean``, ``gray``, ``black``, ``blur`` or ``noise``, as for ``occlusion``.
        score: ``probability`` or ``logit``, as for ``occlusion``.
        seed: of the masks.

    Returns:
        Maps (N, 1, H, W), signed, in units of the score, the same all over a superpixel.

    Raises:
        UsageError: no such class, fill or score, or fewer than two masks or segments.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.lime(network, pixels, "tabby", masks=20, segments=12).shape
        torch.Size([1, 1, 64, 96])
    """
    return _maps(network, pixels, target, _LIME, masks, segments, fill, score, seed)


def kernel_shap(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    *,
    masks: int = PerturbationSettings.masks,
    segments: int = PerturbationSettings.segments,
    fill: str = PerturbationSettings.fill,
    score: str = PerturbationSettings.score,
    seed: int = PerturbationSettings.seed,
) -> Tensor:
    """KernelSHAP: the Shapley value of each superpixel, its mean share of the score over all orders of showing them.

    Lundberg & Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017, arXiv:1705.07874. The values
    of the superpixels sum to the difference of the score between the image and the fill alone, exactly. Masks are drawn
    in pairs that show opposite superpixels (Covert & Lee, AISTATS 2021, arXiv:2012.01536); where ``masks`` is enough
    for all of them, each is taken once and the values are exact. Arguments, result and errors are those of ``lime``.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.kernel_shap(network, pixels, "tabby", masks=20, segments=12).shape
        torch.Size([1, 1, 64, 96])
    """
    return _maps(network, pixels, target, _KERNEL_SHAP, masks, segments, fill, score, seed)


@dataclass(frozen=True)
class _LocalModel:
    """How a method draws masks of M superpixels, (count or fewer, M) of 0 and 1, and fits values (M,) to the scores."""

    draw: Callable[[int, int, int], Tensor]
    fit: Callable[[NDArray[np.float64], NDArray[np.float64], int], NDArray[np.float64]]


def _maps(
    network: Network,
    pixels: Tensor,
    target: Target,
    model: _LocalModel,
    masks: int,
    segments: int,
    fill: str,
    score: str,
    seed: int,
) -> Tensor:
    require_choices(fill, score)
    if masks < 2:
        raise UsageError("A linear model is fitted to at least two masks.")
    pixels = require_pixels(pixels, network.spec.channels).to(network.device)
    maps = []
    for image, one in each_image(network, pixels, target):
        labels = superpixels(image, segments).to(image.device)
        visible = model.draw(masks, int(labels.max()) + 1, seed)
        scores = _scores(MaskedScores(network, image, one, fill, score, seed), labels, visible)
        values = model.fit(visible.double().numpy(), scores.cpu().double().numpy(), masks)
        maps.append(torch.from_numpy(values).to(pixels)[labels][None, None])
    return torch.cat(maps)


def _scores(masked: MaskedScores, labels: Tensor, visible: Tensor) -> Tensor:
    """The score of each row of superpixels that are ``visible``."""
    shown = visible.to(labels.device)

    def masks(part: slice) -> Tensor:
        return shown[part][:, labels][:, None]

    return torch.cat([found for found, _ in masked.over(len(visible), masks)])


def _draw_lime(masks: int, count: int, seed: int) -> Tensor:
    """All superpixels, then each visible with probability one half."""
    drawn = torch.rand(masks, count, generator=torch.Generator().manual_seed(seed)) < 0.5
    drawn[0] = True
    return drawn.float()


def _fit_lime(visible: NDArray[np.float64], scores: NDArray[np.float64], _: int) -> NDArray[np.float64]:
    from sklearn.linear_model import Ridge

    distances = 1 - np.sqrt(visible.mean(1))  # of the cosine, from all ones
    weights = np.sqrt(np.exp(-((distances / _KERNEL_WIDTH) ** 2)))
    values: NDArray[np.float64] = Ridge(alpha=_RIDGE).fit(visible, scores, sample_weight=weights).coef_
    return values


def _draw_shap(masks: int, count: int, seed: int) -> Tensor:
    """All superpixels, none, then pairs of opposite ones, whose sizes are drawn by Shapley's kernel; or every one."""
    ends = torch.stack([torch.ones(count), torch.zeros(count)])
    if _enumerates(masks, count):
        every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=count)))[1:-1]
        return torch.cat([ends, every.view(-1, count)])
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.arange(1, count, dtype=torch.float64)
    chances = 1 / (sizes * (count - sizes))
    drawn = 1 + torch.multinomial(chances, max(1, (masks - 1) // 2), replacement=True, generator=generator)
    orders = torch.rand(len(drawn), count, generator=generator).argsort(1).argsort(1)
    half = (orders < drawn[:, None]).float()
    return torch.cat([ends, torch.stack([half, 1 - half], 1).flatten(0, 1)])


def _fit_shap(visible: NDArray[np.float64], scores: NDArray[np.float64], masks: int) -> NDArray[np.float64]:
    """The least squares by Shapley's kernel that sum to the first score less the second."""
    count, (whole, empty) = visible.shape[1], scores[:2]
    if count == 1:
        return np.array([whole - empty])
    sizes = visible[2:].sum(1).astype(int)
    weights = np.array([_kernel(count, size) for size in sizes]) if _enumerates(masks, count) else np.ones(len(sizes))
    root, shown, last = np.sqrt(weights)[:, None], visible[2:], visible[2:, -1:]
    wanted = scores[2:] - empty - last[:, 0] * (whole - empty)
    values = np.linalg.lstsq(root * (shown[:, :-1] - last), root[:, 0] * wanted, rcond=None)[0]
    return np.append(values, whole - empty - values.sum())


def _enumerates(masks: int, count: int) -> bool:
    """Whether ``masks`` are enough for every choice among ``count`` superpixels."""
    return count <= math.log2(masks + 1)


def _kernel(count: int, size: int) -> float:
    """Shapley's weight of a choice of ``size`` among ``count``."""
    return (count - 1) / (math.comb(count, size) * size * (count - size))


_LIME = _LocalModel(_draw_lime, _fit_lime)
_KERNEL_SHAP = _LocalModel(_draw_shap, _fit_shap)
