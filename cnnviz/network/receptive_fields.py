"""Which part of the image each position of every feature map depends on: a window, the whole image, or unknown.

Windows are followed only through operations known to keep positions, or to slide a window over them. After any other
operation, or one of these used so that it mixes or moves positions, the result is the whole image or unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Size, Tensor, fx

from cnnviz.network.geometry import PIXEL, ConvWindows, Coverage, ReceptiveField, Region, conv_windows, union
from cnnviz.network.layout import PARTING, REDUCING, RESHAPING, Layouts, axes_of, is_part
from cnnviz.network.operations import POINTWISE, argument, name_set, operation

_MIXING = name_set("GroupNorm group_norm instance_norm")
"""Operations in which every output position depends on every input position."""

_ORDERING = name_set("permute transpose movedim mT unsqueeze squeeze")


def receptive_fields(graph_module: fx.GraphModule, shapes: dict[fx.Node, Any]) -> dict[fx.Node, ReceptiveField | None]:
    """The receptive field of every node with a spatial map; None where a position has no window of its own.

    ``shapes`` holds each node's output shape (see ``cnnviz.network.shapes.output_shapes``).
    """
    found = visible_regions(graph_module, shapes)
    return {node: seen if isinstance(seen, ReceptiveField) else None for node, seen in found.items()}


def visible_regions(
    graph_module: fx.GraphModule, shapes: dict[fx.Node, Any], layouts: Layouts | None = None
) -> dict[fx.Node, Region]:
    """The receptive field of each node with a spatial map; ``Coverage`` where positions have no window of their own."""
    return _RegionTracer(graph_module, shapes, layouts).found


def _holds_tensors(shape: Any) -> bool:
    """Whether a node's value is a tensor or several (rather than, say, the shape of one)."""
    if isinstance(shape, dict):  # what hooks recorded
        return True
    return isinstance(shape, Size) or (isinstance(shape, tuple | list) and any(isinstance(x, Tensor) for x in shape))


