"""DeepDream: a photo changed so that it activates a layer more strongly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_in_range
from cnnviz.imaging.pixel_ops import resize, transfer_color
from cnnviz.network.checks import require_photos
from cnnviz.network.default_layers import dream_layers
from cnnviz.network.feature_network import LayerLike
from cnnviz.network.network import Network
from cnnviz.runtime.progress import OnStep
from cnnviz.synthesis.optimization import ImageOptimizer, Terms, offset_steps
from cnnviz.synthesis.optimizers import NormalizedGradient
from cnnviz.synthesis.parameterization import Pixels
from cnnviz.synthesis.settings import DreamSettings, build_settings
from cnnviz.synthesis.tiled_gradient import TiledGradient, untiled
from cnnviz.synthesis.transforms import random_offset, roll

_STEP = 0.005
"""Mean change of a pixel in a step of size 1."""

_RENAMED = {"strength": "step_size", "keep_color": "color_share"}
"""Options of the version before, and their names now."""

_LEAST_SIDE = 32
"""Smallest side of an octave, in pixels."""


@dataclass(frozen=True)
class DreamTarget:
    """What to activate: a whole layer, or one channel of it. Several targets have equal weights.

    ``layer`` is a name, or a submodule of your own module.
    """

    layer: LayerLike
    channel: int | None = None

    @property
    def name(self) -> str:
        """The layer's name, where it is given by that."""
        assert isinstance(self.layer, str)
        return self.layer

    def named(self, network: Network) -> DreamTarget:
        """The target with the layer given by its name."""
        return replace(self, layer=network.layer_name(self.layer))


@torch.inference_mode(False)
def dream(
    network: Network,
    pixels: Tensor,
    layers: Sequence[LayerLike | DreamTarget] | None = None,
    *,
    guide: Tensor | None = None,
    settings: DreamSettings | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
    **options: Any,
) -> Tensor:
    """The photo after gradient ascent on the activations of some layers (DeepDream).

    Mordvintsev, Olah & Tyka, "Inceptionism: Going Deeper into Neural Networks", Google Research blog, 2015: gradient
    ascent on the squares of a layer's activations, over several sizes of the photo from small to large (octaves). The
    detail of an octave is enlarged and added to the photo at its next size, so that the photo stays sharp. Each step
    is taken at a random circular shift and has the same length, whatever the gradient's.

    Args:
        network: the network whose layers are activated.
        pixels: the photo (1, 3, H, W), RGB in [0, 1].
        layers: layers by name or as submodules of your own module, or ``DreamTarget`` for single channels; None takes
            ``dream_layers``.
        guide: another photo (1, 3, h, w), whose features are approached: each position by the guide's feature with
            the largest dot product, as in Google's notebook.
        settings: None takes the defaults of ``DreamSettings``. A network of one size has one octave.
        seed: of the random shifts.
        on_step: called after every step; ``image()`` has the octave's size, ``terms`` holds the ``activation``.
        options: fields of ``DreamSettings``, which replace those of ``settings``: ``octaves``, ``octave_scale``,
            ``steps``, ``step_size``, ``jitter``, ``color_share``, ``tile``.

    Returns:
        Pixels (1, 3, H, W) in [0, 1].

    Raises:
        UsageError: no such layer or channel, a guide that gives a layer no map, a setting out of range, or pixels
            outside [0, 1].

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.dream(network, pixels, ["fire5"], octaves=1, steps=2).shape
        torch.Size([1, 3, 64, 96])
    """
    require_photos(network, "A dream")
    chosen = build_settings(DreamSettings, settings, options, _RENAMED)
    targets = [
        (each if isinstance(each, DreamTarget) else DreamTarget(each)).named(network)
        for each in layers or dream_layers(network)
    ]
    generator = torch.Generator().manual_seed(seed)
    objective = DreamObjective(network, targets, guide)
    photo = require_in_range(pixels).to(network.device)
    sizes = _sizes(network, (photo.shape[2], photo.shape[3]), chosen)
    detail, image = torch.zeros_like(resize(photo, sizes[0])), photo
    for number, size in enumerate(sizes):
        base = resize(photo, size)
        image = (base + resize(detail, size)).clamp(0, 1)
        run = _octave(objective, image, chosen, generator)
        image = run.run(offset_steps(on_step, number * chosen.steps, len(sizes) * chosen.steps))
        detail = image - base
    return transfer_color(image, photo, chosen.color_share)


