"""Small changes of an image under which a network says much the same."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.attribution.targets import TargetFunction, measures
from cnnviz.network.network import Network

_SHIFT = 1 / 100  # of the shorter side
_GAIN, _GRAIN = 0.05, 0.01
_STRENGTHS = (1.0, 0.5, 0.25)
_KEPT = 0.5  # of the score


@dataclass(frozen=True)
class Jitter:
    """A small change of an image that does not change what it shows, as another frame of a video would have it.

    Attributes:
        down, right: by how many pixels it moves; maps move with it.
        gain: what pixels are multiplied by.
        grain: standard deviation of the noise that is added.
        seed: of that noise.
    """

    down: int = 0
    right: int = 0
    gain: float = 1.0
    grain: float = _GRAIN
    seed: int = 0

    @staticmethod
    def draw(size: tuple[int, int], generator: torch.Generator, strength: float = 1.0) -> Jitter:
        """A random one for images of a size (height, width): one part in a hundred, 5 % lighter or darker, a grain."""
        most = round(strength * max(1, round(_SHIFT * min(size))))
        down, right = torch.randint(-most, most + 1, (2,), generator=generator).tolist()
        gain = 1 + strength * _GAIN * (2 * float(torch.rand((), generator=generator)) - 1)
        seed = int(torch.randint(2**31, (), generator=generator))
        return Jitter(down, right, gain, strength * _GRAIN, seed)

    def of_image(self, image: Tensor) -> Tensor:
        """The image (1, C, H, W), changed; in [0, 1]."""
        noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(self.seed)).to(image)
        return (self.gain * self.of_maps(image) + self.grain * noise).clamp(0, 1)

    def of_maps(self, maps: Tensor) -> Tensor:
        """Maps or images (M, C, H, W), moved; the border is repeated."""
        height, width = maps.shape[2:]
        across, down = abs(self.right), abs(self.down)
        padded = F.pad(maps, (across, across, down, down), mode="replicate")
        top, left = down - self.down, across - self.right
        return padded[:, :, top : top + height, left : left + width]


@torch.no_grad()
def steady_jitter(network: Network, image: Tensor, target: int | TargetFunction, seed: int) -> Jitter:
    """A random jitter of an image (1, C, H, W) under which a class keeps at least half of its score.

    A network may be so particular about where things are that one pixel to the side takes the class away. A map of the
    image then explains a score that the jittered image does not have: there is nothing left to hide, and every map
    scores nothing. Such a jitter is drawn again, half as strong, at most twice; then the image stays as it is.
    """
    size = image.shape[2], image.shape[3]
    generator = torch.Generator().manual_seed(seed)
    clean = _score(network, image, target)
    for strength in _STRENGTHS:
        drawn = Jitter.draw(size, generator, strength)
        if _score(network, drawn.of_image(image), target) >= clean - _KEPT * abs(clean):
            return drawn
    return Jitter(grain=0.0)


def _score(network: Network, image: Tensor, target: int | TargetFunction) -> float:
    return float(measures(network, network.logits(image.to(network.device)), target))
