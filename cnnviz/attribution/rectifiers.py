"""Guided backpropagation and the deconvnet: other rules for the gradient at every ReLU.

The rules are applied node by node while the torch.fx graph runs, so that no ReLU is missed: modules, functions,
in-place ones and ones used again are all nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from cnnviz.attribution.targets import Target, target_scores
from cnnviz.errors import UsageError
from cnnviz.network import Network, checks
from cnnviz.network.network import widened
from cnnviz.runtime.precision import gradients_of

RULES = ("guided", "deconvnet")

_FUNCTIONS = {"relu": (0.0, None), "relu_": (0.0, None), "relu6": (0.0, 6.0)}
"""Functional rectifiers -> the values between which they are the identity."""

_OTHERS = (
    nn.SiLU,
    nn.GELU,
    nn.Hardswish,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.LeakyReLU,
    nn.PReLU,
    nn.Mish,
    nn.Softplus,
    nn.Tanh,
)
_OTHER_FUNCTIONS = ("silu", "gelu", "hardswish", "elu", "selu", "leaky_relu", "mish", "softplus", "tanh")

Bounds = tuple[float, float | None]


def guided_backprop(network: Network, pixels: Tensor, target: Target = None) -> Tensor:
    """The gradient of the class score with every negative gradient dropped at every ReLU.

    Springenberg, Dosovitskiy, Brox & Riedmiller, "Striving for Simplicity: The All Convolutional Net", ICLR workshop
    2015, arXiv:1412.6806. Bounded rectifiers (ReLU6) count as rectifiers.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; each picture's likeliest if None.

    Returns:
        (N, 3, H, W), signed, in score per unit of pixel value.

    Raises:
        UsageError: no such class, or a network whose activations are no rectifiers; they are named.
    """
    return rectified_gradient(network, pixels, lambda logits: target_scores(network, logits, target).sum(), "guided")


def deconvnet(network: Network, pixels: Tensor, target: Target = None) -> Tensor:
    """The class score carried back through a deconvnet: ReLUs rectify the gradient and forget their input.

    Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, arXiv:1311.2901. Arguments,
    result and errors are those of ``guided_backprop``.
    """
    return rectified_gradient(network, pixels, lambda logits: target_scores(network, logits, target).sum(), "deconvnet")


def rectified_gradient(
    network: Network,
    pixels: Tensor,
    objective: Callable[[Tensor], Tensor],
    rule: str,
    layer: str | None = None,
) -> Tensor:
    """The gradient of ``objective`` of a layer's output (the logits if None) under a rule, (N, 3, H, W)."""
    _refuse_other_activations(network)
    pixels = pixels.detach().to(network.device).requires_grad_()
    graph = network.graph if layer is None else network.truncated({"layer": layer})
    with torch.enable_grad():
        with network.autocast():
            output = _RuleInterpreter(graph, rule).run(network.normalize(pixels))
        score = objective(network.answer(output, pixels) if layer is None else widened(output["layer"]))
    gradient = gradients_of(score, pixels)[0]
    return checks.require_finite(gradient, f"{rule} gradient", network, pixels)


class _RuleInterpreter(fx.Interpreter):
    """Runs a graph with its rectifiers under another rule for the gradient."""

    def __init__(self, graph_module: fx.GraphModule, rule: str) -> None:
        super().__init__(graph_module)
        self.rectify = {"guided": _Guided, "deconvnet": _Deconvnet}[rule]

    def run_node(self, n: fx.Node) -> Any:
        bounds = _bounds(self.module, n)  # type: ignore[arg-type]
        if bounds is None:
            return super().run_node(n)
        arguments, _ = self.fetch_args_kwargs_from_env(n)
        return self.rectify.apply(arguments[0], *bounds)


def _bounds(graph_module: fx.GraphModule, node: fx.Node) -> Bounds | None:
    """Between which values a node's rectifier is the identity; None for any other node."""
    if node.op == "call_module":
        module = graph_module.get_submodule(str(node.target))
        if isinstance(module, nn.ReLU):
            return 0.0, None
        if isinstance(module, nn.Hardtanh):  # and ReLU6, which is one
            return float(module.min_val), float(module.max_val)
        return None
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if name in ("hardtanh", "hardtanh_"):
        low = node.args[1] if len(node.args) > 1 else node.kwargs.get("min_val", -1.0)
        high = node.args[2] if len(node.args) > 2 else node.kwargs.get("max_val", 1.0)
        return float(low), float(high)  # type: ignore[arg-type]
    return _FUNCTIONS.get(str(name)) if node.op in ("call_function", "call_method") else None


class _Guided(torch.autograd.Function):
    """Lets through what is positive both forward and backward."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, low: float, high: float | None) -> Tensor:
        inside = value > low if high is None else (value > low) & (value < high)
        ctx.save_for_backward(inside)
        return value.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (inside,) = ctx.saved_tensors
        return gradients[0].clamp_min(0) * inside, None, None


class _Deconvnet(torch.autograd.Function):
    """Lets through what is positive backward, wherever the input was."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, low: float, high: float | None) -> Tensor:
        return value.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0].clamp_min(0), None, None


def _refuse_other_activations(network: Network) -> None:
    """Raise UsageError that names the activations for which the rules mean nothing."""
    found = set()
    for node in network.graph.graph.nodes:
        if node.op == "call_module":
            module = network.graph.get_submodule(str(node.target))
            if isinstance(module, _OTHERS):
                found.add(type(module).__name__)
        elif getattr(node.target, "__name__", node.target) in _OTHER_FUNCTIONS:
            found.add(str(getattr(node.target, "__name__", node.target)))
    if found:
        raise UsageError(
            f"Guided backprop and deconvnet are rules for ReLU, but {network.name} uses {', '.join(sorted(found))}; "
            "try gradcam, or saliency --method smoothgrad."
        )
