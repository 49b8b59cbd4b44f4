"""Program: the steps of a graph for one image, with each node's rule and windows, and the feature maps to cache."""

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
from cnnviz.attribution.incremental.layer_rules import RULES, LocalOp, OpCall, Size, is_global_mean
from cnnviz.attribution.incremental.windows import IDENTITY, AxisWindows, reached, union
from cnnviz.network.geometry import ConvWindows
from cnnviz.network.module_copy import has_hooks

_SHAPE_ATTRIBUTES = ("size", "dim", "shape", "ndim")
"""Methods and attributes that read a map's shape, not its values."""

_INPLACE = (torch.relu_, operator.iadd)
"""Operations that overwrite their first input."""


@dataclass
class ProgramStep:
    """How one node is computed.

    ``local``: on windows, by this rule. ``mean``: a global average; the clean mean (1, C, …) is updated by the change
    inside the window. ``shape_only``: the node reads only a shape. Otherwise: on whole maps. ``finished`` are the
    nodes that no later step reads. ``fused`` are the elementwise steps before a mean that nothing else reads: they are
    ``deferred`` until the mean, which runs all of them for a few positions at a time.
    """

    node: fx.Node
    local: LocalOp | None = None
    mean: Tensor | None = None
    shape_only: bool = False
    finished: list[fx.Node] = field(default_factory=list)
    fused: list[ProgramStep] = field(default_factory=list)
    deferred: bool = False


