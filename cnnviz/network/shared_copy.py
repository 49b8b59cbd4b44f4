"""A copy of the user's module that shares its parameters, so that the module itself stays as it was."""

from __future__ import annotations

import operator
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cnnviz.errors import ModelError
from cnnviz.network.module_copy import BACKWARD_HOOKS, FORWARD_HOOKS, ModuleCopier, slot_values, unwrap
from cnnviz.runtime.private_torch import without_torch_func

_TABLES = frozenset(("_parameters", "_buffers", "_modules", *FORWARD_HOOKS))


class SharedCopy:
    """A copy of a module tree in evaluation mode; its parameters share the original's memory and need no gradient.

    Training the original, or writing to its weights in place, changes the copy too. The copy has its own buffers, since
    a forward pass may write to them; ``copy_values`` fills them before each pass. ``is_current`` is False once a
    module, tensor, attribute or hook of the original was replaced.
    """

    def __init__(self, original: nn.Module) -> None:
        self.original = unwrap(original)
        copier = ModuleCopier(self.original, is_aliased=True)
        self.module = copier.module(self.original)
        _evaluate(self.original, self.module)
        self._pairs = copier.pairs
        self._scripted = copier.scripted
        self._state = [_state(theirs) for theirs, _ in self._pairs]
        self._held: list[tuple[Tensor, dict[str, Tensor | None], str, Tensor]] | None = None

    def is_current(self) -> bool:
        """Whether the original still has the same modules, tensors, attributes and hooks."""
        return all(_is_same(_state(theirs), then) for (theirs, _), then in zip(self._pairs, self._state, strict=True))

    def copy_values(self) -> None:
        """Copy the original's values where the copy does not share its memory, or has lost its tensor."""
        if self._held is None:  # not before: the copy may be moved and altered first
            self._held = [each for theirs, mine in self._pairs for each in _held(theirs, mine)]
        with without_torch_func():  # torch.func must not wrap these values
            for theirs, copied in self._scripted:
                copied.data.copy_(theirs.detach())
            for tensor, table, name, copied in self._held:
                table[name] = copied
                if _address(copied) != _address(tensor):
                    if copied.shape == tensor.shape:
                        copied.data.copy_(tensor.detach())
                    else:
                        copied.data = tensor.detach().to(copied, copy=True)


def _evaluate(original: nn.Module, copied: nn.Module) -> None:
    """Call ``eval`` of modules that override ``train`` or ``eval``.

    Raises ModelError where that would change weights, as in a LoRA layer that merges them.
    """
    if isinstance(original, torch.jit.ScriptModule):
        return
    modules = list(original.modules())
    if not any(module.training for module in modules) or not any(map(_has_own_modes, modules)):
        return
    trial = ModuleCopier(original, is_aliased=True).module(original)
    for tensor in trial.parameters():
        tensor.data = tensor.data.clone()
    try:
        trial.eval()
    except Exception:  # without modes, as modules from torch.export
        return
    before, after = (dict([*each.named_parameters(), *each.named_buffers()]) for each in (copied, trial))
    if before.keys() != after.keys() or not all(_is_equal(before[name], after[name]) for name in before):
        raise ModelError(
            f"{type(original).__name__} changes its weights when it goes from training to evaluation mode: "
            "call module.eval() first."
        )
    copied.eval()


def _has_own_modes(module: nn.Module) -> bool:
    """Whether a module overrides ``train`` or ``eval``."""
    is_usual = type(module).train is nn.Module.train and type(module).eval is nn.Module.eval
    return not is_usual or not {"train", "eval"}.isdisjoint(module.__dict__)


def _is_equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(
        *(x.nan_to_num() if x.is_floating_point() else x for x in (one, other))
    )


def _state(module: nn.Module) -> list[Any]:
    """A module's class, attributes and tensors, to compare by identity, and the tensors' shapes and addresses."""
    found: list[Any] = [type(module), type(module).forward]
    others: list[Any] = []
    for name, value in module.__dict__.items():
        if name in _TABLES:
            found += value.values()
        elif name not in _IRRELEVANT:
            found.append(value)
            if type(value) not in _ATOMS and not (type(value) is tuple and _ATOMS.issuperset(map(type, value))):
                others.append(value)
    others += [value for _, value in slot_values(module)]
    if others:
        found += _parts(others, set())
    tensors = [each for each in found if isinstance(each, Tensor)]
    found.append([(each.shape, each.dtype, each.device, _address(each)) for each in tensors])
    return found


_IRRELEVANT = frozenset((
    "training", "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks", "_non_persistent_buffers_set", *BACKWARD_HOOKS,
))  # fmt: skip
"""Attributes of a module that a forward pass in evaluation mode does not use."""

_ATOMS = frozenset((bool, int, float, str, type(None)))
_WHOLE = (nn.Module, Tensor, type, types.FunctionType, types.ModuleType)


def _parts(values: Iterable[Any], seen: set[int]) -> Iterator[Any]:
    """All values, the items of containers among them, and the attributes of other objects."""
    for value in values:
        yield value
        if type(value) in _ATOMS or isinstance(value, _WHOLE) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, list | tuple | set | frozenset):
            yield from _parts(value, seen)
        elif isinstance(value, Mapping):
            yield from value
            yield from _parts(value.values(), seen)
        else:
            yield from getattr(value, "__dict__", {}).values()


def _held(theirs: nn.Module, mine: nn.Module) -> Iterator[tuple[Tensor, dict[str, Tensor | None], str, Tensor]]:
    """Each tensor of a module, the table and name under which its copy is held, and the copy."""
    for table in ("_parameters", "_buffers"):
        for name, tensor in theirs.__dict__[table].items():
            copied = mine.__dict__[table].get(name)
            if tensor is not None and copied is not None:
                yield tensor, mine.__dict__[table], name, copied


def _address(tensor: Tensor) -> int:
    try:
        return tensor.data_ptr()
    except RuntimeError:  # without memory of its own, as a sparse tensor
        return id(tensor)


def _is_same(now: list[Any], then: list[Any]) -> bool:
    return len(now) == len(then) and all(map(operator.is_, now[:-1], then[:-1])) and now[-1] == then[-1]
