"""The layout of every value in a graph: (N, C, H, W), (N, H, W, C), tokens (N, T, C), or another order of axes.

A letter stands for each axis: N for images, H and W for rows and columns, T for tokens (all positions row by row,
perhaps with class tokens), C for channels and other axes of fixed length, * for any other axis that several of them
were merged into. For most operations a rule gives the layout of the result; for the others it follows from shapes: an
axis is H if its length grows with the image's height alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from torch import Size, fx, nn

from cnnviz.network.graph import depends_on_input
from cnnviz.network.map_views import MapView, TokenGrid
from cnnviz.network.operations import POINTWISE, argument, name_set, operation
from cnnviz.network.reshaping import merged, reshaped
from cnnviz.network.shapes import partial_output_shapes
from cnnviz.network.token_grids import read_positions, token_grids

MAP = "NCHW"
TOKENS = "NCT"

WINDOWED = name_set(
    """
    Conv2d ConvTranspose2d MaxPool2d AvgPool2d LPPool2d AdaptiveAvgPool2d AdaptiveMaxPool2d BatchNorm2d
    conv2d conv_transpose2d max_pool2d avg_pool2d lp_pool2d adaptive_avg_pool2d adaptive_max_pool2d
    max_pool2d_with_indices
    """
)
"""Operations on maps whose channels are the second axis."""

_WITH_INDICES = name_set("MaxPool2d AdaptiveMaxPool2d max_pool2d max_pool2d_with_indices adaptive_max_pool2d")
_PRODUCTS = name_set("matmul bmm")
_ATTENTION = name_set("MultiheadAttention scaled_dot_product_attention")
"""Operations whose result has the layout of the first argument, the queries."""

REDUCING = name_set("mean sum amax amin std var prod norm logsumexp max min argmax argmin any all median nanmean")
PADDING = name_set(
    "pad ZeroPad2d ConstantPad2d ReflectionPad2d ReplicationPad2d CircularPad2d ZeroPad1d ConstantPad1d ConstantPad3d"
)
PARTING = name_set("chunk split tensor_split")
_SPLITTING = name_set("view reshape unflatten Unflatten view_as reshape_as")
RESHAPING = _SPLITTING | name_set("flatten Flatten")

_KEEPING = (
    POINTWISE
    | PADDING
    | PARTING
    | name_set(
        """
        cat softmax log_softmax Softmax LogSoftmax Softmax2d layer_norm LayerNorm rms_norm RMSNorm normalize cumsum
        batch_norm group_norm GroupNorm instance_norm InstanceNorm2d local_response_norm LocalResponseNorm
        roll flip fliplr flipud interpolate upsample Upsample UpsamplingNearest2d UpsamplingBilinear2d
        pixel_shuffle PixelShuffle pixel_unshuffle PixelUnshuffle channel_shuffle ChannelShuffle
        """
    )
)
"""Operations that keep the order of axes."""


class Layouts:
    """The layout of every value of a graph, for images of ``input_shape`` (channels, height, width)."""

    def __init__(self, graph_module: fx.GraphModule, input_shape: Sequence[int]) -> None:
        self._graph_module = graph_module
        self._input_shape = tuple(input_shape)
        self._of_input = depends_on_input(graph_module.graph)

    def of(self, node: fx.Node) -> str | None:
        """A letter for each axis of a node's value; None where it does not depend on the image, or is unknown."""
        found = self._by_rules.get(node)
        return self._by_shapes.get(node) if found is None and node in self._of_input else found

    def view(self, node: fx.Node) -> MapView | None:
        """How a node's value is seen as a map (N, C, H, W); None where it is no map."""
        found = self.of(node) or ""
        if sorted(found) == sorted(MAP):
            return MapView(tuple(found.index(letter) for letter in MAP))
        if sorted(found) == sorted(TOKENS) and node in self._grids:
            return MapView(tuple(found.index(letter) for letter in TOKENS), self._grids[node])
        return None

    def is_map(self, node: fx.Node) -> bool:
        """Whether a node's value is (N, C, H, W) in some order, or has a token for each position."""
        return self.view(node) is not None

    @cached_property
    def _shapes(self) -> dict[fx.Node, Any]:
        return partial_output_shapes(self._graph_module, (2, *self._input_shape))

    def is_read(self, node: fx.Node) -> bool:
        """Whether the output depends on a map's positions, not on class tokens beside them alone.

        False for queries, keys and values too, which are projections of the tokens that an attention reads.
        """
        is_projected = operation(self._graph_module, node) in {"Linear", "linear"}
        return node in self._read and not (is_projected and node in self._grids)

    @cached_property
    def _letters(self) -> dict[fx.Node, str]:
        nodes = (node for node in self._graph_module.graph.nodes if node in self._of_input)
        return {node: found for node in nodes if (found := self.of(node))}

    @cached_property
    def _grids(self) -> dict[fx.Node, TokenGrid]:
        return token_grids(self._graph_module, self._letters, self._shapes)

    @cached_property
    def _read(self) -> set[fx.Node]:
        return read_positions(self._graph_module, self._letters, self._grids)

    @cached_property
    def _by_rules(self) -> dict[fx.Node, str | None]:
        return self._follow({})

    @cached_property
    def _by_shapes(self) -> dict[fx.Node, str | None]:
        return self._follow(_grown(self._graph_module, self._input_shape, self._shapes))

    def _follow(self, seen: dict[fx.Node, str]) -> dict[fx.Node, str | None]:
        """Each node's letters, by the rule of its operation, or by ``seen`` where it has none."""
        found: dict[fx.Node, str | None] = {}
        for node in self._graph_module.graph.nodes:
            if node.op == "placeholder":
                found[node] = MAP
            elif node in self._of_input:
                found[node] = self._ruled(node, found) or seen.get(node) or self._supposed(node, found)
        return found

    def _ruled(self, node: fx.Node, found: dict[fx.Node, str | None]) -> str | None:
        name = operation(self._graph_module, node)
        sources = [found[source] for source in node.all_input_nodes if source in found]
        if name in WINDOWED:
            return sources[0] if sources and sources[0] and _has_channels_second(sources[0]) else None
        if name in _KEEPING:
            return _common([each for each in sources if each])
        if name in _PRODUCTS and len(node.all_input_nodes) == 2:
            return _product(*(found.get(source) for source in node.all_input_nodes))
        return self._by_argument(node, str(name), found)

    def _by_argument(self, node: fx.Node, name: str, found: dict[fx.Node, str | None]) -> str | None:
        """The layout of what an operation makes of its first argument."""
        first = argument(node, 0, "input", None)
        letters = found.get(first) if isinstance(first, fx.Node) else None
        if not letters or name not in _SPLITTING.union(_RULES):
            return None
        if is_part(self._graph_module, node):
            return letters
        try:
            if name in _SPLITTING:
                return self._reshaped(node, first, letters, found)
            return _RULES[name](node, letters, self._graph_module)
        except (IndexError, TypeError, ValueError, KeyError):
            return None  # arguments of an unknown form, or computed ones

    def _reshaped(self, node: fx.Node, first: fx.Node, letters: str, found: Mapping[fx.Node, str | None]) -> str:
        """The layout of a view: of ``x.view(x.size(0), -1)`` for images of any size, of others by their lengths."""
        sizes = node.args[1:] if len(node.args) > 2 else argument(node, 1, "shape", ())
        if isinstance(sizes, tuple | list) and len(sizes) == 2 and sizes[1] == -1 and letters[0] == "N":
            return "NC" if set(letters[1:]) == {"C"} else "N*"
        before, after = self._shapes[first], self._shapes[node]
        if not isinstance(before, Size) or not isinstance(after, Size):
            raise TypeError("no tensors")
        return reshaped(letters, before, after, self._sizes(found))

    def _sizes(self, found: Mapping[fx.Node, str | None]) -> set[tuple[int, int]]:
        """Height and width of all maps found so far."""
        shapes = {node: self._shapes.get(node) for node, letters in found.items() if letters and "HW" in letters}
        starts = {node: str(found[node]).index("H") for node in shapes}
        return {
            (shape[starts[node]], shape[starts[node] + 1]) for node, shape in shapes.items() if isinstance(shape, Size)
        }

    def _supposed(self, node: fx.Node, found: dict[fx.Node, str | None]) -> str | None:
        """The layout of a convolution's output where that of its input is unknown: a map."""
        unknown = all(found.get(source) is None for source in node.all_input_nodes)
        return MAP if unknown and operation(self._graph_module, node) in WINDOWED else None


