"""Targets of the content: the photo's features, as they are or with the style's statistics, and its light and shade."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.imaging.pixel_ops import LUMA, resize
from cnnviz.network.network import Network
from cnnviz.runtime.precision import at_least_float32
from cnnviz.style.regions import Region
from cnnviz.synthesis.feature_statistics import Moments, resize_mask
from cnnviz.synthesis.texture_target import TextureTarget
from cnnviz.synthesis.tiled_moments import TiledMoments
from cnnviz.synthesis.tiling import Tile, TileGrid, crop_window, tiled_sum

_DEVIATION_FLOOR = 0.1
"""Fraction of a layer's deviation added to each channel's: channels that see nothing in the photo stay faint."""

_FLAT = 1e-3
"""Fraction of a layer's energy that is added to its variance, which may be almost zero."""

_LIGHTNESS_SIDE = 64
"""Square root of the area, in pixels, at which light and shade are compared."""

Affine = tuple[Tensor, Tensor, Tensor]
"""Gain, shift and target mean of each channel."""


class FeatureTarget:
    """Target features of the photo by layer, for any shift of the image, whole or in tiles.

    As they are, as in Gatys, Ecker & Bethge 2016; or with ``adain``, each channel with the mean and deviation it has
    in the style (Huang & Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", ICCV
    2017, arXiv:1703.06868, who train toward such features). Features as they are ask for the photo's contrasts as
    well, which the style term works against: a face is kept at the price of the style. After AdaIN they ask for the
    photo's arrangement alone, and the two terms agree.

    The error is relative to the target: to its sum of squares as it is, to its variance (and a thousandth of that sum)
    after AdaIN.
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
        self.targets: dict[tuple[str, int], Tensor] = {}
        """Target maps by layer and tile number."""
        if self.adain:
            measured = TiledMoments(tiles, self.layers)
            with torch.no_grad():
                found = measured.combine(tiled_sum(network, photo, self.layers, tiles, measured.of_tile))
            self.affines = {
                layer: [_adain(found[layer], target.layers[layer]) for _, target in regions] for layer in self.layers
            }

    def set_reference(self, photo: Tensor, masks: Sequence[Tensor | None]) -> None:
        """Compute the targets from the photo (1, 3, H, W), and the regions' masks, at the current shift."""
        affines = {layer: self._combined(layer, masks) for layer in self.layers} if self.adain else {}

        def keep(layer: str, maps: Tensor, tile: Tile) -> list[Tensor]:
            kept = at_least_float32(maps)
            if not self.adain:
                self.targets[layer, tile.number] = kept
                return [kept.square().sum()]
            gain, shift, mean = (_part(values, tile, layer) for values in affines[layer])
            self.targets[layer, tile.number] = kept = kept * gain + shift
            # Where the style hardly varies, a fraction of the energy: cf. ``covariance_distance``.
            return [(kept - mean).square().sum() + _FLAT * kept.square().sum()]

        self.targets.clear()
        with torch.no_grad():
            energies = tiled_sum(self.network, photo, self.layers, self.tiles, keep)
        self.energies = {layer: energy for layer, (energy,) in energies.items()}

    def of_tile(self, layer: str, maps: Tensor, tile: Tile) -> list[Tensor]:
        """One tile's part of a layer's relative error, to be summed over tiles; empty for other layers."""
        if layer not in self.layers:
            return []
        target = self.targets[layer, tile.number]
        return [F.mse_loss(at_least_float32(maps), target, reduction="sum") / self.energies[layer].clamp_min(1e-12)]

    def _combined(self, layer: str, masks: Sequence[Tensor | None]) -> list[Tensor]:
        """Gain, shift and mean of each channel (1, C, 1, 1); at each position (1, C, h, w) where regions differ."""
        affines = self.affines[layer]
        if len(affines) == 1:
            return list(affines[0])
        return _blended(affines, [resize_mask(mask, self.tiles.sizes[layer]) for mask in masks])


