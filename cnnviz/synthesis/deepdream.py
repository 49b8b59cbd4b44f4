"""DeepDream: a photo changed so that a layer sees more of whatever it sees in it already."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_in_range
from cnnviz.imaging.pixel_ops import resize, transfer_color
from cnnviz.network.default_layers import dream_layers
from cnnviz.network.network import Network
from cnnviz.runtime.progress import OnStep
from cnnviz.synthesis.optimization import ImageOptimizer, Terms, offset_steps
from cnnviz.synthesis.optimizers import NormalizedGradient
from cnnviz.synthesis.parameterization import Pixels
from cnnviz.synthesis.tiled_gradient import TiledGradient, whole
from cnnviz.synthesis.transforms import random_offset, roll

JITTER = 32
"""Largest shift around the borders before each step, in pixels."""


@dataclass(frozen=True)
class DreamTarget:
    """What is to be seen more of: whole layers, or one channel of a layer; weights are equal."""

    layer: str
    channel: int | None = None


@torch.inference_mode(False)
def dream(
    network: Network,
    pixels: Tensor,
    layers: Sequence[str | DreamTarget] | None = None,
    *,
    guide: Tensor | None = None,
    octaves: int = 4,
    octave_scale: float = 1.4,
    steps: int = 20,
    strength: float = 1.0,
    jitter: int = JITTER,
    keep_color: float = 0.0,
    tile: int | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Let the network dream of a photo.

    Mordvintsev, Olah & Tyka, "Inceptionism: Going Deeper into Neural Networks", Google Research blog, 2015: gradient
    ascent on the squares of a layer's activations, over several sizes of the photo from small to large (octaves). What
    an octave painted is enlarged and laid over the photo's own next size, so that detail is never lost. Each step is
    taken at a random shift around the borders and is of one length, whatever the gradient's.

    Args:
        network: the dreamer.
        pixels: the photo (1, 3, H, W) in [0, 1].
        layers: layers by name, or ``DreamTarget`` for single channels; None takes ``dream_layers``.
        guide: another photo (1, 3, h, w), whose features are to be found: each position is drawn to the guide's
            feature it is most like (by dot product, as in Google's notebook).
        octaves: how many sizes.
        octave_scale: ratio of one size to the next.
        steps: of each octave.
        strength: 1 changes each pixel by 0.005 a step on average (0.1 in an octave, if all steps agreed).
        jitter: largest shift, in pixels.
        keep_color: 0 to 1: how much of the photo's own colour is mixed back; its lightness is the dream's.
        tile: largest side of the pieces the gradient is computed in, for photos larger than memory; their borders
            lie elsewhere at each step and are never seen. None takes the photo in one piece.
        seed: of the shifts.
        on_step: called after every step; its picture is of the octave's size.

    Returns:
        Pixels (1, 3, H, W) in [0, 1].

    Raises:
        UsageError: no such layer or channel, a guide that gives a layer no map, or pixels outside [0, 1].
    """
    if octaves < 1 or octave_scale <= 1:
        raise UsageError("A dream needs at least one octave, and an octave scale above 1.")
    wanted = [DreamTarget(name) if isinstance(name, str) else name for name in layers or dream_layers(network)]
    chance = torch.Generator().manual_seed(seed)
    objective = DreamObjective(network, wanted, guide)
    photo = require_in_range(pixels).to(network.device)
    sizes = octave_sizes((photo.shape[2], photo.shape[3]), octaves, octave_scale, max(network.spec.min_size, 32))
    detail, current = torch.zeros_like(resize(photo, sizes[0])), photo
    for number, size in enumerate(sizes):
        base = resize(photo, size)
        # Its own detail, so that the dream of a smaller octave is laid over the sharp photo, not over a blurred one.
        current = (base + resize(detail, size)).clamp(0, 1)
        run = _octave(objective, current, steps, 0.005 * strength, jitter, tile, chance)
        current = run.run(offset_steps(on_step, number * steps, len(sizes) * steps))
        detail = current - base
    return transfer_color(current, photo, keep_color)


