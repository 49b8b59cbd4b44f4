"""What is wanted of the photo: the arrangement of its features, and of its light and shade."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.imaging.pixel_ops import LUMA, resize
from cnnviz.network.network import Network, at_least_float32
from cnnviz.style.regions import Region
from cnnviz.synthesis.feature_statistics import Moments
from cnnviz.synthesis.texture_target import TextureTarget
from cnnviz.synthesis.tiled_moments import TiledMoments, at_size
from cnnviz.synthesis.tiling import Tile, TileGrid, crop_window, tiled_sum

_FAINT = 0.1
"""Share of a layer's deviation that is added to each channel's: channels that see nothing in the photo stay faint."""

_FLAT = 1e-3
"""Share of a layer's energy that is added to its variance, which may be next to nothing."""

_LIGHTNESS_SIDE = 64
"""Square root of the area, in pixels, at which light and shade are compared."""


class FeatureTarget:
    """Features of the photo by layer, wherever the picture lies, whole or in pieces.

    As they are, as in Gatys, Ecker & Bethge 2016; or ``adain``, each channel with the mean and deviation it has in
    the style (AdaIN: Huang & Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization",
    ICCV 2017, arXiv:1703.06868, who train towards such features). Features as they are ask for the photo's contrasts
    as well, against which the style term works: a face is kept at the price of the style. What is restyled asks for
    the photo's arrangement alone, and the two agree.

    The error is relative to the target: to its sum of squares as it is, to its variance (and a thousandth of that sum)
    when restyled.
    """

    def __init__(
        self,
        network: Network,
        photo: Tensor,
        layers: Sequence[str],
        tiles: TileGrid,
        regions: Sequence[tuple[Region, TextureTarget]],
        adain: bool,
    ) -> None:
        self.network, self.layers, self.tiles = network, list(layers), tiles
        self.adain = adain and bool(self.layers)
        self.wanted: dict[tuple[str, int], Tensor] = {}
        if self.adain:
            measured = TiledMoments(tiles, self.layers)
            with torch.no_grad():
                found = measured.whole(tiled_sum(network, photo, self.layers, tiles, measured.of_tile))
            self.lines = {
                layer: [_line(found[layer], target.layers[layer]) for _, target in regions] for layer in self.layers
            }

    def look(self, photo: Tensor, masks: Sequence[Tensor | None]) -> None:
        """See the photo, and the regions' masks, from where the picture now lies."""
        lines = {layer: self._combined(layer, masks) for layer in self.layers} if self.adain else {}

        def keep(layer: str, maps: Tensor, tile: Tile) -> list[Tensor]:
            kept = at_least_float32(maps)
            if not self.adain:
                self.wanted[layer, tile.number] = kept
                return [kept.square().sum()]
            gain, shift, mean = (_part(line, tile, layer) for line in lines[layer])
            self.wanted[layer, tile.number] = kept = kept * gain + shift
            # Where the style hardly varies, as a share of all there is: cf. ``covariance_distance``.
            return [(kept - mean).square().sum() + _FLAT * kept.square().sum()]

        self.wanted.clear()
        with torch.no_grad():
            energies = tiled_sum(self.network, photo, self.layers, self.tiles, keep)
        self.energies = {layer: energy for layer, (energy,) in energies.items()}

    def of_tile(self, layer: str, maps: Tensor, tile: Tile) -> list[Tensor]:
        """The error of a piece, to be summed over pieces; nothing where the layer is none of these."""
        if layer not in self.layers:
            return []
        wanted = self.wanted[layer, tile.number]
        return [F.mse_loss(at_least_float32(maps), wanted, reduction="sum") / self.energies[layer].clamp_min(1e-12)]

    def _combined(self, layer: str, masks: Sequence[Tensor | None]) -> list[Tensor]:
        """Gain, shift and mean of each channel (1, C, 1, 1); at each position (1, C, h, w) where regions differ."""
        lines = self.lines[layer]
        if len(lines) == 1:
            return list(lines[0])
        return _blended(lines, [at_size(mask, self.tiles.sizes[layer]) for mask in masks])


class LightnessTarget:
    """The photo's light and shade, coarsely, with the mean and contrast of the style's.

    Compared at some 64 pixels a side whatever the picture's size, so that strokes and tiles are free and a preview
    says what the large picture will be.
    """

    def __init__(self, photo: Tensor, regions: Sequence[tuple[Region, TextureTarget]], masks: Sequence[Tensor | None]):
        size = photo.shape[2], photo.shape[3]
        shrink = min(1.0, _LIGHTNESS_SIDE / math.sqrt(size[0] * size[1]))
        self.size = max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))
        self.weights = photo.new_tensor(LUMA).view(1, 3, 1, 1)
        seen = self._seen(photo)
        own = seen.mean((2, 3), keepdim=True), seen.var((2, 3), correction=0, keepdim=True)
        lines = [_affine(own, self._of_style(target.palette)) for _, target in regions]
        found = lines[0] if len(lines) == 1 else _blended(lines, [at_size(mask, self.size) for mask in masks])
        self.wanted = seen * found[0] + found[1]
        self.energy = (self.wanted - found[2]).square().sum().clamp_min(1e-6)

    def error(self, pixels: Tensor) -> Tensor:
        """How far pixels (1, 3, H, W) are from it, relative to its variance."""
        return (self._seen(pixels) - self.wanted).square().sum() / self.energy

    def _seen(self, pixels: Tensor) -> Tensor:
        lightness = (pixels * self.weights).sum(1, keepdim=True)
        return resize(lightness, self.size)

    def _of_style(self, palette: Moments) -> tuple[Tensor, Tensor]:
        """Mean and variance of a style's lightness, (1, 1, 1, 1) each."""
        weights = self.weights.view(3).to(palette.mean)
        mean, variance = palette.mean[0] @ weights, weights @ palette.covariance[0] @ weights
        return mean.view(1, 1, 1, 1), variance.view(1, 1, 1, 1)


def _line(own: Moments, style: Moments) -> tuple[Tensor, Tensor, Tensor]:
    """Gain and shift that give each channel of the photo the style's mean and deviation, and that mean."""
    return _affine(_by_channel(own), _by_channel(style))


def _by_channel(moments: Moments) -> tuple[Tensor, Tensor]:
    variance = moments.covariance.diagonal(dim1=1, dim2=2).clamp_min(0)
    return moments.mean[:, :, None, None], variance[:, :, None, None]


def _affine(own: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    (mean, variance), (wanted_mean, wanted_variance) = own, wanted
    faint = _FAINT * variance.mean(1, keepdim=True).sqrt()
    gain = wanted_variance.clamp_min(0).sqrt() / (variance.sqrt() + faint).clamp_min(1e-6)
    return gain, wanted_mean - gain * mean, wanted_mean


def _blended(lines: Sequence[tuple[Tensor, Tensor, Tensor]], masks: Sequence[Tensor | None]) -> list[Tensor]:
    """Gain, shift and mean at each position, each region's weighed by its mask."""
    weights = torch.stack([mask for mask in masks if mask is not None]) + 1e-6
    weights = weights / weights.sum(0)
    return [
        torch.stack([weight * part for weight, part in zip(weights, parts, strict=True)]).sum(0)
        for parts in zip(*lines, strict=True)
    ]


def _part(maps: Tensor, tile: Tile, layer: str) -> Tensor:
    return maps if maps.shape[2:] == (1, 1) else crop_window(maps, tile.targets[layer])
