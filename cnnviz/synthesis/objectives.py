"""Scores of pixels to be maximized: of a class, a channel of a layer, or one neuron.

Only what the score needs is computed: the network up to the layer, and of a last convolution only the channels needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from cnnviz.errors import UsageError
from cnnviz.network.module_copy import has_hooks
from cnnviz.network.network import Network
from cnnviz.network.operations import is_max_pool, is_plain_conv, is_relu

Score = Callable[[Tensor], Tensor]
"""Pixels (N, 3, H, W) -> the score of each image, (N,); differentiable."""

_LEAK = 0.1
"""Negative slope of the last ReLUs."""

_PASSIVE = (nn.ReLU, nn.Dropout, nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.Flatten, nn.Identity)
"""Modules between a convolution that scores classes and the logits: they only average, clip, or reshape."""


@dataclass(frozen=True)
class Channels:
    """One channel of ``layer`` for each image of a batch: its mean, or its value ``at`` a position (y, x) of the map.

    ``at`` may also be ``"center"``.
    """

    layer: str
    channels: tuple[int, ...]
    at: tuple[int, int] | str | None = None

    def __len__(self) -> int:
        return len(self.channels)


@dataclass(frozen=True)
class Classes:
    """One class for each image of a batch, by index."""

    indices: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.indices)


Subject = Channels | Classes


def make_activation(network: Network, subject: Channels) -> Score:
    """The channel's mean, or the neuron's value, as the layer computes it; ``make_score`` differs in its last ReLUs."""

    def score(pixels: Tensor) -> Tensor:
        found = network.features(pixels, [subject.layer])[subject.layer]
        rows = torch.arange(len(found), device=found.device)
        return _read(found[rows, torch.tensor(subject.channels, device=found.device)], subject.at)

    return score


def make_score(network: Network, subject: Subject) -> Score:
    """The score of ``subject``: a class's logit, a channel's mean, or a neuron's value.

    Where the logits are the averages of a last convolution's maps (SqueezeNet), the score is that convolution's mean
    *before* its ReLU: behind it, the gradient of a class that the network does not see yet is zero.

    Raises:
        UsageError: the layer or channel does not exist, or the layer is no map.
    """
    if isinstance(subject, Classes):
        return _class_score(network, subject.indices)
    return _channel_score(network, subject)


def _class_score(network: Network, indices: Sequence[int]) -> Score:
    scoring = _scoring_convolution(network)
    if scoring is not None:
        maps = _sliced(network, scoring, indices)
        return lambda pixels: maps(pixels).mean((1, 2))
    rows = torch.arange(len(indices), device=network.device)
    columns = torch.tensor(indices, device=network.device)
    return lambda pixels: network.logits(pixels)[rows[: len(pixels)], columns[: len(pixels)]]


def _channel_score(network: Network, subject: Channels) -> Score:
    node = network.layers.node(subject.layer)
    module = network.graph.get_submodule(str(node.target)) if node.op == "call_module" else None
    _check(network, subject)
    maps = _sliced(network, node, subject.channels) if is_sliceable(module) else _picked(network, subject)
    return lambda pixels: _read(maps(pixels), subject.at)


def _read(maps: Tensor, at: tuple[int, int] | str | None) -> Tensor:
    """(N, H, W) -> (N,): the mean, or the value at a position."""
    if at is None:
        return maps.mean((1, 2))
    y, x = (maps.shape[1] // 2, maps.shape[2] // 2) if isinstance(at, str) else at
    if y >= maps.shape[1] or x >= maps.shape[2]:
        raise UsageError(f"The layer's map has {maps.shape[1]} rows and {maps.shape[2]} columns; {y},{x} is outside.")
    return maps[:, y, x]


def _picked(network: Network, subject: Channels) -> Score:
    """Maps (N, H, W) of each image's channel, from the whole layer, whose ReLUs are leaky (see ``_leaky``)."""
    channels = torch.tensor(subject.channels, device=network.device)
    layer = _leaky(network.truncated({"maps": subject.layer}, fused=True))

    def maps(pixels: Tensor) -> Tensor:
        with network.autocast():
            found = layer(network.normalize(pixels))["maps"]
        found = found if found.dtype == torch.float64 else found.float()
        if len(subject.channels) == 1:
            return found[:, subject.channels[0]]
        return found[torch.arange(len(found), device=found.device), channels]

    return maps


