"""Sums over a network's features of an image larger than memory, computed and differentiated one tile at a time.

Gram matrices, means and squared errors are sums over positions, so the network need not see the whole image at once:
it is shown tile after tile, each with a halo as wide as its receptive fields, and the tiles' sums are added. For the
gradient each tile is computed again and only its activations are kept, as in gradient checkpointing (Chen, Xu, Zhang &
Guestrin, "Training Deep Nets with Sublinear Memory Cost", 2016, arXiv:1604.06174). Nothing is approximated: positions
at a tile's border see what they would see in the whole image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, fx

from cnnviz.errors import UsageError
from cnnviz.network.geometry import ReceptiveField
from cnnviz.network.network import Network
from cnnviz.network.receptive_fields import receptive_fields
from cnnviz.network.shapes import output_shapes
from cnnviz.runtime.precision import gradients_of

Size = tuple[int, int]
"""Height and width."""

Slices = tuple[slice, slice]
"""Rows and columns."""


def crop_window(maps: Tensor, window: Slices) -> Tensor:
    """The rows and columns of maps (N, C, H, W) that lie in a window, as a view."""
    return maps[:, :, window[0], window[1]]


@dataclass(frozen=True)
class Tile:
    """A part of an image.

    Attributes:
        number: counts from 0.
        window: rows and columns of the image that the network is shown, halo included.
        crops: rows and columns of each layer's maps of the window that belong to the tile, without the halo.
        targets: where these lie in the layer's maps of the whole image.
    """

    number: int
    window: Slices
    crops: Mapping[str, Slices]
    targets: Mapping[str, Slices]

    def crop(self, layer: str, maps: Tensor) -> Tensor:
        """A layer's maps (N, C, h, w) of the window without the halo."""
        window = self.crops[layer]
        whole = all(part == slice(0, side) for part, side in zip(window, maps.shape[2:], strict=True))
        return maps if whole else crop_window(maps, window)


@dataclass(frozen=True)
class TileGrid:
    """All tiles of an image, and the height and width of each layer's maps of the whole image."""

    tiles: tuple[Tile, ...]
    sizes: Mapping[str, Size]

    def __iter__(self) -> Iterator[Tile]:
        return iter(self.tiles)

    def __len__(self) -> int:
        return len(self.tiles)


TileStatistic = Callable[[str, Tensor, Tile], Sequence[Tensor]]
"""A layer, its maps of a tile (without the halo, in the type they were computed in), and the tile -> tensors that are
summed over the tiles."""

TileSums = Mapping[str, Sequence[Tensor]]
"""The tensors of a ``TileStatistic``, summed over the tiles, by layer."""


def tiled_sum(
    network: Network, pixels: Tensor, layers: Sequence[str], tiles: TileGrid, statistic: TileStatistic
) -> TileSums:
    """The sums of ``statistic`` over the tiles of pixels (1, 3, H, W), by layer; differentiable.

    Each layer's statistic is computed as soon as the layer is, so that no more layers are kept than the backward pass
    needs.
    """
    counts: dict[str, int] = {}

    def of_tile(pixels: Tensor, tile: Tile) -> list[Tensor]:
        found: dict[str, Sequence[Tensor]] = {}

        def on_features(layer: str, maps: Tensor) -> None:
            found[layer] = statistic(layer, tile.crop(layer, maps), tile)

        network.stream_features(pixels, layers, on_features)
        counts.update({layer: len(found[layer]) for layer in layers})
        return [part for layer in layers for part in found[layer]]

    if len(tiles) == 1:
        (tile,) = tiles
        parts = iter(of_tile(crop_window(pixels, tile.window), tile))
    else:
        parts = iter(_TiledSum.apply(pixels, of_tile, tiles))
    return {layer: [next(parts) for _ in range(counts[layer])] for layer in layers}


class _TiledSum(torch.autograd.Function):
    """Sums over tiles; the backward pass computes each tile once more."""

    @staticmethod
    def forward(ctx: Any, pixels: Tensor, of_tile: Any, tiles: TileGrid) -> tuple[Tensor, ...]:
        ctx.save_for_backward(pixels)
        ctx.of_tile, ctx.tiles = of_tile, tiles
        sums: list[Tensor] = []
        for tile in tiles:
            parts = of_tile(crop_window(pixels, tile.window), tile)
            sums = [a + b for a, b in zip(sums, parts, strict=True)] if sums else list(parts)
        return tuple(sums)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (pixels,) = ctx.saved_tensors
        total = torch.zeros_like(pixels)
        for tile in ctx.tiles:
            window = crop_window(pixels, tile.window).detach().requires_grad_()
            with torch.enable_grad():
                parts = ctx.of_tile(window, tile)
            known = [(part, grad) for part, grad in zip(parts, gradients, strict=True) if part.requires_grad]
            gradient = gradients_of([part for part, _ in known], window, [grad for _, grad in known])[0]
            crop_window(total, tile.window).add_(gradient)
        return total, None, None


