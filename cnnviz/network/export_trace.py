"""Traces a module with torch.export, and writes its graph as torch.fx would have: modules called, functions named.

torch.export follows what torch.fx cannot, such as branches on shapes, and has no module calls in its graph. Where all
operations of a call of one of PyTorch's own layers lie together, they become that call again.
"""

from __future__ import annotations

import inspect
import io
import logging
import operator
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from typing import Any

import torch
from torch import Tensor, fx, nn

from cnnviz.errors import ModelError, UsageError
from cnnviz.network.aten import BATCH_NORM, as_torch_call, function_name, is_aten
from cnnviz.network.exported_layers import restore_layers
from cnnviz.network.functionalize import functionalize
from cnnviz.network.graph import LAYER
from cnnviz.network.graph_check import first_line
from cnnviz.network.module_copy import has_hooks
from cnnviz.runtime.memory import is_out_of_memory

_WRAPPED = "module"
"""The name of the exported module in its wrapper, with which all paths begin."""


_ASSERTIONS = ("_assert", "sym_constrain")
"""Prefixes of the names of operations that compute nothing."""


_LOGGERS = ("torch.export", "torch._export", "torch._dynamo", "torch.fx.experimental.symbolic_shapes")


class FollowsValuesError(ModelError):
    """The forward pass takes different ways for different images, so that there is no one graph of it."""


class _Chosen(nn.Module):
    """A module with one input, whose output is the chosen one."""

    def __init__(self, module: nn.Module, choose: Callable[[Any], Any]) -> None:
        super().__init__()
        self.module, self._choose = module, choose

    def forward(self, x: Tensor) -> Any:
        return self._choose(self.module(x))


def trace_by_export(
    module: nn.Module, choose: Callable[[Any], Any], x: Tensor, *, any_size: bool, strict: bool
) -> fx.GraphModule:
    """The graph of ``module``, which it changes, for any number of images.

    Args:
        module: a copy in evaluation mode; the graph shares its parameters.
        choose: from what the module returns to its logits, applied as a part of the graph.
        x: a normalized input (N, C, H, W).
        any_size: whether the graph is to be for images of any height and width, or for those of ``x`` only.
        strict: whether Python's bytecode is followed (by TorchDynamo) or the module runs on traced values.

    Raises:
        FollowsValuesError: the module takes different ways for different images.
        ModelError: torch.export cannot follow the module, its graph is for other sizes than asked for, or holds what
            cannot be written as calls of modules and functions.
    """
    example = x.detach()[:1].repeat(2, 1, 1, 1)  # one image would be taken for a constant
    try:
        with _quiet(), torch.enable_grad():
            program = _exported(_Chosen(module, choose).eval(), example, any_size, strict)
    except UsageError:  # there is no such output
        raise
    except Exception as error:  # it raises anything
        if is_out_of_memory(error):
            raise
        if "DataDependent" in type(error).__name__:
            raise FollowsValuesError("which way it goes depends on the values of the image") from error
        raise ModelError(f"torch.export cannot follow it ({first_line(error)})") from error
    size = _image_shape(program)
    if any(isinstance(length, int) for length in (size if any_size else size[:1])):
        raise ModelError("torch.export follows it for one size of images only")
    rewriter = _Rewriter(module, program.graph)
    nodes = rewriter.written(_inputs(module, program))
    values, specs = program.graph.output_node().args[0], program.graph_signature.output_specs
    found = [nodes[value] for value, spec in zip(values, specs, strict=True) if spec.kind.name == "USER_OUTPUT"]
    return rewriter.graph_module(program.call_spec.out_spec.unflatten(found))


def trace_exported(module: fx.GraphModule, choose: Callable[[Any], Any]) -> fx.GraphModule:
    """The graph of a module made by ``ExportedProgram.module()``, a copy that may be changed, in the same form."""
    rewriter = _Rewriter(module, module.graph, restores_layers=True)
    (image,) = module.graph.find_nodes(op="placeholder")
    nodes = rewriter.written({image: None})
    tracer = fx.proxy.GraphAppendingTracer(rewriter.graph)
    returned: Any = module.graph.output_node().args[0]

    def proxy(value: Any) -> Any:
        return fx.Proxy(nodes[value], tracer) if isinstance(value, fx.Node) else value

    output: Any = fx.node.map_aggregate(returned, proxy)
    structure = getattr(module.graph._codegen, "pytree_info", None)
    if structure is not None and structure.out_spec is not None:
        output = structure.out_spec.unflatten(list(output))
    chosen = fx.node.map_aggregate(choose(output), lambda each: each.node if isinstance(each, fx.Proxy) else each)
    return rewriter.graph_module(chosen)