class Program:
    """The steps of a graph for one image (1, C, H, W); ``kept`` are the nodes whose clean maps are cached."""

    def __init__(self, graph_module: fx.GraphModule, image: Tensor, axes: tuple[AxisWindows, AxisWindows]) -> None:
        self.graph_module = graph_module
        self.axes = axes
        self.steps: list[ProgramStep] = []
        self.shapes: dict[fx.Node, torch.Size] = {}
        self.constants: dict[fx.Node, Any] = {}
        self.kept: set[fx.Node] = set()
        self._trace(image)

    @property
    def result(self) -> fx.Node:
        """The node whose value the graph returns."""
        return self.steps[-1].node

    def run(self, node: fx.Node, value_of: Callable[[fx.Node], Any]) -> Any:
        """The result of the node's operation on the inputs that ``value_of`` returns."""
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
        """Those of ``nodes`` that depend on the image."""
        return [node for node in nodes if node not in self.constants]

    def windowed(self, node: fx.Node) -> bool:
        """Whether only a window of the node's value changes with the patch."""
        return node in self.axes[0].spans

    def largest_value(self, node: fx.Node) -> int:
        """Number of elements of the node's value for one position, in its largest window."""
        shape = self.shapes.get(node, torch.Size([0]))
        if not self.windowed(node):
            return shape.numel()
        height, width = (int((axis.spans[node][:, 1] - axis.spans[node][:, 0]).max()) for axis in self.axes)
        return shape[1] * height * width

    def largest_operation(self, *steps: ProgramStep) -> int:
        """Largest number of elements, for one position, in the inputs and output of one of ``steps``."""
        values = (self.variable(s.node.all_input_nodes) + [s.node] * (s.node.target not in _INPLACE) for s in steps)
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
        """Run the graph once to find each node's shape and rule."""
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
            self._fuse(step)

    def _fuse(self, step: ProgramStep) -> None:
        """Defer the elementwise steps that only a mean reads, and fuse them with it."""
        steps = {step.node: step for step in self.steps}
        node = step.node
        while step.mean is not None and len(sources := self.variable(node.all_input_nodes)) == 1:
            node, before = sources[0], steps[sources[0]]
            inputs = self.variable(node.all_input_nodes)
            if len(node.users) > 1 or before.local is None or len(inputs) != 1 or before.local.scale is not None:
                break
            if not self._same_windows(inputs[0], node, before.local):
                break
            before.deferred = True
            step.fused.insert(0, before)

    def _check_output(self, node: fx.Node) -> None:
        if node.args[0] is not self.result or len(self.shapes.get(self.result, ())) != 2:
            raise NotIncremental("the graph does not end in one tensor of logits (N, classes)")

    def _step(self, node: fx.Node, value: Any) -> ProgramStep:
        if node.op == "placeholder":
            if self.steps:
                raise NotIncremental("the graph has several inputs")
            self._register(node, (IDENTITY, IDENTITY), [])
            self.kept.add(node)
            return ProgramStep(node)
        sources = self.variable(node.all_input_nodes)
        if not all(self.windowed(source) for source in sources):
            self.kept.update(filter(self.windowed, sources))
            return ProgramStep(node)
        if _asks_for_shape(node):
            return ProgramStep(node, shape_only=True)
        call = self._call(node, sources)
        mean = call is not None and is_global_mean(call)
        local = self._local(call, sources) if call and not mean else None
        if local:
            self._register(node, local.windows, sources)
            if not self._fit_sources(node, local):
                self.kept.update(source for source in sources if not self._same_windows(source, node, local))
            return ProgramStep(node, local)
        self.kept.update(sources)
        return ProgramStep(node, mean=value if mean else None)

    def _call(self, node: fx.Node, sources: Sequence[fx.Node]) -> OpCall | None:
        """The operation as rules take it; None if it returns no tensor or its inputs differ in size."""
        sizes = {self.map_size(source) for source in sources}
        if len(sizes) != 1 or node not in self.shapes:
            return None
        module = self.graph_module.get_submodule(str(node.target)) if node.op == "call_module" else None
        if module is not None and has_hooks(module):
            return None  # a hook may change the output
        after = self.map_size(node) if len(self.shapes[node]) == 4 else (1, 1)
        return OpCall(node, module, sizes.pop(), after)

    def _local(self, call: OpCall, sources: Sequence[fx.Node]) -> LocalOp | None:
        key = type(call.module) if call.module is not None else call.node.target
        constants = [self.constants[n] for n in call.node.all_input_nodes if n in self.constants]
        if key not in RULES or len(self.shapes[call.node]) != 4 or not all(map(_is_uniform, constants)):
            return None
        return RULES[key](call)

    def _register(self, node: fx.Node, windows: ConvWindows, sources: Sequence[fx.Node]) -> None:
        for axis, window, length in zip(self.axes, windows, self.map_size(node), strict=True):
            found = [reached(window, axis.spans[source], length) for source in sources]
            axis.add(node, union(found) if found else axis.patch, length)

    def _fit_sources(self, node: fx.Node, local: LocalOp) -> bool:
        """Extend the windows before a non-overlapping pooling to the cells it reads, so that its input is not cached.

        One more row or column of the convolution before it costs less than caching the largest maps.
        """
        if local.run is None or not all(
            window.stride > window.reach and window.padding == 0 and window.num_read(after) <= before
            for window, after, before in zip(
                local.windows, self.map_size(node), self.map_size(node.all_input_nodes[0]), strict=True
            )
        ):
            return False
        chain = self._chain_before(node)
        for link in chain:
            for axis, window in zip(self.axes, local.windows, strict=True):
                axis.fit_to_reader(link, node, window)
        return bool(chain)

    def _chain_before(self, node: fx.Node) -> list[fx.Node]:
        """The elementwise operations that only ``node`` reads, back to and including the convolution before them.

        Empty if there is no such convolution.
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
                return chain if rule.windows != (IDENTITY, IDENTITY) else []
        return []

    def _add_in_place(self, step: ProgramStep, clean: Mapping[fx.Node, Any]) -> None:
        """Turn a residual sum into an in-place sum where it alone reads a convolution's output, in the same window."""
        node, local = step.node, step.local
        if local is None or node.target not in (operator.add, torch.add) or node.kwargs or len(node.args) != 2:
            return
        for source, other in (node.args, node.args[::-1]):
            if (
                isinstance(source, fx.Node)
                and self._is_private_conv(source)
                and self._same_windows(source, node, local)
            ):
                before, after = clean[source], clean[node]
                if (before.shape, before.dtype) == (after.shape, after.dtype) and other is not source:
                    node.target, node.args = operator.iadd, (source, other)
                    return

    def _is_private_conv(self, source: fx.Node) -> bool:
        """Whether the node is a convolution that exactly one node reads."""
        if source.op != "call_module" or len(source.users) != 1:
            return False
        return isinstance(self.graph_module.get_submodule(str(source.target)), PreparedConv2d)

    def _same_windows(self, source: fx.Node, node: fx.Node, local: LocalOp) -> bool:
        """Whether ``source`` and ``node`` always have the same window, so that no halo is read."""
        spans = ((axis.spans[source], axis.spans[node]) for axis in self.axes)
        return local.windows == (IDENTITY, IDENTITY) and all(itertools.starmap(torch.equal, spans))


def _asks_for_shape(node: fx.Node) -> bool:
    """Whether the node reads only a map's shape."""
    if node.op == "call_function":
        return node.target is getattr and node.args[1] in _SHAPE_ATTRIBUTES
    return node.op == "call_method" and node.target in _SHAPE_ATTRIBUTES


def _is_uniform(constant: Any) -> bool:
    """Whether a constant has at most one value a channel, and so is the same for every cell of a map."""
    return not isinstance(constant, Tensor) or constant.numel() == 1 or constant.shape[-2:] == (1, 1)