def octave_sizes(size: tuple[int, int], octaves: int, scale: float, least: int) -> list[tuple[int, int]]:
    """Sizes (H, W) from small to large, the last being ``size``; those with a side below ``least`` are left out."""
    found = [tuple(round(side / scale**k) for side in size) for k in range(octaves)]
    kept = [(height, width) for height, width in found if min(height, width) >= least] or [size]
    return kept[::-1]


def _octave(
    objective: DreamObjective,
    start: Tensor,
    steps: int,
    lr: float,
    jitter: int,
    tile: int | None,
    chance: torch.Generator,
) -> ImageOptimizer:
    picture = Pixels(start)
    height, width = start.shape[2:]
    reach = min(jitter, height // 4, width // 4)
    tiling = TiledGradient(tile, chance) if tile and max(height, width) > tile else whole
    offset = (0, 0)

    def draw(step: int) -> None:
        nonlocal offset
        offset = random_offset(reach, chance)

    def loss(image: Tensor) -> tuple[Tensor, Terms]:
        value = tiling(roll(image, offset), objective)
        return -value, {"activation": value.detach()}

    return ImageOptimizer(picture, loss, NormalizedGradient(lr), steps, before_step=draw, generator=chance)


class DreamObjective:
    """Half the mean square of the wanted features, or their match with a guide's; pixels -> a value to be large."""

    def __init__(self, network: Network, wanted: Sequence[DreamTarget], guide: Tensor | None = None) -> None:
        self.network = network
        self.wanted = list(wanted)
        self.layers = list(dict.fromkeys(want.layer for want in wanted))
        self.guides: Mapping[str, Tensor] = self._features(guide) if guide is not None else {}
        self._check()

    def __call__(self, pixels: Tensor) -> Tensor:
        features = self.network.features(pixels, self.layers)
        values = [self._value(want, features[want.layer]) for want in self.wanted]
        return torch.stack(values).sum()

    def _value(self, want: DreamTarget, features: Tensor) -> Tensor:
        if want.layer in self.guides:
            return self._match(features, self.guides[want.layer])
        if want.channel is not None:
            features = features[:, want.channel]
        return 0.5 * features.square().mean()

    def _match(self, features: Tensor, guide: Tensor) -> Tensor:
        """Mean dot product of each position with the guide's feature that it is most like."""
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
            found = self.network.features(torch.zeros(1, 3, side, side), self.layers)
        for want in self.wanted:
            maps = found[want.layer]
            if self.guides or (want.channel is not None and maps.ndim != 2):
                self.network.layers.require_map(want.layer)
            if want.channel is not None and not 0 <= want.channel < maps.shape[1]:
                raise UsageError(
                    f"Layer '{want.layer}' has channels 0 to {maps.shape[1] - 1}; there is no {want.channel}."
                )


def activation_gain(network: Network, before: Tensor, after: Tensor, layers: Sequence[str]) -> float:
    """How many times the layers' mean squared activation of one picture is that of another."""
    with torch.no_grad():
        old, new = (network.features(pixels, list(layers)) for pixels in (before, after))
    ratios = [new[name].square().mean() / old[name].square().mean().clamp_min(1e-12) for name in layers]
    return float(torch.stack(ratios).mean())


def zoom_in(pixels: Tensor, factor: float, degrees: float = 0.0) -> Tensor:
    """The middle of a picture enlarged to its full size, turned a little if asked: the next frame's start."""
    height, width = pixels.shape[2:]
    angle = math.radians(degrees)
    cos, sin = math.cos(angle) / factor, math.sin(angle) / factor
    theta = pixels.new_tensor([[[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]]])
    field = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, field, mode="bicubic", padding_mode="reflection", align_corners=False).clamp(0, 1)


def zoom_frames(
    network: Network,
    pixels: Tensor,
    frames: int,
    paint: Callable[[Tensor, int], Tensor],
    *,
    factor: float = 1.05,
    degrees: float = 0.0,
) -> list[Tensor]:
    """An endless fall into the dream: each frame is the one before, enlarged and dreamt of by ``paint(pixels, n)``."""
    shown = [paint(require_in_range(pixels).to(network.device), 0)]
    for number in range(1, frames):
        shown.append(paint(zoom_in(shown[-1], factor, degrees), number))
    return [frame.cpu() for frame in shown]
