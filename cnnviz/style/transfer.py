"""A photo painted in the style of other pictures, by optimisation: slow, and as good as it gets."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_in_range
from cnnviz.imaging.pixel_ops import gaussian_blur, transfer_color
from cnnviz.network import checks
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
from cnnviz.synthesis.ema import EMAOptimizer
from cnnviz.synthesis.estimate import Estimate, choose_tile, estimate_run, parts
from cnnviz.synthesis.multiscale import (
    RESTART,
    GridShift,
    MultiscaleOptimizer,
    Size,
    Stage,
    fitting_scales,
    lbfgs_run,
    plan_stages,
    resize,
    scales_for,
)
from cnnviz.synthesis.optimization import ImageOptimizer, cosine
from cnnviz.synthesis.optimizers import Adam
from cnnviz.synthesis.parameterization import Pixels
from cnnviz.synthesis.texture_target import TextureTarget, at, measure_texture

_IN_RANGE, _CAREFUL_RATE = 0.2, 0.01
"""Adam's share of the steps in place, and its step size there."""

_POLISH_RATE, _SOFTEN = 0.02, 0.5
"""Adam's step size where a picture is gone over, and the blur before it, in pixels, that ends L-BFGS's dither."""


@torch.inference_mode(False)
def transfer_style(
    network: Network,
    content: Tensor,
    styles: Sequence[Tensor] | Tensor,
    *,
    weights: Sequence[float] | None = None,
    masks: Sequence[Tensor] | None = None,
    style_masks: Sequence[Tensor | None] | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
    **settings: Any,
) -> Tensor:
    """Paint the content in the style of other pictures.

    Gatys, Ecker & Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016, arXiv:1508.06576.
    What is done otherwise is told at ``StyleLoss``, and: the picture is painted coarse to fine (Gatys et al., CVPR
    2017, arXiv:1611.07865), and L-BFGS starts anew every 25 steps, with the picture moved.

    Args:
        network: any; gradients go to the picture alone.
        content: the photo (1, 3, H, W), RGB in [0, 1]; the result has its size.
        styles: one or more pictures (1, 3, h, w), of any sizes.
        weights: of the styles, whose moments are averaged; all alike if None.
        masks: (1, 1, H, W) in [0, 1]: one says where all is painted, several where each style is; the rest of the
            photo stays.
        style_masks: for each style None, or which part of it is meant, (1, 1, h, w).
        seed: of the noise and the positions.
        on_step: told after each step; ``terms`` holds the relative losses ``content``, ``style``, and ``tv``.
        settings: the fields of ``StyleSettings``.

    Returns:
        (1, 3, H, W), in [0, 1].

    Raises:
        UsageError: no such layer, or settings that make no sense.
        DivergedError: the optimisation ran away, with Adam too; a warning is given where Adam saved it.
    """
    styles = [styles] if isinstance(styles, Tensor) else list(styles)
    found = StyleTransfer(network, content, styles, weights, masks, style_masks, StyleSettings(**settings), seed)
    picture = found.run(on_step)
    for remark in found.remarks:
        warnings.warn(remark, RuntimeWarning, stacklevel=2)
    return picture


