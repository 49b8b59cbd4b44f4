"""The perceptual loss of fast style networks: ``transfer_style``'s loss, for a batch in several styles."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.network.default_layers import style_layers
from cnnviz.network.network import Network
from cnnviz.network.network_transforms import with_average_pooling
from cnnviz.style.regions import border_weight
from cnnviz.style.settings import TrainingSettings
from cnnviz.synthesis.feature_statistics import Moments, relative_error
from cnnviz.synthesis.multiscale import resize
from cnnviz.synthesis.regularizers import total_variation
from cnnviz.synthesis.texture_target import TextureTarget, measure_texture

_MARGIN = 16
"""Pixels of reflection padding, both sides together: it keeps the network's zero padding away, and its division between
the sides shifts the image in the network's stride grid, so that no grid of dots is learned."""


class PerceptualLoss:
    """``content · C + style · Σ_l S_l + palette · P + tv · TV`` of a batch, as a mean over its images.

    Johnson, Alahi & Fei-Fei, ECCV 2016, arXiv:1603.08155. The terms are those of ``cnnviz.style.losses.StyleLoss``.
    Unlike in the paper each is relative to its target, so that the same weights serve all loss networks; styles are
    compared by covariance and mean.
    """

    def __init__(self, network: Network, styles: Sequence[Tensor], settings: TrainingSettings) -> None:
        self.network = with_average_pooling(network) if settings.average_pooling else network
        self.settings = settings
        defaults = style_layers(network)
        self.content_layers = list(settings.content_layers or defaults.content)
        self.style_layers = list(settings.style_layers or defaults.style)
        self.layers = list(dict.fromkeys([*self.style_layers, *self.content_layers]))
        self.targets = [self._target(style.to(network.device, network.pixel_dtype)) for style in styles]

    def __call__(
        self, images: Tensor, photos: Tensor, styles: Tensor, padding: tuple[int, int] = (_MARGIN // 2, _MARGIN // 2)
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the network's images of photos, (N, 3, H, W) each, and its terms before their weights.

        Args:
            images: the network's output.
            photos: its input.
            styles: the number of each image's style, (N,).
            padding: pixels above and to the left, from 0 to 16; see ``random_padding``.
        """
        settings, count = self.settings, len(images)
        target = self._gathered(styles.tolist())
        with torch.no_grad():
            wanted = self.network.features(_padded(photos, padding), self.content_layers)
        features = self.network.features(_padded(images, padding), self.layers)
        terms = {
            "content": sum((relative_error(features[k], v) for k, v in wanted.items()), images.new_zeros(())),
            "style": target.texture_distance(features),
            "palette": target.palette_distance(images),
            "tv": total_variation(images).sum(),
        }
        weights = (settings.content_weight, settings.style_weight, settings.palette_weight, settings.tv_weight)
        loss = sum((w * term for w, term in zip(weights, terms.values(), strict=True)), images.new_zeros(()))
        return loss / count, {name: term.detach() / count for name, term in terms.items()}

    def _target(self, style: Tensor) -> TextureTarget:
        scale = self.settings.style_size / min(style.shape[2:])
        style = resize(style, (round(style.shape[2] * scale), round(style.shape[3] * scale)))
        mask = None
        if self.settings.fade:
            mask = border_weight((style.shape[2], style.shape[3]), self.settings.fade).to(style)
        return measure_texture(
            self.network,
            [style],
            dict.fromkeys(self.style_layers, 1.0),
            masks=[mask],
            statistic=self.settings.style_loss,
            margin=_MARGIN // 2,
        )

    def _gathered(self, styles: Sequence[int]) -> TextureTarget:
        """One target for a batch, of the styles with these numbers."""
        chosen = [self.targets[i] for i in styles]
        layers = {layer: _stacked([target.layers[layer] for target in chosen]) for layer in self.style_layers}
        palette = _stacked([target.palette for target in chosen])
        return TextureTarget(layers, chosen[0].weights, palette, self.settings.style_loss)


def _stacked(parts: Sequence[Moments]) -> Moments:
    return Moments(torch.cat([part.mean for part in parts]), torch.cat([part.gram for part in parts]))


def random_padding(generator: torch.Generator) -> tuple[int, int]:
    """Random padding (top, left), 0 to 16 pixels each: a random position in the loss network's stride grid."""
    top, left = torch.randint(_MARGIN + 1, (2,), generator=generator).tolist()
    return top, left


def _padded(pixels: Tensor, padding: tuple[int, int]) -> Tensor:
    top, left = padding
    return F.pad(pixels, (left, _MARGIN - left, top, _MARGIN - top), mode="reflect")