def is_part(root: nn.Module, node: fx.Node) -> bool:
    """Whether a node takes one of several tensors of the same layout, as those of ``chunk``."""
    if operation(root, node) != "getitem" or not isinstance(node.args[1], int):
        return False
    name = operation(root, node.all_input_nodes[0])
    if name == "MultiheadAttention":
        return node.args[1] == 0  # the other are its weights
    return name in PARTING | _WITH_INDICES | {"unbind"}


def _has_channels_second(letters: str) -> bool:
    return letters in (MAP, "NCWH")


def _common(sources: Sequence[str]) -> str | None:
    """The layout of an elementwise operation on several values; those of fewer axes are broadcast.

    An axis that is of a fixed length in one of them (C), or merged, is what it is in the others.
    """
    longest = {each for each in sources if len(each) == max(map(len, sources))}
    if len(longest) > 1 and all(map(_has_channels_second, longest)):
        return MAP
    found = ""
    for letters in zip(*longest, strict=True):
        told = set(letters) - set("C*") or set(letters) - {"*"} or set(letters)
        if len(told) > 1:
            return None
        found += told.pop()
    return found or None


def _product(left: str | None, right: str | None) -> str | None:
    """The layout of a product of matrices that both depend on the image."""
    return left[:-1] + right[-1] if left and right and len(left) == len(right) > 2 else None


