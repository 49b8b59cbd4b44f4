"""Style transfer by optimization: slow, and of the best quality."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_in_range
from cnnviz.imaging.pixel_ops import gaussian_blur, transfer_color
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
from cnnviz.style.color import match_colors, match_luminance
from cnnviz.style.losses import LossWeights, StyleLoss
from cnnviz.style.regions import MaskedPixels, Region, border_weight, make_regions, union_mask
from cnnviz.style.settings import StyleSettings
from cnnviz.style.smoothing import resnet_layer_scale, with_softmax
from cnnviz.synthesis.estimate import choose_tile, needs_tiles
from cnnviz.synthesis.grid_shift import GridShift
from cnnviz.synthesis.multiscale import (
    MultiscaleOptimizer,
    Size,
    Stage,
    fitting_scales,
    plan_stages,
    resize,
    scales_for,
)
from cnnviz.synthesis.multiscale_synthesis import MultiscaleSynthesis, noise_like
from cnnviz.synthesis.optimization import ImageOptimizer
from cnnviz.synthesis.parameterization import Pixels
from cnnviz.synthesis.settings import build_settings, rename_pooling
from cnnviz.synthesis.stage_runs import ADAM_RATE, DITHER_BLUR, RESTART, adam_run, lbfgs_run
from cnnviz.synthesis.texture_target import TextureTarget, measure_texture, resize_mask

_FIXED_ADAM_FRACTION, _FIXED_ADAM_RATE = 0.2, 0.01
"""Adam's fraction of the steps without shifts, and its learning rate there."""

_RENAMED = {"polish": "adam_fraction", "in_place": "fixed_fraction", "carry": "keep_adam_state"}
"""Names of settings in version 0.1, which still work."""


@torch.inference_mode(False)
def transfer_style(
    network: Network,
    content: Tensor,
    styles: Sequence[Tensor] | Tensor,
    *,
    weights: Sequence[float] | None = None,
    masks: Sequence[Tensor] | None = None,
    style_masks: Sequence[Tensor | None] | None = None,
    settings: StyleSettings | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
    **options: Any,
) -> Tensor:
    """The content image in the style of other images.

    Gatys, Ecker & Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016, arXiv:1508.06576.
    Deviations from the paper are listed at ``StyleLoss``; besides, the optimization is multiscale (Gatys et al., CVPR
    2017, arXiv:1611.07865), and L-BFGS restarts every 25 steps with the image shifted in the network's stride grid.

    Args:
        network: any network; its parameters get no gradients.
        content: pixels (1, 3, H, W), RGB in [0, 1]; the result has its size.
        styles: one or more images (1, 3, h, w), RGB in [0, 1], of any sizes.
        weights: of the styles, whose feature statistics are averaged; equal if None.
        masks: (1, 1, H, W) in [0, 1]: one says where all styles go, several where each style goes; the rest of the
            content is unchanged.
        style_masks: for each style None, or which part of it to use, (1, 1, h, w).
        settings: None takes the defaults of ``StyleSettings``.
        seed: of the initial noise and the random shifts.
        on_step: called after each step; ``terms`` holds the relative losses ``content``, ``style``, and ``tv``.
        options: fields of ``StyleSettings``, which replace those of ``settings``.

    Returns:
        Pixels (1, 3, H, W), in [0, 1].

    Raises:
        UsageError: no such layer, a setting out of range, or an empty mask.
        DivergedError: the optimization diverged, with Adam too; where Adam helped, a RuntimeWarning is given instead.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> content = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> style = cnnviz.read_image("sample_images/starry.jpg", size=64)
        >>> cnnviz.transfer_style(network, content, style, steps=2, content_weight=2.0).shape
        torch.Size([1, 3, 64, 96])
    """
    chosen = build_settings(StyleSettings, settings, rename_pooling(options), _RENAMED)
    styles = [styles] if isinstance(styles, Tensor) else list(styles)
    return StyleTransfer(network, content, styles, weights, masks, style_masks, chosen, seed).run_with_warnings(on_step)


