"""More of a texture: a new picture that the network cannot tell from the sample by the moments of its features."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.network import Network
from cnnviz.network.variants import in_channels_last, with_average_pooling
from cnnviz.runtime.progress import OnStep
from cnnviz.synthesis.ascent import Ascent, cosine
from cnnviz.synthesis.estimate import Estimate, estimate_run
from cnnviz.synthesis.moments import distance
from cnnviz.synthesis.optimizers import Adam
from cnnviz.synthesis.painting_layers import painting_layers
from cnnviz.synthesis.parameterization import Pixels
from cnnviz.synthesis.stages import (
    RESTART,
    CoarseToFine,
    RandomShift,
    Size,
    Stage,
    plan_stages,
    quasi_newton_run,
    resize,
)
from cnnviz.synthesis.texture_target import TextureTarget, measure_texture
from cnnviz.synthesis.transforms import gaussian_blur

_SCALE = 1e3
"""Distances are relative, about 1, and L-BFGS stops at gradients below 1e-7."""

_SHIFT = 16
"""Pixels, the stride of the deepest layers in use."""

_POLISH_RATE, _SOFTEN = 0.02, 0.5
"""Adam's step size where a picture is gone over, and the blur before it, in pixels."""


@dataclass(frozen=True)
class TextureSettings:
    """How a texture is made.

    Attributes:
        layers: whose features are matched; None takes the network's default.
        layer_weights: one for each layer; all 1 if None.
        statistic: ``gram`` (Gatys 2015), ``covariance`` (and mean, apart) or ``wasserstein`` (of Gaussians).
        palette_weight: of the distance between the colours.
        steps: evaluations of the network, forward and backward, shared among the scales.
        scales: how many sizes, each twice the one before, the texture is painted at.
        polish: share of the steps in which each size is gone over with Adam, moved about at every step.
        seamless: opposite borders fit, so that the picture tiles. Otherwise what is seen beyond the borders is a
            reflection, which shows in them.
        average_pooling: averages where the network takes maxima, which leaves less noise.
    """

    layers: Sequence[str] | None = None
    layer_weights: Sequence[float] | None = None
    statistic: str = "covariance"
    palette_weight: float = 100.0
    steps: int = 240
    scales: int = 2
    polish: float = 0.375
    seamless: bool = True
    average_pooling: bool = True

    def __post_init__(self) -> None:
        distance(self.statistic)
        if self.steps < 1 or self.scales < 1:
            raise UsageError("At least one step and one scale are needed.")


def synthesize_texture(
    network: Network,
    sample: Tensor,
    size: Size | None = None,
    *,
    seed: int = 0,
    on_step: OnStep | None = None,
    **settings: Any,
) -> Tensor:
    """Make a new texture like the sample, of any size.

    Gatys, Ecker & Bethge, "Texture Synthesis Using Convolutional Neural Networks", NIPS 2015, arXiv:1505.07376.
    Opposed to the paper, distances are relative and by default of means and covariances rather than Gram matrices
    (``cnnviz.synthesis.moments``), the picture is painted coarse to fine, and L-BFGS starts anew every 25 steps with
    the picture moved in the network's grid.

    Args:
        network: any; gradients go to the picture alone.
        sample: (1, 3, h, w), RGB in [0, 1].
        size: (H, W) of the result; the sample's if None.
        seed: of the noise it begins with, and of the positions.
        on_step: told after each step; ``terms`` holds the distances ``texture`` and ``palette``.
        settings: the fields of ``TextureSettings``.

    Returns:
        (1, 3, H, W), in [0, 1].

    Raises:
        UsageError: no such layer, or settings that make no sense.
        DivergedError: the optimisation ran away, with Adam too; a warning is given where Adam saved it.
    """
    found = TextureSynthesis(network, sample, size, TextureSettings(**settings), seed)
    picture = found.run(on_step)
    for remark in found.remarks:
        warnings.warn(remark, RuntimeWarning, stacklevel=2)
    return picture


