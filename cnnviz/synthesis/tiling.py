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
from cnnviz.network import Network
from cnnviz.network.geometry import ReceptiveField
from cnnviz.network.shapes import output_shapes
from cnnviz.network.sight import receptive_fields
from cnnviz.runtime.precision import gradients_of

Size = tuple[int, int]
"""Height and width."""

Window = tuple[slice, slice]
"""Rows and columns."""


def region(maps: Tensor, window: Window) -> Tensor:
    """The rows and columns of maps (N, C, H, W) that lie in a window; no copy."""
    return maps[:, :, window[0], window[1]]


@dataclass(frozen=True)
class Piece:
    """A part of a picture: ``window`` is what the network is shown of it.

    Of each layer's maps ``cuts`` are the positions that count, and ``places`` where these lie in the maps of the
    whole picture.
    """

    number: int
    window: Window
    cuts: Mapping[str, Window]
    places: Mapping[str, Window]

    def cut(self, layer: str, maps: Tensor) -> Tensor:
        """What counts of a layer's maps (N, C, h, w) of this piece."""
        window = self.cuts[layer]
        whole = all(part == slice(0, side) for part, side in zip(window, maps.shape[2:], strict=True))
        return maps if whole else region(maps, window)


@dataclass(frozen=True)
class Pieces:
    """All pieces of a picture, and the height and width of each layer's maps of the whole of it."""

    pieces: tuple[Piece, ...]
    sizes: Mapping[str, Size]

    def __iter__(self) -> Iterator[Piece]:
        return iter(self.pieces)

    def __len__(self) -> int:
        return len(self.pieces)


Summary = Callable[[str, Tensor, Piece], Sequence[Tensor]]
"""A layer, its maps of a piece, cut to what counts and in the type they were computed in, and the piece -> tensors that
are summed over the pieces."""

Sums = Mapping[str, Sequence[Tensor]]
"""What ``Summary`` told, summed, by layer."""


def summed(network: Network, pixels: Tensor, layers: Sequence[str], pieces: Pieces, summary: Summary) -> Sums:
    """The sums of ``summary`` over the pieces of pixels (1, 3, H, W); differentiable, in one piece or in many.

    Each layer is summed up as soon as it is computed: no more of them is kept than the way back needs.
    """
    counts: dict[str, int] = {}

    def of_piece(shown: Tensor, piece: Piece) -> list[Tensor]:
        found: dict[str, Sequence[Tensor]] = {}

        def tell(layer: str, maps: Tensor) -> None:
            found[layer] = summary(layer, piece.cut(layer, maps), piece)

        network.report(shown, layers, tell)
        counts.update({layer: len(found[layer]) for layer in layers})
        return [part for layer in layers for part in found[layer]]

    if len(pieces) == 1:
        (piece,) = pieces
        parts = iter(of_piece(region(pixels, piece.window), piece))
    else:
        parts = iter(_Summed.apply(pixels, of_piece, pieces))
    return {layer: [next(parts) for _ in range(counts[layer])] for layer in layers}


class _Summed(torch.autograd.Function):
    """Sums over pieces; going back, each piece is computed once more and forgotten."""

    @staticmethod
    def forward(ctx: Any, pixels: Tensor, of_piece: Any, pieces: Pieces) -> tuple[Tensor, ...]:
        ctx.save_for_backward(pixels)
        ctx.of_piece, ctx.pieces = of_piece, pieces
        sums: list[Tensor] = []
        for piece in pieces:
            parts = of_piece(region(pixels, piece.window), piece)
            sums = [a + b for a, b in zip(sums, parts, strict=True)] if sums else list(parts)
        return tuple(sums)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (pixels,) = ctx.saved_tensors
        gradient = torch.zeros_like(pixels)
        for piece in ctx.pieces:
            shown = region(pixels, piece.window).detach().requires_grad_()
            with torch.enable_grad():
                parts = ctx.of_piece(shown, piece)
            known = [(part, slope) for part, slope in zip(parts, slopes, strict=True) if part.requires_grad]
            found = gradients_of([part for part, _ in known], shown, [slope for _, slope in known])[0]
            region(gradient, piece.window).add_(found)
        return gradient, None, None


def plan_pieces(network: Network, layers: Sequence[str], size: Size, side: int = 0, border: int = 0) -> Pieces:
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
        return Pieces((Piece(0, (slice(None), slice(None)), everything, everything),), sizes)
    fields = _fields(network, layers, size)
    axes = [
        _spans(fields, {layer: maps[axis] for layer, maps in sizes.items()}, size[axis], axis, side, border)
        for axis in range(2)
    ]
    found = [
        Piece(
            number,
            (rows.window, columns.window),
            {layer: (rows.cuts[layer], columns.cuts[layer]) for layer in layers},
            {layer: (rows.places[layer], columns.places[layer]) for layer in layers},
        )
        for number, (rows, columns) in enumerate(product(*axes))
    ]
    return Pieces(tuple(found), sizes)


def smallest_piece(network: Network, layers: Sequence[str]) -> int | None:
    """The smallest side that pieces can have; None where a position sees the whole picture, so that there are none."""
    try:
        fields = _fields(network, layers, (network.spec.size, network.spec.size))
    except UsageError:
        return None
    return max(_reach(fields, axis).least for axis in range(2))


@dataclass(frozen=True)
class _Span:
    """A piece along one axis."""

    window: slice
    cuts: dict[str, slice]
    places: dict[str, slice]


@dataclass(frozen=True)
class _Reach:
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


def _reach(fields: Mapping[str, ReceptiveField], axis: int) -> _Reach:
    step = math.lcm(*(field.stride[axis] for field in fields.values()))
    before = max(0, *(-field.low[axis] for field in fields.values()))
    after = max(0, *(field.high[axis] for field in fields.values()))
    return _Reach(step, step * math.ceil(before / step), step * math.ceil(after / step))


def _spans(
    fields: Mapping[str, ReceptiveField], counts: Mapping[str, int], length: int, axis: int, side: int, border: int
) -> list[_Span]:
    reach = _reach(fields, axis)
    parted = 0 < side < length
    spans = []
    for first, last in _bounds(border, length - border, reach, side if parted else 0):
        start = max(0, (first - reach.before) // reach.step * reach.step) if parted else 0
        stop = min(length, last + reach.after + 1) if parted else length
        places = {}
        for layer, field in fields.items():
            stride = field.stride[axis]
            begin = math.ceil(first / stride)
            end = counts[layer] if last == length else min(counts[layer], math.ceil(last / stride))
            places[layer] = slice(begin, max(begin, end))
        before = {layer: start // field.stride[axis] for layer, field in fields.items()}
        cuts = {layer: slice(at.start - before[layer], at.stop - before[layer]) for layer, at in places.items()}
        spans.append(_Span(slice(start, stop), cuts, places))
    if any(all(span.places[layer].start == span.places[layer].stop for span in spans) for layer in fields):
        raise UsageError("The picture is too small to leave its borders out of account.")
    return spans


def _bounds(first: int, last: int, reach: _Reach, side: int) -> list[tuple[int, int]]:
    """Where pieces begin and end, without their borders; in whole steps but for the last."""
    if not side:
        return [(first, last)]
    room = (side - reach.least) // reach.step + 1
    if room < 1:
        raise UsageError(f"Pieces of {side} pixels are all border here; they need at least {reach.least}.")
    steps = max(1, (last - first) // reach.step)  # what is left over is the last piece's
    count = math.ceil(steps / room)
    marks = [first + reach.step * (steps * k // count) for k in range(count)]
    return [*zip(marks, [*marks[1:], last], strict=True)]