class LightnessTarget:
    """The photo's coarse lightness, with the mean and contrast of the style's; or of N photos, each with its own.

    Compared at some 64 pixels a side whatever the image's size, so that strokes and tiles are free and a preview
    predicts the large image.
    """

    def __init__(self, photo: Tensor, regions: Sequence[tuple[Region, TextureTarget]], masks: Sequence[Tensor | None]):
        size = photo.shape[2], photo.shape[3]
        shrink = min(1.0, _LIGHTNESS_SIDE / math.sqrt(size[0] * size[1]))
        self.size = max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))
        self.weights = photo.new_tensor(LUMA).view(1, 3, 1, 1)
        lightness = self._lightness(photo)
        own = _mean_and_variance(lightness)
        affines = [_affine(own, self._of_style(target.palette)) for _, target in regions]
        combined = affines[0] if len(affines) == 1 else _blended(affines, [resize_mask(m, self.size) for m in masks])
        self.target = lightness * combined[0] + combined[1]
        self.energy = (self.target - combined[2]).square().sum((1, 2, 3)).clamp_min(1e-6)

    def error(self, pixels: Tensor) -> Tensor:
        """The squared error of pixels (N, 3, H, W), relative to the target's variance, summed over N; a scalar."""
        return ((self._lightness(pixels) - self.target).square().sum((1, 2, 3)) / self.energy).sum()

    def _lightness(self, pixels: Tensor) -> Tensor:
        lightness = (pixels * self.weights).sum(1, keepdim=True)
        return resize(lightness, self.size)

    def _of_style(self, palette: Moments) -> tuple[Tensor, Tensor]:
        """Mean and variance of a style's lightness, (1, 1, 1, 1) each; (N, 1, 1, 1) of N styles."""
        weights = self.weights.view(3).to(palette.mean)
        mean, variance = palette.mean @ weights, palette.covariance @ weights @ weights
        return mean.view(-1, 1, 1, 1), variance.view(-1, 1, 1, 1)


def restyled_features(maps: Tensor, style: Moments) -> tuple[Tensor, Tensor]:
    """Features (N, C, h, w) with each channel's mean and deviation as in the style, and their energies (N,).

    Errors are divided by the energies, as in ``FeatureTarget``.
    """
    maps = at_least_float32(maps)
    gain, shift, mean = _affine(_mean_and_variance(maps), _by_channel(style))
    wanted = maps * gain + shift
    energy = (wanted - mean).square().sum((1, 2, 3)) + _FLAT * wanted.square().sum((1, 2, 3))
    return wanted, energy.clamp_min(1e-12)


def _mean_and_variance(maps: Tensor) -> tuple[Tensor, Tensor]:
    return maps.mean((2, 3), keepdim=True), maps.var((2, 3), correction=0, keepdim=True)


def _adain(own: Moments, style: Moments) -> Affine:
    """Gain and shift that give each channel of the photo the style's mean and deviation, and that mean."""
    return _affine(_by_channel(own), _by_channel(style))


def _by_channel(moments: Moments) -> tuple[Tensor, Tensor]:
    variance = moments.covariance.diagonal(dim1=1, dim2=2).clamp_min(0)
    return moments.mean[:, :, None, None], variance[:, :, None, None]


def _affine(own: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> Affine:
    (mean, variance), (wanted_mean, wanted_variance) = own, wanted
    floor = _DEVIATION_FLOOR * variance.mean(1, keepdim=True).sqrt()
    gain = wanted_variance.clamp_min(0).sqrt() / (variance.sqrt() + floor).clamp_min(1e-6)
    return gain, wanted_mean - gain * mean, wanted_mean


def _blended(affines: Sequence[Affine], masks: Sequence[Tensor | None]) -> list[Tensor]:
    """Gain, shift and mean at each position, each region's weighted by its mask."""
    weights = torch.stack([mask for mask in masks if mask is not None]) + 1e-6
    weights = weights / weights.sum(0)
    return [
        torch.stack([weight * part for weight, part in zip(weights, parts, strict=True)]).sum(0)
        for parts in zip(*affines, strict=True)
    ]


def _part(maps: Tensor, tile: Tile, layer: str) -> Tensor:
    return maps if maps.shape[2:] == (1, 1) else crop_window(maps, tile.targets[layer])
