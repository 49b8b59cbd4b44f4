"""Replaces the in-place operations of a traced graph by operations that write to a new tensor.

A graph is cut, reordered and read anywhere, so no operation may change what another one reads. Whatever follows an
in-place operation reads its result instead of the tensor that it overwrote.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from cnnviz.errors import ModelError
from cnnviz.network.aten import function_name, is_aten, out_of_place

OPERATORS: dict[Any, Any] = {
    operator.iadd: operator.add, operator.isub: operator.sub, operator.imul: operator.mul,
    operator.itruediv: operator.truediv, operator.ifloordiv: operator.floordiv, operator.imod: operator.mod,
    operator.ipow: operator.pow, operator.iand: operator.and_, operator.ior: operator.or_, operator.ixor: operator.xor,
}  # fmt: skip
"""Python's augmented assignments -> the same operations out of place."""

_NUMBERS = {"size", "dim", "numel", "nelement", "item", "stride", "ndimension"}
_MEASURES = {"shape", "ndim", "dtype", "device"}
_SAME = {"detach", "contiguous", "requires_grad_", "alias", "dropout", "feature_dropout", "alpha_dropout"}
"""Operations that may return the tensor they were given."""

_SAME_MODULES = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_VIEWS = {
    "view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "squeeze", "unsqueeze", "transpose", "t",
    "permute", "movedim", "moveaxis", "swapaxes", "swapdims", "expand", "expand_as", "broadcast_to", "narrow", "select",
    "chunk", "split", "tensor_split", "unbind", "getitem", "diagonal", "unfold", "real", "imag", "T", "mT",
    "as_strided", "slice", "to", "type", "float", "double", "half", "bfloat16", "type_as",
}  # fmt: skip
"""Operations that may return a view of the tensor they were given."""

_VIEW_MODULES = (nn.Flatten, nn.Unflatten)
_PARTS = {"chunk", "split", "tensor_split", "unbind"}
_NO_CHANGE = {"requires_grad_", "retain_grad", "share_memory_", "rename_"}


class Proxy(fx.Proxy):
    """A traced value that records augmented assignments (``y += x``) as such."""

    def __setitem__(self, index: Any, value: Any) -> None:
        raise ModelError(
            "assigning to a part of a tensor, as in 'y[:, 0] = 0', cannot be followed. "
            "Write it with torch.where or torch.cat."
        )


