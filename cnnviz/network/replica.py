"""A second module tree around the tensors of the user's own, so that looking into a module leaves it as it was."""

from __future__ import annotations

import copy
import functools
import operator
import types
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from cnnviz.errors import ModelError

_FORWARD_HOOKS = (
    "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs",
    "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called",
)  # fmt: skip
_BACKWARD_HOOKS = ("_backward_pre_hooks", "_backward_hooks")
_TABLES = ("_parameters", "_buffers", "_modules", *_FORWARD_HOOKS, *_BACKWARD_HOOKS)
_NOT_COPIED = ("_kernels",)
"""What the fast convolutions keep of their weights; a copy makes its own."""


class Replica:
    """A copy of a module tree in evaluation mode, whose parameters share the original's memory and take no gradient.

    Training the original or writing to its weights in place is seen by the copy at once. ``is_current`` tells whether
    anything of the original was replaced since: a module, a tensor, an attribute, a hook.
    """

    def __init__(self, original: nn.Module) -> None:
        self.original = unwrapped(original)
        self.module = _Copier(is_aliased=True).module(self.original)
        self._modules = list(self.original.modules())
        self._state = [_state(module) for module in self._modules]

    def is_current(self) -> bool:
        """Whether the original still consists of the same modules, tensors, attributes and hooks."""
        return all(_is_same(_state(module), state) for module, state in zip(self._modules, self._state, strict=True))

    def copy_values(self) -> None:
        """Bring the original's values over where the copy does not share its memory."""
        for theirs, mine in zip(self._modules, self.module.modules(), strict=True):
            for name, tensor in _tensors(theirs):
                copied = mine._parameters.get(name, mine._buffers.get(name))
                if copied is not None and _address(copied) != _address(tensor):
                    copied.data.copy_(tensor.detach())


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside wrappers that run or compile it: DataParallel, DistributedDataParallel, torch.compile."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        elif type(module).__name__ == "OptimizedModule" and isinstance(module._orig_mod, nn.Module):
            module = module._orig_mod
        else:
            return module


def replicate(module: nn.Module) -> nn.Module:
    """A copy of a module tree around the very same tensors, in evaluation mode; hooks stay, backward hooks do not."""
    return _Copier(is_aliased=False).module(module)


def has_hooks(module: nn.Module) -> bool:
    """Whether calling the module runs forward hooks as well."""
    return any(module.__dict__.get(table) for table in _FORWARD_HOOKS)


def remove_hooks(module: nn.Module) -> None:
    """Take the forward hooks off one module of a copy."""
    for table in _FORWARD_HOOKS:
        module.__dict__[table] = OrderedDict()


class _Copier:
    """Copies modules and the plain containers that they keep modules and tensors in; everything else is shared."""

    def __init__(self, is_aliased: bool) -> None:
        self._is_aliased = is_aliased
        self._made: dict[int, Any] = {}

    def module(self, original: nn.Module) -> nn.Module:
        if id(original) in self._made:
            found: nn.Module = self._made[id(original)]
            return found
        if isinstance(original, torch.jit.ScriptModule):
            raise ModelError(
                "TorchScript modules cannot be looked into: their layers are compiled. "
                "Give the nn.Module that it was made from."
            )
        made: nn.Module = object.__new__(type(original))
        self._made[id(original)] = made
        for name, value in original.__dict__.items():
            if name not in _NOT_COPIED:
                made.__dict__[name] = self._attribute(name, value)
        made.__dict__["training"] = False
        return made

    def _attribute(self, name: str, value: Any) -> Any:
        if name in ("_parameters", "_buffers"):
            return {key: None if tensor is None else self._tensor(tensor) for key, tensor in value.items()}
        if name in _BACKWARD_HOOKS:
            return OrderedDict()
        if name in _FORWARD_HOOKS:
            return copy.copy(value)
        return self._value(value)

    def _tensor(self, tensor: Tensor) -> Tensor:
        """The same values and memory as a tensor that takes no gradient; one object for one object."""
        if not self._is_aliased:
            return tensor
        if id(tensor) not in self._made:
            self._made[id(tensor)] = _alias(tensor)
        found: Tensor = self._made[id(tensor)]
        return found

    def _value(self, value: Any) -> Any:
        """A value with the modules and parameters in it replaced by their copies."""
        if isinstance(value, nn.Module):
            return value if isinstance(value, torch.jit.ScriptModule) else self.module(value)
        if isinstance(value, nn.Parameter):
            return self._tensor(value)
        if isinstance(value, types.MethodType) and isinstance(value.__self__, nn.Module):
            return types.MethodType(value.__func__, self._value(value.__self__))
        if type(value) is functools.partial:
            return functools.partial(
                self._value(value.func), *map(self._value, value.args), **self._value(value.keywords)
            )
        return self._container(value)

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
    with torch.inference_mode(False):
        made = tensor.clone() if tensor.is_inference() else tensor.detach()
    return nn.Parameter(made, requires_grad=False) if isinstance(tensor, nn.Parameter) else made


def _state(module: nn.Module) -> list[Any]:
    """All that makes a module what it is, to be compared by identity: class, attributes, tensors and where they lie."""
    found: list[Any] = [type(module)]
    for name, value in module.__dict__.items():
        if name in _TABLES:
            found += value.values()
        elif name != "training":
            found.append(value)
            if type(value) in (list, tuple):
                found += [item for item in value if isinstance(item, nn.Module)]
    found.append([(t.shape, t.dtype, t.device, _address(t)) for _, t in _tensors(module)])
    return found


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """A module's own parameters and buffers by name."""
    for table in ("_parameters", "_buffers"):
        for name, tensor in module.__dict__[table].items():
            if tensor is not None:
                yield name, tensor


def _address(tensor: Tensor) -> int:
    try:
        return tensor.data_ptr()
    except RuntimeError:  # a tensor without memory of its own, such as a sparse one
        return id(tensor)


def _is_same(now: list[Any], then: list[Any]) -> bool:
    return len(now) == len(then) and all(map(operator.is_, now[:-1], then[:-1])) and now[-1] == then[-1]