def _grown(
    graph_module: fx.GraphModule, input_shape: tuple[int, ...], first: Mapping[fx.Node, Any]
) -> dict[fx.Node, str]:
    """The letters of every node's axes, by which axes are longer for more, higher, or wider images."""
    channels, height, width = input_shape
    others = {
        "N": partial_output_shapes(graph_module, (3, channels, height, width)),
        "H": partial_output_shapes(graph_module, (2, channels, 2 * height, width)),
        "W": partial_output_shapes(graph_module, (2, channels, height, 2 * width)),
    }
    found = {}
    for node, shape in first.items():
        shapes: dict[str, Any] = {letter: other.get(node) for letter, other in others.items()}
        if isinstance(shape, Size) and all(isinstance(o, Size) and len(o) == len(shape) for o in shapes.values()):
            found[node] = "".join(
                _letter([letter for letter, other in shapes.items() if other[axis] != length])
                for axis, length in enumerate(shape)
            )
    return found


def _letter(grew_with: Sequence[str]) -> str:
    return grew_with[0] if len(grew_with) == 1 else "*" if grew_with else "C"


def axes_of(node: fx.Node, position: int, name: str, rank: int) -> list[int]:
    """The axes that an argument names: one, several, or one in each argument; all if it is not given.

    Raises TypeError where they are computed in the graph.
    """
    given_one = argument(node, position, name, None)
    if isinstance(given_one, int) and name == "dims":
        given_one = node.args[position:]
    if given_one is None:
        return list(range(rank))
    several = [given_one] if isinstance(given_one, int) else list(given_one)
    if not all(isinstance(axis, int) for axis in several):
        raise TypeError("computed axes")
    return [axis % rank for axis in several]