def _augmented(target: Callable[..., Any]) -> Callable[[Proxy, Any], fx.Proxy]:
    def assign(self: Proxy, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", target, (self, other), {})

    return assign


for _target in OPERATORS:
    setattr(Proxy, f"__{_target.__name__}__", _augmented(_target))


def operation_name(node: fx.Node) -> str:
    """The name of a node's method or function, without the underscore of in-place ones."""
    target = OPERATORS.get(node.target, node.target) if callable(node.target) else node.target
    return (target if isinstance(target, str) else function_name(target) or "op").strip("_")


def functionalize(graph: fx.Graph, root: nn.Module) -> None:
    """Make every operation of a traced graph write to a new tensor, and all later ones read that.

    In-place activation modules of ``root`` are set to work out of place, and ``view`` becomes ``reshape``, which takes
    tensors of any memory layout.

    Raises ModelError where a statement changes a part of a tensor that is read again later, or has no counterpart.
    """
    order = {node: number for number, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        if node.kwargs.get("out") is not None:
            raise ModelError(
                f"The layers cannot be listed: '{operation_name(node)}' is called with out=; return it instead."
            )
        if not _overwrites(node, root):
            continue
        source = _first(node)
        if source is None:
            raise ModelError(
                f"The layers cannot be listed: it is unclear what '{operation_name(node)}' changes in place."
            )
        _make_out_of_place(node)
        if not isinstance(source, fx.Node) or _is_number(source):
            continue
        for other, place in order.items():
            is_read_later = any(order[user] > order[node] for user in other.users)
            if place >= order[node] or not is_read_later or not _overlap(other, source, root):
                continue
            if not _is_same_tensor(other, source, root):
                raise ModelError(
                    f"The layers cannot be listed: '{operation_name(node)}' changes a part of a tensor in place. "
                    "Write it without changing the tensor, as with torch.where or torch.cat."
                )
            other.replace_all_uses_with(node, delete_user_cb=lambda user, node=node: order[user] > order[node])
    for node in graph.find_nodes(op="call_method", target="view"):
        if not any(isinstance(each, torch.dtype) for each in node.args):
            node.target = "reshape"  # the same values, for any memory layout
    remove_inplace(root)


def remove_inplace(module: nn.Module) -> None:
    """Make every activation module of ``module`` write to a new tensor."""
    for child in module.modules():
        if getattr(child, "inplace", False) is True:
            child.inplace = False  # type: ignore[assignment]


def _first(node: fx.Node) -> Any:
    """A node's first argument, by position or as ``input``; None if it has neither."""
    return node.args[0] if node.args else node.kwargs.get("input")


def _overwrites(node: fx.Node, root: nn.Module) -> bool:
    """Whether a node changes its first argument."""
    if node.op == "call_module":
        return getattr(root.get_submodule(str(node.target)), "inplace", False) is True
    if node.op == "call_method":
        name = str(node.target)
        return name.endswith("_") and not name.endswith("__") and name not in _NO_CHANGE
    if node.op != "call_function":
        return False
    return node.target in OPERATORS or _is_named_in_place(node.target) or _argument(node, "inplace")


def _is_named_in_place(function: Any) -> bool:
    """Whether a function's name ends as ``relu_`` does; Python's own ``and_`` and ``or_`` do not count."""
    name = function_name(function)
    return name.endswith("_") and not name.endswith("__") and function is not getattr(operator, name, None)


def _argument(node: fx.Node, name: str) -> bool:
    """Whether a function is called with the flag ``name`` set, by keyword or by position."""
    if name in node.kwargs:
        return bool(node.kwargs[name])
    try:
        places = list(inspect.signature(node.target).parameters)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return name in places and len(node.args) > places.index(name) and node.args[places.index(name)] is True


def _make_out_of_place(node: fx.Node) -> None:
    """Make one node write to a new tensor."""
    if node.op == "call_module":
        return
    if node.target in OPERATORS:
        node.target = OPERATORS[node.target]
    elif node.op == "call_function" and _argument(node, "inplace"):
        _without_flag(node)
    else:
        name = operation_name(node)
        if name in _FILLING:
            node.op, node.target = "call_function", _FILLING[name]
        else:
            node.target = _counterpart(node, name)


def _without_flag(node: fx.Node) -> None:
    """Set ``inplace`` to False in a function's arguments."""
    if "inplace" in node.kwargs:
        node.kwargs = {**node.kwargs, "inplace": False}
    else:
        place = list(inspect.signature(node.target).parameters).index("inplace")  # type: ignore[arg-type]
        node.args = (*node.args[:place], False, *node.args[place + 1 :])


def _counterpart(node: fx.Node, name: str) -> Any:
    if is_aten(node.target):
        found = out_of_place(node.target)
        if found is not None:
            return found
    homes = (Tensor,) if node.op == "call_method" else (F, torch)
    home = next((home for home in homes if hasattr(home, name) and name not in _UNLIKE), None)
    if home is None:
        raise ModelError(f"The layers cannot be listed: '{name}_' changes a tensor in place and has no other form.")
    return name if home is Tensor else getattr(home, name)


def _copied(tensor: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    return source.to(tensor).expand_as(tensor)


_UNLIKE = {"resize", "resize_as", "bernoulli", "map", "apply"}
"""Operations that mean something else without the underscore."""

_FILLING: dict[str, Callable[..., Tensor]] = {"copy": _copied, "zero": torch.zeros_like, "fill": torch.full_like}


def asks_for_shape(node: fx.Node) -> bool:
    """Whether a node reads a tensor's shape, type, device, or a single number."""
    if node.op == "call_method":
        return node.target in _NUMBERS
    return node.op == "call_function" and node.target is getattr and node.args[1] in _MEASURES


def _is_number(node: fx.Node) -> bool:
    """Whether a node holds a size or another number, which nothing can change in place."""
    if asks_for_shape(node):
        return True
    if node.op != "call_function" or node.target is getattr:
        return False
    sources = node.all_input_nodes
    return bool(sources) and all(map(_is_number, sources))


def _source(node: fx.Node, root: nn.Module) -> tuple[fx.Node | None, bool]:
    """The node that a node's result may be a view of, and whether it is that very tensor."""
    first = _first(node)
    if not isinstance(first, fx.Node):
        return None, False
    if node.op == "call_module":
        module = root.get_submodule(str(node.target))
        if isinstance(module, _SAME_MODULES):
            return first, True
        return (first, False) if isinstance(module, _VIEW_MODULES) else (None, False)
    name = operation_name(node)
    if node.op == "call_function" and node.target is getattr:
        is_kept = node.args[1] in ("data", "T", "mT")
        return (first if is_kept else None, bool(node.args[1] == "data"))
    if name in _SAME or str(node.target) in _SAME:
        return first, True
    return (first, False) if name in _VIEWS else (None, False)


def _chain(node: fx.Node, root: nn.Module) -> list[fx.Node]:
    """The nodes that a node's result may be a view of, from the first on, and the node itself."""
    found = [node]
    while (source := _source(found[-1], root)[0]) is not None:
        found.append(source)
    return found[::-1]


def _overlap(one: fx.Node, other: fx.Node, root: nn.Module) -> bool:
    """Whether two nodes' results may share memory."""
    chains = _chain(one, root), _chain(other, root)
    if chains[0][0] is not chains[1][0]:
        return False
    for a, b in zip(*chains, strict=False):
        if a is not b:
            return not _are_different_parts(a, b)
    return True


def _are_different_parts(one: fx.Node, other: fx.Node) -> bool:
    """Whether two nodes pick different items of one split."""
    picked = [node for node in (one, other) if node.target is operator.getitem and isinstance(node.args[1], int)]
    source = one.args[0]
    return (
        len(picked) == 2
        and bool(one.args[1] != other.args[1])
        and isinstance(source, fx.Node)
        and (operation_name(source) in _PARTS)
    )


def _is_same_tensor(one: fx.Node, other: fx.Node, root: nn.Module) -> bool:
    """Whether two nodes hold the same tensor: only operations that return it lie between them."""
    return _origin(one, root) is _origin(other, root)


def _origin(node: fx.Node, root: nn.Module) -> fx.Node:
    while True:
        source, is_same = _source(node, root)
        if source is None or not is_same:
            return node
        node = source
