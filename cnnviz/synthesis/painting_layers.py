"""Which layers of a network textures, styles and contents are read from, when nobody says so."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cnnviz.network.network import Network


@dataclass(frozen=True)
class PaintingLayers:
    """Layers by name: those whose moments are the style, and those whose features are the content.

    ``arrangement``: those whose features are the content when they are asked for with the style's contrasts; as
    ``content`` if empty.
    """

    style: tuple[str, ...]
    content: tuple[str, ...]
    arrangement: tuple[str, ...] = ()


_VGG = PaintingLayers(("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"), ("relu4_2",))
_SQUEEZENET = PaintingLayers(
    ("relu1", "fire2", "fire3", "fire4", "fire5", "fire6", "fire7"), ("fire5",), ("fire3", "fire5")
)
_KNOWN = {
    "resnet": PaintingLayers(("relu", "layer1", "layer2", "layer3"), ("layer2",)),
    "vgg11": PaintingLayers(_VGG.style, ("relu4_2",)),
    "vgg13": PaintingLayers(_VGG.style, ("relu4_2",)),
    "vgg16": _VGG,
    "vgg19": _VGG,
    "squeezenet1_1": _SQUEEZENET,
    "alexnet": PaintingLayers(("relu1", "relu2", "relu3", "relu4"), ("relu3",)),
    "googlenet": PaintingLayers(
        ("conv1", "conv3", "inception3a", "inception3b", "inception4a", "inception4c"), ("inception3b",)
    ),
}
_STRIDES = (1, 2, 4, 8, 16)
_CONTENT_STRIDE = 8


def painting_layers(network: Network) -> PaintingLayers:
    """The default layers of a network, by how it is built, in whatever wrapper it is.

    VGG's are those of Gatys, Ecker & Bethge, CVPR 2016; SqueezeNet's were chosen by looking at pictures. Of other
    networks: the last layer at each stride up to 16 for the style, the first half of stride 8 for the content.
    """
    known = _KNOWN.get(network.layers.family.removesuffix("_bn"))
    if known and all(network.layers.knows(layer) for layer in (*known.style, *known.content, *known.arrangement)):
        return known
    return _by_stride(network)


def _by_stride(network: Network) -> PaintingLayers:
    side = network.spec.size
    at: dict[int, list[str]] = {}
    rows = [layer for layer in network.layer_table() if layer.is_spatial and layer.shape[1] > 1]
    looking = [layer for layer in rows if not layer.sees_one_pixel and not network.layers.in_head(layer.name)]
    for layer in looking or rows:
        at.setdefault(2 ** round(math.log2(side / layer.shape[1])), []).append(layer.name)
    strides = [stride for stride in _STRIDES if stride in at] or sorted(at)[:4]
    middle = min(strides, key=lambda stride: abs(stride - _CONTENT_STRIDE))
    content = at[middle][len(at[middle]) // 2]
    return PaintingLayers(tuple(at[stride][-1] for stride in strides), (content,))
