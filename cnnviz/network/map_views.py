"""How the value of a node is seen as a map (N, C, H, W): axes in another order, or tokens that are put in a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx


@dataclass(frozen=True)
class TokenGrid:
    """Tokens that are the positions of an earlier map, row by row, perhaps among others.

    Args:
        source: the map's node.
        axes: of its rows and columns.
        before, after: the number of other tokens, as class tokens and registers, before and after those of the map.
    """

    source: fx.Node
    axes: tuple[int, int]
    before: int = 0
    after: int = 0

    @property
    def others(self) -> int:
        """The number of tokens that are no position."""
        return self.before + self.after

    def size(self, shape: Sequence[int]) -> tuple[int, int]:
        """Height and width of the grid, where its source has a ``shape``."""
        return shape[self.axes[0]], shape[self.axes[1]]


@dataclass(frozen=True)
class MapView:
    """How a value is seen as a map.

    Args:
        order: the permutation of its axes to N, C, H, W; to N, C, T for tokens.
        grid: where tokens stand in the image; None for a value that has rows and columns.
    """

    order: tuple[int, ...]
    grid: TokenGrid | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the value is a map as it is."""
        return self.grid is None and self.order == (0, 1, 2, 3)

    def shape(self, shape: Sequence[int], shapes: Mapping[fx.Node, Any]) -> tuple[int, int, int, int]:
        """The map's shape, where the value has a ``shape`` and the graph's nodes have ``shapes``."""
        images, channels, *size = (shape[axis] for axis in self.order)
        height, width = self.grid.size(shapes[self.grid.source]) if self.grid else size
        return images, channels, height, width

    @property
    def inverse(self) -> list[int]:
        """The permutation back."""
        return [self.order.index(axis) for axis in range(len(self.order))]

    def of(self, graph: fx.Graph, value: fx.Node, copies: Mapping[fx.Node, fx.Node]) -> fx.Node:
        """A new node of ``graph``: ``value`` as a map; ``copies`` are the graph's nodes by those they were made of."""
        if self.grid is None:
            return graph.call_method("permute", (value, *self.order))
        arguments = value, copies[self.grid.source], self.order, self.grid.axes, self.grid.before
        return graph.call_function(tokens_to_map, arguments)

    def back(self, graph: fx.Graph, seen: fx.Node, value: fx.Node) -> fx.Node:
        """A new node of ``graph``: what ``value`` is, computed from its map ``seen``."""
        if self.grid is None:
            return graph.call_method("permute", (seen, *self.inverse))
        return graph.call_function(map_to_tokens, (seen, value, self.order, self.inverse, self.grid.before))


Views = Mapping[fx.Node, MapView]
"""How the values of some nodes are returned."""


def tokens_to_map(
    tokens: Tensor, source: Tensor, order: Sequence[int], axes: tuple[int, int], before: int = 0
) -> Tensor:
    """The map (N, C, H, W) of tokens whose axes are N, C, T in the order ``order``.

    ``source`` is a map whose ``axes`` are the rows and columns, and ``before`` the number of tokens before the first
    position.
    """
    height, width = source.shape[axes[0]], source.shape[axes[1]]
    return tokens.permute(*order).narrow(2, before, height * width).unflatten(2, (height, width))


def map_to_tokens(seen: Tensor, tokens: Tensor, order: Sequence[int], inverse: Sequence[int], before: int) -> Tensor:
    """The tokens of which ``seen`` is the map; those that are no position are taken from ``tokens``."""
    inside, others = seen.flatten(2), tokens.permute(*order)
    after = before + inside.shape[2]
    return torch.cat([others[..., :before], inside, others[..., after:]], 2).permute(*inverse)
