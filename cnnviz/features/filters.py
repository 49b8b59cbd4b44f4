"""The kernels of a convolution, scaled to be shown as images."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from operator import attrgetter

import torch
from torch import Tensor, fx, nn

from cnnviz.errors import UsageError
from cnnviz.network.feature_network import LayerLike
from cnnviz.network.graph import LAYER
from cnnviz.network.hooked import MODULE, module_read
from cnnviz.network.network import Network
from cnnviz.network.operations import argument, module_of, operation


@dataclass(frozen=True)
class FilterGrid:
    """A convolution's kernels, scaled to be shown as images.

    Attributes:
        layer: the layer's name.
        shape: of the weights, (out, in, kh, kw).
        tiles: (out, 3, kh, kw) in color where the layer's input is RGB, else (out, in, kh, kw) in gray; values in
            [0, 1], with zero at 0.5.
        color: whether the tiles are in color.
    """

    layer: str
    shape: tuple[int, int, int, int]
    tiles: Tensor
    color: bool

    @property
    def colour(self) -> bool:
        """The old name of ``color``."""
        warnings.warn("FilterGrid.colour is now FilterGrid.color.", DeprecationWarning, stacklevel=2)
        return self.color


def filter_grid(network: Network, layer: LayerLike | None = None, *, shared_scale: bool = False) -> FilterGrid:
    """The kernels of a convolution, each scaled about zero.

    First-layer kernels are oriented edges, gratings and color blobs in every trained network: Krizhevsky, Sutskever
    & Hinton, NIPS 2012, figure 3. The weights apply to normalized pixels.

    Args:
        network: the network.
        layer: a convolution, by name or as a submodule of your own module; None takes the first.
        shared_scale: True divides all kernels by the largest absolute weight of the layer, so that weak kernels look
            weak; False divides each (in gray: each kernel of one input channel) by its own.

    Raises:
        UsageError: no such layer, or one that is no convolution (the message names some that are).

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> cnnviz.filter_grid(network).tiles.shape
        torch.Size([64, 3, 3, 3])
    """
    name = first_convolution(network) if layer is None else _convolution(network, network.layer_name(layer))
    weights = _kernels(network)[name].detach().float().cpu()
    color = weights.shape[1] == 3
    dims = (1, 2, 3) if color else (2, 3)
    largest = weights.abs().amax() if shared_scale else weights.abs().amax(dim=dims, keepdim=True)
    tiles = weights / largest.clamp_min(torch.finfo(torch.float32).tiny) / 2 + 0.5
    out, inputs, height, width = weights.shape
    return FilterGrid(name, (out, inputs, height, width), tiles, color)


def first_convolution(network: Network) -> str:
    """The name of the network's first convolution; UsageError if it has none."""
    found = next(iter(_kernels(network)), None)
    if found is None:
        raise UsageError(f"{network.name} has no convolution, so there are no filters to show.")
    return found


def _kernels(network: Network) -> dict[str, Tensor]:
    """The weights of the convolutions in order of computation, by the path of the module or the name of the layer."""
    found, graph = {}, network.graph
    for node in graph.graph.nodes:
        module = module_of(graph, node) or module_read(graph, node)
        if isinstance(module, nn.Conv2d):
            found[_name(node)] = module.weight
        elif module is None and operation(graph, node) == "conv2d":
            weight = argument(node, 1, "weight")
            if weight.op == "get_attr":
                found[_name(node)] = attrgetter(str(weight.target))(graph)
    return found


def _name(node: fx.Node) -> str:
    return str(node.meta.get(LAYER) if node.op == "call_function" else node.meta.get(MODULE, node.target))


def _convolution(network: Network, layer: str) -> str:
    node = network.layers.node(layer)
    known, name = list(_kernels(network)), _name(node)
    if name in known:
        return name
    inside = [each for each in known if each.startswith(f"{node.meta[LAYER].rsplit('.', 1)[0]}.")] or known
    others = f"; try {', '.join(inside[:4])}" if inside else ", as nothing in this network has"
    raise UsageError(f"The layer '{layer}' is no convolution and has no kernels{others}.")