def _permuted(node: fx.Node, letters: str, _: Any) -> str:
    return "".join(letters[axis] for axis in axes_of(node, 1, "dims", len(letters)))


def _transposed(node: fx.Node, letters: str, _: Any) -> str:
    names_of = (("dim0", "axis0"), ("dim1", "axis1"))
    one, other = (argument(node, n + 1, pair[0], node.kwargs.get(pair[1])) for n, pair in enumerate(names_of))
    swapped = list(letters)
    swapped[one], swapped[other] = letters[other], letters[one]
    return "".join(swapped)


def _moved(node: fx.Node, letters: str, _: Any) -> str:
    sources, places = axes_of(node, 1, "source", len(letters)), axes_of(node, 2, "destination", len(letters))
    rest = [axis for axis in range(len(letters)) if axis not in sources]
    for place, source in sorted(zip(places, sources, strict=True)):
        rest.insert(place, source)
    return "".join(letters[axis] for axis in rest)


def _reduced(node: fx.Node, letters: str, _: Any) -> str:
    keeps = argument(node, 2, "keepdim", False)
    axes = axes_of(node, 1, "dim", len(letters))
    return letters if keeps is True else "".join(each for axis, each in enumerate(letters) if axis not in axes)


def _flattened(node: fx.Node, letters: str, root: Any) -> str:
    first, last = argument(node, 1, "start_dim", 0), argument(node, 2, "end_dim", -1)
    if node.op == "call_module":
        module = root.get_submodule(str(node.target))
        first, last = module.start_dim, module.end_dim
    first, last = first % len(letters), last % len(letters)
    return letters[:first] + merged(letters[first : last + 1]) + letters[last + 1 :]


def _lined(node: fx.Node, letters: str, _: Any) -> str:
    if letters[-1] not in "CT*":
        raise ValueError("along positions")
    return letters[:-1] + "C"


def _unsqueezed(node: fx.Node, letters: str, _: Any) -> str:
    axis = argument(node, 1, "dim") % (len(letters) + 1)
    return letters[:axis] + "C" + letters[axis:]


def _selected(node: fx.Node, letters: str, _: Any) -> str:
    axis = argument(node, 1, "dim") % len(letters)
    return letters[:axis] + letters[axis + 1 :]


def _unbound(node: fx.Node, letters: str, _: Any) -> str:
    """The layout of each part of ``x.unbind(0)``."""
    axis = argument(node, 1, "dim", 0) % len(letters)
    return letters[:axis] + letters[axis + 1 :]


def _indexed(node: fx.Node, letters: str, _: Any) -> str:
    """The layout of ``x[:, 0]``, ``x[..., ::2]``, ``x[:, None]`` and the like."""
    index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
    used = sum(each is not None and each is not Ellipsis for each in index)
    found, axis = "", 0
    for each in index:
        if each is None:
            found += "C"
        elif each is Ellipsis:
            found, axis = found + letters[axis : axis + len(letters) - used], axis + len(letters) - used
        elif isinstance(each, slice | int):
            found, axis = found + (letters[axis] if isinstance(each, slice) else ""), axis + 1
        else:
            raise TypeError("chosen by values")
    return found + letters[axis:]


_RULES: dict[str, Callable[[fx.Node, str, Any], str]] = {
    **dict.fromkeys(("mean", "sum", "amax", "amin"), _reduced),
    "permute": _permuted,
    "mT": lambda node, letters, _: letters[:-2] + letters[:-3:-1],
    "transpose": _transposed,
    "movedim": _moved,
    **dict.fromkeys(_ATTENTION, lambda node, letters, _: letters),
    "unbind": _unbound,
    "flatten": _flattened,
    "Flatten": _flattened,
    "linear": _lined,
    "Linear": _lined,
    "unsqueeze": _unsqueezed,
    "select": _selected,
    "getitem": _indexed,
}