def octave_sizes(size: tuple[int, int], octaves: int, scale: float, least: int) -> list[tuple[int, int]]:
    """The octaves' sizes (H, W), from small to large, the last being ``size``; sides below ``least`` are left out."""
    sizes = [tuple(round(side / scale**k) for side in size) for k in range(octaves)]
    kept = [(height, width) for height, width in sizes if min(height, width) >= least] or [size]
    return kept[::-1]


def dream_steps(network: Network, size: tuple[int, int], settings: DreamSettings) -> int:
    """The number of steps, over all octaves, of a dream of an image of ``size`` (H, W)."""
    return settings.steps * len(_sizes(network, size, settings))


def _sizes(network: Network, size: tuple[int, int], settings: DreamSettings) -> list[tuple[int, int]]:
    if network.spec.fixed:
        return [size]
    least = max(network.spec.min_size, _LEAST_SIDE)
    return octave_sizes(size, settings.octaves, settings.octave_scale, least)


def _octave(
    objective: DreamObjective, start: Tensor, settings: DreamSettings, generator: torch.Generator
) -> ImageOptimizer:
    height, width = start.shape[2:]
    largest = min(settings.jitter, height // 4, width // 4)
    is_tiled = settings.tile and max(height, width) > settings.tile
    evaluate = TiledGradient(settings.tile, generator) if settings.tile and is_tiled else untiled
    offset = (0, 0)

    def draw(step: int) -> None:
        nonlocal offset
        offset = random_offset(largest, generator)

    def loss(image: Tensor) -> tuple[Tensor, Terms]:
        value = evaluate(roll(image, offset), objective)
        return -value, {"activation": value.detach()}

    optimizer = NormalizedGradient(_STEP * settings.step_size)
    return ImageOptimizer(Pixels(start), loss, optimizer, settings.steps, before_step=draw, generator=generator)


class DreamObjective:
    """Half the mean square of the targets' features, or their match with a guide's; to be maximized.

    Raises:
        UsageError: no such layer or channel, or a guide or channel for a layer that is no map.
    """

    def __init__(self, network: Network, targets: Sequence[DreamTarget], guide: Tensor | None = None) -> None:
        self.network = network
        self.targets = list(targets)
        self.layers = list(dict.fromkeys(target.name for target in targets))
        self.guides: Mapping[str, Tensor] = self._features(guide) if guide is not None else {}
        self._check()

    def __call__(self, pixels: Tensor) -> Tensor:
        """The objective of pixels (1, 3, H, W), a scalar."""
        features = self.network.features(pixels, self.layers)
        values = [self._value(target, features[target.name]) for target in self.targets]
        return torch.stack(values).sum()

    def _value(self, target: DreamTarget, features: Tensor) -> Tensor:
        if target.name in self.guides:
            return self._match(features, self.guides[target.name])
        if target.channel is not None:
            features = features[:, target.channel]
        return 0.5 * features.square().mean()

    def _match(self, features: Tensor, guide: Tensor) -> Tensor:
        """Mean dot product of each position's feature with the guide's feature that gives the largest."""
        rows = features.flatten(2)[0].T
        with torch.no_grad():
            best = guide[(rows @ guide.T).argmax(1)]
        return (rows * best).sum(1).mean()

    def _features(self, guide: Tensor) -> dict[str, Tensor]:
        """Features (positions, C) of the guide, by layer."""
        with torch.no_grad():
            return {
                name: value.flatten(2)[0].T.contiguous()
                for name, value in self.network.features(guide, self.layers).items()
                if self.network.layers.is_map(name)
            }

    def _check(self) -> None:
        side = max(self.network.spec.min_size, 64)
        side = self.network.spec.size if self.network.spec.fixed else side
        with torch.no_grad():
            features = self.network.features(torch.zeros(1, 3, side, side), self.layers)
        for target in self.targets:
            maps = features[target.name]
            if self.guides or (target.channel is not None and maps.ndim != 2):
                self.network.layers.require_map(target.name)
            if target.channel is not None and not 0 <= target.channel < maps.shape[1]:
                raise UsageError(
                    f"Layer '{target.name}' has channels 0 to {maps.shape[1] - 1}; there is no {target.channel}."
                )


def activation_gain(network: Network, before: Tensor, after: Tensor, layers: Sequence[str]) -> float:
    """The ratio of the layers' mean squared activations after and before, averaged over layers."""
    with torch.no_grad():
        old, new = (network.features(pixels, list(layers)) for pixels in (before, after))
    ratios = [new[name].square().mean() / old[name].square().mean().clamp_min(1e-12) for name in layers]
    return float(torch.stack(ratios).mean())
