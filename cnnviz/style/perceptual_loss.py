"""What a fast style network is trained towards: ``transfer_style``'s losses, for a batch in several styles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.network.default_layers import style_layers
from cnnviz.network.network import Network
from cnnviz.network.network_transforms import with_average_pooling
from cnnviz.style.regions import border_weight
from cnnviz.synthesis.feature_statistics import Moments, distance, relative_error
from cnnviz.synthesis.multiscale import resize
from cnnviz.synthesis.regularizers import total_variation
from cnnviz.synthesis.texture_target import TextureTarget, measure_texture

if TYPE_CHECKING:
    from cnnviz.style.training import TrainingSettings

_MARGIN = 16
"""Pixels of reflected border around what is seen, on two sides together: it keeps the network's zeros away, and how it
is shared between the sides moves the picture about in the network's stride grid, which leaves no grid of dots."""


class PerceptualLoss:
    """``content · C + style · Σ_l S_l + palette · P + tv · TV`` of a batch, as a mean over its pictures.

    The parts are those of ``cnnviz.style.losses.StyleLoss``. Opposed to Johnson et al. each is relative to its
    target, so the same weights serve all perceiving networks; styles are compared by covariance and mean.
    """

    def __init__(self, network: Network, styles: Sequence[Tensor], settings: TrainingSettings) -> None:
        distance(settings.style_loss)
        self.network = with_average_pooling(network) if settings.average_pooling else network
        self.settings = settings
        defaults = style_layers(network)
        self.content_layers = list(settings.content_layers or defaults.content)
        self.style_layers = list(settings.style_layers or defaults.style)
        self.layers = list(dict.fromkeys([*self.style_layers, *self.content_layers]))
        self.targets = [self._target(style.to(network.device, network.pixel_dtype)) for style in styles]

    def __call__(
        self, painted: Tensor, photos: Tensor, which: Tensor, place: tuple[int, int] = (_MARGIN // 2, _MARGIN // 2)
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of pictures painted of photos, (N, 3, H, W) each, in the styles numbered ``which`` (N,).

        ``place``: pixels of border above and to the left, from 0 to 16.
        """
        settings, count = self.settings, len(painted)
        target = self._gathered(which.tolist())
        with torch.no_grad():
            wanted = self.network.features(_framed(photos, place), self.content_layers)
        seen = _framed(painted, place)
        features = self.network.features(seen, self.layers)
        parts = {
            "content": sum((relative_error(features[k], v) for k, v in wanted.items()), painted.new_zeros(())),
            "style": target.texture_distance(features),
            "palette": target.palette_distance(painted),
            "tv": total_variation(painted).sum(),
        }
        weights = (settings.content_weight, settings.style_weight, settings.palette_weight, settings.tv_weight)
        loss = sum((w * part for w, part in zip(weights, parts.values(), strict=True)), painted.new_zeros(()))
        return loss / count, {name: part.detach() / count for name, part in parts.items()}

    def _target(self, style: Tensor) -> TextureTarget:
        scale = self.settings.style_size / min(style.shape[2:])
        style = resize(style, (round(style.shape[2] * scale), round(style.shape[3] * scale)))
        weights = dict.fromkeys(self.style_layers, 1.0)
        mask = (
            border_weight((style.shape[2], style.shape[3]), self.settings.fade).to(style)
            if self.settings.fade
            else None
        )
        return measure_texture(
            self.network,
            [style],
            weights,
            masks=[mask],
            statistic=self.settings.style_loss,
            margin=_MARGIN // 2,
        )

    def _gathered(self, which: Sequence[int]) -> TextureTarget:
        """One target whose items are those of the styles asked for."""
        chosen = [self.targets[i] for i in which]
        layers = {layer: _stacked([target.layers[layer] for target in chosen]) for layer in self.style_layers}
        palette = _stacked([target.palette for target in chosen])
        return TextureTarget(layers, chosen[0].weights, palette, self.settings.style_loss)


def _stacked(parts: Sequence[Moments]) -> Moments:
    return Moments(torch.cat([part.mean for part in parts]), torch.cat([part.gram for part in parts]))


def random_padding(generator: torch.Generator) -> tuple[int, int]:
    """A random place for pictures in the network's grid."""
    down, right = torch.randint(_MARGIN + 1, (2,), generator=generator).tolist()
    return down, right


def _framed(pixels: Tensor, place: tuple[int, int]) -> Tensor:
    top, left = place
    return F.pad(pixels, (left, _MARGIN - left, top, _MARGIN - top), mode="reflect")
