"""SmoothGrad: the mean gradient over noisy copies of an image."""

from __future__ import annotations

import torch
from torch import Tensor

from cnnviz.attribution.gradients import gradient_and_logits, sum_in_batches
from cnnviz.attribution.settings import SmoothGradSettings
from cnnviz.attribution.targets import Target, TargetFunction, each_image
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.network.network import Network


def smoothgrad(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    *,
    samples: int = SmoothGradSettings.samples,
    sigma: float = SmoothGradSettings.sigma,
    seed: int = SmoothGradSettings.seed,
) -> Tensor:
    """Saliency maps of the mean gradient over noisy copies of each image.

    Smilkov, Thorat, Kim, Viégas & Wattenberg, "SmoothGrad: removing noise by adding noise", arXiv:1706.03825 (2017).
    As in the paper, noisy pixels are not clipped. Unlike the paper, the noise's standard deviation is a fraction of the
    range of pixel values, [0, 1], not of each image's own range.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; the class predicted for each clean image if None. Or what ``saliency`` takes.
        samples: number of noisy copies of each image.
        sigma: standard deviation of the noise, in units of pixel value.
        seed: of the noise.

    Returns:
        Maps (N, 1, H, W), at least 0; with one sample and no noise exactly those of ``saliency``.

    Raises:
        UsageError: no such class, no samples, or a negative sigma.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.smoothgrad(network, pixels, "tabby", samples=4).shape
        torch.Size([1, 1, 64, 96])
    """
    if samples < 1 or sigma < 0:
        raise UsageError("SmoothGrad needs at least one sample and a sigma of at least 0.")
    pixels = require_pixels(pixels, network.spec.channels).to(network.device)
    generator = torch.Generator().manual_seed(seed)
    maps = []
    for image, one in each_image(network, pixels, target):
        noisy = NoisyCopies(image, sigma, generator)
        total = _summed_gradient(network, noisy, one, samples)
        maps.append((total / samples).abs().amax(1, keepdim=True))
    return torch.cat(maps)


def _summed_gradient(network: Network, noisy: NoisyCopies, target: int | TargetFunction, samples: int) -> Tensor:
    def summed(part: slice) -> Tensor:
        return gradient_and_logits(network, noisy[part], target)[0].sum(0, keepdim=True)

    return sum_in_batches(network, noisy.image, samples, summed)


class NoisyCopies:
    """An image (1, 3, H, W) with noise, read copy by copy in order; the last copies can be read again."""

    def __init__(self, image: Tensor, sigma: float, generator: torch.Generator) -> None:
        self.image, self.sigma, self.generator = image, sigma, generator
        self.states: dict[int, Tensor] = {}

    def __getitem__(self, part: slice) -> Tensor:
        self.generator.set_state(self.states.setdefault(part.start, self.generator.get_state()))
        # One by one: the numbers of a larger draw would depend on how many are drawn.
        shape, dtype = self.image.shape, self.image.dtype
        noise = [torch.randn(shape, generator=self.generator, dtype=dtype) for _ in range(part.start, part.stop)]
        return self.image + self.sigma * torch.cat(noise).to(self.image)
