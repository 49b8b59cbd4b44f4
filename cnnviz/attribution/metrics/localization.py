"""Whether a map points at the object that a person has marked."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cnnviz.errors import UsageError

TOLERANCE = 15 / 224
"""How far from the object the maximum may be, in parts of the shorter side: Zhang et al.'s 15 pixels."""


@dataclass(frozen=True)
class Localization:
    """How a map fits a marked object; ``area`` is what ``inside`` and ``overlap`` are for a map that knows nothing.

    Attributes:
        hit: whether the map's largest value lies in the object, or no farther from it than the tolerance.
        inside: the part of the map's positive values that lies in the object.
        overlap: of as many of the map's largest values as the object has pixels, the part that lies in it.
        area: the part of the image that the object covers.

    Example:
        >>> import torch
        >>> mask = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
        >>> mask[..., 16:32, 16:32] = True
        >>> cnnviz.localization(torch.ones(1, 1, 64, 64), mask).inside
        0.0625
    """

    hit: bool
    inside: float
    overlap: float
    area: float


def localization(saliency_map: Tensor, mask: Tensor, *, tolerance: float = TOLERANCE) -> Localization:
    """The pointing game, and how much of a map lies in an object.

    ``hit`` is the pointing game: Zhang, Bargal, Lin, Brandt, Shen & Sclaroff, "Top-Down Neural Attention by Excitation
    Backprop", IJCV 2018, arXiv:1608.00507. ``inside`` is its energy-based form: Wang et al., "Score-CAM", CVPR
    workshops 2020, arXiv:1910.01279. ``overlap`` is the relevance rank accuracy: Arras, Osman & Samek, "CLEVR-XAI",
    Information Fusion 2022, arXiv:2003.07258.

    Args:
        saliency_map: (1, 1, H, W), larger where more important.
        mask: (1, 1, H, W) or (H, W), true in the object.
        tolerance: in parts of the image's shorter side.

    Raises:
        UsageError: a mask of another size than the map, or without a pixel.

    Example:
        >>> import torch
        >>> mask = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
        >>> mask[..., 16:32, 16:32] = True
        >>> cnnviz.localization(mask.float(), mask)
        Localization(hit=True, inside=1.0, overlap=1.0, area=0.0625)
    """
    values = saliency_map.detach().cpu().double()[0, 0]
    inside = mask.cpu().bool().reshape(mask.shape[-2:])
    if inside.shape != values.shape or not inside.any():
        raise UsageError(f"A map {tuple(values.shape)} is measured by a mask of that size, with an object in it.")
    at = divmod(int(values.argmax()), values.shape[1])
    positive = values.clamp_min(0)
    total = float(positive.sum())
    size = int(inside.sum())
    drawn = torch.randperm(values.numel(), generator=torch.Generator().manual_seed(0))  # equal values in any order
    largest = drawn[values.flatten()[drawn].argsort(descending=True, stable=True)[:size]]
    return Localization(
        _distance(inside, at) <= tolerance * min(values.shape),
        float(positive[inside].sum()) / total if total > 0 else 0.0,
        float(inside.flatten()[largest].double().mean()),
        size / values.numel(),
    )


def _distance(inside: Tensor, at: tuple[int, int]) -> float:
    """How far, in pixels, a place is from the nearest pixel of an object."""
    steps = inside.nonzero().double() - torch.tensor(at, dtype=torch.float64)
    return float(steps.square().sum(1).amin().sqrt())
