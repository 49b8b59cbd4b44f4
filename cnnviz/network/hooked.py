"""A graph of module calls, for forward passes that cannot be traced: the module runs as it is, and hooks record.

Its layers are the calls of submodules, named by their paths; functional operations, as ``x.relu()``, are no layers. The
graph has a node that runs the whole module, and one for each call that reads what the run recorded.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from cnnviz.errors import ModelError, listed

MODULE = "cnnviz_module"
"""Key in ``node.meta``: the path of the module whose output a node of such a graph reads."""

_HOOKED = "hooked"
"""The name of the ``HookedModule`` in the graph's root."""

_OUTPUT = "(output)"
"""The key of what the module itself returns."""

Choose = Callable[[Any], Any]
Rule = Callable[[str, nn.Module, Tensor], Tensor | None]
"""Path, module and input -> another output, or None to keep the module's own."""


class _Done(BaseException):
    """Ends a run when everything wanted is recorded; no ``except Exception`` of user code catches it."""


@dataclass
class _Record:
    """What one run records: the ``wanted`` calls, or all if None."""

    wanted: tuple[str, ...] | None
    is_whole: bool
    found: dict[str, Any] = field(default_factory=dict)
    uses: Counter[str] = field(default_factory=Counter)
    paths: dict[str, str] = field(default_factory=dict)
    depth: int = 0
    last: tuple[Tensor | None, int] = (None, 0)
    """The tensor that went on after the last recorded one, and its version."""

    def name(self, path: str) -> str:
        """The name of the next call of a module: its path, with ``_1``, ``_2`` … from the second call on."""
        use = self.uses[path]
        self.uses[path] += 1
        return f"{path}_{use}" if use else path

    @property
    def is_done(self) -> bool:
        return self.wanted is not None and not self.is_whole and all(name in self.found for name in self.wanted)


