"""The loss of a style transfer at one size: content, style, colors, smoothness and lightness, as one scalar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from cnnviz.network.network import Network
from cnnviz.style.content_loss import FeatureTarget, LightnessTarget
from cnnviz.style.regions import Region
from cnnviz.synthesis.feature_statistics import resize_mask
from cnnviz.synthesis.grid_shift import GridShift
from cnnviz.synthesis.regularizers import total_variation
from cnnviz.synthesis.texture_target import TextureTarget
from cnnviz.synthesis.tiled_moments import TiledMoments
from cnnviz.synthesis.tiling import Tile, TileSums, plan_tiles, tiled_sum

SCALE = 1e3
"""Factor of all losses: they are relative, about 1, and L-BFGS stops at gradients below 1e-7."""


@dataclass(frozen=True)
class LossWeights:
    """The weight of each term of the loss."""

    content: float
    style: float
    palette: float
    tv: float
    lightness: float = 0.0


class StyleLoss:
    """``content · C(x) + style · Σ_l w_l S_l(x) + palette · P(x) + tv · TV(x) + lightness · L(x)``, times 1000.

    Gatys, Ecker & Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016, arXiv:1508.06576.
    Unlike the paper, C and S_l are relative to their targets (``cnnviz.synthesis.feature_statistics``), so that the
    same weights serve all networks and sizes; TV is the mean squared difference of neighboring pixels; and the image
    is seen at random positions in the network's stride grid, with reflected borders, which leaves neither grid nor
    frame. Two terms are new: P, the Wasserstein distance between the colors of the pixels, without which specks of
    foreign colors stay; and L, the photo's light and shade. C is of the photo's features as they are, or with the
    style's mean and deviation (``adain``): see ``cnnviz.style.content_loss``.

    With regions, the style term is the sum of theirs, each weighted by its fraction of the area.

    Args:
        network: the network whose features are compared.
        content: pixels (1, 3, H, W), RGB in [0, 1].
        content_layers: layers of C.
        regions: where each style goes, and its target.
        weights: of the terms.
        shift: position in the stride grid; None is a fixed one.
        tile: the largest side the network is shown at once, for images larger than memory: the loss and its gradient
            are those of the whole (``cnnviz.synthesis.tiling``). 0 shows it the whole.
        adain: give the content's features the style's mean and deviation.
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
        self.masks = [resize_mask(region.mask, content.shape[2:], content) for region, _ in regions]
        shifted = self._shifted(content)
        self.tiles = plan_tiles(network, self.layers, (shifted.shape[2], shifted.shape[3]), tile)
        wanted = self.content_layers if weights.content else []
        self.features = FeatureTarget(network, shifted, wanted, self.tiles, regions, adain)
        self.lightness = LightnessTarget(content, regions, self.masks) if weights.lightness else None
        self.set_reference()

    def before_step(self, step: int) -> None:
        """Draw the shift of ``step``; a hook of ``ImageOptimizer``."""
        if self.shift is not None and self.shift.draw(step):
            self.set_reference()

    def set_reference(self) -> None:
        """Compute the content's features, and the regions' masks, at the current shift."""
        self.shifted_masks = [None if mask is None else self._shifted(mask) for mask in self.masks]
        self.measured = [
            TiledMoments(self.tiles, list(target.weights), mask)
            for (_, target), mask in zip(self.regions, self.shifted_masks, strict=True)
        ]
        if self.features.layers:
            self.features.set_reference(self._shifted(self.content), self.shifted_masks)

    def __call__(self, pixels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of pixels (1, 3, H, W), a scalar, and its terms by name, before their weights."""
        shifted = self._shifted(pixels)
        sums = tiled_sum(self.network, shifted, self.layers, self.tiles, self._of_tile)
        terms = {
            "content": sum((sums[layer][0] for layer in self.features.layers), pixels.new_zeros(())),
            "style": self._style(sums),
            "palette": self._palette(shifted),
            "tv": total_variation(pixels).sum(),
        }
        if self.lightness is not None:
            terms["lightness"] = self.lightness.error(pixels)
        loss = sum((getattr(self.weights, name) * term for name, term in terms.items()), pixels.new_zeros(()))
        return SCALE * loss, {name: term.detach() for name, term in terms.items()}

    def _of_tile(self, layer: str, maps: Tensor, tile: Tile) -> list[Tensor]:
        """One tile's part of a layer's content loss and of its moments in each region, to be summed over tiles."""
        moments = [part for measured in self.measured for part in measured.of_tile(layer, maps, tile)]
        return [*self.features.of_tile(layer, maps, tile), *moments]

    def _style(self, sums: TileSums) -> Tensor:
        moments = {layer: list(parts[layer in self.features.layers :]) for layer, parts in sums.items()}
        style = self.content.new_zeros(())
        for number, ((region, target), measured) in enumerate(zip(self.regions, self.measured, strict=True)):
            style = style + region.area * target.distance_of(measured.combine(moments, 2 * number))
        return style

    def _palette(self, pixels: Tensor) -> Tensor:
        palette = self.content.new_zeros(())
        for (region, target), mask in zip(self.regions, self.shifted_masks, strict=True):
            palette = palette + region.area * target.palette_distance(pixels, mask)
        return palette

    def _shifted(self, pixels: Tensor) -> Tensor:
        return self.shift(pixels) if self.shift else pixels
