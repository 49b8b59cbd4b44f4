"""How near gradients are to those in float64, where rounding may not turn a ReLU on or off.

A value next to zero that rounds to the other side changes a gradient by a whole unit: then two networks are compared,
not two ways to compute one. So the pass in float64 takes the masks of the ReLUs, and the places of the maxima, from
the pass in float32.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from cnnviz.attribution.gradients import pixel_gradient
from cnnviz.network.network import Network

_MAX_POOLS = (F.max_pool2d, F.max_pool2d_with_indices, torch.max_pool2d)


def difference_to_float64(network: Network, pixels: Tensor, target: int) -> float:
    """The largest difference of a class's gradient to that in float64, relative to the largest value."""
    with _Choices() as choices:
        found = pixel_gradient(network, pixels, target)
    exact = Network(copy.deepcopy(network.module).double(), spec=network.spec, optimize=True)
    with _Choices(iter(choices.kept)):
        expected = pixel_gradient(exact, pixels.double(), target)
    return float((found - expected).abs().max() / expected.abs().max())


class _Choices(TorchFunctionMode):
    """Keeps what ReLUs and max poolings choose, or has them choose what was kept."""

    def __init__(self, given: Iterator[Tensor] | None = None) -> None:
        super().__init__()
        self.kept: list[Tensor] = []
        self._given = given

    def __torch_function__(
        self, function: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if function is F.relu:
            return self._relu(args[0])
        if function in _MAX_POOLS:
            return self._max_pool(*args, **{**(kwargs or {}), "return_indices": False})
        return function(*args, **(kwargs or {}))

    def _relu(self, value: Tensor) -> Tensor:
        return value * self._choice(lambda: value > 0)

    def _max_pool(self, maps: Tensor, *args: Any, **options: Any) -> Tensor:
        chosen = self._choice(lambda: F.max_pool2d_with_indices(maps, *args, **options)[1])
        return maps.flatten(2).gather(2, chosen.flatten(2)).view(chosen.shape)

    def _choice(self, choose: Callable[[], Tensor]) -> Tensor:
        if self._given is not None:
            return next(self._given)
        self.kept.append(choose())
        return self.kept[-1]
