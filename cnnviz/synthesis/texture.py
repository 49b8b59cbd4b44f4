"""Texture synthesis: a new image whose feature statistics are those of a sample."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_in_range
from cnnviz.imaging.pixel_ops import gaussian_blur
from cnnviz.network.checks import require_any_size, require_photos
from cnnviz.network.default_layers import style_layers
from cnnviz.network.network import Network
from cnnviz.network.network_transforms import (
    in_channels_last,
    with_average_pooling,
    with_recomputed_pooling,
    with_weights_cast,
)
from cnnviz.runtime.progress import OnStep
from cnnviz.synthesis.estimate import choose_tile, needs_tiles
from cnnviz.synthesis.grid_shift import GridShift
from cnnviz.synthesis.multiscale import MultiscaleOptimizer, Size, Stage, fitting_scales, plan_stages, resize
from cnnviz.synthesis.multiscale_synthesis import MultiscaleSynthesis, noise_like
from cnnviz.synthesis.optimization import ImageOptimizer
from cnnviz.synthesis.parameterization import Pixels
from cnnviz.synthesis.settings import TextureSettings, build_settings, rename_pooling
from cnnviz.synthesis.sliced_wasserstein import SlicedWasserstein
from cnnviz.synthesis.stage_runs import DITHER_BLUR, RESTART, adam_run, lbfgs_run
from cnnviz.synthesis.texture_loss import BORDER, FRAME, STRIDE, TextureLoss, texture_of
from cnnviz.synthesis.texture_target import TextureTarget

_RENAMED = {"statistic": "style_loss", "polish": "adam_fraction", "in_place": "fixed_fraction"}
"""Names of settings in version 0.1, which still work."""


@torch.inference_mode(False)
def synthesize_texture(
    network: Network,
    sample: Tensor,
    size: Size | None = None,
    *,
    settings: TextureSettings | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
    **options: Any,
) -> Tensor:
    """A new texture like the sample, of any size.

    Gatys, Ecker & Bethge, "Texture Synthesis Using Convolutional Neural Networks", NIPS 2015, arXiv:1505.07376.
    Unlike the paper, distances are relative (``cnnviz.synthesis.feature_statistics``), the distributions of features
    are compared as well (``cnnviz.synthesis.sliced_wasserstein``), the network's zero padding is kept out of sample
    and image, the optimization is multiscale, and L-BFGS restarts every 25 steps with the image shifted in the
    network's stride grid.

    Args:
        network: any network; its parameters get no gradients.
        sample: pixels (1, 3, h, w), RGB in [0, 1].
        size: (H, W) of the result; the sample's if None.
        settings: None takes the defaults of ``TextureSettings``.
        seed: of the initial noise and the random shifts.
        on_step: called after each step; ``terms`` holds the distances ``texture`` (the layers' mean),
            ``distribution`` (likewise) and ``palette``.
        options: fields of ``TextureSettings``, which replace those of ``settings``.

    Returns:
        Pixels (1, 3, H, W), in [0, 1].

    Raises:
        UsageError: no such layer, or a setting out of range.
        DivergedError: the optimization diverged, with Adam too; where Adam helped, a RuntimeWarning is given instead.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> sample = cnnviz.read_image("sample_images/gravel.png", size=64)
        >>> cnnviz.synthesize_texture(network, sample, (64, 96), steps=2).shape
        torch.Size([1, 3, 64, 96])
    """
    chosen = build_settings(TextureSettings, settings, rename_pooling(options), _RENAMED)
    return TextureSynthesis(network, sample, size, chosen, seed).run_with_warnings(on_step)


class TextureSynthesis(MultiscaleSynthesis):
    """A texture synthesis that can be watched, stopped, saved and resumed; see ``synthesize_texture``."""

    def __init__(
        self,
        network: Network,
        sample: Tensor,
        size: Size | None = None,
        settings: TextureSettings | None = None,
        seed: int = 0,
    ) -> None:
        require_photos(network, "A texture")
        require_any_size(network, "A texture")
        self.settings = settings = settings or TextureSettings()
        self.layers = network.layer_names(settings.layers or style_layers(network).style)
        if settings.layer_weights is not None and len(settings.layer_weights) != len(self.layers):
            raise UsageError(f"{len(self.layers)} layers cannot have {len(settings.layer_weights)} weights.")
        self.weights = dict(zip(self.layers, settings.layer_weights or [1.0] * len(self.layers), strict=True))
        network = in_channels_last(with_weights_cast(network, self.layers))
        average = settings.pooling == "average"
        self.network = with_average_pooling(network) if average else with_recomputed_pooling(network)
        self.source = require_in_range(sample).to(network.device, network.pixel_dtype)
        self.size = size or (sample.shape[2], sample.shape[3])
        network.require_size(self.size)
        self.seed = seed
        self.tile = choose_tile(self.network, self.layers, self.size, settings.tile)
        stages = plan_texture(self.size, settings, network.spec.min_size)
        start = noise_like(self.source, stages[0].size, seed)
        self.multiscale = MultiscaleOptimizer(start, stages, self.prepare_stage, settings.seamless)

    def prepare_stage(self, stage: Stage, start: Tensor) -> ImageOptimizer:
        """The run of a stage from the image ``start`` (1, 3, H, W), of the stage's size."""
        target, distributions = self._target(stage)
        settings = self.settings
        loss = TextureLoss(
            self.network,
            target,
            stage.size,
            settings.palette_weight,
            self._shift(stage),
            distributions,
            settings.distribution_weight,
            self.tile if needs_tiles(stage.size, self.tile) else 0,
            FRAME if stage.is_fixed else BORDER,
        )
        if stage.uses_adam:
            parameterization = self._pixels(self._blurred(start), bounded=True)
            return adam_run(parameterization, loss, stage.steps, loss.before_step)
        restart = stage.steps if stage.is_fixed else RESTART
        return lbfgs_run(self._pixels(start, bounded=stage.is_fixed), loss, stage.steps, loss.before_step, restart)

    def _shift(self, stage: Stage) -> GridShift:
        seed, seamless = self.seed * 101 + stage.number, self.settings.seamless
        if not stage.is_fixed:
            return GridShift(STRIDE, 1 if stage.uses_adam else RESTART, seed, circular=seamless)
        # Fixed in the stride grid, but a tiling image may begin anywhere: otherwise its border would be the view's.
        return GridShift(STRIDE if seamless else 0, stage.steps, seed, circular=seamless, step=STRIDE)

    def _target(self, stage: Stage) -> tuple[TextureTarget, SlicedWasserstein | None]:
        """The sample's moments at a stage's size and, unless it is fixed, its distributions."""
        factor = stage.size[0] / self.size[0]
        least = self.network.spec.min_size
        height, width = (max(least, round(side * factor)) for side in self.source.shape[2:])
        sample = resize(self.source, (height, width))
        target, distributions = texture_of(self.network, sample, self.weights, self.settings.style_loss)
        return target, distributions if self.settings.distribution_weight and not stage.is_fixed else None

    def _blurred(self, pixels: Tensor) -> Tensor:
        if not self.settings.seamless:
            return gaussian_blur(pixels, DITHER_BLUR)
        wrapped = F.pad(pixels, (4, 4, 4, 4), mode="circular")
        return gaussian_blur(wrapped, DITHER_BLUR)[:, :, 4:-4, 4:-4]

    def _pixels(self, start: Tensor, bounded: bool) -> Pixels:
        gray = bool((self.source == self.source[:, :1]).all())
        return GrayPixels(start, bounded) if gray else Pixels(start, bounded)


def plan_texture(size: Size, settings: TextureSettings, least: int = 1) -> list[Stage]:
    """The stages of a texture: coarse to fine, the last size refined with Adam and then without shifts.

    ``least``: the smallest side that the network takes, in pixels.
    """
    fixed = min(round(settings.steps * settings.fixed_fraction), settings.steps - 1)
    steps = settings.steps - fixed
    stages = plan_stages(size, steps, fitting_scales(min(settings.scales, steps), size, least))
    last = stages.pop()
    adam = round(last.steps * settings.adam_fraction)
    for count, uses_adam, is_fixed in ((last.steps - adam, False, False), (adam, True, False), (fixed, False, True)):
        if count:
            stages.append(Stage(len(stages), last.size, count, uses_adam, is_fixed))
    return stages


class GrayPixels(Pixels):
    """Pixels of one value for all three colors, so that a gray sample's texture is gray."""

    def image(self) -> Tensor:
        """Pixels (N, 3, H, W), the channels' mean in each; differentiable."""
        return self.parameter.mean(1, keepdim=True).expand_as(self.parameter)
