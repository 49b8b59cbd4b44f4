"""More of a texture: a new picture that the network cannot tell from the sample by the moments of its features."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_in_range
from cnnviz.imaging.pixel_ops import gaussian_blur
from cnnviz.network.default_layers import style_layers
from cnnviz.network.network import Network
from cnnviz.network.network_transforms import (
    in_channels_last,
    with_average_pooling,
    with_recomputed_pooling,
    with_weights_cast,
)
from cnnviz.runtime.progress import OnStep
from cnnviz.synthesis.estimate import Estimate, choose_tile, estimate_run, parts
from cnnviz.synthesis.feature_statistics import distance
from cnnviz.synthesis.multiscale import (
    GridShift,
    MultiscaleOptimizer,
    Size,
    Stage,
    fitting_scales,
    lbfgs_run,
    plan_stages,
    resize,
)
from cnnviz.synthesis.optimization import ImageOptimizer, cosine
from cnnviz.synthesis.optimizers import Adam
from cnnviz.synthesis.parameterization import Pixels
from cnnviz.synthesis.sliced_wasserstein import SlicedWasserstein
from cnnviz.synthesis.texture_loss import BORDER, FRAME, STRIDE, TextureLoss, texture_of
from cnnviz.synthesis.texture_target import TextureTarget

_ERA = 25
"""Steps of L-BFGS between moves."""

_POLISH_RATE, _SOFTEN = 0.02, 0.5
"""Adam's step size where a picture is gone over, and the blur before it, in pixels."""


@dataclass(frozen=True)
class TextureSettings:
    """How a texture is made.

    Attributes:
        layers: whose features are matched; None takes the network's default.
        layer_weights: one for each layer; all 1 if None.
        statistic: ``gram`` (Gatys 2015), ``covariance`` (and mean, apart) or ``wasserstein`` (of Gaussians).
        distribution_weight: of the distance between the distributions of features (``SlicedWasserstein``), which keeps
            the texture even where it is larger than its sample.
        palette_weight: of the distance between the colours.
        steps: evaluations of the network, forward and backward, shared among the scales.
        scales: how many sizes, each twice the one before, the texture is painted at.
        polish: share of the last size's steps in which it is gone over with Adam, moved about at every step, which
            ends the fine dither that L-BFGS leaves.
        in_place: share of all steps, the last, in which the picture is not moved any more and the statistic alone is
            brought down.
        seamless: opposite borders fit, so that the picture tiles. Otherwise what is seen beyond the borders is a
            reflection, which shows in them.
        average_pooling: averages where the network takes maxima, which leaves less noise.
        tile: largest side of the pieces the network is shown, for textures larger than memory; 0 for the whole, None
            for pieces where the whole does not fit. Distributions are compared within each piece then; all else is as
            in the whole.
    """

    layers: Sequence[str] | None = None
    layer_weights: Sequence[float] | None = None
    statistic: str = "gram"
    distribution_weight: float = 1.0
    palette_weight: float = 100.0
    steps: int = 200
    scales: int = 2
    polish: float = 0.25
    in_place: float = 0.35
    seamless: bool = True
    average_pooling: bool = True
    tile: int | None = None

    def __post_init__(self) -> None:
        distance(self.statistic)
        if self.steps < 1 or self.scales < 1:
            raise UsageError("At least one step and one scale are needed.")
        if not (0 <= self.polish <= 1 and 0 <= self.in_place <= 1):
            raise UsageError("The shares of steps must lie between 0 and 1.")
        if self.distribution_weight < 0 or self.palette_weight < 0:
            raise UsageError("Weights must not be negative.")


