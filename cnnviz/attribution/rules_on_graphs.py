"""Rules for the gradient of rectifiers, and graphs that run under one of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from cnnviz.attribution.nonlinearities import Bounds, depends_on_input, rectifier, unsupported_operation
from cnnviz.network.graph import LAYER, ancestors
from cnnviz.network.module_copy import has_hooks
from cnnviz.network.network import Network
from cnnviz.network.operations import operation_label

Rectify = Callable[[Tensor, float, float | None], Tensor]
"""A rectifier of a value between two bounds, None for no upper one, with the gradient of a rule."""


def _guided(value: Tensor, low: float, high: float | None) -> Tensor:
    """A rectifier whose gradient is passed where both it and the input are positive."""
    output = F.relu(value) if high is None else F.hardtanh(value, low, high)
    if output.requires_grad:
        output.register_hook(_positive)
    return output


def _positive(gradient: Tensor) -> Tensor:
    return gradient.clamp_min(0)


def _deconvnet(value: Tensor, low: float, high: float | None) -> Tensor:
    """A rectifier whose gradient is passed where it is positive, whatever the input."""
    found: Tensor = _Deconvnet.apply(value, low, high)
    return found


class _Deconvnet(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, low: float, high: float | None) -> Tensor:
        return value.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0].clamp_min(0), None, None


RULES: dict[str, Rectify] = {"guided": _guided, "deconvnet": _deconvnet}
"""By name."""


class RuleRun(Protocol):
    """A network that runs with a rule for its rectifiers, and counts of what the rule met."""

    @property
    def rectifier_count(self) -> int:
        """The number of rectifiers met."""

    @property
    def unsupported(self) -> dict[str, list[str]]:
        """Operations that the rule is not for, and the layers where they are."""


def run_on_graph(network: Network, graph: fx.GraphModule, rule: str) -> _CheckedGraph | _Interpreter:
    """What runs ``graph`` under a rule; a graph that ran before without looking at its operations again."""
    may_keep = network.optimize and not any(map(has_hooks, graph.modules()))  # then nobody else changes it
    known = _checked.get(graph, {}).get(rule) if may_keep else None
    return known or _Interpreter(graph, rule, may_keep=may_keep)


@dataclass(frozen=True)
class _CheckedGraph:
    """A graph under a rule, all of whose operations are supported, and how many rectifiers it has."""

    run: fx.GraphModule
    rectifier_count: int
    unsupported: dict[str, list[str]] = field(default_factory=dict)

    def applied(self) -> AbstractContextManager[None]:
        """A context that does nothing: the rule is part of how the graph is run."""
        return nullcontext()

    def keep(self) -> None:
        """Nothing: it is kept already."""


_checked: WeakKeyDictionary[fx.GraphModule, dict[str, _CheckedGraph]] = WeakKeyDictionary()
"""Graphs under each rule: to look at the operations takes a third as long as SqueezeNet itself."""


class _Interpreter(fx.Interpreter):
    """Runs a graph with the rule applied at its rectifiers, and records the operations that no rule is for."""

    def __init__(self, graph_module: fx.GraphModule, rule: str, *, may_keep: bool) -> None:
        super().__init__(graph_module)
        self.graph_module, self.rule, self.rectify, self.may_keep = graph_module, rule, RULES[rule], may_keep
        self._bounds: dict[fx.Node, tuple[fx.Node, Bounds]] = {}
        self.unsupported: dict[str, list[str]] = {}
        self._needed = ancestors([graph_module.graph.output_node()])
        self._dependent: set[fx.Node] = set()

    @property
    def rectifier_count(self) -> int:
        """How many there are."""
        return len(self._bounds)

    def applied(self) -> AbstractContextManager[None]:
        """A context that does nothing: the rule is part of how the graph is run."""
        return nullcontext()

    def keep(self) -> None:
        """Remember what ran, whose operations are all supported, for the next time."""
        if self.may_keep:
            known = _checked.setdefault(self.graph_module, {})
            known[self.rule] = _CheckedGraph(self._under_rule(), self.rectifier_count)

    def _under_rule(self) -> fx.GraphModule:
        """The graph with its rectifiers replaced by what ran in their place."""
        graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
        for node in self.graph_module.graph.nodes:
            if node in self._bounds:
                source, bounds = self._bounds[node]
                copies[node] = graph.call_function(self.rectify, (copies[source], *bounds))
            else:
                copies[node] = graph.node_copy(node, copies.__getitem__)
        return fx.GraphModule(self.graph_module, graph)

    def run_node(self, n: fx.Node) -> Any:
        found = rectifier(self.module, n, self.env, self._dependent) if n in self._needed else None
        if found is not None:
            self._dependent.add(n)
            self._bounds[n] = source, bounds = found
            self._check_hooks(n)
            return self.rectify(self.env[source], *bounds)
        if n in self._needed:
            self._check_hooks(n)
        value = super().run_node(n)
        if n.op == "placeholder" or depends_on_input(self.module, n, value, self._dependent):
            self._dependent.add(n)
            name = unsupported_operation(self.module, n, self._dependent) if n in self._needed else None
            if name is not None:
                self._record(name, n)
        return value

    def _check_hooks(self, n: fx.Node) -> None:
        """Record a module whose hooks change its output: no rule is for what they do."""
        module = self.module.get_submodule(str(n.target)) if n.op == "call_module" else None
        if module is None or not has_hooks(module):
            return
        arguments, options = self.fetch_args_kwargs_from_env(n)
        with torch.no_grad():
            hooked = module(*arguments, **options)  # first: a hook may set the weight, as weight_norm's does
            plain = module.forward(*arguments, **options)
        if isinstance(plain, Tensor) and not (isinstance(hooked, Tensor) and torch.equal(plain, hooked)):
            self._record(f"a hook on {operation_label(self.module, n)}", n)

    def _record(self, operation: str, n: fx.Node) -> None:
        self.unsupported.setdefault(operation, []).append(str(n.meta.get(LAYER, n.name)))