def _inputs(root: nn.Module, program: Any) -> dict[fx.Node, str | None]:
    """The paths of what the program's placeholders stand for; its constants are put into ``root``."""
    specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    found: dict[fx.Node, str | None] = {}
    for number, node in enumerate(program.graph.find_nodes(op="placeholder")):
        kind, target = specs[node.name].kind.name, specs[node.name].target
        if kind in ("PARAMETER", "BUFFER"):
            found[node] = _without_wrapper(target)
        elif kind == "CONSTANT_TENSOR":
            name = f"_exported_constant_{number}"
            root.register_buffer(name, program.constants[target], persistent=False)
            found[node] = name
        elif kind == "USER_INPUT":
            found[node] = None
        else:
            raise ModelError(f"torch.export needs an input of another kind ({kind.lower()})")
    return found


def _attribute(root: nn.Module, path: str) -> Any:
    found: Any = root
    for name in path.split("."):
        found = getattr(found, name, None)
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """A context in which torch.export does not warn, log or print: where it fails, there is another way."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _exported(wrapper: nn.Module, example: Tensor, any_size: bool, strict: bool) -> Any:
    auto = torch.export.Dim.AUTO
    dims = {0: auto, 2: auto, 3: auto} if any_size else {0: auto}
    program = torch.export.export(wrapper, (example,), dynamic_shapes=({**dims},), strict=strict)
    return program.run_decompositions({})  # which writes nothing in place


def _image_shape(program: Any) -> tuple[Any, Any, Any]:
    """Number of images, height and width that the program takes: an int where there is but one."""
    named = set(program.graph_signature.user_inputs)
    shapes = [node.meta["val"].shape for node in program.graph.nodes if node.op == "placeholder" and node.name in named]
    count, _, height, width = shapes[0]
    return count, height, width


class _Rewriter:
    """Writes the graph of an exported program as one of calls of the modules in ``root``, and of functions.

    ``restores_layers`` puts modules into ``root`` for its convolutions and linear layers.
    """

    def __init__(self, root: nn.Module, graph: fx.Graph, *, restores_layers: bool = False) -> None:
        self._root, self._source, self._restores_layers = root, graph, restores_layers
        self.graph = fx.Graph()
        self._nodes: dict[fx.Node, fx.Node] = {}
        self._uses: dict[str, int] = {}
        self._calls: dict[fx.Node, tuple[str, list[fx.Node]]] = _module_calls(root, graph)
        """Each node within a call of one of PyTorch's layers -> the layer's path and all nodes of that call."""

    def written(self, inputs: Mapping[fx.Node, str | None]) -> dict[fx.Node, fx.Node]:
        """Write everything but the output; returns the node that stands for each of the source's.

        ``inputs`` are the paths of parameters, buffers and constants that its placeholders stand for; None for the
        image.
        """
        done: set[fx.Node] = set()
        for node in self._source.nodes:
            if node in inputs:
                path = inputs[node]
                self._nodes[node] = self.graph.placeholder("x") if path is None else self.graph.get_attr(path)
            elif node.op == "get_attr" and isinstance(_attribute(self._root, str(node.target)), Tensor):
                self._nodes[node] = self.graph.get_attr(str(node.target))
            elif node.op == "call_function" and node not in done:
                call = self._calls.get(node)
                if call and self._write_module_call(*call):
                    done.update(call[1])
                else:
                    self._write_function_call(node)
        return self._nodes

    def graph_module(self, output: Any) -> fx.GraphModule:
        """The graph that ends in ``output``; it shares the parameters of the root."""
        self.graph.output(output)
        functionalize(self.graph, self._root)
        for node in self.graph.nodes:
            if node.op == "call_function":
                node.target, node.args, node.kwargs = as_torch_call(node)
        if self._restores_layers:
            restore_layers(self.graph, self._root)
        for node in reversed(self.graph.nodes):
            if not node.users and node.op not in ("placeholder", "output"):
                self.graph.erase_node(node)
        return fx.GraphModule(self._root, self.graph)

    def _write_module_call(self, path: str, nodes: list[fx.Node]) -> bool:
        """Write the call of a layer that has one input and one output; False where it has others."""
        inside = set(nodes)
        sources = {source for node in nodes for source in node.all_input_nodes} - inside
        inputs = [source for source in sources if not _is_attribute(self._nodes.get(source))]
        outputs = [node for node in nodes if any(user not in inside for user in node.users)]
        if len(inputs) != 1 or len(outputs) != 1 or not isinstance(inputs[0].meta.get("val"), Tensor):
            return False
        made = self.graph.call_module(path, (self._nodes[inputs[0]],))
        made.meta[LAYER] = self._unique(path)
        self._nodes[outputs[0]] = made
        return True

    def _write_function_call(self, node: fx.Node) -> None:
        name = function_name(node.target)
        if name.startswith(_ASSERTIONS):
            return
        if not (is_aten(node.target) or isinstance(node.target, types.BuiltinFunctionType | types.FunctionType)):
            raise ModelError("torch.export finds a part with gradients switched off, or another that is no operation")
        if name == "getitem" and function_name(node.all_input_nodes[0].target) == BATCH_NORM:
            self._nodes[node] = self._nodes[node.all_input_nodes[0]]
            return
        if _is_all_of_it(node):
            self._nodes[node] = self._nodes[node.args[0]]  # type: ignore[index]
            return
        made = self.graph.node_copy(node, self._nodes.__getitem__)
        if name == "sym_size":
            made.op, made.target = "call_method", "size"
        elif name == "copy":  # a value written over another, which has no gradient as it is
            made.op, made.target, made.args = "call_method", "expand_as", made.args[1::-1]
        made.meta = {}
        if _holds_tensors(node.meta.get("val")):
            made.meta[LAYER] = self._unique(self._layer_name(node))
        self._nodes[node] = made

    def _layer_name(self, node: fx.Node) -> str:
        """The path of the layer of PyTorch's that this operation is, else the path of the module and the operation."""
        stack = list(node.meta.get("nn_module_stack", {}).items())
        if not stack:
            return self._operation_name(node)
        key, (path, kind) = stack[-1]
        operations = [other for other in self._source.nodes if other.op == "call_function"]
        same = [other for other in operations if key in other.meta.get("nn_module_stack", {})]
        if str(kind).startswith("torch.nn.modules.") and len(same) == 1:
            return _without_wrapper(path)
        scope, operation = _without_wrapper(path), self._operation_name(node)
        return f"{scope}.{operation}" if scope else operation

    def _operation_name(self, node: fx.Node) -> str:
        """The name of the Python function that became this operation alone, else that of the operation."""
        call, function = node.meta.get("torch_fn", ("", ""))
        name = str(function).rpartition(".")[2].strip("_")
        same = [other for other in self._source.nodes if other.meta.get("torch_fn", ("",))[0] == call]
        is_alone = sum(other.target is not operator.getitem for other in same) <= 1
        own = function_name(node.target)
        return name if name.isidentifier() and is_alone else "batch_norm" if own == BATCH_NORM else own.strip("_")

    def _unique(self, path: str) -> str:
        use = self._uses.get(path, 0)
        self._uses[path] = use + 1
        return f"{path}_{use}" if use else path


