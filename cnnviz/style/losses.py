"""The loss of a style transfer at one size: content, style and smoothness of a picture, as one scalar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cnnviz.network import Network
from cnnviz.style.regions import Region
from cnnviz.synthesis.moments import relative_error
from cnnviz.synthesis.regularizers import total_variation
from cnnviz.synthesis.stages import RandomShift
from cnnviz.synthesis.texture_target import TextureTarget, at

SCALE = 1e3
"""All losses are multiplied by it: they are relative, about 1, and L-BFGS stops at gradients below 1e-7."""


@dataclass(frozen=True)
class LossWeights:
    """What each part of the loss counts for."""

    content: float
    style: float
    palette: float
    tv: float


class StyleLoss:
    """``content · C(x) + style · Σ_l w_l S_l(x) + palette · P(x) + tv · TV(x)``, times 1000.

    Gradients reach nothing but the pixels.

    Gatys, Ecker & Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016, arXiv:1508.06576.
    Opposed to the paper, C and S_l are relative to their targets (``cnnviz.synthesis.moments``), so that the same
    weights serve all networks and sizes; TV is the mean squared difference of neighbours; and the picture is seen at
    changing positions in the network's stride grid, with reflected borders, which leaves no grid and no frame. P is
    ours: the Wasserstein distance between the colours of the pixels, without which specks of foreign colours stay.

    With regions, the style term is the sum of theirs, each weighed by its share of the area.
    """

    def __init__(
        self,
        network: Network,
        content: Tensor,
        content_layers: Sequence[str],
        regions: Sequence[tuple[Region, TextureTarget]],
        weights: LossWeights,
        shift: RandomShift | None = None,
    ) -> None:
        self.network, self.content, self.weights, self.regions = network, content, weights, regions
        self.content_layers, self.shift = list(content_layers), shift
        style_layers = [layer for _, target in regions for layer in target.weights]
        self.layers = list(dict.fromkeys([*style_layers, *content_layers]))
        self.masks = [at(region.mask, content) for region, _ in regions]
        self.look()

    def before_step(self, step: int) -> None:
        """Move on to the position of ``step``; a hook of ``Ascent``."""
        if self.shift is not None and self.shift.draw(step):
            self.look()

    def look(self) -> None:
        """See content and masks from the position where the picture now lies."""
        seen = self._view(self.content)
        with torch.no_grad():
            self.wanted = self.network.features(seen, self.content_layers) if self.weights.content else {}
        self.seen_masks = [None if mask is None else self._view(mask) for mask in self.masks]

    def __call__(self, pixels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of pixels (1, 3, H, W), and ``content``, ``style``, ``palette`` and ``tv`` before their weights."""
        seen = self._view(pixels)
        features = self.network.features(seen, self.layers)
        content = sum((relative_error(features[k], v) for k, v in self.wanted.items()), pixels.new_zeros(()))
        style, palette = self._style(seen, features)
        smooth = total_variation(pixels).sum()
        weights = self.weights
        loss = weights.content * content + weights.style * style + weights.palette * palette + weights.tv * smooth
        parts = {"content": content, "style": style, "palette": palette, "tv": smooth}
        return SCALE * loss, {name: part.detach() for name, part in parts.items()}

    def _style(self, pixels: Tensor, features: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        style, palette = self.content.new_zeros(()), self.content.new_zeros(())
        for (region, target), mask in zip(self.regions, self.seen_masks, strict=True):
            style = style + region.share * target.texture_distance(features, mask)
            palette = palette + region.share * target.palette_distance(pixels, mask)
        return style, palette

    def _view(self, pixels: Tensor) -> Tensor:
        return self.shift(pixels) if self.shift else pixels
