"""What is known of each family of architectures: the papers' layer names, and which layers each technique uses.

One table for all techniques. A family has the name that ``architecture_detection`` finds by how a module is built,
without the ``_bn`` of VGGs with batch normalization. ``default_layers`` reads the layers, and chooses them by shape for
networks of other families.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from torch import nn

from cnnviz.network import aliases
from cnnviz.network.architecture_detection import Architecture

LayerNames = tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """The layers of one family of architectures, by their aliases or paths; empty where none are known.

    Args:
        aliases: the module -> the papers' name of each layer -> its path.
        dream: DeepDream's layers: those that show eyes and faces, neither strokes nor whole objects.
        inversion: layers from shallow to deep to invert.
        style: layers whose Gram matrices are the style.
        content: layers whose features are the content.
        content_adain: the same where the content target has the style's channel statistics (AdaIN); ``content`` if
            empty.
    """

    aliases: Callable[[nn.Module], Mapping[str, str]] | None = None
    dream: LayerNames = ()
    inversion: LayerNames = ()
    style: LayerNames = ()
    content: LayerNames = ()
    content_adain: LayerNames = ()


_VGG = Family(
    aliases=aliases.vgg,
    dream=("relu4_3",),
    inversion=("pool1", "pool2", "pool3", "pool4", "pool5"),
    style=("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),  # Gatys, Ecker & Bethge, CVPR 2016
    content=("relu4_2",),
)
_SMALL_VGG = replace(_VGG, dream=("relu4_2",))
_SQUEEZENET = Family(
    aliases=aliases.squeezenet,
    dream=("fire7",),
    inversion=("fire2", "fire4", "fire6", "fire9"),
)

FAMILIES: Mapping[str, Family] = {
    "alexnet": Family(
        aliases=aliases.alexnet,
        dream=("relu4",),
        inversion=("relu1", "relu2", "relu3", "relu4", "relu5"),
        style=("relu1", "relu2", "relu3", "relu4"),
        content=("relu3",),
    ),
    "densenet": Family(dream=("features.denseblock3",)),
    "googlenet": Family(
        aliases=aliases.googlenet,
        dream=("inception4c",),
        inversion=("conv3", "inception3b", "inception4c", "inception5b"),
        style=("conv1", "conv3", "inception3a", "inception3b", "inception4a", "inception4c"),
        content=("inception3b",),
    ),
    "inception_v3": Family(dream=("Mixed_6b",)),
    "resnet": Family(
        aliases=aliases.resnet,
        dream=("layer3",),
        inversion=("layer1", "layer2", "layer3", "layer4"),
        style=("relu", "layer1", "layer2", "layer3"),
        content=("layer2",),
    ),
    "squeezenet1_0": _SQUEEZENET,
    "squeezenet1_1": replace(
        _SQUEEZENET,  # style and content were chosen by looking at images
        style=("relu1", "fire2", "fire3", "fire4", "fire5", "fire6", "fire7"),
        content=("fire5",),
        content_adain=("fire3", "fire5"),
    ),
    "vgg11": _SMALL_VGG,
    "vgg13": _SMALL_VGG,
    "vgg16": _VGG,
    "vgg19": _VGG,
}

_UNKNOWN = Family()


def family_named(name: str) -> Family:
    """The family called ``name``, with or without ``_bn``; one without layers if it is not known."""
    return FAMILIES.get(name.removesuffix("_bn"), _UNKNOWN)


def layer_aliases(architecture: Architecture) -> dict[str, str]:
    """Alias -> layer path, for the families that papers named layers of, wherever a wrapper holds the network."""
    find = family_named(architecture.family).aliases
    if find is None or not architecture.is_known:
        return {}
    return {alias: architecture.path + layer for alias, layer in find(architecture.module).items()}