def _module_calls(root: nn.Module, graph: fx.Graph) -> dict[fx.Node, tuple[str, list[fx.Node]]]:
    """Each node within a call of one of PyTorch's layers -> the layer's path, and all nodes of that call."""
    found: dict[fx.Node, tuple[str, list[fx.Node]]] = {}
    calls: dict[str, tuple[str, list[fx.Node]]] = {}
    for node in graph.nodes:
        for key, (wrapped, _) in node.meta.get("nn_module_stack", {}).items():
            path = _without_wrapper(wrapped)
            if node.op == "call_function" and path and _is_plain_layer(root, path):
                found[node] = calls.setdefault(key, (path, []))
                found[node][1].append(node)
                break
    return found


def _is_plain_layer(root: nn.Module, path: str) -> bool:
    """Whether a path is that of one of PyTorch's layers with one input and no hooks."""
    try:
        module = root.get_submodule(path)
    except AttributeError:
        return False
    if type(module) is nn.Module or has_hooks(module) or not fx.Tracer().is_leaf_module(module, path):
        return False
    first, *others = inspect.signature(type(module).forward).parameters.values()
    return len([each for each in others if each.default is inspect.Parameter.empty]) == 1 and bool(first)


def _without_wrapper(path: str) -> str:
    """A path in the exported wrapper as one in the module, without the number of the call."""
    path = path.partition("@")[0]
    return "" if path == _WRAPPED else path.removeprefix(f"{_WRAPPED}.")


def _is_all_of_it(node: fx.Node) -> bool:
    """Whether a node takes a slice of a tensor that is the whole tensor."""
    return function_name(node.target) == "slice" and node.args[2:] in ((0, sys.maxsize), (None, sys.maxsize))


def _is_attribute(node: fx.Node | None) -> bool:
    return node is None or node.op == "get_attr"


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, tuple | list) and any(map(_holds_tensors, value)))
