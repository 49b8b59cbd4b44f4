"""Expected gradients and GradientSHAP: integrated gradients averaged over many baselines."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cnnviz.attribution.gradients import gradient_and_logits, sum_in_batches
from cnnviz.attribution.integrated_gradients import relative_error
from cnnviz.attribution.settings import ExpectedGradientsSettings, SmoothGradSettings
from cnnviz.attribution.targets import (
    ResolvedOnce,
    Target,
    TargetFunction,
    each_image,
    logits_of,
    target_scores,
    targets_of,
)
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.network.network import Network
from cnnviz.runtime.memory import in_batches_that_fit

_FLAT = 64
"""The number of baselines of one color each, where none are given."""


def expected_gradients(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    *,
    samples: int = SmoothGradSettings.samples,
    baselines: Tensor | None = None,
    seed: int = ExpectedGradientsSettings.seed,
) -> Tensor:
    """Integrated gradients averaged over baselines: the gradient at random places between each image and them.

    Erion, Janizek, Sturmfels, Lundberg & Lee, "Improving performance of deep learning models with axiomatic attribution
    priors and expected gradients", Nature Machine Intelligence 2021, arXiv:1906.10670. The values sum to the difference
    of the class score between the image and the mean over the baselines, up to the error of the samples. Unlike the
    paper, the places are drawn one from each of ``samples`` equal parts of the path, which errs less.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; the class predicted for each image if None. Or what ``saliency`` takes.
        samples: number of gradients for each image.
        baselines: (B, 3, H, W), or (B, 3, 1, 1) of one color each: photos of the kind the network was trained on; if
            None 64 images of one random color each.
        seed: of the baselines, and of the places.

    Returns:
        (N, 3, H, W), signed, in units of the score.

    Raises:
        UsageError: no such class, no samples, or baselines of another size.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> others = cnnviz.read_image("sample_images/coffee.png", size=64, crop=True)
        >>> cnnviz.expected_gradients(network, pixels[..., :64], "tabby", samples=4, baselines=others).shape
        torch.Size([1, 3, 64, 64])
    """
    return gradient_shap(network, pixels, target, samples=samples, sigma=0.0, baselines=baselines, seed=seed)


def gradient_shap(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    *,
    samples: int = SmoothGradSettings.samples,
    sigma: float = SmoothGradSettings.sigma,
    baselines: Tensor | None = None,
    seed: int = ExpectedGradientsSettings.seed,
) -> Tensor:
    """Expected gradients of noisy copies of each image: an estimate of Shapley values.

    Lundberg & Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017, arXiv:1705.07874; as the
    authors' GradientExplainer and captum do it. Arguments, result and errors are those of ``expected_gradients``;
    ``sigma`` is the noise's standard deviation in units of pixel value.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.gradient_shap(network, pixels, "tabby", samples=4).shape
        torch.Size([1, 3, 64, 96])
    """
    if samples < 1 or sigma < 0:
        raise UsageError("Expected gradients need at least one sample, and a sigma of at least 0.")
    pixels = require_pixels(pixels, network.spec.channels).to(network.device)
    starts = baselines_of(pixels, baselines, seed)
    found = []
    for number, (image, one) in enumerate(each_image(network, pixels, target)):
        path = _Path.drawn(image, starts, samples, sigma, seed + number)
        found.append(_mean(network, path, one, samples))
    return torch.cat(found)


def baselines_of(pixels: Tensor, baselines: Tensor | None, seed: int) -> Tensor:
    """The baselines, given or drawn, on the device of ``pixels`` (N, C, H, W); UsageError where they do not fit."""
    channels = pixels.shape[1]
    if baselines is None:
        colors = torch.rand(_FLAT, channels, 1, 1, generator=torch.Generator().manual_seed(seed))
        return colors.to(pixels)
    fits = baselines.ndim == 4 and len(baselines) and baselines.shape[1] == channels
    if not fits or tuple(baselines.shape[2:]) not in {(1, 1), tuple(pixels.shape[2:])}:
        wanted = (channels, *pixels.shape[2:])
        raise UsageError(f"Baselines are a tensor (B, {', '.join(map(str, wanted))}), not {tuple(baselines.shape)}.")
    return baselines.to(pixels)


@dataclass(frozen=True)
class _Path:
    """Random places between an image (1, C, H, W) and baselines, one of each of equal parts of the path."""

    image: Tensor
    starts: Tensor
    chosen: Tensor
    fractions: Tensor
    sigma: float
    seed: int

    @classmethod
    def drawn(cls, image: Tensor, starts: Tensor, samples: int, sigma: float, seed: int) -> _Path:
        generator = torch.Generator().manual_seed(seed)
        turns = torch.arange(samples) % len(starts)
        chosen = turns[torch.randperm(samples, generator=generator)]
        if len(starts) > samples:
            chosen = torch.randperm(len(starts), generator=generator)[:samples]
        fractions = (torch.arange(samples) + torch.rand(samples, generator=generator)) / samples
        return cls(image, starts, chosen, fractions.to(image), sigma, seed)

    def ends(self, part: slice) -> tuple[Tensor, Tensor]:
        """The baselines and the (noisy) images between which the places of ``part`` are."""
        starts = self.starts[self.chosen[part].to(self.starts.device)]
        if not self.sigma:
            return starts, self.image
        noise = [self._noise(number) for number in range(*part.indices(len(self.chosen)))]
        return starts, self.image + self.sigma * torch.cat(noise).to(self.image)

    def _noise(self, number: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        return torch.randn(self.image.shape, generator=generator, dtype=self.image.dtype)


def _mean(network: Network, path: _Path, target: int | TargetFunction, samples: int) -> Tensor:
    """The mean of the gradient times the difference between image and baseline, (1, C, H, W)."""

    def summed(part: slice) -> Tensor:
        starts, ends = path.ends(part)
        way = ends - starts
        gradient, _ = gradient_and_logits(network, starts + path.fractions[part].view(-1, 1, 1, 1) * way, target)
        return (gradient * way).sum(0, keepdim=True)

    return sum_in_batches(network, path.image, samples, summed) / samples


@torch.no_grad()
def completeness_error(
    network: Network,
    pixels: Tensor,
    attribution: Tensor,
    target: Target | ResolvedOnce = None,
    *,
    baselines: Tensor | None = None,
    seed: int = ExpectedGradientsSettings.seed,
    **_: object,
) -> Tensor:
    """The difference between the sum of ``attribution`` and that of the scores, as a fraction of the latter: (N,).

    The scores are that of each image and the mean over all the baselines.
    """
    pixels = require_pixels(pixels, network.spec.channels).to(network.device)
    starts = baselines_of(pixels, baselines, seed)
    logits = logits_of(network, pixels, target)
    differences = []
    for number, one in enumerate(targets_of(network, logits, target)):

        def scores(part: slice, one: int | TargetFunction = one) -> Tensor:
            some = starts[part].expand(-1, -1, *pixels.shape[2:]).contiguous()
            return target_scores(network, network(some), [one] * len(some))

        start = torch.cat(list(in_batches_that_fit(scores, len(starts), 8))).mean()
        difference = target_scores(network, logits[number : number + 1], [one])[0] - start
        differences.append(difference)
    return relative_error(attribution, torch.stack(differences))
