"""Networks whose evidence is known: each reads one part of an image, and says so by the first of two classes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cnnviz.imaging.pixel_ops import gaussian_blur
from cnnviz.network.network import Network


class Template(nn.Module):
    """Whether the detail within a mask is that of one image, each part of the mask counting about the same."""

    def __init__(self, image: Tensor, mask: Tensor) -> None:
        super().__init__()
        sigma = min(image.shape[2:]) / 16
        detail = image - gaussian_blur(image, sigma)
        contrast = gaussian_blur(detail.square().mean(1, keepdim=True), sigma)
        weights = detail / (contrast + 0.05**2) * mask
        weights = (weights - gaussian_blur(weights, sigma)) * mask
        self.register_buffer("weights", weights / (weights * image).sum())

    def forward(self, x: Tensor) -> Tensor:
        score = 10 * ((x * self.weights).sum((1, 2, 3)) - 0.5)
        return torch.stack((score, -score), 1)


class Deaf(nn.Module):
    """Says the same of every image."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tensor([[3.0, -3.0]]).expand(len(x), 2) + 0 * x.sum((1, 2, 3))[:, None]


def as_network(module: nn.Module, size: int) -> Network:
    """The module on plain pixels, with the classes ``seen`` and ``not seen``."""
    return Network(module, labels=("seen", "not seen"), mean=(0.0,) * 3, std=(1.0,) * 3, size=size)


def blob_mask(height: int, width: int, seed: int, share: float = 0.15) -> Tensor:
    """A mask (1, 1, H, W) of smooth random spots that cover a share of the image."""
    noise = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(seed))
    field = gaussian_blur(noise, min(height, width) / 8)
    return (field > field.quantile(1 - share)).float()


def overlap(found: Tensor, mask: Tensor) -> float:
    """Of as many of a map's largest values as the mask has pixels, the part within the mask."""
    count = int(mask.sum())
    return float(mask.flatten()[found.flatten().topk(count).indices].mean())


@pytest.fixture
def template() -> Callable[[Tensor, int], tuple[Network, Tensor]]:
    """``template(image, seed)``: a network that reads an image within a random mask, and the mask."""

    def make(image: Tensor, seed: int) -> tuple[Network, Tensor]:
        mask = blob_mask(image.shape[2], image.shape[3], seed)
        return as_network(Template(image, mask), min(image.shape[2:])), mask

    return make


@pytest.fixture
def deaf() -> Network:
    """A network that ignores its input."""
    return as_network(Deaf(), 64)


@pytest.fixture
def overlap_of() -> Callable[[Tensor, Tensor], float]:
    return overlap
