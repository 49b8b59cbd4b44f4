"""Maps that know nothing of the network: a map worth looking at does better than each of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.imaging.pixel_ops import gaussian_blur

BASELINES = {
    "random": "random pixels",
    "smooth-random": "smooth random field",
    "middle": "blob in the middle",
    "edges": "edge detector",
}
"""The baselines by name, with what figures call them."""

_FIELD = 1 / 8
_EDGE = 1 / 112
"""Standard deviations of the Gaussians that smooth the random field and the edges, in parts of the shorter side."""

_SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


def baseline_map(name: str, pixels: Tensor, seed: int = 0) -> Tensor:
    """A map (N, 1, H, W), at least 0, made without the network; UsageError for a name that is not in ``BASELINES``.

    Args:
        name: ``random`` (a number drawn for each pixel), ``smooth-random`` (such numbers blurred by an eighth of the
            shorter side), ``middle`` (a Gaussian in the middle of the image) or ``edges`` (the Sobel gradient's
            magnitude, lightly smoothed).
        pixels: (N, C, H, W) in [0, 1], any channels.
        seed: of the first two.

    Example:
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.baseline_map("middle", pixels).shape
        torch.Size([1, 1, 64, 96])
    """
    if name not in _MAKERS:
        raise UsageError(f"There is no baseline '{name}'; the choices are {', '.join(BASELINES)}.")
    return _MAKERS[name](pixels.detach().float(), seed)


def _random(pixels: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(len(pixels), 1, *pixels.shape[2:], generator=generator).to(pixels.device)


def _smooth_random(pixels: Tensor, seed: int) -> Tensor:
    # Another seed than that of the random pixels, whose blur this would be.
    field = gaussian_blur(_random(pixels, seed + 1), _FIELD * min(pixels.shape[2:]))
    return field - field.amin((2, 3), keepdim=True)


def _middle(pixels: Tensor, seed: int) -> Tensor:
    rows, columns = (torch.linspace(-1, 1, extent, device=pixels.device) for extent in pixels.shape[2:])
    blob = torch.exp(-2 * (rows[:, None].square() + columns.square()))
    return blob.expand(len(pixels), 1, -1, -1).clone()


def _edges(pixels: Tensor, seed: int) -> Tensor:
    across = pixels.new_tensor(_SOBEL)
    gray = F.pad(pixels.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    steps = F.conv2d(gray, torch.stack((across, across.T))[:, None])
    return gaussian_blur(steps.square().sum(1, keepdim=True).sqrt(), _EDGE * min(pixels.shape[2:]))


_MAKERS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "random": _random,
    "smooth-random": _smooth_random,
    "middle": _middle,
    "edges": _edges,
}