class HookedModule(nn.Module):
    """Runs a module and returns the outputs of the calls of its submodules.

    The hooks stay on ``module``, which must be a copy that nobody else runs; outside of runs they do nothing. Each
    recorded output is followed by a copy of itself, so that no operation in place changes it.

    Args:
        module: normalized input -> output.
        choose: from the module's output to the logits.
    """

    def __init__(self, module: nn.Module, choose: Choose) -> None:
        super().__init__()
        self.module, self._choose = module, choose
        self._runs = threading.local()
        for path, child in list(_called_from_python(module)):
            if isinstance(child, torch.jit.ScriptModule):
                parent, _, name = path.rpartition(".")
                module.get_submodule(parent)._modules[name] = _Compiled(child)
        for path, child in _called_from_python(module):
            is_leaf = isinstance(child, _Compiled) or not any(True for _ in child.children())
            child.register_forward_pre_hook(partial(self._enter, is_leaf))
            child.register_forward_hook(partial(self._leave, path, is_leaf))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_runs"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _runs=threading.local())

    def forward(self, x: Tensor, wanted: tuple[str, ...] | None = None, is_whole: bool = True) -> dict[str, Any]:
        """Outputs by the calls' names: those ``wanted`` (all if None), and with ``is_whole`` the module's own.

        Raises ModelError where a wanted call is not made for this input.
        """
        record = _Record(wanted, is_whole)
        self._run(x, record)
        missing = next((name for name in wanted or () if name not in record.found), None)
        if missing is not None:
            raise ModelError(
                f"The layer '{missing}' is not computed for this image, or is no tensor: the forward pass of "
                f"{type(self.module).__name__} takes another way."
            )
        return record.found

    def shapes(self, x: Tensor) -> dict[str, torch.Size]:
        """The shapes of all calls' outputs, up to where the module fails on such an input."""
        record = _Record(None, is_whole=False)
        with torch.no_grad(), suppress(Exception):  # user code may raise anything
            self._run(x, record)
        return {name: value.shape for name, value in record.found.items() if isinstance(value, Tensor)}

    def calls(self, x: Tensor) -> tuple[dict[str, str], tuple[str, ...]]:
        """The calls that give tensors, as name -> path in order, and the names of operations outside of modules."""
        record = _Record(None, is_whole=False)
        with torch.no_grad(), _Functions(record) as functions:
            self._run(x, record)
        return record.paths, tuple(functions.names)

    @contextmanager
    def replacing(self, rule: Rule) -> Iterator[None]:
        """A context in which the modules without children for which ``rule`` gives an output get that one.

        A pass backward that computes parts of the module again (torch.utils.checkpoint) belongs in it.
        """
        self._runs.rule, self._runs.inputs = rule, []
        try:
            yield
        finally:
            self._runs.rule = None

    def _run(self, x: Tensor, record: _Record) -> None:
        before = getattr(self._runs, "record", None)
        self._runs.record = record
        try:
            output = self.module(x)
        except _Done:
            return
        finally:
            self._runs.record = before
        if record.is_whole:
            record.found[_OUTPUT] = self._choose(output)

    def _enter(self, is_leaf: bool, module: nn.Module, inputs: tuple[Any, ...]) -> Any:
        record: _Record | None = getattr(self._runs, "record", None)
        if record is not None:
            record.depth += is_leaf
        if not (is_leaf and inputs and getattr(self._runs, "rule", None)):
            return None
        self._runs.inputs.append(inputs[0])
        is_in_place = getattr(module, "inplace", False) is True  # then the rule needs the input as it was
        return (inputs[0].clone(), *inputs[1:]) if is_in_place else None

    def _leave(self, path: str, is_leaf: bool, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        record: _Record | None = getattr(self._runs, "record", None)
        replaced = kept = None
        if is_leaf and inputs and getattr(self._runs, "rule", None):
            replaced = self._runs.rule(path, module, self._runs.inputs.pop())
        if record is not None:
            record.depth -= is_leaf
            kept = self._recorded(record, path, output if replaced is None else replaced, is_leaf)
        return replaced if kept is None else kept

    def _recorded(self, record: _Record, path: str, output: Any, is_leaf: bool) -> Any:
        """What takes the place of a recorded output; None for one that is not recorded."""
        name = record.name(path)
        value = _tensor_in(output)
        if value is None or (record.wanted is not None and name not in record.wanted):
            return None
        if record.wanted is None and not is_leaf and value is record.last[0] and _version(value) == record.last[1]:
            return None  # a block that returns the output of its last part is no layer of its own
        record.found[name], record.paths[name] = value, path
        if record.is_done:
            raise _Done
        copy = value.clone()
        record.last = copy, _version(copy)
        return _with_tensor(output, copy)


class _Compiled(nn.Module):
    """A TorchScript part of a module, which takes no hooks of its own."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.part(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name) if name == "part" else getattr(self.part, name)


def _called_from_python(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The submodules by path, without those inside TorchScript, which are never called one by one."""
    inside: list[str] = []
    if isinstance(module, torch.jit.ScriptModule):
        return
    for path, child in module.named_modules():
        if not path or any(path.startswith(f"{outer}.") for outer in inside):
            continue
        if isinstance(child, torch.jit.ScriptModule | _Compiled):
            inside.append(path)
        yield path, child


def _version(tensor: Tensor) -> int:
    """A number that grows with each change of the tensor in place."""
    return 0 if tensor.is_inference() else tensor._version


def _tensor_in(output: Any) -> Tensor | None:
    """A module's output if it is a tensor, or the only one in a tuple or list."""
    if isinstance(output, Tensor):
        return output
    if type(output) in (tuple, list):
        tensors = [value for value in output if isinstance(value, Tensor)]
        return tensors[0] if len(tensors) == 1 else None
    return None


def _with_tensor(output: Any, value: Tensor) -> Any:
    """The output with another tensor in place of its only one."""
    if isinstance(output, Tensor):
        return value
    return type(output)(value if isinstance(each, Tensor) else each for each in output)


_NOT_OPERATIONS = ("__get__", "__set__", "item", "clone", "detach", "requires_grad_", "to", "contiguous")


_RESHAPING = frozenset(("flatten", "view", "reshape", "permute", "transpose", "squeeze", "unsqueeze", "getitem"))
"""Operations that give no other values, and are not missed as layers."""


class _Functions(TorchFunctionMode):
    """Collects the names of the operations on tensors that run outside of modules without children.

    What makes a tensor from none, as ``torch.empty``, is not among them: ``checkpoint`` calls it in some versions.
    """

    def __init__(self, record: _Record) -> None:
        super().__init__()
        self._record = record
        self.names: dict[str, None] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        is_value = isinstance(result, Tensor) and result.is_floating_point()
        if self._record.depth == 0 and is_value and name not in _NOT_OPERATIONS and _has_tensor((args, kwargs)):
            self.names[name.strip("_")] = None
        return result


def _has_tensor(value: Any) -> bool:
    """Whether a tensor is in ``value``, or in a list, tuple or dict in it."""
    if isinstance(value, Mapping):
        return any(map(_has_tensor, value.values()))
    return any(map(_has_tensor, value)) if isinstance(value, list | tuple) else isinstance(value, Tensor)


def trace_by_hooks(module: nn.Module, choose: Choose, x: Tensor) -> fx.GraphModule:
    """The graph of the calls that ``module``, which gets the hooks, makes for a normalized input ``x``.

    Modules that are not called for ``x`` follow those before them in the module tree: another input may take another
    way through the module. ``functions_of`` tells which operations the graph lacks.
    """
    root, graph = nn.Module(), fx.Graph()
    root.hooked = hooked = HookedModule(module, choose)
    called, functions = hooked.calls(x)
    run = graph.call_module(_HOOKED, (graph.placeholder("x"), None, True))
    run.meta["functions"] = functions
    for name, path in _with_uncalled(hooked, called).items():
        node = graph.call_function(read_output, (run, name))
        node.meta.update({"cnnviz_layer": name, MODULE: path})
    graph.output(graph.call_function(read_output, (run, _OUTPUT)))
    root.training = hooked.training = False
    return fx.GraphModule(root, graph)


def _with_uncalled(hooked: HookedModule, called: Mapping[str, str]) -> dict[str, str]:
    """The calls, and after those of the module before each leaf that was not called, that leaf."""
    order = list(called.items())
    before = None
    for path, child in _called_from_python(hooked.module):
        if any(True for _ in child.children()):
            continue
        if path not in called.values() and not isinstance(child, nn.Identity):
            place = 1 + max((n for n, (_, each) in enumerate(order) if each == before), default=len(order) - 1)
            order.insert(place, (path, path))
        before = path
    return dict(order)


def read_output(found: Mapping[str, Any], name: str) -> Any:
    """What a run recorded under a name; None where it was not computed."""
    return found.get(name)


def run_node(graph: fx.Graph) -> fx.Node | None:
    """The node of such a graph that runs the module; None for graphs of operations."""
    return next((node for node in graph.nodes if node.op == "call_module" and node.target == _HOOKED), None)


def hooked_module(graph_module: nn.Module) -> HookedModule | None:
    """The module that such a graph runs; None for graphs of operations."""
    found = getattr(graph_module, _HOOKED, None)
    return found if isinstance(found, HookedModule) else None


def functions_of(graph_module: fx.GraphModule) -> tuple[str, ...]:
    """The operations outside of modules, which such a graph does not list."""
    node = run_node(graph_module.graph)
    return () if node is None else node.meta["functions"]


def missing_layers(graph_module: fx.GraphModule) -> str:
    """A sentence that names the operations that are no layers of such a graph; empty where all are layers."""
    functions = [name for name in functions_of(graph_module) if name not in _RESHAPING]
    if not functions:
        return ""
    return (
        "The forward pass cannot be traced, so that its layers are the outputs of its modules; "
        f"missing are the functions {listed(functions)}."
    )


def module_read(root: nn.Module, node: fx.Node) -> nn.Module | None:
    """The module whose output a node of such a graph reads; None for any other node."""
    if MODULE not in node.meta:
        return None
    return root.get_submodule(f"{_HOOKED}.module.{node.meta[MODULE]}")


def record_only_what_is_read(graph: fx.Graph) -> None:
    """Let such a graph record only the calls that it reads, and stop after the last of them."""
    node = run_node(graph)
    if node is not None:
        read = [str(user.args[1]) for user in node.users]
        wanted = tuple(dict.fromkeys(name for name in read if name != _OUTPUT))
        node.args = (node.args[0], wanted, _OUTPUT in read)
