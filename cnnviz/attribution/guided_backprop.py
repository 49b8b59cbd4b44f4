"""Guided backpropagation and the deconvnet: modified gradients at every ReLU.

The rules are applied node by node while the torch.fx graph runs, so that no ReLU is missed: modules, functions,
in-place ones and modules called twice are all nodes. Networks with other nonlinearities are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from cnnviz.attribution.rules_by_hooks import RulesByHooks
from cnnviz.attribution.rules_on_graphs import RULES, RuleRun, run_on_graph
from cnnviz.attribution.targets import Target, target_scores
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import differentiable, gradients, require_pixels, warn_if_out_of_range
from cnnviz.network import checks
from cnnviz.network.feature_network import LayerLike
from cnnviz.network.hooked import hooked_module
from cnnviz.network.network import Network
from cnnviz.runtime.precision import at_least_float32, gradients_of


def guided_backprop(network: Network, pixels: Tensor, target: Target = None) -> Tensor:
    """Gradient of the class score with respect to the pixels, without the negative gradients at each ReLU.

    Springenberg, Dosovitskiy, Brox & Riedmiller, "Striving for Simplicity: The All Convolutional Net", ICLR workshop
    2015, arXiv:1412.6806. Bounded rectifiers (ReLU6) count as rectifiers.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; the class predicted for each image if None. Or what ``saliency`` takes.

    Returns:
        (N, 3, H, W), signed, in score per unit of pixel value.

    Raises:
        UsageError: no such class; a network without ReLU, or with other nonlinearities, which are named.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.guided_backprop(network, pixels, "tabby").shape
        torch.Size([1, 3, 64, 96])
    """
    return rectified_gradient(network, pixels, lambda logits: target_scores(network, logits, target).sum(), "guided")


def deconvnet(network: Network, pixels: Tensor, target: Target = None) -> Tensor:
    """Gradient of the class score with respect to the pixels, where each ReLU passes positive gradients only.

    Unlike in guided backpropagation, the sign of a ReLU's input does not matter.

    Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, arXiv:1311.2901. Arguments,
    result and errors are those of ``guided_backprop``.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.deconvnet(network, pixels, "tabby").shape
        torch.Size([1, 3, 64, 96])
    """
    return rectified_gradient(network, pixels, lambda logits: target_scores(network, logits, target).sum(), "deconvnet")


def rectified_gradient(
    network: Network,
    pixels: Tensor,
    objective: Callable[[Tensor], Tensor],
    rule: str,
    layer: str | None = None,
) -> Tensor:
    """Gradient of an objective under a rule, (N, 3, H, W).

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        objective: a function of the layer's output that returns a scalar.
        rule: ``guided`` or ``deconvnet``.
        layer: whose output to take, by any of its names; the logits if None.

    Raises:
        UsageError: no ReLU, or other nonlinearities, between the pixels and the layer.
    """
    warn_if_out_of_range(require_pixels(pixels, network.spec.channels))
    network.require_count(len(pixels))
    with gradients(), ExitStack() as stack:
        pixels = differentiable(pixels, network.device, network.spec.channels)
        with network.autocast():
            x = network.normalize(pixels)
            network.require_convolutions()
            graph = network.graph if layer is None else network.truncated({"layer": layer})
            by_hooks = hooked_module(graph) is not None
            run = RulesByHooks(network, graph, RULES[rule]) if by_hooks else run_on_graph(network, graph, rule)
            stack.enter_context(run.applied())
            output = run.run(x)
        found = network.check_logits(output, pixels) if layer is None else at_least_float32(output["layer"])
        _require_rectifiers(run, network.name, layer)
        run.keep()
        score = objective(found)
        gradient = gradients_of(score, pixels)[0]
    return checks.require_finite(gradient, f"{rule} gradient", network, pixels)


@torch.no_grad()
def neuron_activation(
    network: Network, pixels: Tensor, layer: LayerLike, channel: int, position: tuple[int, int] | None = None
) -> tuple[tuple[int, int], float]:
    """Position and activation of a neuron: of one channel of a layer, at one place of its map.

    Args:
        network: the network to look into.
        pixels: (1, 3, H, W), RGB in [0, 1].
        layer: any of the layer's names, or a submodule of your own module.
        channel: index of the channel.
        position: row and column of the map; where the channel is strongest if None.

    Raises:
        UsageError: no such layer, channel or position, or a layer whose output is not a feature map.
    """
    layer = network.layer_name(layer)
    network.layers.require_map(layer)
    maps = network.features(pixels, [layer])[layer]
    channels, height, width = maps.shape[1:]
    if not 0 <= channel < channels:
        raise UsageError(f"Layer '{layer}' has channels 0 to {channels - 1}; there is no {channel}.")
    row, column = position or divmod(int(maps[0, channel].argmax()), width)
    if not (0 <= row < height and 0 <= column < width):
        raise UsageError(f"The map of '{layer}' has {height} rows and {width} columns; {row},{column} is outside.")
    return (row, column), float(maps[0, channel, row, column])


def _require_rectifiers(run: RuleRun, name: str, layer: str | None) -> None:
    """Raise UsageError unless what ran consists of rectifiers and linear operations."""
    if run.unsupported:
        named = ", ".join(f"{what} ({_listed(layers)})" for what, layers in run.unsupported.items())
        raise UsageError(
            f"Guided backprop and deconvnet are rules for ReLU, but {name} uses {named}.",
            remedy="methods_without_relu",
        )
    if not run.rectifier_count:
        end = "its output" if layer is None else f"layer '{layer}'"
        raise UsageError(
            "Guided backprop and deconvnet are rules for ReLU, and there is none between the pixels and "
            f"{end} of {name}.",
            remedy="methods_without_relu",
        )


def _listed(layers: Sequence[str]) -> str:
    """Names for a message, shortened to the first and a count: ``features.0.2 and 48 more``."""
    return layers[0] if len(layers) == 1 else f"{layers[0]} and {len(layers) - 1} more"