def _leaky(layer: fx.GraphModule) -> fx.GraphModule:
    """The layer with leaky ReLUs at its end, also before a last max pooling or concatenation.

    A channel that noise does not activate at all has no gradient behind its ReLU, and its image would stay gray.
    """
    graph = fx.Graph()
    graph.output(graph.graph_copy(layer.graph, {}))
    waiting = [next(node for node in graph.nodes if node.op == "output").all_input_nodes[0]]
    while waiting:
        node = waiting.pop()
        if is_relu(layer, node):
            with graph.inserting_after(node):
                leaking = graph.call_function(F.leaky_relu, (node.all_input_nodes[0], _LEAK))
            node.replace_all_uses_with(leaking)
            graph.erase_node(node)
        elif is_max_pool(layer, node) or (node.op == "call_function" and node.target in {torch.cat, torch.concat}):
            waiting += node.all_input_nodes
    return fx.GraphModule(layer, graph)


def is_sliceable(module: nn.Module | None) -> bool:
    """Whether single channels of a layer can be computed, with the matching rows of its weights."""
    if module is None or not is_plain_conv(module) or has_hooks(module):
        return False
    return module.groups == 1 and module.padding_mode == "zeros"


def _sliced(network: Network, node: fx.Node, channels: Sequence[int]) -> Score:
    """Maps (N, H, W) of each image's channel of a convolution, of which no other channel is computed."""
    convolution = network.graph.get_submodule(str(node.target))
    assert isinstance(convolution, nn.Conv2d)
    weight = convolution.weight[list(channels)]
    bias = None if convolution.bias is None else convolution.bias[list(channels)]
    source = node.all_input_nodes[0]
    name = None if source.op == "placeholder" else network.layers.name_of(source)
    body = None if name is None else network.truncated({"body": name}, fused=True)
    order = torch.arange(len(channels), device=network.device)

    def maps(pixels: Tensor) -> Tensor:
        with network.autocast():
            x = network.normalize(pixels)
            x = x if body is None else body(x)["body"]
            found = F.conv2d(
                x,
                weight,
                bias,
                convolution.stride,
                convolution.padding,
                convolution.dilation,  # type: ignore[arg-type]
            )
        found = found if found.dtype == torch.float64 else found.float()
        return found.squeeze(1) if len(channels) == 1 else found[order, order]

    return maps


def _scoring_convolution(network: Network) -> fx.Node | None:
    """The convolution whose averaged maps are the logits, if the network ends in one."""
    node = next(node for node in network.graph.graph.nodes if node.op == "output").all_input_nodes[0]
    while node.op in {"call_module", "call_function", "call_method"} and len(node.all_input_nodes) == 1:
        module = network.graph.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.Conv2d):
            return node if is_sliceable(module) else None
        if module is not None and not isinstance(module, _PASSIVE):
            return None
        node = node.all_input_nodes[0]
    return None


def channel_count(network: Network, layer: str) -> int:
    """The number of channels of a layer; UsageError for a layer that is no map."""
    network.layers.require_map(layer)
    side = max(network.spec.min_size, 64 if not network.spec.fixed else network.spec.size)
    with torch.no_grad():
        return network.features(torch.zeros(1, 3, side, side), [layer])[layer].shape[1]


def _check(network: Network, subject: Channels) -> None:
    """Raise UsageError for a layer that is no map, or a channel it does not have."""
    count, largest = channel_count(network, subject.layer), max(subject.channels)
    if largest >= count or min(subject.channels) < 0:
        raise UsageError(f"Layer '{subject.layer}' has channels 0 to {count - 1}; there is no {largest}.")
