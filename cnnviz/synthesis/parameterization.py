"""Parameterizations of an image: pixels, a Fourier spectrum in decorrelated colors, or a generator's latent code."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cnnviz.runtime.private_torch import sigmoid_gradient

COLOR_BASIS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""Square root of the covariance of RGB in ImageNet photos, red, green and blue by row (lucid's figures)."""


_GAIN = 4.0
"""Divisor of the image, as in lucid; it only sets the effective step size of the optimizer."""


class Pixels:
    """The pixels themselves, (N, 3, H, W).

    ``bounded`` clips them to [0, 1] after each step (projected gradient). L-BFGS estimates the curvature from its own
    steps, and does better without; the result is clipped in any case.
    """

    def __init__(self, start: Tensor, bounded: bool = True) -> None:
        self.parameter = start.detach().clone(memory_format=torch.channels_last).requires_grad_()
        self.bounded = bounded

    def image(self) -> Tensor:
        """Pixels (N, 3, H, W); differentiable."""
        return self.parameter

    def project(self) -> None:
        """Clip the parameter to its bounds, if any."""
        if self.bounded:
            self.parameter.clamp_(0, 1)


class Fourier:
    """An image as its spectrum, each frequency scaled by 1/f as in natural images, in decorrelated colors.

    Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017, doi:10.23915/distill.00007: gradient ascent on
    the spectrum is ascent under another metric, in which coarse and fine structures change at the same rate. The image
    is ``sigmoid(C · irfft(spectrum / f))``, with C the square root of the colors' covariance in photos.

    It starts from noise of standard deviation ``deviation``, or from the pixels ``start`` (N, 3, H, W), whose darkest
    and lightest values are clipped to [0.02, 0.98], where the sigmoid has an inverse.
    """

    def __init__(
        self,
        size: tuple[int, int],
        batch: int = 1,
        *,
        deviation: float = 0.01,
        decay: float = 1.0,
        decorrelate: bool = True,
        start: Tensor | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        height, width = size
        down, across = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
        frequency = (down.square() + across.square()).sqrt().clamp_min(1 / max(height, width))
        scale = frequency.pow(-decay) * math.sqrt(height * width) / (height * width)
        # One factor for each part of a complex number: a shared one is multiplied pair by pair, which takes far longer.
        self.scale = scale.to(device)[..., None].repeat(1, 1, 2)
        # All columns but the first, and the last of an even width, stand for two frequencies, theirs and the mirrored.
        self.adjoint_scale = self.scale.clone()
        self.adjoint_scale[:, 1 : (width + 1) // 2] *= 2
        self.size = size
        basis = torch.tensor(COLOR_BASIS)
        largest = basis.square().sum(0).sqrt().max()
        self.basis = ((basis / largest if decorrelate else torch.eye(3)) / _GAIN).to(device)
        if start is None:
            spectrum = deviation * torch.randn(batch, 3, height, width // 2 + 1, 2, generator=generator)
        else:
            spectrum = self._spectrum_of(start.to(device))
        self.parameter = spectrum.to(device).requires_grad_()

    def _spectrum_of(self, pixels: Tensor) -> Tensor:
        """The parameter of given pixels: the inverse of ``image``."""
        levels = pixels.clamp(0.02, 0.98).logit()
        maps = (torch.linalg.inv(self.basis) @ levels.flatten(2)).view_as(levels)
        return torch.view_as_real(torch.fft.rfft2(maps, norm="forward")) / self.scale

    def image(self) -> Tensor:
        """Pixels (N, 3, H, W); differentiable."""
        pixels: Tensor = _Synthesis.apply(self.parameter, self)
        return pixels

    def project(self) -> None:
        """Does nothing: every spectrum describes an image."""


class _Synthesis(torch.autograd.Function):
    """Pixels of a spectrum (N, 3, H, W // 2 + 1, 2), and the gradient, in half of autograd's passes over the image."""

    @staticmethod
    def forward(ctx, parameter, source):  # type: ignore[no-untyped-def]
        spectrum = torch.view_as_complex(parameter * source.scale)
        maps = torch.fft.irfft2(spectrum, s=source.size, norm="forward")
        pixels = _recolored(maps, source.basis).sigmoid_()
        ctx.save_for_backward(pixels)
        ctx.source = source
        return pixels

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (pixels,) = ctx.saved_tensors
        maps = _recolored(sigmoid_gradient(gradient, pixels), ctx.source.basis.T)
        return torch.view_as_real(torch.fft.rfft2(maps)).mul_(ctx.source.adjoint_scale), None


def _recolored(maps: Tensor, basis: Tensor) -> Tensor:
    """Colors (N, 3, H, W) in another basis (3, 3)."""
    return torch.bmm(basis.expand(len(maps), 3, 3), maps.flatten(2)).view_as(maps)


class Latent:
    """A generator's latent code: the image is the generator's output.

    Nguyen, Dosovitskiy, Yosinski, Brox & Clune, "Synthesizing the preferred inputs for neurons in neural networks via
    deep generator networks", NIPS 2016, arXiv:1605.09304. ``bound`` clips each latent value to ± this, as in
    the paper; ``low`` and ``high`` are the range of the generator's output, scaled to [0, 1].
    """

    def __init__(
        self, generator: nn.Module, start: Tensor, *, bound: float | None = None, low: float = -1.0, high: float = 1.0
    ) -> None:
        self.generator = generator.eval()
        self.parameter = start.detach().clone().requires_grad_()
        self.bound, self.low, self.high = bound, low, high

    def image(self) -> Tensor:
        """Pixels (N, 3, H, W); differentiable."""
        return (self.generator(self.parameter) - self.low) / (self.high - self.low)

    def project(self) -> None:
        """Clip the parameter to its bounds, if any."""
        if self.bound is not None:
            self.parameter.clamp_(-self.bound, self.bound)
