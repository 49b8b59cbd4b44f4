"""SmoothGrad: the mean gradient over noisy copies of an image."""

from __future__ import annotations

import torch
from torch import Tensor

from cnnviz.attribution.gradients import gradient_and_logits, in_batches
from cnnviz.attribution.targets import Target, predicted_indices
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.network.network import Network


def smoothgrad(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    *,
    samples: int = 50,
    sigma: float = 0.15,
    seed: int = 0,
) -> Tensor:
    """The saliency of the mean gradient over noisy copies of each picture.

    Smilkov, Thorat, Kim, Viégas & Wattenberg, "SmoothGrad: removing noise by adding noise", arXiv:1706.03825 (2017).
    As there the noise is not clipped; opposed to there its deviation is a share of the range of pixel values, [0, 1],
    not of each picture's own.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; each untouched picture's likeliest if None.
        samples: noisy copies of each picture.
        sigma: standard deviation of the noise, in units of pixel value.
        seed: of the noise.

    Returns:
        Maps (N, 1, H, W), at least 0; with one sample and no noise exactly ``saliency``.

    Raises:
        UsageError: no such class, no samples, or a negative sigma.
    """
    if samples < 1 or sigma < 0:
        raise UsageError("SmoothGrad needs at least one sample and a sigma of at least 0.")
    pixels = require_pixels(pixels).to(network.device)
    generator = torch.Generator().manual_seed(seed)
    maps = []
    for picture, index in zip(pixels.split(1), predicted_indices(network, pixels, target), strict=True):
        noisy = _NoisyCopies(picture, sigma, generator)
        total = _summed_gradient(network, noisy, index, samples)
        maps.append((total / samples).abs().amax(1, keepdim=True))
    return torch.cat(maps)


def _summed_gradient(network: Network, noisy: _NoisyCopies, index: int, samples: int) -> Tensor:
    def summed(part: slice) -> Tensor:
        return gradient_and_logits(network, noisy[part], index)[0].sum(0, keepdim=True)

    return sum(in_batches(network, noisy.picture, samples, summed), torch.zeros_like(noisy.picture))


class _NoisyCopies:
    """A picture (1, 3, H, W) with noise, copy by copy in order; the last ones can be asked for again."""

    def __init__(self, picture: Tensor, sigma: float, generator: torch.Generator) -> None:
        self.picture, self.sigma, self.generator = picture, sigma, generator
        self.states: dict[int, Tensor] = {}

    def __getitem__(self, part: slice) -> Tensor:
        self.generator.set_state(self.states.setdefault(part.start, self.generator.get_state()))
        # One by one: the numbers of a larger draw would depend on how many are drawn.
        shape, dtype = self.picture.shape, self.picture.dtype
        noise = [torch.randn(shape, generator=self.generator, dtype=dtype) for _ in range(part.start, part.stop)]
        return self.picture + self.sigma * torch.cat(noise).to(self.picture)
