"""The steps of a graph over one picture: each node's rule, its windows' spans, and which feature maps to keep."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx

from cnnviz.attribution.incremental.convolution import PreparedConv2d
from cnnviz.attribution.incremental.errors import NotIncremental
from cnnviz.attribution.incremental.layer_rules import RULES, Call, Local, Size, is_global_mean
from cnnviz.attribution.incremental.windows import POINT, AxisPlan, hull
from cnnviz.network.copier import has_hooks

_MEASURES = ("size", "dim", "shape", "ndim")
"""Methods and attributes that ask a map for its shape, not for its values."""

_OVERWRITE = (torch.relu_, operator.iadd)
"""Operations whose result takes the place of their first input."""


@dataclass
class Step:
    """How one node is computed.

    ``local``: on windows, by this rule. ``mean``: the clean mean (1, C, …) of a global average, updated by
    the window's change. ``measures``: it only asks for a shape. Otherwise: on whole maps. ``finished`` are
    the nodes nobody reads after this step. ``leading`` are the steps before a mean that work cell by cell and for it
    alone; they wait for it (``waits``), which takes a few positions at a time through all of them.
    """

    node: fx.Node
    local: Local | None = None
    mean: Tensor | None = None
    measures: bool = False
    finished: list[fx.Node] = field(default_factory=list)
    leading: list[Step] = field(default_factory=list)
    waits: bool = False


class Program:
    """The steps of a graph for one picture (1, C, H, W); ``kept`` are the nodes whose un-occluded maps windows read."""

    def __init__(self, graph_module: fx.GraphModule, image: Tensor, axes: tuple[AxisPlan, AxisPlan]) -> None:
        self.graph_module = graph_module
        self.axes = axes
        self.steps: list[Step] = []
        self.shapes: dict[fx.Node, torch.Size] = {}
        self.constants: dict[fx.Node, Any] = {}
        self.kept: set[fx.Node] = set()
        self._trace(image)

    @property
    def result(self) -> fx.Node:
        """The node whose value is the graph's."""
        return self.steps[-1].node

    def run(self, node: fx.Node, value_of: Callable[[fx.Node], Any]) -> Any:
        """The node's own operation, on whatever ``value_of`` gives for its inputs."""
        args, kwargs = fx.map_arg(node.args, value_of), fx.map_arg(node.kwargs, value_of)
        if node.op == "call_module":
            return self.graph_module.get_submodule(str(node.target))(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        if node.op == "get_attr":
            return attrgetter(str(node.target))(self.graph_module)
        assert callable(node.target)
        return node.target(*args, **kwargs)

    def variable(self, nodes: Iterable[fx.Node]) -> list[fx.Node]:
        """Those of ``nodes`` that depend on the picture."""
        return [node for node in nodes if node not in self.constants]

    def windowed(self, node: fx.Node) -> bool:
        """Whether a patch can be followed into the node as a window."""
        return node in self.axes[0].spans

    def largest_value(self, node: fx.Node) -> int:
        """Elements of the node's value for one position, at its largest window."""
        shape = self.shapes.get(node, torch.Size([0]))
        if not self.windowed(node):
            return shape.numel()
        height, width = (int((axis.spans[node][:, 1] - axis.spans[node][:, 0]).max()) for axis in self.axes)
        return shape[1] * height * width

    def work_of(self, *steps: Step) -> int:
        """Elements that one position has at most in the inputs and outputs of one of ``steps``."""
        values = (self.variable(s.node.all_input_nodes) + [s.node] * (s.node.target not in _OVERWRITE) for s in steps)
        return max((sum(map(self.largest_value, nodes)) for nodes in values), default=1)

    def is_vector(self, node: fx.Node) -> bool:
        """Whether the node's value is a tensor (N, C) or (N, C, 1, 1)."""
        shape = self.shapes.get(node, torch.Size())
        return len(shape) == 2 or shape[2:] == (1, 1)

    def map_size(self, node: fx.Node) -> Size:
        """Height and width of a node's feature map."""
        height, width = self.shapes[node][-2:]
        return height, width

    def _trace(self, image: Tensor) -> None:
        """Compute each node once, for its shape and rule."""
        nodes = list(self.graph_module.graph.nodes)
        last_use = {source: node for node in nodes for source in node.all_input_nodes}
        clean: dict[fx.Node, Any] = {}
        for node in nodes:
            if node.op == "output":
                self._check_output(node)
                break
            finished = [source for source in node.all_input_nodes if last_use[source] is node]
            clean[node] = image if node.op == "placeholder" else self.run(node, clean.__getitem__)
            if node.op != "placeholder" and not self.variable(node.all_input_nodes):
                self.constants[node] = clean[node]
                continue
            if isinstance(clean[node], Tensor):
                self.shapes[node] = clean[node].shape
            step = self._step(node, clean[node])
            self._add_in_place(step, clean)
            step.finished = self.variable(finished)
            self.steps.append(step)
            for source in step.finished:
                del clean[source]
        for step in self.steps:
            self._lead(step)

    def _lead(self, step: Step) -> None:
        """Let what leads to a mean wait for it."""
        steps = {step.node: step for step in self.steps}
        node = step.node
        while step.mean is not None and len(sources := self.variable(node.all_input_nodes)) == 1:
            node, before = sources[0], steps[sources[0]]
            inputs = self.variable(node.all_input_nodes)
            if len(node.users) > 1 or before.local is None or len(inputs) != 1 or before.local.scale is not None:
                break
            if not self._alike(inputs[0], node, before.local):
                break
            before.waits = True
            step.leading.insert(0, before)

    def _check_output(self, node: fx.Node) -> None:
        if node.args[0] is not self.result or len(self.shapes.get(self.result, ())) != 2:
            raise NotIncremental("the graph does not end in one tensor of logits (N, classes)")

    def _step(self, node: fx.Node, value: Any) -> Step:
        if node.op == "placeholder":
            if self.steps:
                raise NotIncremental("the graph has several inputs")
            self._register(node, (POINT, POINT), [])
            self.kept.add(node)
            return Step(node)
        sources = self.variable(node.all_input_nodes)
        if not all(self.windowed(source) for source in sources):
            self.kept.update(filter(self.windowed, sources))
            return Step(node)
        if _measures(node):
            return Step(node, measures=True)
        call = self._call(node, sources)
        mean = call is not None and is_global_mean(call)
        local = self._local(call, sources) if call and not mean else None
        if local:
            self._register(node, local.stencils, sources)
            if not self._fit_sources(node, local):
                self.kept.update(source for source in sources if not self._alike(source, node, local))
            return Step(node, local)
        self.kept.update(sources)
        return Step(node, mean=value if mean else None)

    def _call(self, node: fx.Node, sources: Sequence[fx.Node]) -> Call | None:
        """The call as rules see it; None where it gives no tensor or its inputs are of several sizes."""
        sizes = {self.map_size(source) for source in sources}
        if len(sizes) != 1 or node not in self.shapes:
            return None
        module = self.graph_module.get_submodule(str(node.target)) if node.op == "call_module" else None
        if module is not None and has_hooks(module):
            return None  # a hook may do anything
        after = self.map_size(node) if len(self.shapes[node]) == 4 else (1, 1)
        return Call(node, module, sizes.pop(), after)

    def _local(self, call: Call, sources: Sequence[fx.Node]) -> Local | None:
        key = type(call.module) if call.module is not None else call.node.target
        constants = [self.constants[n] for n in call.node.all_input_nodes if n in self.constants]
        if key not in RULES or len(self.shapes[call.node]) != 4 or not all(map(_same_everywhere, constants)):
            return None
        return RULES[key](call)

    def _register(self, node: fx.Node, stencils: tuple[Any, Any], sources: Sequence[fx.Node]) -> None:
        for axis, stencil, length in zip(self.axes, stencils, self.map_size(node), strict=True):
            reached = [stencil.reached(axis.spans[source], length) for source in sources]
            axis.add(node, hull(reached) if reached else axis.patch, length)

    def _fit_sources(self, node: fx.Node, local: Local) -> bool:
        """Fit the windows before a pooling without overlap to the cells it reads, so that none must be kept for it.

        A row or column more of the convolution before costs less than a second copy of the largest maps of all.
        """
        if local.run is None or not all(
            stencil.stride > stencil.reach and stencil.padding == 0 and stencil.read_in_all(after) <= before
            for stencil, after, before in zip(
                local.stencils, self.map_size(node), self.map_size(node.all_input_nodes[0]), strict=True
            )
        ):
            return False
        chain = self._chain_before(node)
        for link in chain:
            for axis, stencil in zip(self.axes, local.stencils, strict=True):
                axis.fit_to_reader(link, node, stencil)
        return bool(chain)

    def _chain_before(self, node: fx.Node) -> list[fx.Node]:
        """The elementwise operations that lead to ``node`` alone, from the last to the convolution they begin at.

        Empty where there is none such: its input must be one that is kept in any case.
        """
        local = {step.node: step.local for step in self.steps}
        chain: list[fx.Node] = []
        while len(sources := self.variable(node.all_input_nodes)) == 1:
            (node,) = sources
            rule = local[node]
            if len(node.users) > 1 or rule is None:
                break
            chain.append(node)
            if rule.run is not None:
                return chain if rule.stencils != (POINT, POINT) else []
        return []

    def _add_in_place(self, step: Step, clean: Mapping[fx.Node, Any]) -> None:
        """Let a residual sum overwrite a convolution's result that it alone reads, and reads nothing around of."""
        node, local = step.node, step.local
        if local is None or node.target not in (operator.add, torch.add) or node.kwargs or len(node.args) != 2:
            return
        for source, other in (node.args, node.args[::-1]):
            if isinstance(source, fx.Node) and self._is_own(source) and self._alike(source, node, local):
                before, after = clean[source], clean[node]
                if (before.shape, before.dtype) == (after.shape, after.dtype) and other is not source:
                    node.target, node.args = operator.iadd, (source, other)
                    return

    def _is_own(self, source: fx.Node) -> bool:
        """Whether the node is a convolution that one other reads."""
        if source.op != "call_module" or len(source.users) != 1:
            return False
        return isinstance(self.graph_module.get_submodule(str(source.target)), PreparedConv2d)

    def _alike(self, source: fx.Node, node: fx.Node, local: Local) -> bool:
        """Whether the window of ``source`` is always that of ``node``: then nothing around it is read."""
        spans = ((axis.spans[source], axis.spans[node]) for axis in self.axes)
        return local.stencils == (POINT, POINT) and all(itertools.starmap(torch.equal, spans))


def _measures(node: fx.Node) -> bool:
    """Whether the node asks a map for its shape."""
    if node.op == "call_function":
        return node.target is getattr and node.args[1] in _MEASURES
    return node.op == "call_method" and node.target in _MEASURES


def _same_everywhere(constant: Any) -> bool:
    """Whether a constant is one value per channel at most, and so the same for every cell of a map."""
    return not isinstance(constant, Tensor) or constant.numel() == 1 or constant.shape[-2:] == (1, 1)
