"""Convolutions and linear layers of an exported graph as modules again, which those who read weights look for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn


def restore_layers(graph: fx.Graph, root: nn.Module) -> None:
    """Let ``graph`` call a module where it gives a convolution or linear layer the parameters of one path of ``root``.

    The modules share the parameters, and stand in ``root`` where torch.export left a module without a forward pass.
    """
    for node in list(graph.nodes):
        path = _path_of_parameters(node)
        if path is None or not _put_layer(root, path, node):
            continue
        with graph.inserting_before(node):
            call = graph.call_module(path, (node.args[0],))
        call.meta = node.meta
        node.replace_all_uses_with(call)
        graph.erase_node(node)


def _path_of_parameters(node: fx.Node) -> str | None:
    """The path whose ``weight`` and ``bias`` are a node's only parameters; None where there is no such path."""
    if node.op != "call_function" or node.target not in _LAYERS or node.kwargs or len(node.args) < 2:
        return None
    names = [str(each.target) if each.op == "get_attr" else "" for each in node.args[1:3] if isinstance(each, fx.Node)]
    path, _, last = names[0].rpartition(".") if names else ("", "", "")
    return path if path and last == "weight" and names[1:] in ([], [f"{path}.bias"]) else None


def _put_layer(root: nn.Module, path: str, node: fx.Node) -> bool:
    """Put the layer that a node computes at ``path``; False where another module is there, or it is another layer."""
    there = root.get_submodule(path)
    parameters = dict(there.named_parameters())
    kind, settings = _LAYERS[node.target]
    arguments = settings(*node.args[3:])
    if arguments is None or set(parameters) != {"weight", *(["bias"] if _has_bias(node) else [])}:
        return False
    made = kind(parameters["weight"], _has_bias(node), arguments)
    if type(there) is type(made):  # the layer is used twice
        return there.extra_repr() == made.extra_repr()
    if type(there) is not nn.Module:
        return False
    made._parameters.update(parameters)
    parent, _, name = path.rpartition(".")
    setattr(root.get_submodule(parent), name, made.eval())
    return True


def _has_bias(node: fx.Node) -> bool:
    return len(node.args) > 2 and node.args[2] is not None


def _conv(weight: Tensor, bias: bool, arguments: Mapping[str, Any]) -> nn.Module:
    groups = arguments["groups"]
    size = (int(weight.shape[2]), int(weight.shape[3]))
    with torch.device("meta"):
        return nn.Conv2d(weight.shape[1] * groups, weight.shape[0], size, bias=bias, **arguments)


def _linear(weight: Tensor, bias: bool, arguments: Mapping[str, Any]) -> nn.Module:
    with torch.device("meta"):
        return nn.Linear(weight.shape[1], weight.shape[0], bias=bias)


def _settings_of_conv(
    stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1, *others: Any
) -> Mapping[str, Any] | None:
    given = {"stride": stride, "padding": padding, "dilation": dilation}
    pairs = {name: (value, value) if isinstance(value, int) else tuple(value) for name, value in given.items()}
    pairs = {name: value * 2 if len(value) == 1 else value for name, value in pairs.items()}
    are_numbers = isinstance(groups, int) and all(isinstance(each, int) for pair in pairs.values() for each in pair)
    return {**pairs, "groups": groups} if are_numbers and not others else None


def _settings_of_linear(*others: Any) -> Mapping[str, Any] | None:
    return None if others else {}


_Layer = tuple[Callable[[Tensor, bool, Mapping[str, Any]], nn.Module], Callable[..., Mapping[str, Any] | None]]

_LAYERS: Mapping[Any, _Layer] = {
    torch.conv2d: (_conv, _settings_of_conv),
    F.linear: (_linear, _settings_of_linear),
}