class StyleTransfer(MultiscaleSynthesis):
    """A style transfer that can be watched, stopped, saved and resumed; see ``transfer_style``."""

    def __init__(
        self,
        network: Network,
        content: Tensor,
        styles: Sequence[Tensor],
        weights: Sequence[float] | None = None,
        masks: Sequence[Tensor] | None = None,
        style_masks: Sequence[Tensor | None] | None = None,
        settings: StyleSettings | None = None,
        seed: int = 0,
    ) -> None:
        require_photos(network, "A painting")
        require_any_size(network, "A painting")
        self.settings = settings = settings or StyleSettings()
        self.seed = seed
        self._choose_layers(network)
        self.network = _adapted(in_channels_last(with_weights_cast(network, self.layers)), settings)
        self.source = require_in_range(content).to(network.device, network.pixel_dtype)
        self.size = _size(self.source)
        self.network.require_size(self.size)
        self.regions = make_regions(len(styles), weights, masks)
        self.style_masks = _checked_masks(style_masks, len(styles))
        self.styles = [self._recolored(require_in_range(style).to(self.source)) for style in styles]
        whole = settings.smoothing == "softmax"
        self.tile = 0 if whole else choose_tile(self.network, self.layers, self.size, settings.tile)
        self.multiscale = MultiscaleOptimizer(
            self._initial(), self._stages(), self.prepare_stage, keep_adam_state=settings.keep_adam_state
        )

    def prepare_stage(self, stage: Stage, start: Tensor) -> ImageOptimizer:
        """The run of a stage from the image ``start`` (1, 3, H, W), of the stage's size."""
        content, settings = resize(self.source, stage.size), self.settings
        use_lbfgs = settings.optimizer == "lbfgs" and not stage.uses_adam
        every = RESTART if use_lbfgs else 1 if stage.uses_adam else 5
        largest = 0 if stage.is_fixed else settings.shift
        loss = StyleLoss(
            self.network,
            content,
            self.content_layers,
            self._targets(stage.size, largest // 2),
            self._weights(),
            GridShift(largest, every, self.seed * 101 + stage.number),
            self.tile if needs_tiles(stage.size, self.tile) else 0,
            settings.content_target == "restyled",
        )
        if stage.uses_adam and not stage.is_fixed:
            start = gaussian_blur(start, DITHER_BLUR)
        parameterization = self._parameterize(start, content, bounded=not use_lbfgs)
        if use_lbfgs:
            restart = RESTART if largest else stage.steps  # without shifts the objective does not change
            return lbfgs_run(parameterization, loss, stage.steps, loss.before_step, restart)
        rate = settings.learning_rate
        if stage.uses_adam:
            rate = _FIXED_ADAM_RATE if stage.is_fixed else ADAM_RATE
        return adam_run(parameterization, loss, stage.steps, loss.before_step, rate, settings.average)

    def finish(self, image: Tensor) -> Tensor:
        """The image (1, 3, H, W), with the content's colors where only lightness is transferred."""
        return transfer_color(image, self.source) if self.settings.keep_color == "luminance" else image

    def _choose_layers(self, network: Network) -> None:
        settings, defaults = self.settings, style_layers(network)
        self.layer_weights = _layer_weights(
            network.layer_names(settings.style_layers or defaults.style), settings.layer_weights
        )
        if settings.smoothing == "scaled":  # Gram matrices and covariances, squared: the fourth power
            self.layer_weights = {layer: w * resnet_layer_scale(layer) ** 4 for layer, w in self.layer_weights.items()}
        content = defaults.content_adain if settings.content_target == "restyled" else defaults.content
        self.content_layers = network.layer_names(settings.content_layers or content)
        self.layers = list(dict.fromkeys([*self.layer_weights, *self.content_layers]))

    def _stages(self) -> list[Stage]:
        settings, size = self.settings, self.size
        scales = settings.scales or scales_for(size, least=128)
        scales = fitting_scales(min(scales, settings.steps), size, self.network.spec.min_size)
        stages = plan_stages(size, settings.steps, scales, settings.adam_fraction, settings.fixed_fraction)
        if settings.fixed_fraction and settings.optimizer == "lbfgs":
            stages[-1:] = _split_fixed(stages[-1])
        return stages

    def _initial(self) -> Tensor:
        """The image the optimization starts from, at any size."""
        init = self.settings.init
        if isinstance(init, Tensor):
            return resize(require_in_range(init).to(self.source), self.size)
        return self.source if init == "content" else noise_like(self.source, self._stages()[0].size, self.seed)

    def _parameterize(self, start: Tensor, content: Tensor, bounded: bool) -> Pixels:
        mask = union_mask(self.regions, _size(content))
        if mask is None:
            return Pixels(start, bounded)
        return MaskedPixels(start, content, mask.to(content), bounded)

    def _targets(self, size: Size, margin: int) -> list[tuple[Region, TextureTarget]]:
        side = self.settings.style_scale * math.sqrt(size[0] * size[1])
        least = self.network.spec.min_size
        styles = [resize(style, _scaled(_size(style), side, least)) for style in self.styles]
        masks = [self._style_mask(mask, style) for mask, style in zip(self.style_masks, styles, strict=True)]
        # The statistics that AdaIN gives the content are measured as well; they are no part of the style loss.
        also = self.content_layers if self.settings.content_target == "restyled" else []
        layers = {**dict.fromkeys(also, 0.0), **self.layer_weights}

        def target(region: Region) -> TextureTarget:
            measured = measure_texture(
                self.network,
                [styles[i] for i in region.styles],
                layers,
                blend_weights=region.weights,
                masks=[masks[i] for i in region.styles],
                statistic=self.settings.style_loss,
                margin=margin,
                tile=self.tile,
            )
            return replace(measured, weights=self.layer_weights)

        return [(region, target(region)) for region in self.regions]

    def _style_mask(self, mask: Tensor | None, style: Tensor) -> Tensor | None:
        """The weight of each pixel of a style image: its mask, faded out toward the borders."""
        mask = resize_mask(mask, _size(style), style)
        if not self.settings.fade:
            return mask
        window = border_weight(_size(style), self.settings.fade).to(style)
        return window if mask is None else mask * window

    def _weights(self) -> LossWeights:
        settings = self.settings
        return LossWeights(
            settings.content_weight,
            settings.style_weight,
            settings.palette_weight,
            settings.tv_weight,
            settings.lightness_weight,
        )

    def _recolored(self, style: Tensor) -> Tensor:
        if self.settings.keep_color == "covariance":
            return match_colors(style, self.source)
        return match_luminance(style, self.source) if self.settings.keep_color == "luminance" else style


def _checked_masks(masks: Sequence[Tensor | None] | None, styles: int) -> list[Tensor | None]:
    """A mask, or None, for each style; UsageError where there are too few or too many, or one is empty."""
    if masks is None:
        return [None] * styles
    if len(masks) != styles:
        raise UsageError(f"{styles} styles cannot have {len(masks)} masks.")
    for number, mask in enumerate(masks, start=1):
        if mask is not None and float(mask.max()) <= 0:
            raise UsageError(f"The mask of style {number} is black all over: it leaves nothing of the style.")
    return list(masks)


def _scaled(size: Size, side: float, least: int) -> Size:
    """``size`` scaled until the square root of its area is ``side``, no side below ``least``."""
    factor = side / math.sqrt(size[0] * size[1])
    return max(least, round(size[0] * factor)), max(least, round(size[1] * factor))


def _split_fixed(stage: Stage) -> list[Stage]:
    """The steps without shifts: L-BFGS's, then Adam's, which clips to [0, 1] at every step."""
    adam = round(stage.steps * _FIXED_ADAM_FRACTION)
    first = replace(stage, steps=stage.steps - adam, uses_adam=False)
    last = replace(stage, steps=adam, number=stage.number + 1)
    return [part for part in (first, last) if part.steps]


def _adapted(network: Network, settings: StyleSettings) -> Network:
    """The network with the pooling and smoothing of the settings."""
    if settings.pooling == "max":
        network = with_recomputed_pooling(network)
    else:
        network = with_average_pooling(network, settings.pooling == "rescaled")
    return with_softmax(network) if settings.smoothing == "softmax" else network


def _layer_weights(layers: Sequence[str], weights: Sequence[float] | str | None) -> dict[str, float]:
    if isinstance(weights, str):
        falling = [4.0**-i for i in range(len(layers))]
        weights = [weight * len(layers) / sum(falling) for weight in falling]
    if weights is not None and len(weights) != len(layers):
        raise UsageError(f"{len(layers)} style layers cannot have {len(weights)} weights.")
    return dict(zip(layers, weights or [1.0] * len(layers), strict=True))


def _size(pixels: Tensor) -> Size:
    return int(pixels.shape[2]), int(pixels.shape[3])