class _RegionTracer:
    """Goes through a graph from the pixels on, and finds each node's region."""

    def __init__(self, graph_module: fx.GraphModule, shapes: dict[fx.Node, Any], layouts: Layouts | None) -> None:
        self.root, self.shapes = graph_module, shapes
        pixels = next(node for node in graph_module.graph.nodes if node.op == "placeholder")
        self.layouts = layouts or Layouts(graph_module, shapes[pixels][1:])
        self.found: dict[fx.Node, Region] = {}
        for node in graph_module.graph.nodes:
            if node.op == "placeholder":
                self.found[node] = PIXEL
            elif node.op != "output" and _holds_tensors(shapes.get(node)):
                sources = [source for source in node.all_input_nodes if source in self.found]
                if sources:
                    self.found[node] = self._seen(node, sources)

    def _seen(self, node: fx.Node, sources: Sequence[fx.Node]) -> Region:
        shape, merged = self.shapes[node], union(self.found[source] for source in sources)
        name = operation(self.root, node)
        if merged is Coverage.WHOLE or (isinstance(shape, Size) and len(shape) <= 2) or name in _MIXING:
            return Coverage.WHOLE
        if isinstance(merged, Coverage) or name is None:
            return Coverage.UNKNOWN
        try:
            return self._through(node, name, merged, sources)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            return Coverage.UNKNOWN  # arguments of an unknown form, or computed ones

    def _through(self, node: fx.Node, name: str, merged: ReceptiveField, sources: Sequence[fx.Node]) -> Region:
        letters = self._letters(node, sources)
        if letters is None:
            return Coverage.UNKNOWN
        rule = _WINDOWS.get(name)
        if rule is not None:
            return self._slid(merged, rule(self, node), letters, transposed="ranspose" in name)
        if name.startswith(("Adaptive", "adaptive")):
            return self._adapted(node, merged, letters)
        if name in {"pad", "ZeroPad2d", "ConstantPad2d"}:
            return self._padded(node, merged, letters)
        stays = name in _ORDERING or name in POINTWISE or (name in RESHAPING and self._is_kept_by_view(node, letters))
        return merged if stays else self._along_axes(node, name, merged, letters)

    def _along_axes(self, node: fx.Node, name: str, merged: ReceptiveField, letters: str) -> Region:
        """The region after an operation that mixes or moves values along some axes, or is unknown."""
        mixed = _MIXED[name](self, node, letters) if name in _MIXED else None
        if mixed is not None:
            return merged if mixed <= {"C"} else Coverage.WHOLE if not mixed & {"N"} else Coverage.UNKNOWN
        moved = _MOVED[name](self, node, letters) if name in _MOVED else {"N"}
        return merged if moved <= {"C"} else Coverage.UNKNOWN

    def _letters(self, node: fx.Node, sources: Sequence[fx.Node]) -> str | None:
        """The axes of a node's sources, if these are maps of one size and layout; otherwise None."""
        letters = [self.layouts.of(source) for source in sources]
        if not all(each and each.count("H") == each.count("W") == 1 for each in letters) or len(set(letters)) > 1:
            return None
        sizes = {self._size(source, str(letters[0])) for source in sources}
        made = self.layouts.of(node)
        if len(sizes) > 1 or not made or made.count("H") != 1 or made.count("W") != 1:
            return None
        return letters[0]

    def _size(self, node: fx.Node, letters: str) -> tuple[int, int]:
        shape = self.shapes[node]
        if not isinstance(shape, Size):  # several of a kind
            shape = next(part.shape for part in shape)
        return shape[letters.index("H")], shape[letters.index("W")]

    def module(self, node: fx.Node) -> Any:
        return self.root.get_submodule(str(node.target))

    def value(self, argument: Any) -> Any:
        """An argument, or the value computed for it."""
        return fx.node.map_arg(argument, lambda each: self.shapes[each])

    def _slid(self, merged: ReceptiveField, windows: ConvWindows, letters: str, transposed: bool) -> Region:
        if letters not in ("NCHW", "NCWH"):
            return Coverage.UNKNOWN
        windows = windows if letters == "NCHW" else windows[::-1]
        return (merged.through_transposed(windows) if transposed else merged.through(windows)) or Coverage.UNKNOWN

    def _adapted(self, node: fx.Node, merged: ReceptiveField, letters: str) -> Region:
        """The region after adaptive pooling: a window where the input size is a multiple of the output size."""
        before, after = self._size(node.all_input_nodes[0], letters), self._size(node, letters)
        sides = [old // new for old, new in zip(before, after, strict=True)]
        if any(new == 1 and old > 1 for old, new in zip(before, after, strict=True)):
            return Coverage.WHOLE
        if any(old != new * side for old, new, side in zip(before, after, sides, strict=True)):
            return Coverage.UNKNOWN
        return merged.through(conv_windows(sides))

    def _padded(self, node: fx.Node, merged: ReceptiveField, letters: str) -> Region:
        if node.op == "call_module":
            pads, mode = self.module(node).padding, "constant"
        else:
            pads, mode = self.value(argument(node, 1, "pad")), argument(node, 2, "mode", "constant")
        before = {letter: pads[2 * n] for n, letter in enumerate(reversed(letters)) if 2 * n < len(pads)}
        sides = [pads[2 * n : 2 * n + 2] for n, letter in enumerate(reversed(letters)) if letter in "HW"]
        if mode != "constant" and any(any(side) for side in sides):
            return Coverage.UNKNOWN
        return merged.through(conv_windows(1, 1, (int(before.get("H", 0)), int(before.get("W", 0)))))

    def _is_kept_by_view(self, node: fx.Node, letters: str) -> bool:
        """Whether a view splits or joins channels alone, so that positions stay."""
        made, source = str(self.layouts.of(node)), node.all_input_nodes[0]
        if _without_runs(made) != _without_runs(letters):
            return False
        kept = [
            [length for letter, length in zip(way, self.shapes[each], strict=True) if letter != "C"]
            for way, each in ((made, node), (letters, source))
        ]
        return kept[0] == kept[1]


def _without_runs(letters: str) -> str:
    return "".join(letter for n, letter in enumerate(letters) if letter != "C" or letters[n - 1 : n] != "C")


def _of_convolution(tracer: _RegionTracer, node: fx.Node) -> ConvWindows:
    module = tracer.module(node)
    windows = conv_windows(module.kernel_size, module.stride, module.padding, module.dilation)
    within = all(window.reach >= 2 * window.padding for window in windows)  # then mirrored cells are read anyway
    if module.padding_mode != "zeros" and not (within and module.padding_mode in {"reflect", "replicate"}):
        raise ValueError("padded with values of other positions")
    return windows


def _of_pooling(tracer: _RegionTracer, node: fx.Node) -> ConvWindows:
    module = tracer.module(node)
    return conv_windows(
        module.kernel_size, module.stride, getattr(module, "padding", 0), getattr(module, "dilation", 1)
    )


def _of_convolving_call(tracer: _RegionTracer, node: fx.Node) -> ConvWindows:
    weight = tracer.shapes[argument(node, 1, "weight")]
    stride, padding = argument(node, 3, "stride", 1), argument(node, 4, "padding", 0)
    dilation = argument(node, 7 if operation(tracer.root, node) == "conv_transpose2d" else 5, "dilation", 1)
    return conv_windows(tuple(weight[2:]), *map(tracer.value, (stride, padding, dilation)))


def _of_pooling_call(tracer: _RegionTracer, node: fx.Node) -> ConvWindows:
    name = operation(tracer.root, node)
    first = 2 if name == "lp_pool2d" else 1
    kernel = tracer.value(argument(node, first, "kernel_size"))
    stride = tracer.value(argument(node, first + 1, "stride", None))
    padding = 0 if name == "lp_pool2d" else tracer.value(argument(node, 3, "padding", 0))
    dilation = tracer.value(argument(node, 4, "dilation", 1)) if str(name).startswith("max") else 1
    return conv_windows(kernel, stride or None, padding, dilation)


_WINDOWS: dict[str, Callable[[_RegionTracer, fx.Node], ConvWindows]] = {
    **dict.fromkeys(("Conv2d", "ConvTranspose2d"), _of_convolution),
    **dict.fromkeys(("MaxPool2d", "AvgPool2d", "LPPool2d"), _of_pooling),
    **dict.fromkeys(("conv2d", "conv_transpose2d"), _of_convolving_call),
    **dict.fromkeys(("max_pool2d", "max_pool2d_with_indices", "avg_pool2d", "lp_pool2d"), _of_pooling_call),
}

Letters = set[str]
_Touched = Callable[[_RegionTracer, fx.Node, str], Letters]


def _along(position: int, name: str, default: Any = None) -> _Touched:
    """The axes named by an argument."""

    def touched(tracer: _RegionTracer, node: fx.Node, letters: str) -> Letters:
        if node.op == "call_module":
            return {letters[tracer.module(node).dim]}
        if argument(node, position, name, None) is None and default is not None:
            return {letters[default]}
        return {letters[axis] for axis in axes_of(node, position, name, len(letters))}

    return touched


def _second(tracer: _RegionTracer, node: fx.Node, letters: str) -> Letters:
    return {letters[1]}


def _last(tracer: _RegionTracer, node: fx.Node, letters: str) -> Letters:
    return {letters[-1]}


def _of_layer_norm(tracer: _RegionTracer, node: fx.Node, letters: str) -> Letters:
    is_module = node.op == "call_module"
    shape = tracer.module(node).normalized_shape if is_module else tracer.value(argument(node, 1, "normalized_shape"))
    return set(letters[-len(shape) :])


def _of_statistics(tracer: _RegionTracer, node: fx.Node, letters: str) -> Letters:
    """Batch normalization mixes no axes with running statistics, and all positions with the map's own."""
    if node.op == "call_module":
        module = tracer.module(node)
        return set() if module.running_mean is not None and not module.training else {"H", "W"}
    measured = argument(node, 1, "running_mean", None) is not None and argument(node, 5, "training", False) is False
    return set() if measured else {"H", "W"}


def _of_product(tracer: _RegionTracer, node: fx.Node, letters: str) -> Letters:
    """``x @ weight`` mixes the last axis."""
    first, second = node.all_input_nodes
    is_weight = second not in tracer.found and len(tracer.shapes[second]) == 2
    return {letters[-1]} if first in tracer.found and is_weight else {"N"}


def _of_index(tracer: _RegionTracer, node: fx.Node, letters: str) -> Letters:
    if is_part(tracer.root, node):
        return set()
    index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
    used = sum(each is not None and each is not Ellipsis for each in index)
    touched, axis = set(), 0
    for each in index:
        if each is Ellipsis:
            axis += len(letters) - used
        elif each is not None:
            if each != slice(None, None, None):
                touched.add(letters[axis])
            axis += 1
    return touched


_MIXED: dict[str, _Touched] = {
    **dict.fromkeys(REDUCING - {"norm"}, _along(1, "dim")),
    **dict.fromkeys(("softmax", "log_softmax", "Softmax", "LogSoftmax", "cumsum"), _along(1, "dim")),
    "norm": _along(2, "dim"),
    "normalize": _along(2, "dim", 1),
    **dict.fromkeys(("Softmax2d", "LocalResponseNorm", "local_response_norm"), _second),
    **dict.fromkeys(("LayerNorm", "RMSNorm", "layer_norm", "rms_norm"), _of_layer_norm),
    **dict.fromkeys(("BatchNorm2d", "InstanceNorm2d", "batch_norm"), _of_statistics),
    **dict.fromkeys(("Linear", "linear"), _last),
    "matmul": _of_product,
}
"""Operations that mix values along some axes -> those axes."""

_MOVED: dict[str, _Touched] = {
    "cat": _along(1, "dim", 0),
    **dict.fromkeys(PARTING, _along(2, "dim", 0)),
    "roll": _along(2, "dims"),
    "flip": _along(1, "dims"),
    "select": _along(1, "dim"),
    "getitem": _of_index,
}
"""Operations that move or leave out values along some axes -> those axes."""