@torch.inference_mode(False)
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
    Unlike the paper, distances are relative (``cnnviz.synthesis.feature_statistics``), the distributions of features
    are compared as well (``cnnviz.synthesis.sliced_wasserstein``), the zeros that networks pad with are kept out of
    sample and image, the image is painted coarse to fine, and L-BFGS restarts every 25 steps with the image
    moved in the network's grid.

    Args:
        network: any; gradients go to the picture alone.
        sample: (1, 3, h, w), RGB in [0, 1].
        size: (H, W) of the result; the sample's if None.
        seed: of the noise it begins with, and of the positions.
        on_step: told after each step; ``terms`` holds the distances ``texture`` (the layers' mean),
            ``distribution`` (likewise) and ``palette``.
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
        layers = list(settings.layers or style_layers(network).style)
        network = in_channels_last(with_weights_cast(network, layers))
        self.network = with_average_pooling(network) if settings.average_pooling else with_recomputed_pooling(network)
        self.sample = require_in_range(sample).to(network.device, network.pixel_dtype)
        self.size = size or (sample.shape[2], sample.shape[3])
        network.require_size(self.size)
        self.seed = seed
        if settings.layer_weights is not None and len(settings.layer_weights) != len(layers):
            raise UsageError(f"{len(layers)} layers cannot have {len(settings.layer_weights)} weights.")
        self.weights = dict(zip(layers, settings.layer_weights or [1.0] * len(layers), strict=True))
        self.tile = choose_tile(self.network, layers, self.size, settings.tile)
        stages = plan_texture(self.size, settings, network.spec.min_size)
        self.painting = MultiscaleOptimizer(self._noise(stages[0].size), stages, self._prepare, settings.seamless)

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
        layers = list(self.weights)
        return estimate_run(
            self.network, layers, stages, lambda stage: self._prepare(stage, self._noise(stage.size)), self.tile
        )

    def _noise(self, size: Size) -> Tensor:
        """Noise with the mean and deviation of the sample's colours."""
        noise = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(self.seed)).to(self.sample)
        mean, deviation = self.sample.mean((2, 3), keepdim=True), self.sample.std((2, 3), keepdim=True)
        return (mean + deviation * noise).clamp(0, 1)

    def _prepare(self, stage: Stage, start: Tensor) -> ImageOptimizer:
        shift = self._shift(stage)
        target, distributions = self._target(stage)
        settings = self.settings
        loss = TextureLoss(
            self.network,
            target,
            stage.size,
            settings.palette_weight,
            shift,
            distributions,
            settings.distribution_weight,
            self.tile if parts(stage.size, self.tile) else 0,
            FRAME if stage.in_place else BORDER,
        )
        if stage.in_place:
            return lbfgs_run(self._pixels(start, bounded=True), loss, stage.steps, loss.before_step, stage.steps)
        if not stage.polish:
            return lbfgs_run(self._pixels(start, bounded=False), loss, stage.steps, loss.before_step, _ERA)
        picture = self._pixels(self._softened(start), bounded=True)
        return ImageOptimizer(
            picture, loss, Adam(_POLISH_RATE), stage.steps, schedule=cosine, before_step=loss.before_step
        )

    def _shift(self, stage: Stage) -> GridShift:
        seed, seamless = self.seed * 101 + stage.number, self.settings.seamless
        if not stage.in_place:
            return GridShift(STRIDE, 1 if stage.polish else _ERA, seed, circular=seamless)
        # Seen from one place in the network's grid; but what tiles may begin anywhere, lest its border be the view's.
        return GridShift(STRIDE if seamless else 0, stage.steps, seed, circular=seamless, step=STRIDE)

    def _target(self, stage: Stage) -> tuple[TextureTarget, SlicedWasserstein | None]:
        """What is wanted at a size: moments, and, but in place, distributions."""
        factor = stage.size[0] / self.size[0]
        least = self.network.spec.min_size
        height, width = (max(least, round(side * factor)) for side in self.sample.shape[2:])
        sample = resize(self.sample, (height, width))
        target, distributions = texture_of(self.network, sample, self.weights, self.settings.statistic)
        return target, distributions if self.settings.distribution_weight and not stage.in_place else None

    def _softened(self, pixels: Tensor) -> Tensor:
        if not self.settings.seamless:
            return gaussian_blur(pixels, _SOFTEN)
        wrapped = F.pad(pixels, (4, 4, 4, 4), mode="circular")
        return gaussian_blur(wrapped, _SOFTEN)[:, :, 4:-4, 4:-4]

    def _pixels(self, start: Tensor, bounded: bool) -> Pixels:
        grey = bool((self.sample == self.sample[:, :1]).all())
        return GreyPixels(start, bounded) if grey else Pixels(start, bounded)


def plan_texture(size: Size, settings: TextureSettings, least: int = 1) -> list[Stage]:
    """The sizes and steps of a texture: coarse to fine, the last one gone over with Adam and then in place.

    ``least``: pixels of a side that the network needs.
    """
    in_place = min(round(settings.steps * settings.in_place), settings.steps - 1)
    steps = settings.steps - in_place
    stages = plan_stages(size, steps, fitting_scales(min(settings.scales, steps), size, least))
    last = stages.pop()
    polish = round(last.steps * settings.polish)
    for count, kind in ((last.steps - polish, ()), (polish, (True,)), (in_place, (True, True))):
        if count:
            stages.append(Stage(len(stages), last.size, count, *kind))
    return stages


class GreyPixels(Pixels):
    """Pixels of one value for all three colours, so that a grey sample's texture is grey."""

    def image(self) -> Tensor:
        return self.parameter.mean(1, keepdim=True).expand_as(self.parameter)
