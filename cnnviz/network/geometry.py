"""Receptive fields: which input pixels one position of a feature map sees.

The arithmetic of Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, carried
through the torch.fx graph; where paths meet (residual sums, concatenations) the field is the union of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Size, fx, nn

Pair = tuple[int, int]


@dataclass(frozen=True)
class ReceptiveField:
    """What a map's position (y, x) sees: rows ``stride[0]*y + low[0]`` to ``stride[0]*y + high[0]``, columns alike.

    ``low`` is negative where padding lets the field hang over the picture's border. All in input pixels, as
    (vertical, horizontal).
    """

    stride: Pair
    low: Pair
    high: Pair

    @property
    def size(self) -> Pair:
        """Height and width of the field in input pixels, before clipping at the border."""
        return self.high[0] - self.low[0] + 1, self.high[1] - self.low[1] + 1

    def window(self, y: int, x: int) -> tuple[int, int, int, int]:
        """Top, left, bottom, right (exclusive) of what position (y, x) sees; may lie outside the picture."""
        top, left = self.stride[0] * y + self.low[0], self.stride[1] * x + self.low[1]
        return top, left, top + self.size[0], left + self.size[1]

    def through(self, window: Window) -> ReceptiveField:
        """The field after one more sliding window (convolution or pooling)."""
        axes = range(2)
        low = [self.low[a] - self.stride[a] * window.padding[a] for a in axes]
        reach = [self.stride[a] * (window.dilation[a] * (window.kernel[a] - 1) - window.padding[a]) for a in axes]
        return ReceptiveField(
            stride=(self.stride[0] * window.stride[0], self.stride[1] * window.stride[1]),
            low=(low[0], low[1]),
            high=(self.high[0] + reach[0], self.high[1] + reach[1]),
        )


PIXEL = ReceptiveField(stride=(1, 1), low=(0, 0), high=(0, 0))


@dataclass(frozen=True)
class Window:
    """The sliding window of a convolution or pooling layer, each as (vertical, horizontal)."""

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)


def _pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def _window(kernel: Any, stride: Any, padding: Any, dilation: Any) -> Window:
    kernel, dilation = _pair(kernel), _pair(dilation)
    if padding == "valid":
        padding = 0
    elif padding == "same":
        # torch puts the odd pixel of an even kernel's padding after the picture, so the field begins earlier.
        padding = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
    return Window(kernel, _pair(stride), _pair(padding), dilation)


def window_of_module(module: nn.Module) -> Window | None:
    """The sliding window of a module, or None where it has none."""
    if isinstance(module, nn.Conv2d):
        return _window(module.kernel_size, module.stride, module.padding, module.dilation)
    if isinstance(module, nn.MaxPool2d):
        return _window(module.kernel_size, module.stride or module.kernel_size, module.padding, module.dilation)
    if isinstance(module, nn.AvgPool2d):
        return _window(module.kernel_size, module.stride or module.kernel_size, module.padding, 1)
    return None


def window_of_call(node: fx.Node) -> Window | None:
    """The sliding window of a functional pooling call, or None where the function has none."""
    name = getattr(node.target, "__name__", "")
    if name not in ("max_pool2d", "avg_pool2d"):
        return None
    order = ("input", "kernel_size", "stride", "padding", "dilation")
    given = dict(zip(order, node.args, strict=False)) | node.kwargs
    kernel: Any = given["kernel_size"]
    dilation: Any = given.get("dilation", 1) if name == "max_pool2d" else 1
    return _window(kernel, given.get("stride") or kernel, given.get("padding", 0), dilation)


def receptive_fields(graph_module: fx.GraphModule, shapes: dict[fx.Node, Any]) -> dict[fx.Node, ReceptiveField | None]:
    """The receptive field of every node with a spatial map; None where a position sees the whole picture.

    ``shapes`` holds each node's output shape (see ``cnnviz.network.layers.output_shapes``): whether an operation
    keeps positions apart is read from them.
    """
    fields: dict[fx.Node, ReceptiveField | None] = {}
    for node in graph_module.graph.nodes:
        if node.op == "placeholder":
            fields[node] = PIXEL
            continue
        sources = [source for source in node.all_input_nodes if source in fields]
        if not sources:
            continue  # a parameter: it sees no picture
        merged = _union([fields[source] for source in sources])
        module = graph_module.get_submodule(str(node.target)) if node.op == "call_module" else None
        window = window_of_module(module) if module else window_of_call(node)
        if merged is not None and window is not None:
            merged = merged.through(window)
        elif not _keeps_positions([shapes.get(source) for source in sources], shapes.get(node)):
            merged = None
        fields[node] = merged
    return fields


def _union(fields: Iterable[ReceptiveField | None]) -> ReceptiveField | None:
    known = list(fields)
    first = known[0]
    for other in known[1:]:
        if first is None or other is None or first.stride != other.stride:
            return None
        first = ReceptiveField(
            first.stride,
            low=(min(first.low[0], other.low[0]), min(first.low[1], other.low[1])),
            high=(max(first.high[0], other.high[0]), max(first.high[1], other.high[1])),
        )
    return first


def _keeps_positions(inputs: list[Any], output: Any) -> bool:
    """Whether height and width of an input stand side by side in the output's shape too.

    True for elementwise operations, channel shuffles and permutations to channels-last; false for flattening,
    averaging over space, and resizing.
    """
    if not isinstance(output, Size):
        return True  # a tuple of chunks; whoever takes one out is judged by its own shape
    maps = [shape for shape in inputs if isinstance(shape, Size) and len(shape) >= 3]
    if not maps:
        return any(not isinstance(shape, Size) for shape in inputs)
    pairs = {(output[i], output[i + 1]) for i in range(1, len(output) - 1)}
    largest = max(maps, key=lambda shape: shape.numel())
    candidates = {(largest[i], largest[i + 1]) for i in range(1, len(largest) - 1)}
    return bool(pairs & candidates)
