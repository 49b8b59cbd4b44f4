"""The loss of a style transfer at one size: content, style and smoothness of a picture, as one scalar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from cnnviz.network.network import Network
from cnnviz.style.content_loss import FeatureTarget, LightnessTarget
from cnnviz.style.regions import Region
from cnnviz.synthesis.multiscale import GridShift
from cnnviz.synthesis.regularizers import total_variation
from cnnviz.synthesis.texture_target import TextureTarget, at
from cnnviz.synthesis.tiled_moments import TiledMoments
from cnnviz.synthesis.tiling import Tile, TileSums, plan_tiles, tiled_sum

SCALE = 1e3
"""All losses are multiplied by it: they are relative, about 1, and L-BFGS stops at gradients below 1e-7."""


@dataclass(frozen=True)
class LossWeights:
    """What each part of the loss counts for."""

    content: float
    style: float
    palette: float
    tv: float
    lightness: float = 0.0


class StyleLoss:
    """``content · C(x) + style · Σ_l w_l S_l(x) + palette · P(x) + tv · TV(x) + lightness · L(x)``, times 1000.

    Gradients reach nothing but the pixels.

    Gatys, Ecker & Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016, arXiv:1508.06576.
    Unlike the paper, C and S_l are relative to their targets (``cnnviz.synthesis.feature_statistics``), so that the
    same weights serve all networks and sizes; TV is the mean squared difference of neighbors; and the image is seen at
    changing positions in the network's stride grid, with reflected borders, which leaves no grid and no frame. P is
    ours: the Wasserstein distance between the colours of the pixels, without which specks of foreign colours stay; and
    so is L, the photo's light and shade. C is of the photo's features as they are, or ``adain``: see
    ``cnnviz.style.content_loss``.

    With regions, the style term is the sum of theirs, each weighed by its share of the area.

    ``tile`` is the largest side the network is shown at once, for pictures larger than memory: the loss and its
    gradient are those of the whole (``cnnviz.synthesis.tiling``). 0 shows it the whole.
    """

    def __init__(
        self,
        network: Network,
        content: Tensor,
        content_layers: Sequence[str],
        regions: Sequence[tuple[Region, TextureTarget]],
        weights: LossWeights,
        shift: GridShift | None = None,
        tile: int = 0,
        adain: bool = False,
    ) -> None:
        self.network, self.content, self.weights, self.regions = network, content, weights, regions
        self.content_layers, self.shift = list(content_layers), shift
        style_layers = [layer for _, target in regions for layer in target.weights]
        self.layers = list(dict.fromkeys([*style_layers, *content_layers]))
        self.masks = [at(region.mask, content) for region, _ in regions]
        seen = self._view(content)
        self.tiles = plan_tiles(network, self.layers, (seen.shape[2], seen.shape[3]), tile)
        wanted = self.content_layers if weights.content else []
        self.features = FeatureTarget(network, seen, wanted, self.tiles, regions, adain)
        self.lightness = LightnessTarget(content, regions, self.masks) if weights.lightness else None
        self.look()

    def before_step(self, step: int) -> None:
        """Move on to the position of ``step``; a hook of ``ImageOptimizer``."""
        if self.shift is not None and self.shift.draw(step):
            self.look()

    def look(self) -> None:
        """See content and masks from the position where the picture now lies."""
        self.seen_masks = [None if mask is None else self._view(mask) for mask in self.masks]
        self.measured = [
            TiledMoments(self.tiles, list(target.weights), mask)
            for (_, target), mask in zip(self.regions, self.seen_masks, strict=True)
        ]
        if self.features.layers:
            self.features.look(self._view(self.content), self.seen_masks)

    def __call__(self, pixels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of pixels (1, 3, H, W), and its parts, by name, before their weights."""
        seen = self._view(pixels)
        sums = tiled_sum(self.network, seen, self.layers, self.tiles, self._of_tile)
        parts = {
            "content": sum((sums[layer][0] for layer in self.features.layers), pixels.new_zeros(())),
            "style": self._style(sums),
            "palette": self._palette(seen),
            "tv": total_variation(pixels).sum(),
        }
        if self.lightness is not None:
            parts["lightness"] = self.lightness.error(pixels)
        loss = sum((getattr(self.weights, name) * part for name, part in parts.items()), pixels.new_zeros(()))
        return SCALE * loss, {name: part.detach() for name, part in parts.items()}

    def _of_tile(self, layer: str, maps: Tensor, tile: Tile) -> list[Tensor]:
        """What a piece adds to a layer's moments in each region, and to its content loss."""
        moments = [part for measured in self.measured for part in measured.of_tile(layer, maps, tile)]
        return [*self.features.of_tile(layer, maps, tile), *moments]

    def _style(self, sums: TileSums) -> Tensor:
        moments = {layer: list(parts[layer in self.features.layers :]) for layer, parts in sums.items()}
        style = self.content.new_zeros(())
        for number, ((region, target), measured) in enumerate(zip(self.regions, self.measured, strict=True)):
            style = style + region.share * target.distance_of(measured.whole(moments, 2 * number))
        return style

    def _palette(self, pixels: Tensor) -> Tensor:
        palette = self.content.new_zeros(())
        for (region, target), mask in zip(self.regions, self.seen_masks, strict=True):
            palette = palette + region.share * target.palette_distance(pixels, mask)
        return palette

    def _view(self, pixels: Tensor) -> Tensor:
        return self.shift(pixels) if self.shift else pixels
