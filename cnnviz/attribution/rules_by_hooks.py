"""Guided backpropagation and the deconvnet on modules that run as they are, since they could not be traced."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor, fx, nn

from cnnviz.attribution.nonlinearities import bounds_of_module, is_linear
from cnnviz.attribution.rules_on_graphs import Rectify
from cnnviz.errors import UsageError, listed
from cnnviz.network.hooked import functions_of, hooked_module
from cnnviz.network.network import Network
from cnnviz.network.operations import class_name, plain_name


class RulesByHooks:
    """Runs a module with a rule applied at those of its submodules that are rectifiers.

    Every nonlinearity must be a module, since hooks see nothing else: an operation between modules must be linear.

    Args:
        network: the network, traced by hooks.
        graph: of what is to be computed.
        rectify: what takes a value and the bounds of a rectifier and returns its output.

    Raises:
        UsageError: an operation outside of modules is not linear.
    """

    def __init__(self, network: Network, graph: fx.GraphModule, rectify: Rectify) -> None:
        self._graph, self._rectify = graph, rectify
        self.rectifier_count = 0
        self.unsupported: dict[str, list[str]] = {}
        unseen = [name for name in functions_of(network.graph) if not is_linear(plain_name(name))]
        if unseen:
            raise UsageError(
                f"Guided backprop and deconvnet must see every nonlinearity, but {network.name} can be read by hooks "
                f"on its modules only, and {listed(unseen)} {'is none' if len(unseen) == 1 else 'are none'}.",
                remedy="methods_without_relu",
            )

    def applied(self) -> AbstractContextManager[None]:
        """The context in which the rule holds, in passes forward and backward."""
        hooked = hooked_module(self._graph)
        assert hooked is not None
        return hooked.replacing(self._rectified)

    def run(self, x: Tensor) -> Any:
        """What the graph returns for a normalized input."""
        return self._graph(x)

    def keep(self) -> None:
        """Nothing: it is looked at each time."""

    def _rectified(self, path: str, module: nn.Module, value: Tensor) -> Tensor | None:
        """The output of a rectifier under the rule; None for any other module."""
        name = class_name(module)
        bounds = bounds_of_module(module, name)
        if bounds is not None:
            self.rectifier_count += 1
            return self._rectify(value, *bounds)
        if not is_linear(name):
            self.unsupported.setdefault(type(module).__name__, []).append(path)
        return None
