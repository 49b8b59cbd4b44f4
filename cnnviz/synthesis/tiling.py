"""Sums over a network's features of a picture larger than memory, computed and differentiated a piece at a time.

Gram matrices, means and squared errors are sums over positions, so a picture need not be in the network as a whole:
its pieces are shown to it one after the other, each within a border as wide as a position sees, and what they sum to
is the sum. For the gradient each piece is shown again: only its activations are kept, as in gradient checkpointing
(Chen, Xu, Zhang & Guestrin, "Training Deep Nets with Sublinear Memory Cost", 2016, arXiv:1604.06174). Nothing is
approximated: positions at piece borders see what they would see in the whole.
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

Window = tuple[slice, slice]
"""Rows and columns."""


def crop_window(maps: Tensor, window: Window) -> Tensor:
    """The rows and columns of maps (N, C, H, W) that lie in a window; no copy."""
    return maps[:, :, window[0], window[1]]


@dataclass(frozen=True)
class Tile:
    """A part of a picture: ``window`` is what the network is shown of it.

    Of each layer's maps ``crops`` are the positions that count, and ``targets`` where these lie in the maps of the
    whole picture.
    """

    number: int
    window: Window
    crops: Mapping[str, Window]
    targets: Mapping[str, Window]

    def crop(self, layer: str, maps: Tensor) -> Tensor:
        """What counts of a layer's maps (N, C, h, w) of this piece."""
        window = self.crops[layer]
        whole = all(part == slice(0, side) for part, side in zip(window, maps.shape[2:], strict=True))
        return maps if whole else crop_window(maps, window)


@dataclass(frozen=True)
class TileGrid:
    """All pieces of a picture, and the height and width of each layer's maps of the whole of it."""

    tiles: tuple[Tile, ...]
    sizes: Mapping[str, Size]

    def __iter__(self) -> Iterator[Tile]:
        return iter(self.tiles)

    def __len__(self) -> int:
        return len(self.tiles)


TileStatistic = Callable[[str, Tensor, Tile], Sequence[Tensor]]
"""A layer, its maps of a piece, cut to what counts and in the type they were computed in, and the piece -> tensors that
are summed over the pieces."""

TileSums = Mapping[str, Sequence[Tensor]]
"""What ``TileStatistic`` told, summed, by layer."""


def tiled_sum(
    network: Network, pixels: Tensor, layers: Sequence[str], tiles: TileGrid, summary: TileStatistic
) -> TileSums:
    """The sums of ``summary`` over the pieces of pixels (1, 3, H, W); differentiable, in one piece or in many.

    Each layer is summed up as soon as it is computed: no more of them is kept than the way back needs.
    """
    counts: dict[str, int] = {}

    def of_tile(shown: Tensor, tile: Tile) -> list[Tensor]:
        found: dict[str, Sequence[Tensor]] = {}

        def tell(layer: str, maps: Tensor) -> None:
            found[layer] = summary(layer, tile.crop(layer, maps), tile)

        network.stream_features(shown, layers, tell)
        counts.update({layer: len(found[layer]) for layer in layers})
        return [part for layer in layers for part in found[layer]]

    if len(tiles) == 1:
        (tile,) = tiles
        parts = iter(of_tile(crop_window(pixels, tile.window), tile))
    else:
        parts = iter(_TiledSum.apply(pixels, of_tile, tiles))
    return {layer: [next(parts) for _ in range(counts[layer])] for layer in layers}


class _TiledSum(torch.autograd.Function):
    """Sums over pieces; going back, each piece is computed once more and forgotten."""

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
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (pixels,) = ctx.saved_tensors
        gradient = torch.zeros_like(pixels)
        for tile in ctx.tiles:
            shown = crop_window(pixels, tile.window).detach().requires_grad_()
            with torch.enable_grad():
                parts = ctx.of_tile(shown, tile)
            known = [(part, slope) for part, slope in zip(parts, slopes, strict=True) if part.requires_grad]
            found = gradients_of([part for part, _ in known], shown, [slope for _, slope in known])[0]
            crop_window(gradient, tile.window).add_(found)
        return gradient, None, None


def plan_tiles(network: Network, layers: Sequence[str], size: Size, side: int = 0, border: int = 0) -> TileGrid:
    """The pieces in which a picture of ``size`` (H, W) is shown to the network.

    Args:
        layers: whose features are summed.
        side: the largest side of a piece, its border included; 0 for the picture as a whole.
        border: pixels at the picture's borders whose positions do not count.

    Raises:
        UsageError: pieces so small are all border, or the layers cannot be told apart by position.
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
    found = [
        Tile(
            number,
            (rows.window, columns.window),
            {layer: (rows.crops[layer], columns.crops[layer]) for layer in layers},
            {layer: (rows.targets[layer], columns.targets[layer]) for layer in layers},
        )
        for number, (rows, columns) in enumerate(product(*axes))
    ]
    return TileGrid(tuple(found), sizes)


def smallest_tile(network: Network, layers: Sequence[str]) -> int | None:
    """The smallest side that pieces can have; None where a position sees the whole picture, so that there are none."""
    try:
        fields = _fields(network, layers, (network.spec.size, network.spec.size))
    except UsageError:
        return None
    return max(_halo(fields, axis).least for axis in range(2))


@dataclass(frozen=True)
class _Span:
    """A piece along one axis."""

    window: slice
    crops: dict[str, slice]
    targets: dict[str, slice]


@dataclass(frozen=True)
class _Halo:
    """How far positions see beyond their own pixels, before and after, in whole steps of all layers."""

    step: int
    before: int
    after: int

    @property
    def least(self) -> int:
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
                f"Positions of layer '{layer}' have no window of their own: they may see the whole picture, "
                "so there are no pieces of it."
            )
    return {layer: field for layer, field in fields.items() if field is not None}


def _shapes(network: Network, layers: Sequence[str], size: Size) -> tuple[dict[fx.Node, Any], dict[str, fx.Node]]:
    """The shape of every node's output, and which node is which layer."""
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
    parted = 0 < side < length
    spans = []
    for first, last in _bounds(border, length - border, halo, side if parted else 0):
        start = max(0, (first - halo.before) // halo.step * halo.step) if parted else 0
        stop = min(length, last + halo.after + 1) if parted else length
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
        raise UsageError("The picture is too small to leave its borders out of account.")
    return spans


def _bounds(first: int, last: int, halo: _Halo, side: int) -> list[tuple[int, int]]:
    """Where pieces begin and end, without their borders; in whole steps but for the last."""
    if not side:
        return [(first, last)]
    room = (side - halo.least) // halo.step + 1
    if room < 1:
        raise UsageError(f"Pieces of {side} pixels are all border here; they need at least {halo.least}.")
    steps = max(1, (last - first) // halo.step)  # what is left over is the last piece's
    count = math.ceil(steps / room)
    marks = [first + halo.step * (steps * k // count) for k in range(count)]
    return [*zip(marks, [*marks[1:], last], strict=True)]
