"""The perceptual loss of fast style networks: ``transfer_style``'s loss, for a batch in several styles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.network.default_layers import style_layers
from cnnviz.network.network import Network
from cnnviz.network.network_transforms import with_average_pooling
from cnnviz.runtime.precision import at_least_float32
from cnnviz.style.content_loss import LightnessTarget, restyled_features
from cnnviz.style.regions import Region, border_weight
from cnnviz.style.settings import TrainingSettings
from cnnviz.synthesis.feature_statistics import Moments, relative_error
from cnnviz.synthesis.multiscale import resize
from cnnviz.synthesis.regularizers import total_variation
from cnnviz.synthesis.texture_target import TextureTarget, measure_texture

_MARGIN = 16
"""Pixels of reflection padding, both sides together: it keeps the network's zero padding away, and its division between
the sides shifts the image in the network's stride grid, so that no grid of dots is learned."""

_WHOLE = Region((0,), (1.0,))
"""The region of one style that covers the image."""


class PerceptualLoss:
    """``content · C + style · Σ_l S_l + palette · P + tv · TV + lightness · L`` of a batch, as a mean over its images.

    Johnson, Alahi & Fei-Fei, ECCV 2016, arXiv:1603.08155. The terms are those of ``cnnviz.style.losses.StyleLoss``.
    Unlike in the paper each is relative to its target, so that the same weights serve all loss networks; styles are
    compared by covariance and mean; and the content is, unless ``content_target`` is ``photo``, the photo's features
    with the style's mean and deviation (AdaIN). Features as they are ask for the photo's contrasts too, against the
    style: a network trained so pays with whatever is small, as eyes and faces, and puts the style's bright parts where
    the photo is flat, as into a clear sky, since nothing says where light and shade belong. L does.
    """

    def __init__(self, network: Network, styles: Sequence[Tensor], settings: TrainingSettings) -> None:
        self.network = with_average_pooling(network) if settings.average_pooling else network
        self.settings = settings
        defaults = style_layers(network)
        self.restyled = settings.content_target == "restyled"
        self.content_layers = network.layer_names(
            settings.content_layers or (defaults.content_adain if self.restyled else defaults.content)
        )
        self.style_layers = network.layer_names(settings.style_layers or defaults.style)
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
        errors = (self._content_error(features[k], maps, target.layers.get(k)) for k, maps in wanted.items())
        terms = {
            "content": sum(errors, images.new_zeros(())),
            "style": target.texture_distance(features),
            "palette": target.palette_distance(images),
            "tv": total_variation(images).sum(),
        }
        if settings.lightness_weight:
            terms["lightness"] = LightnessTarget(photos, [(_WHOLE, target)], [None]).error(images)
        loss = sum((getattr(settings, f"{k}_weight") * term for k, term in terms.items()), images.new_zeros(()))
        return loss / count, {name: term.detach() / count for name, term in terms.items()}

    def _content_error(self, found: Tensor, photo: Tensor, style: Moments | None) -> Tensor:
        """The relative error of a layer's features from the photo's, which may be given the style's statistics."""
        if style is None or not self.restyled:
            return relative_error(found, photo)
        with torch.no_grad():
            wanted, energy = restyled_features(photo, style)
        return ((at_least_float32(found) - wanted).square().sum((1, 2, 3)) / energy).sum()

    def _target(self, style: Tensor) -> TextureTarget:
        scale = self.settings.style_size / min(style.shape[2:])
        style = resize(style, (round(style.shape[2] * scale), round(style.shape[3] * scale)))
        mask = None
        if self.settings.fade:
            mask = border_weight((style.shape[2], style.shape[3]), self.settings.fade).to(style)
        weights = dict.fromkeys(self.style_layers, 1.0)
        # The statistics that AdaIN gives the content are measured as well; they are no part of the style loss.
        also = self.content_layers if self.restyled else []
        measured = measure_texture(
            self.network,
            [style],
            {**dict.fromkeys(also, 0.0), **weights},
            masks=[mask],
            statistic=self.settings.style_loss,
            margin=_MARGIN // 2,
        )
        return replace(measured, weights=weights)

    def _gathered(self, styles: Sequence[int]) -> TextureTarget:
        """One target for a batch, of the styles with these numbers."""
        chosen = [self.targets[i] for i in styles]
        layers = {layer: _stacked([target.layers[layer] for target in chosen]) for layer in chosen[0].layers}
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
