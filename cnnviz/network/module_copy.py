"""Copies of module trees that share the original's tensors."""

from __future__ import annotations

import copy
import functools
import operator
import types
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from cnnviz.errors import ModelError

FORWARD_HOOKS = (
    "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs",
    "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called",
)  # fmt: skip
BACKWARD_HOOKS = ("_backward_pre_hooks", "_backward_hooks")
_NOT_COPIED = ("_weight_cache",)
"""Attributes that a copy does not share."""


def unwrap(module: nn.Module) -> nn.Module:
    """The module inside DataParallel, DistributedDataParallel and torch.compile."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        elif _is_compiled(module):
            module = module._orig_mod  # type: ignore[assignment]
        else:
            return module


def path_of(root: nn.Module, wanted: nn.Module) -> str | None:
    """The path of a submodule in a module tree, without what ``unwrap`` removes; None if it is not in it."""
    wanted, waiting = unwrap(wanted), [("", unwrap(root))]
    seen: set[int] = set()
    while waiting:
        path, module = waiting.pop(0)
        if module is wanted:
            return path
        if id(module) not in seen:
            seen.add(id(module))
            prefix = f"{path}." if path else ""
            waiting += [(prefix + name, unwrap(child)) for name, child in module.named_children()]
    return None


def _is_compiled(module: nn.Module) -> bool:
    return type(module).__name__ == "OptimizedModule" and isinstance(module._orig_mod, nn.Module)


def copy_module(module: nn.Module) -> nn.Module:
    """A copy of a module tree in evaluation mode with the same tensors and hooks, but no backward hooks."""
    return ModuleCopier(module, is_aliased=False).module(module)


def has_hooks(module: nn.Module) -> bool:
    """Whether the module has forward hooks."""
    return any(module.__dict__.get(table) for table in FORWARD_HOOKS)


def remove_hooks(module: nn.Module) -> None:
    """Remove the forward hooks of one module of a copy."""
    for table in FORWARD_HOOKS:
        module.__dict__[table] = OrderedDict()


class ModuleCopier:
    """Copies modules, and plain containers, bound methods and closures that refer to them; shares everything else.

    ``is_aliased``: whether parameters become new tensors of the same memory, without gradients, and buffers copies.
    """

    def __init__(self, root: nn.Module, is_aliased: bool) -> None:
        self.pairs: list[tuple[nn.Module, nn.Module]] = []
        """Every module copied, and its copy."""
        self.scripted: list[tuple[Tensor, Tensor]] = []
        """The buffers of TorchScript modules, and their copies."""
        self._tree = {id(module) for module in root.modules()}
        self._is_aliased = is_aliased
        self._made: dict[int, Any] = {}

    def module(self, original: nn.Module) -> nn.Module:
        """The copy of one module; the same one when asked again."""
        if id(original) in self._made:
            found: nn.Module = self._made[id(original)]
            return found
        if _is_compiled(original):
            return self.module(unwrap(original))
        if isinstance(original, torch.jit.ScriptModule):
            self._made[id(original)] = self._script(original)
            return self.module(original)
        made: nn.Module = object.__new__(type(original))
        self._made[id(original)] = made
        self.pairs.append((original, made))
        for name, value in original.__dict__.items():
            if name not in _NOT_COPIED:
                made.__dict__[name] = self._attribute(name, value)
        for name, value in slot_values(original):
            object.__setattr__(made, name, self._value(value))
        made.__dict__["training"] = False
        return made

    def _script(self, original: nn.Module) -> nn.Module:
        """A copy of a TorchScript module in evaluation mode; it shares the parameters' memory."""
        with torch.no_grad():  # so that the copied tensors need no gradients
            made = copy.deepcopy(original)
        for theirs, mine in zip(original.parameters(), made.parameters(), strict=True):
            mine.data = theirs.detach()
        self.scripted += zip(original.buffers(), made.buffers(), strict=True)
        return made.eval() if hasattr(made, "training") else made  # a frozen one has no modes

    def _attribute(self, name: str, value: Any) -> Any:
        if name in ("_parameters", "_buffers"):
            return {key: None if tensor is None else self._tensor(tensor) for key, tensor in value.items()}
        if name in BACKWARD_HOOKS:
            return OrderedDict()
        if name in FORWARD_HOOKS:
            return type(value)((key, self._called(hook)) for key, hook in value.items())
        if name == "_compiled_call_impl":  # module.compile() compiled the original
            return None
        return self._value(value)

    def _tensor(self, tensor: Tensor) -> Tensor:
        """The tensor itself, or its alias, one for each tensor."""
        if not self._is_aliased:
            return tensor
        if id(tensor) not in self._made:
            self._made[id(tensor)] = _alias(tensor)
        found: Tensor = self._made[id(tensor)]
        return found

    def _value(self, value: Any) -> Any:
        """A value with the modules and parameters in it replaced by their copies."""
        if isinstance(value, nn.Module):
            return self.module(value)
        if isinstance(value, nn.Parameter):
            return self._tensor(value)
        if isinstance(value, types.MethodType) and isinstance(value.__self__, nn.Module):
            return types.MethodType(value.__func__, self._value(value.__self__))
        if type(value) is functools.partial:
            return functools.partial(
                self._value(value.func), *map(self._value, value.args), **self._value(value.keywords)
            )
        if isinstance(value, types.FunctionType | weakref.ref):
            return self._called(value)
        return self._object(value) if hasattr(value, "__dict__") else self._container(value)

    def _is_inside(self, value: Any) -> bool:
        return id(value) in self._tree

    def _object(self, value: Any) -> Any:
        """A copy of an object that refers to modules of the tree, referring to their copies instead."""
        if not any(map(self._is_inside, vars(value).values())) or hasattr(value, "__del__"):
            return value
        if id(value) not in self._made:
            made = self._made[id(value)] = copy.copy(value)
            made.__dict__.update((key, self._called(each)) for key, each in vars(value).items())
        return self._made[id(value)]

    def _called(self, value: Any) -> Any:
        """A reference or callable with the modules it refers to replaced by their copies; itself if there are none."""
        if isinstance(value, weakref.ref):
            return weakref.ref(self._value(value())) if self._is_inside(value()) else value
        if isinstance(value, types.MethodType) and self._is_inside(value.__self__):
            return types.MethodType(value.__func__, self._value(value.__self__))
        if isinstance(value, nn.Module) and self._is_inside(value):
            return self._value(value)
        if type(value) is functools.partial:
            return functools.partial(
                self._called(value.func),
                *map(self._called, value.args),
                **{key: self._called(each) for key, each in value.keywords.items()},
            )
        if not isinstance(value, types.FunctionType) or not value.__closure__:
            return value
        if id(value) not in self._made:
            self._made[id(value)] = value  # for a function that calls itself
            self._made[id(value)] = self._closed(value, value.__closure__)
        return self._made[id(value)]

    def _closed(self, function: types.FunctionType, closure: tuple[types.CellType, ...]) -> types.FunctionType:
        cells = tuple(self._cell(cell) for cell in closure)
        if all(map(operator.is_, cells, closure)):
            return function
        made = types.FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__, cells
        )
        made.__kwdefaults__ = function.__kwdefaults__
        made.__dict__.update(function.__dict__)
        return made

    def _cell(self, cell: types.CellType) -> types.CellType:
        try:
            content = cell.cell_contents
        except ValueError:  # empty
            return cell
        made = self._called(content)
        return cell if made is content else types.CellType(made)

    def _container(self, value: Any) -> Any:
        if type(value) not in (list, tuple, set, dict, OrderedDict):
            return value
        if id(value) in self._made:
            return self._made[id(value)]
        if type(value) in (tuple, set):
            return type(value)(map(self._value, value))
        made = self._made[id(value)] = type(value)()
        if type(value) is list:
            made.extend(map(self._value, value))
        else:
            made.update((key, self._value(item)) for key, item in value.items())
        return made


def _alias(tensor: Tensor) -> Tensor:
    if isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer):
        raise ModelError("The module has lazy layers without weights yet: run it once on a batch, then wrap it.")
    is_weight = isinstance(tensor, nn.Parameter)
    with torch.inference_mode(False):
        made = tensor.detach() if is_weight and not tensor.is_inference() else tensor.detach().clone()
    return nn.Parameter(made, requires_grad=False) if is_weight else made


def slot_values(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """The attributes that a module keeps in ``__slots__``, by name."""
    for name in _slot_names(type(module)):  # type: ignore[arg-type]
        if hasattr(module, name):
            yield name, getattr(module, name)


@functools.lru_cache(maxsize=256)
def _slot_names(kind: type) -> tuple[str, ...]:
    held = (vars(each).get("__slots__", ()) for each in kind.__mro__)
    names = [name for each in held for name in ((each,) if isinstance(each, str) else each)]
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))