class TextureLoss:
    """How far pixels are from a texture; gradients reach nothing but the pixels."""

    def __init__(self, network: Network, target: TextureTarget, palette_weight: float, shift: RandomShift) -> None:
        self.network, self.target, self.palette_weight, self.shift = network, target, palette_weight, shift

    def before_step(self, step: int) -> None:
        """Move on to the position of ``step``; a hook of ``Ascent``."""
        self.shift.draw(step)

    def __call__(self, pixels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of pixels (1, 3, H, W), and its parts before their weights."""
        seen = self.shift(pixels)
        texture = self.target.texture_distance(self.network.features(seen, list(self.target.weights)))
        palette = self.target.palette_distance(seen)
        loss = _SCALE * (texture + self.palette_weight * palette)
        return loss, {"texture": texture.detach(), "palette": palette.detach()}


class TextureSynthesis:
    """A texture in the making, that can be watched, stopped, saved and gone on with; see ``synthesize_texture``."""

    def __init__(
        self,
        network: Network,
        sample: Tensor,
        size: Size | None = None,
        settings: TextureSettings | None = None,
        seed: int = 0,
    ) -> None:
        self.settings = settings = settings or TextureSettings()
        network = in_channels_last(network)
        self.network = with_average_pooling(network) if settings.average_pooling else network
        self.sample = sample.to(network.device, network.dtype)
        self.size = size or (sample.shape[2], sample.shape[3])
        self.seed = seed
        layers = list(settings.layers or painting_layers(network).style)
        if settings.layer_weights is not None and len(settings.layer_weights) != len(layers):
            raise UsageError(f"{len(layers)} layers cannot have {len(settings.layer_weights)} weights.")
        self.weights = dict(zip(layers, settings.layer_weights or [1.0] * len(layers), strict=True))
        stages = plan_stages(self.size, settings.steps, min(settings.scales, settings.steps), settings.polish)
        self.painting = CoarseToFine(self._noise(stages[0].size), stages, self._prepare, settings.seamless)

    @property
    def remarks(self) -> list[str]:
        """What the user should know of how it went."""
        return self.painting.remarks

    def run(self, on_step: OnStep | None = None) -> Tensor:
        """Take the steps that remain and return the picture (1, 3, H, W), in [0, 1]."""
        return self.painting.run(on_step)

    def image(self) -> Tensor:
        """The picture so far, at its final size."""
        return resize(self.painting.image(), self.size)

    def state_dict(self) -> dict[str, Any]:
        """All it takes to go on later with the same sample and settings."""
        return self.painting.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.painting.load_state_dict(state)

    def estimate(self) -> Estimate:
        """What the run will take; costs two steps at the smallest size."""
        stages = self.painting.stages
        return estimate_run(self.network, stages, lambda stage: self._prepare(stage, self._noise(stage.size)))

    def _noise(self, size: Size) -> Tensor:
        """Noise with the mean and deviation of the sample's colours."""
        noise = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(self.seed)).to(self.sample)
        mean, deviation = self.sample.mean((2, 3), keepdim=True), self.sample.std((2, 3), keepdim=True)
        return (mean + deviation * noise).clamp(0, 1)

    def _prepare(self, stage: Stage, start: Tensor) -> Ascent:
        factor = stage.size[0] / self.size[0]
        least = self.network.spec.min_size
        height, width = (max(least, round(side * factor)) for side in self.sample.shape[2:])
        target = measure_texture(
            self.network,
            [resize(self.sample, (height, width))],
            self.weights,
            statistic=self.settings.statistic,
            margin=_SHIFT // 2,
        )
        shift = RandomShift(
            _SHIFT, 1 if stage.polish else RESTART, self.seed * 101 + stage.number, circular=self.settings.seamless
        )
        loss = TextureLoss(self.network, target, self.settings.palette_weight, shift)
        if not stage.polish:
            return quasi_newton_run(self._pixels(start, bounded=False), loss, stage.steps, loss.before_step)
        picture = self._pixels(self._softened(start), bounded=True)
        return Ascent(picture, loss, Adam(_POLISH_RATE), stage.steps, schedule=cosine, before_step=loss.before_step)

    def _softened(self, pixels: Tensor) -> Tensor:
        if not self.settings.seamless:
            return gaussian_blur(pixels, _SOFTEN)
        wrapped = torch.nn.functional.pad(pixels, (4, 4, 4, 4), mode="circular")
        return gaussian_blur(wrapped, _SOFTEN)[:, :, 4:-4, 4:-4]

    def _pixels(self, start: Tensor, bounded: bool) -> Pixels:
        grey = bool((self.sample == self.sample[:, :1]).all())
        return GreyPixels(start, bounded) if grey else Pixels(start, bounded)


class GreyPixels(Pixels):
    """Pixels of one value for all three colours, so that a grey sample's texture is grey."""

    def image(self) -> Tensor:
        return self.parameter.mean(1, keepdim=True).expand_as(self.parameter)
