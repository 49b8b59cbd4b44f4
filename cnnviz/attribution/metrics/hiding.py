"""How fast a class's score falls as a map's pixels are hidden, and how fast it comes back, with any fill."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cnnviz.attribution.metrics.fills import Fill
from cnnviz.attribution.targets import TargetFunction, measures
from cnnviz.network.network import Network

_BATCH = 8


@dataclass(frozen=True)
class Hiding:
    """What hiding did to the score of one class.

    Attributes:
        scores: (M,), of each map the insertion area minus the deletion area, in [-1, 1] for probabilities.
        least, largest: of all scores of the class that were seen.
    """

    scores: Tensor
    least: float
    largest: float


@torch.no_grad()
def hiding(
    network: Network,
    image: Tensor,
    maps: Tensor,
    target: int | TargetFunction,
    fill: Fill,
    *,
    steps: int = 8,
    seed: int = 0,
) -> Hiding:
    """Insertion area minus deletion area of maps (M, 1, H, W) of an image (1, C, H, W), with one fill.

    After Petsiuk, Das & Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018,
    arXiv:1806.07421, with one fill for both curves: their ends are then the same and drop out of the difference, so
    that the areas are those of the midpoint rule over ``steps`` equal shares of the pixels. 0 is what hiding in any
    order that has nothing to do with the class comes to; a map's negative has the map's area, negated.
    """
    image = image.to(network.device)
    hide = fill.prepare(image, torch.Generator().manual_seed(seed))
    ranks = ranks_of(maps).to(image.device)
    pixels = ranks[0].numel()
    counts = ((torch.arange(steps, dtype=torch.float64) + 0.5) / steps * pixels).round().long().tolist()
    kept = [keep for rank in ranks for count in counts for keep in (rank < count, rank >= count)]
    step = _batch_of(network, image)
    found = [
        measures(network, network.logits(hide(torch.stack(kept[at : at + step]))), target).double().cpu()
        for at in range(0, len(kept), step)
    ]
    values = torch.cat(found).view(len(maps), steps, 2)
    return Hiding((values[..., 0] - values[..., 1]).mean(1), float(values.min()), float(values.max()))


def _batch_of(network: Network, image: Tensor) -> int:
    if network.black_box is None:
        return _BATCH
    return network.black_box.batch_size((image.shape[2], image.shape[3]), network.spec.channels)


def ranks_of(maps: Tensor) -> Tensor:
    """Each pixel's rank in its map, (M, 1, H, W), from 0 for the largest value; equal ones in random order."""
    values = maps.detach().cpu().flatten(1)
    drawn = torch.randperm(values.shape[1], generator=torch.Generator().manual_seed(0))
    order = drawn[values[:, drawn].argsort(dim=1, descending=True, stable=True)]
    places = torch.empty_like(order).scatter_(1, order, torch.arange(order.shape[1]).expand_as(order))
    return places.view(len(maps), 1, *maps.shape[2:])
