"""Where tokens stand in the image: which of them are the positions of an earlier map, and which are others.

Class tokens, distillation tokens and registers are found by counting: they are what is joined to the positions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Size, fx, nn

from cnnviz.network.graph import ancestors
from cnnviz.network.map_views import TokenGrid
from cnnviz.network.operations import argument, name_set, operation

TOKEN = "T"
QUERYING = name_set("MultiheadAttention scaled_dot_product_attention matmul bmm")
"""Operations whose tokens are those of the first argument, the queries; the others' tokens are mixed."""

_CHANGING = name_set("cat getitem slice narrow pad")
"""Operations that add or leave out tokens."""


def token_grids(
    root: nn.Module, letters: Mapping[fx.Node, str], shapes: Mapping[fx.Node, Any]
) -> dict[fx.Node, TokenGrid]:
    """The grid of each node with an axis of tokens, if their number is that of a map's positions and the others.

    ``letters`` are the layouts (see ``cnnviz.network.layout``) of the nodes in order of computation, and ``shapes``
    their outputs' for one size of images.
    """
    return _Counter(root, letters, shapes).found


class _Counter:
    """Follows the tokens through a graph, and counts those that are no position."""

    def __init__(self, root: nn.Module, letters: Mapping[fx.Node, str], shapes: Mapping[fx.Node, Any]) -> None:
        self.root, self.letters, self.shapes = root, letters, shapes
        self.found: dict[fx.Node, TokenGrid] = {}
        for node, axes in letters.items():
            if TOKEN in axes:
                sources = node.all_input_nodes
                if operation(root, node) in QUERYING:
                    sources = sources[:1]
                grids = (self._from(node, source) for source in sources)
                grid = next((one for one in grids if one is not None), None)
                if grid is not None:
                    self.found[node] = grid

    def _from(self, node: fx.Node, source: fx.Node) -> TokenGrid | None:
        """The grid that a node has from one of its inputs: that of its tokens, or the map that was flattened."""
        axes, shape = self.letters.get(source, ""), self.shapes.get(node)
        if source in self.found:
            grid = self.found[source]
        elif "HW" in axes and isinstance(self.shapes.get(source), Size):
            grid = TokenGrid(source, (axes.index("H"), axes.index("W")))
        else:
            return None
        if not isinstance(shape, Size):  # several tensors, which are parts along another axis
            return grid
        before = self._before(node, source, grid.before, axes)
        positions = math.prod(grid.size(self.shapes[grid.source]))
        after = shape[self.letters[node].index(TOKEN)] - before - positions
        is_changed = operation(self.root, node) in _CHANGING
        return (
            replace(grid, before=before, after=after)
            if min(before, after) >= 0 and (is_changed or after == grid.after)
            else None
        )

    def _before(self, node: fx.Node, source: fx.Node, before: int, axes: str) -> int:
        """The number of other tokens before the first position, where ``source`` has ``before``; -1 if unknown."""
        name = operation(self.root, node)
        if name == "cat":
            parts = list(argument(node, 0, "tensors"))
            if sum(part in self.found for part in parts) > 1:
                return -1
            axis = axes.index(TOKEN)
            return before + sum(self.shapes[part][axis] for part in parts[: parts.index(source)])
        if name == "pad":
            pads, place = argument(node, 1, "pad"), 2 * (len(axes) - 1 - axes.index(TOKEN))
            return before + (pads[place] if place < len(pads) else 0)
        if name == "getitem" and isinstance(node.args[1], tuple):
            start = first_token(node, axes.index(TOKEN))
            return -1 if start is None else before - start
        return before


def first_token(node: fx.Node, axis: int) -> int | None:
    """The first position along ``axis`` that a node ``x[:, 1:]`` takes; None if it is computed, or some are skipped."""
    index = node.args[1]
    if not isinstance(index, tuple) or Ellipsis in index or None in index:
        return None
    taken = index[axis] if axis < len(index) else slice(None)
    if not isinstance(taken, slice) or taken.step not in (None, 1):
        return None
    start = taken.start or 0
    return start if isinstance(start, int) and start >= 0 else None


def read_positions(
    graph_module: fx.GraphModule,
    letters: Mapping[fx.Node, str],
    grids: Mapping[fx.Node, TokenGrid],
) -> set[fx.Node]:
    """The nodes that the output depends on; of those with tokens, on those at positions, not on class tokens alone.

    After the last attention of a ViT each token is computed by itself, and the classifier takes the class token's.
    """
    read = ancestors([graph_module.graph.output_node()])
    found: set[fx.Node] = set()

    def reads(node: fx.Node, user: fx.Node) -> bool:
        if node not in grids:
            return user in found or user.op == "output"
        is_key = operation(graph_module, user) in QUERYING and node in (*user.args[1:], *user.kwargs.values())
        is_mixed = user not in grids or is_key
        return user in found if not is_mixed else not _takes_others(graph_module, user, grids[node], letters[node])

    for node in reversed(graph_module.graph.nodes):
        if node in read and any(reads(node, user) for user in node.users if user in read):
            found.add(node)
    return found


def _takes_others(root: nn.Module, node: fx.Node, grid: TokenGrid, letters: str) -> bool:
    """Whether a node ``x[:, 0]`` takes tokens alone that come before the positions."""
    axis = letters.index(TOKEN)
    name = operation(root, node)
    if name == "select":
        return argument(node, 1, "dim") == axis and 0 <= argument(node, 2, "index") < grid.before
    if name != "getitem" or not isinstance(node.args[1], tuple) or axis >= len(node.args[1]):
        return False
    taken = node.args[1][axis]
    if isinstance(taken, slice) and isinstance(taken.stop, fx.Node):  # a number of class tokens, computed
        return not taken.start
    if isinstance(taken, slice):
        return isinstance(taken.stop, int) and 0 <= taken.stop <= grid.before
    return isinstance(taken, int) and 0 <= taken < grid.before