class StyleTransfer:
    """A style transfer that can be watched, stopped, saved and gone on with; see ``transfer_style``."""

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
        self.settings = settings = settings or StyleSettings()
        defaults = style_layers(network)
        self.layer_weights = _weighted(settings.style_layers or defaults.style, settings.layer_weights)
        if settings.smoothing == "scaled":  # Gram matrices and covariances, squared: the fourth power
            self.layer_weights = {layer: w * resnet_layer_scale(layer) ** 4 for layer, w in self.layer_weights.items()}
        layers = defaults.content_adain if settings.content_target == "restyled" else defaults.content
        self.content_layers = list(settings.content_layers or layers)
        self.layers = list(dict.fromkeys([*self.layer_weights, *self.content_layers]))
        self.network = _altered(in_channels_last(with_weights_cast(network, self.layers)), settings)
        self.seed = seed
        self.content = require_in_range(content).to(network.device, network.pixel_dtype)
        self.network.require_size(_size(self.content))
        self.regions = make_regions(len(styles), weights, masks)
        if style_masks is not None and len(style_masks) != len(styles):
            raise UsageError(f"{len(styles)} styles cannot have {len(style_masks)} masks.")
        for number, mask in enumerate(style_masks or [], start=1):
            if mask is not None and float(mask.max()) <= 0:
                raise UsageError(f"The mask of style {number} is black all over: it leaves nothing of the style.")
        self.style_masks = list(style_masks) if style_masks is not None else [None] * len(styles)
        self.styles = [self._recolored(require_in_range(style).to(self.content)) for style in styles]
        whole = settings.smoothing == "softmax"
        self.tile = 0 if whole else choose_tile(self.network, self.layers, _size(self.content), settings.tile)
        self.painting = MultiscaleOptimizer(
            self._first(), self._stages(), self._prepare, keep_adam_state=settings.carry
        )

    @property
    def remarks(self) -> list[str]:
        """What the user should know of how it went."""
        return self.painting.remarks

    def run(self, on_step: OnStep | None = None) -> Tensor:
        """Take the steps that remain and return the picture (1, 3, H, W), in [0, 1]."""
        with checks.explain_divergence(self.network, self.content):
            return self._finished(self.painting.run(on_step))

    def image(self) -> Tensor:
        """The picture so far, at the content's size."""
        return self._finished(resize(self.painting.image(), _size(self.content)))

    def state_dict(self) -> dict[str, Any]:
        """All it takes to go on later with the same pictures and settings."""
        return self.painting.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.painting.load_state_dict(state)

    def estimate(self) -> Estimate:
        """What the run will take; costs two steps at the smallest size."""
        return estimate_run(
            self.network,
            self.layers,
            self.painting.stages,
            lambda stage: self._prepare(stage, resize(self.content, stage.size)),
            self.tile,
        )

    def _stages(self) -> list[Stage]:
        size = _size(self.content)
        scales = self.settings.scales or scales_for(size, least=128)
        settings = self.settings
        scales = fitting_scales(min(scales, settings.steps), size, self.network.spec.min_size)
        stages = plan_stages(size, settings.steps, scales, settings.polish, settings.in_place)
        if settings.in_place and settings.optimizer == "lbfgs":
            stages[-1:] = _ending(stages[-1])
        return stages

    def _first(self) -> Tensor:
        init = self.settings.init
        if isinstance(init, Tensor):
            return resize(require_in_range(init).to(self.content), _size(self.content))
        if init == "content":
            return self.content
        size = self._stages()[0].size
        noise = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(self.seed)).to(self.content)
        mean, deviation = self.content.mean((2, 3), keepdim=True), self.content.std((2, 3), keepdim=True)
        return (mean + deviation * noise).clamp(0, 1)

    def _prepare(self, stage: Stage, start: Tensor) -> ImageOptimizer:
        content, settings = resize(self.content, stage.size), self.settings
        quasi_newton = settings.optimizer == "lbfgs" and not stage.polish
        every = RESTART if quasi_newton else 1 if stage.polish else 5
        largest = 0 if stage.in_place else settings.shift
        shift = GridShift(largest, every, self.seed * 101 + stage.number)
        loss = StyleLoss(
            self.network,
            content,
            self.content_layers,
            self._targets(stage.size, largest // 2),
            self._weights(),
            shift,
            self.tile if parts(stage.size, self.tile) else 0,
            settings.content_target == "restyled",
        )
        if stage.polish and not stage.in_place:
            start = gaussian_blur(start, _SOFTEN)
        picture = self._picture(start, content, bounded=not quasi_newton)
        if quasi_newton:
            restart = RESTART if largest else stage.steps  # where nothing moves, nothing need be forgotten
            return lbfgs_run(picture, loss, stage.steps, loss.before_step, restart)
        rate = settings.learning_rate
        if stage.polish:
            rate = _CAREFUL_RATE if stage.in_place else _POLISH_RATE
        run = partial(EMAOptimizer, decay=settings.average) if settings.average else ImageOptimizer
        return run(picture, loss, Adam(rate), stage.steps, schedule=cosine, before_step=loss.before_step)

    def _picture(self, start: Tensor, content: Tensor, bounded: bool) -> Pixels:
        covering = union_mask(self.regions, _size(content))
        if covering is None:
            return Pixels(start, bounded)
        return MaskedPixels(start, content, covering.to(content), bounded)

    def _targets(self, size: Size, margin: int) -> list[tuple[Region, TextureTarget]]:
        side = self.settings.style_scale * math.sqrt(size[0] * size[1])
        least = self.network.spec.min_size
        styles = [resize(style, _scaled(_size(style), side, least)) for style in self.styles]
        masks = [self._seen(mask, style) for mask, style in zip(self.style_masks, styles, strict=True)]
        # What the content is to be restyled to is measured as well; it is no part of the style's loss.
        also = self.content_layers if self.settings.content_target == "restyled" else []
        layers = {**dict.fromkeys(also, 0.0), **self.layer_weights}

        def target(region: Region) -> TextureTarget:
            found = measure_texture(
                self.network,
                [styles[i] for i in region.styles],
                layers,
                shares=region.weights,
                masks=[masks[i] for i in region.styles],
                statistic=self.settings.style_loss,
                margin=margin,
                tile=self.tile,
            )
            return replace(found, weights=self.layer_weights)

        return [(region, target(region)) for region in self.regions]

    def _seen(self, mask: Tensor | None, style: Tensor) -> Tensor | None:
        """What counts of a style picture: its mask, faded out towards the borders."""
        mask = at(mask, style)
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
            return match_colors(style, self.content)
        return match_luminance(style, self.content) if self.settings.keep_color == "luminance" else style

    def _finished(self, picture: Tensor) -> Tensor:
        return transfer_color(picture, self.content) if self.settings.keep_color == "luminance" else picture


def _scaled(size: Size, side: float, least: int) -> Size:
    """``size`` enlarged or shrunk until the square root of its area is ``side``, no side below ``least``."""
    factor = side / math.sqrt(size[0] * size[1])
    return max(least, round(size[0] * factor)), max(least, round(size[1] * factor))


def _ending(stage: Stage) -> list[Stage]:
    """The steps in place: L-BFGS's, and Adam's, which keeps to the range of pixels and mends what lies outside."""
    adams = round(stage.steps * _IN_RANGE)
    first = replace(stage, steps=stage.steps - adams, polish=False)
    last = replace(stage, steps=adams, number=stage.number + 1)
    return [each for each in (first, last) if each.steps]


def _altered(network: Network, settings: StyleSettings) -> Network:
    """The network as it looks at paintings."""
    average = settings.average_pooling
    network = with_average_pooling(network, settings.rescale_pooling) if average else with_recomputed_pooling(network)
    return with_softmax(network) if settings.smoothing == "softmax" else network


def _weighted(layers: Sequence[str], weights: Sequence[float] | str | None) -> dict[str, float]:
    if isinstance(weights, str):
        falling = [4.0**-i for i in range(len(layers))]
        weights = [weight * len(layers) / sum(falling) for weight in falling]
    if weights is not None and len(weights) != len(layers):
        raise UsageError(f"{len(layers)} style layers cannot have {len(weights)} weights.")
    return dict(zip(layers, weights or [1.0] * len(layers), strict=True))


def _size(pixels: Tensor) -> Size:
    return int(pixels.shape[2]), int(pixels.shape[3])
