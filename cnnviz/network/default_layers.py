"""The layers that each technique uses when the user names none: by the network's family, else by shapes and depth."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from torch import Tensor, fx

from cnnviz.errors import UsageError
from cnnviz.network.families import LayerNames, family_named
from cnnviz.network.layers import Layer
from cnnviz.network.network import Network
from cnnviz.network.shapes import shapes_by_forward
from cnnviz.network.transformers import is_transformer

_STYLE_STRIDES = (1, 2, 4, 8, 16)
_CONTENT_STRIDE = 8
_FEW_BLOCKS = 4  # a deeper look is for networks whose blocks are all in one module
_DREAM_DEPTH = 0.6

_INTERMEDIATE = (
    "Conv",
    "BatchNorm",
    "LayerNorm",
    "MaxPool",
    "AvgPool",
    "Adaptive",
    "max_pool",
    "avg_pool",
    "Dropout",
    "dropout",
)
"""Kinds of layers, as modules and functions are called, whose output only feeds an activation or the next block."""


@dataclass(frozen=True)
class StyleLayers:
    """The layers of a style transfer: ``style`` for Gram matrices, ``content`` for features.

    ``content_adain``: the content layers where the target has the style's channel statistics (AdaIN).
    """

    style: LayerNames
    content: LayerNames
    content_adain: LayerNames


def style_layers(network: Network) -> StyleLayers:
    """The layers for style, texture and content.

    VGG's are those of Gatys, Ecker & Bethge, CVPR 2016. For unknown families: the last layer at each stride up to 16
    for the style, the middle one of stride 8 for the content.
    """
    network.require_convolutions()
    family = family_named(network.layers.family)
    content_adain = family.content_adain or family.content
    if family.style and _has_layers(network, (*family.style, *family.content, *content_adain)):
        return StyleLayers(family.style, family.content, content_adain)
    return _style_layers_by_stride(network)


def dream_layers(network: Network) -> LayerNames:
    """The layers for DeepDream; for unknown families the one at 60 % of the depth."""
    network.require_convolutions()
    layers = family_named(network.layers.family).dream
    if layers and _has_layers(network, layers):
        return layers
    names = [row.name for row in _maps(network) if _is_feature(network, row)] or list(network.layers)
    return (names[int(len(names) * _DREAM_DEPTH)],)


def inversion_layers(network: Network) -> LayerNames:
    """Layers from shallow to deep for feature inversion; for unknown families those of ``style_layers``."""
    layers = family_named(network.layers.family).inversion
    return layers if layers and _has_layers(network, layers) else style_layers(network).style


def evenly_spaced_layers(network: Network, count: int = 4) -> list[str]:
    """``count`` layers spread evenly over the depth, by the papers' names where they have one.

    Chosen from layers whose output is a map of several positions, through which everything passes (no side branch),
    and that end a block (``fire5``, ``res3b``); convolutions before an activation and the classifier are left out.
    """
    table = _maps(network)
    features = [row for row in table if _is_feature(network, row)]
    trunk = _trunk(network)
    rows = [row for row in features if row.name in trunk] or features or table
    kept = [row for row in rows if _may_end_block(row)] or rows
    by_depth = [_block_ends(network, kept, depth) for depth in (2, 3, 4)]
    fewer = next((ends for ends in by_depth if len(ends) >= _FEW_BLOCKS), max(by_depth, key=len))
    ends = next((ends for ends in by_depth if len(ends) >= count), fewer)
    if len(ends) > count:
        ends = [ends[round((n + 1) * len(ends) / count) - 1] for n in range(count)]
    return [_shortest_name(row) for row in ends]


def _may_end_block(row: Layer) -> bool:
    """Whether a layer's output is more than a step on the way; a transformer's blocks end in sums."""
    if "T" in (row.layout or ""):
        return row.kind.startswith("add") and "." in row.name
    return not row.kind.startswith(_INTERMEDIATE)


def _block_ends(network: Network, rows: Iterable[Layer], depth: int) -> list[Layer]:
    """The last of ``rows`` in each block, whose paths have ``depth`` parts."""
    ends = {".".join(network.layers.unwrapped_name(row.name).split(".")[:depth]): row for row in rows}
    return list(ends.values())


def middle_layer(network: Network) -> str:
    """The layer half way down of ``evenly_spaced_layers``: past edges and textures, before whole objects."""
    layers = evenly_spaced_layers(network)
    return layers[(len(layers) - 1) // 2]


def last_spatial_layer(network: Network, pixels: Tensor | None = None) -> str:
    """The last layer before the classifier whose output is a map of several positions, as Grad-CAM uses it.

    In a transformer, the last on whose positions the scores depend: where the classifier takes the class token, the
    input of the last attention. A module whose layers are read by hooks may compute others for other images: then it
    is one that it computes for ``pixels``. Raises UsageError where there is none.
    """
    by_hooks = network.traced_by == "hooks"
    if by_hooks and is_transformer(network.graph):
        raise UsageError(
            f"{network.name} is a transformer whose forward pass cannot be traced, so that it is "
            "unknown where its tokens stand in the image."
        )
    if by_hooks and pixels is not None:
        return _last_map(network, pixels.detach())
    graph = network.graph
    if graph not in _last_maps:
        _last_maps[graph] = _last_map(network, network.blank_pixels())
    return _last_maps[graph]


_last_maps: WeakKeyDictionary[fx.GraphModule, str] = WeakKeyDictionary()
"""The last map of each graph, which takes a pass to find: many images are asked about in turn."""


def _last_map(network: Network, pixels: Tensor) -> str:
    """The last layer whose output for ``pixels`` is a map; UsageError where there is none."""
    shapes = shapes_by_forward(network.graph, network.normalize(pixels))
    layers = network.layers
    for name in reversed(list(layers)):
        if layers.in_head(name) or math.prod(layers.map_size(name, shapes) or (0,)) <= 1:
            continue
        if layers.is_read(name):
            return name
    raise UsageError(f"{network.name} has no layer whose output is a map.")


def _has_layers(network: Network, names: LayerNames) -> bool:
    return all(name in network.layers for name in names)


def _maps(network: Network) -> list[Layer]:
    """The layers whose output is a map of more than one position."""
    return [row for row in network.layer_table() if row.is_spatial and math.prod(row.shape[1:]) > 1]


def _is_feature(network: Network, row: Layer) -> bool:
    """Whether a layer is neither a mere scaling of the pixels nor part of the classifier."""
    return not (row.sees_one_pixel or network.layers.in_head(row.name))


def _style_layers_by_stride(network: Network) -> StyleLayers:
    side = network.spec.size
    at: dict[int, list[str]] = {}
    rows = [row for row in network.layer_table() if row.is_spatial and row.shape[1] > 1]
    for row in [row for row in rows if _is_feature(network, row)] or rows:
        at.setdefault(2 ** round(math.log2(side / row.shape[1])), []).append(row.name)
    strides = [stride for stride in _STYLE_STRIDES if stride in at] or sorted(at)[:4]
    middle = min(strides, key=lambda stride: abs(stride - _CONTENT_STRIDE))
    content = (at[middle][len(at[middle]) // 2],)
    return StyleLayers(tuple(at[stride][-1] for stride in strides), content, content)


def _trunk(network: Network) -> set[str]:
    """The layers through which everything passes: once one is computed, nothing before it is read again."""
    position = {node: number for number, node in enumerate(network.graph.graph.nodes)}
    names = {network.layers.node(name): name for name in network.layers}
    found, needed_until = set(), 0
    for node, number in position.items():
        if node in names and needed_until <= number:
            found.add(names[node])
        needed_until = max([needed_until, *(position[user] for user in node.users)])
    return found


def _shortest_name(row: Layer) -> str:
    """The shortest name with a number in it, which tells one layer from the others."""
    names = (*row.aliases, row.name)
    return min((name for name in names if any(sign.isdigit() for sign in name)), key=len, default=row.name)