def plan_tiles(network: Network, layers: Sequence[str], size: Size, side: int = 0, border: int = 0) -> TileGrid:
    """The tiles in which an image of ``size`` (H, W) is shown to the network.

    Args:
        layers: whose features are summed.
        side: the largest side of a tile, its halo included; 0 for the whole image.
        border: pixels at the image's borders whose positions do not count.

    Raises:
        UsageError: tiles so small are all halo, or a layer's positions see the whole image.
    """
    sizes = _map_sizes(network, layers, size)
    if not border and not 0 < side < max(size):
        everything = {layer: (slice(0, height), slice(0, width)) for layer, (height, width) in sizes.items()}
        return TileGrid((Tile(0, (slice(None), slice(None)), everything, everything),), sizes)
    fields = _fields(network, layers, size)
    axes = [
        _spans(fields, {layer: maps[axis] for layer, maps in sizes.items()}, size[axis], axis, side, border)
        for axis in range(2)
    ]
    tiles = [
        Tile(
            number,
            (rows.window, columns.window),
            {layer: (rows.crops[layer], columns.crops[layer]) for layer in layers},
            {layer: (rows.targets[layer], columns.targets[layer]) for layer in layers},
        )
        for number, (rows, columns) in enumerate(product(*axes))
    ]
    return TileGrid(tuple(tiles), sizes)


def smallest_tile(network: Network, layers: Sequence[str]) -> int | None:
    """The smallest side that tiles can have; None where positions see the whole image, so that tiles are impossible."""
    try:
        fields = _fields(network, layers, (network.spec.size, network.spec.size))
    except UsageError:
        return None
    return max(_halo(fields, axis).least_side for axis in range(2))


@dataclass(frozen=True)
class _Span:
    """A tile along one axis; see ``Tile``."""

    window: slice
    crops: dict[str, slice]
    targets: dict[str, slice]


@dataclass(frozen=True)
class _Halo:
    """How far positions see beyond their own pixels, before and after, in whole multiples of all layers' strides."""

    step: int
    before: int
    after: int

    @property
    def least_side(self) -> int:
        return self.before + self.after + 2 * self.step


def _map_sizes(network: Network, layers: Sequence[str], size: Size) -> dict[str, Size]:
    """Height and width of each layer's maps."""
    shapes, nodes = _shapes(network, layers, size)
    for layer in layers:
        network.layers.require_map(layer)
    return {layer: (int(shapes[node][2]), int(shapes[node][3])) for layer, node in nodes.items()}


def _fields(network: Network, layers: Sequence[str], size: Size) -> dict[str, ReceptiveField]:
    shapes, nodes = _shapes(network, layers, size)
    found = receptive_fields(network.truncated({name: name for name in layers}), shapes)
    fields = {layer: found.get(node) for layer, node in nodes.items()}
    for layer, field in fields.items():
        if field is None:
            raise UsageError(
                f"Positions of layer '{layer}' may see the whole image: it cannot be computed in tiles, "
                "nor without the image's borders."
            )
    return {layer: field for layer, field in fields.items() if field is not None}


def _shapes(network: Network, layers: Sequence[str], size: Size) -> tuple[dict[fx.Node, Any], dict[str, fx.Node]]:
    """The shape of every node's output, and the node of each layer."""
    graph = network.truncated({name: name for name in layers})
    output = next(node for node in graph.graph.nodes if node.op == "output")
    return output_shapes(graph, (1, network.spec.channels, *size)), output.args[0]  # type: ignore[return-value]


def _halo(fields: Mapping[str, ReceptiveField], axis: int) -> _Halo:
    step = math.lcm(*(field.stride[axis] for field in fields.values()))
    before = max(0, *(-field.low[axis] for field in fields.values()))
    after = max(0, *(field.high[axis] for field in fields.values()))
    return _Halo(step, step * math.ceil(before / step), step * math.ceil(after / step))


def _spans(
    fields: Mapping[str, ReceptiveField], counts: Mapping[str, int], length: int, axis: int, side: int, border: int
) -> list[_Span]:
    halo = _halo(fields, axis)
    is_tiled = 0 < side < length
    spans = []
    for first, last in _bounds(border, length - border, halo, side if is_tiled else 0):
        start = max(0, (first - halo.before) // halo.step * halo.step) if is_tiled else 0
        stop = min(length, last + halo.after + 1) if is_tiled else length
        targets = {}
        for layer, field in fields.items():
            stride = field.stride[axis]
            begin = math.ceil(first / stride)
            end = counts[layer] if last == length else min(counts[layer], math.ceil(last / stride))
            targets[layer] = slice(begin, max(begin, end))
        before = {layer: start // field.stride[axis] for layer, field in fields.items()}
        crops = {layer: slice(at.start - before[layer], at.stop - before[layer]) for layer, at in targets.items()}
        spans.append(_Span(slice(start, stop), crops, targets))
    if any(all(span.targets[layer].start == span.targets[layer].stop for span in spans) for layer in fields):
        raise UsageError("The image is too small to leave its borders out.")
    return spans


def _bounds(first: int, last: int, halo: _Halo, side: int) -> list[tuple[int, int]]:
    """Where tiles begin and end, without their halos; in whole steps but for the last."""
    if not side:
        return [(first, last)]
    room = (side - halo.least_side) // halo.step + 1
    if room < 1:
        raise UsageError(f"Tiles of {side} pixels are all halo in this network; they need at least {halo.least_side}.")
    steps = max(1, (last - first) // halo.step)  # the last tile takes the remainder
    count = math.ceil(steps / room)
    starts = [first + halo.step * (steps * k // count) for k in range(count)]
    return [*zip(starts, [*starts[1:], last], strict=True)]
