"""Images as feature vectors: the input of the classifier, or the output of any layer."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, fx, nn

from cnnviz.errors import UsageError
from cnnviz.network.feature_network import LayerLike
from cnnviz.network.graph import LAYER, depends_on_input
from cnnviz.network.hooked import module_read
from cnnviz.network.network import Network
from cnnviz.network.operations import name_set, operation
from cnnviz.runtime.memory import in_batches_that_fit

_CLASSIFIERS = name_set("Linear Conv2d linear conv2d matmul mm addmm")
_PASSED_OVER = (nn.Dropout, nn.Flatten, nn.Identity)


def feature_layer(network: Network) -> str:
    """The name of the layer whose output the classifier (the last linear layer or convolution) takes.

    fc7 in AlexNet and VGG, the average pool in ResNets, fire9 in SqueezeNet: features that serve other tasks too, as
    shown by Donahue et al., "DeCAF", ICML 2014, arXiv:1310.1531.

    Raises:
        UsageError: the network has no classifier, or no layer before it.
    """
    if network.weights.lacks_classifier:
        return _last_features(network, network.output_node)
    if network.traced_by == "hooks":
        return _layer_before_the_last_classifier(network)
    graph_module = network.graph
    made = depends_on_input(graph_module.graph)
    read = [found for node in graph_module.graph.nodes if (found := _classified(graph_module, node, made)) is not None]
    if not read:
        raise UsageError(f"{network.name} has no classifier to take the features before.", remedy="layer")
    return _last_features(network, read[-1])


def _last_features(network: Network, node: fx.Node) -> str:
    """The name of the layer at ``node``, or before it where that only gives its values another shape."""
    while node.all_input_nodes and _is_passed_over(network, node):
        node = node.all_input_nodes[0]
    if LAYER not in node.meta:
        raise UsageError(f"{network.name} has no layer before its classifier.", remedy="layer")
    return network.layers.name_of(node)


def _layer_before_the_last_classifier(network: Network) -> str:
    """The name of the layer before the last classifier, where only the order of the layers is known."""
    graph_module, read = network.graph, ""
    before = ""
    for name in network.layers:
        node = network.layers.node(name)
        if operation(graph_module, node) in _CLASSIFIERS:
            read = before
        if not isinstance(module_read(graph_module, node), _PASSED_OVER):
            before = name
    if not read:
        raise UsageError(f"{network.name} has no layer before its classifier.", remedy="layer")
    return read


def _classified(graph_module: fx.GraphModule, node: fx.Node, made: Collection[fx.Node]) -> fx.Node | None:
    """The input of a linear layer or convolution, module or function; None for any other node."""
    if operation(graph_module, node) not in _CLASSIFIERS:
        return None
    taken = [source for source in node.all_input_nodes if source in made]
    return taken[0] if len(taken) == 1 else None


def _is_passed_over(network: Network, node: fx.Node) -> bool:
    """Whether a node's values are those of its input, at most in another shape."""
    if node.op == "call_module":
        return isinstance(network.graph.get_submodule(str(node.target)), _PASSED_OVER)
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return name in {"flatten", "dropout", "view", "reshape"}


def embed_images(network: Network, pixels: Tensor, layer: LayerLike | None = None) -> Tensor:
    """A feature vector for each image.

    Args:
        network: the network that computes the features.
        pixels: (N, 3, H, W), RGB in [0, 1].
        layer: any layer, by name or as a submodule of your own module; None takes the one before the classifier (see
            ``feature_layer``).

    Returns:
        (N, D) float32 on the CPU: the layer's values, maps (N, C, H, W) averaged over their positions, so that D
        does not depend on the images' size.

    Raises:
        UsageError: no such layer.
        ImageError: the images are too small for the network.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.embed_images(network, pixels).shape
        torch.Size([1, 512])
    """
    name = feature_layer(network) if layer is None else network.layer_name(layer)

    @torch.no_grad()
    def described(part: slice) -> Tensor:
        return pooled(network.features(pixels[part], [name])[name])

    return torch.cat(list(in_batches_that_fit(described, len(pixels), len(pixels))))


def pooled(values: Tensor) -> Tensor:
    """A layer's output as (N, D) on the CPU: maps averaged over space, anything else flattened."""
    vectors = values.mean(dim=(2, 3)) if values.ndim == 4 else values.flatten(1)
    return vectors.cpu()
