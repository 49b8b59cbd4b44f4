"""Guided backpropagation and the deconvnet: other rules for the gradient at every ReLU.

The rules are applied node by node while the torch.fx graph runs, so that no ReLU is missed: modules, functions,
in-place ones and ones used again are all nodes. Whatever bends values otherwise is refused, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from cnnviz.attribution.nonlinearities import is_of_values, objection, rectifier
from cnnviz.attribution.targets import Target, target_scores
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import differentiable, gradients, require_pixels, warn_if_out_of_range
from cnnviz.network import checks
from cnnviz.network.graph import LAYER, ancestors
from cnnviz.network.module_copy import has_hooks
from cnnviz.network.network import Network, at_least_float32
from cnnviz.network.operations import operation_label
from cnnviz.runtime.precision import gradients_of

RULES = ("guided", "deconvnet")


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
        UsageError: no such class; operations that are neither rectifiers nor linear, which are named; no rectifier.
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
    """The gradient of ``objective`` of a layer's output (the logits if None) under a rule, (N, 3, H, W).

    Raises UsageError where the rule has no meaning for what lies between the pixels and the layer; it is named.
    """
    warn_if_out_of_range(require_pixels(pixels))
    graph = network.graph if layer is None else network.truncated({"layer": layer})
    with gradients():
        pixels = differentiable(pixels, network.device)
        with network.autocast():
            run = _RuleInterpreter(graph, rule)
            output = run.run(network.normalize(pixels))
        found = network.check_logits(output, pixels) if layer is None else at_least_float32(output["layer"])
        run.check(network.name, layer)
        score = objective(found)
        gradient = gradients_of(score, pixels)[0]
    return checks.require_finite(gradient, f"{rule} gradient", network, pixels)


class _RuleInterpreter(fx.Interpreter):
    """Runs a graph with its rectifiers under another rule for the gradient, and takes down what is none."""

    def __init__(self, graph_module: fx.GraphModule, rule: str) -> None:
        super().__init__(graph_module)
        self.rectify = {"guided": _Guided, "deconvnet": _Deconvnet}[rule]
        self.rectifiers = 0
        self.objections: dict[str, list[str]] = {}
        self._needed = ancestors([graph_module.graph.output_node()])
        self._bent: set[fx.Node] = set()

    def run_node(self, n: fx.Node) -> Any:
        found = rectifier(self.module, n, self.env, self._bent) if n in self._needed else None
        if found is not None:
            self._bent.add(n)
            self.rectifiers += 1
            source, bounds = found
            self._refuse_hooks(n)
            return self.rectify.apply(self.env[source], *bounds)
        if n in self._needed:
            self._refuse_hooks(n)
        value = super().run_node(n)
        if n.op == "placeholder" or is_of_values(self.module, n, value, self._bent):
            self._bent.add(n)
            against = objection(self.module, n, self._bent) if n in self._needed else None
            if against is not None:
                self._object(against, n)
        return value

    def _refuse_hooks(self, n: fx.Node) -> None:
        """Object where the hooks on a module make other values than it does: no rule is for what they do."""
        module = self.module.get_submodule(str(n.target)) if n.op == "call_module" else None
        if module is None or not has_hooks(module):
            return
        arguments, options = self.fetch_args_kwargs_from_env(n)
        with torch.no_grad():
            hooked = module(*arguments, **options)  # first: a hook may set the weight, as weight_norm's does
            plain = module.forward(*arguments, **options)
        if isinstance(plain, Tensor) and not (isinstance(hooked, Tensor) and torch.equal(plain, hooked)):
            self._object(f"a hook on {operation_label(self.module, n)}", n)

    def _object(self, against: str, n: fx.Node) -> None:
        self.objections.setdefault(against, []).append(str(n.meta.get(LAYER, n.name)))

    def check(self, name: str, layer: str | None) -> None:
        """Raise UsageError where the graph that ran is not made of rectifiers and what is linear between them."""
        advice = "try gradcam, or saliency --method smoothgrad."
        if self.objections:
            named = ", ".join(f"{what} ({_listed(places)})" for what, places in self.objections.items())
            raise UsageError(f"Guided backprop and deconvnet are rules for ReLU, but {name} uses {named}; {advice}")
        if not self.rectifiers:
            place = "its output" if layer is None else f"layer '{layer}'"
            raise UsageError(
                "Guided backprop and deconvnet are rules for ReLU, and there is none between the pixels and "
                f"{place} of {name}; {advice}"
            )


def _listed(layers: Sequence[str]) -> str:
    """``features.0.2 and 48 more``."""
    return layers[0] if len(layers) == 1 else f"{layers[0]} and {len(layers) - 1} more"


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
