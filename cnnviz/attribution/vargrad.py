"""VarGrad and SquareGrad: the spread and the size of the gradients over noisy copies of an image."""

from __future__ import annotations

import torch
from torch import Tensor

from cnnviz.attribution.gradients import gradient_and_logits, sum_in_batches
from cnnviz.attribution.settings import SmoothGradSettings
from cnnviz.attribution.smoothgrad import NoisyCopies
from cnnviz.attribution.targets import Target, each_image
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.network.network import Network


def vargrad(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    *,
    samples: int = SmoothGradSettings.samples,
    sigma: float = SmoothGradSettings.sigma,
    seed: int = SmoothGradSettings.seed,
) -> Tensor:
    """Variance of the gradient over noisy copies of each image, the largest over the color channels.

    Adebayo, Gilmer, Goodfellow & Kim, "Local Explanation Methods for Deep Neural Networks Lack Sensitivity to Parameter
    Values", ICLR workshop 2018, arXiv:1810.03307. The noise is that of ``smoothgrad``.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; the class predicted for each clean image if None. Or what ``saliency`` takes.
        samples: number of noisy copies of each image, at least 2.
        sigma: standard deviation of the noise, in units of pixel value.
        seed: of the noise.

    Returns:
        Maps (N, 1, H, W), at least 0.

    Raises:
        UsageError: no such class, fewer than two samples, or a negative sigma.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.vargrad(network, pixels, "tabby", samples=4).shape
        torch.Size([1, 1, 64, 96])
    """
    if samples < 2:
        raise UsageError("VarGrad needs at least two samples: a variance of one is zero.")
    moments = _moments(network, pixels, target, samples, sigma, seed)
    return torch.cat([_map(square - mean.square(), pixels) for mean, square in moments])


def squaregrad(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    *,
    samples: int = SmoothGradSettings.samples,
    sigma: float = SmoothGradSettings.sigma,
    seed: int = SmoothGradSettings.seed,
) -> Tensor:
    """Mean squared gradient over noisy copies of each image, the largest over the color channels.

    Hooker, Erhan, Kindermans & Kim, "A Benchmark for Interpretability Methods in Deep Neural Networks", NeurIPS 2019,
    arXiv:1806.10758 (SmoothGrad-squared). Arguments, result and errors are those of ``vargrad``; one sample will do.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.squaregrad(network, pixels, "tabby", samples=4).shape
        torch.Size([1, 1, 64, 96])
    """
    moments = _moments(network, pixels, target, samples, sigma, seed)
    return torch.cat([_map(square, pixels) for _, square in moments])


def _map(values: Tensor, like: Tensor) -> Tensor:
    return values.clamp_min(0).amax(1, keepdim=True).to(like.dtype)


def _moments(
    network: Network, pixels: Tensor, target: Target, samples: int, sigma: float, seed: int
) -> list[tuple[Tensor, Tensor]]:
    """The mean of the gradient and of its square, (1, 3, H, W) in float64, of each image."""
    if samples < 1 or sigma < 0:
        raise UsageError("Noisy copies: at least one sample, and a sigma of at least 0.")
    pixels = require_pixels(pixels, network.spec.channels).to(network.device)
    generator = torch.Generator().manual_seed(seed)
    found = []
    for image, one in each_image(network, pixels, target):
        noisy = NoisyCopies(image, sigma, generator)

        def sums(part: slice, noisy: NoisyCopies = noisy, one: object = one) -> Tensor:
            gradient = gradient_and_logits(network, noisy[part], one)[0].double()  # type: ignore[arg-type]
            return torch.stack([gradient.sum(0, keepdim=True), gradient.square().sum(0, keepdim=True)])

        mean, square = sum_in_batches(network, image, samples, sums) / samples
        found.append((mean, square))
    return found
