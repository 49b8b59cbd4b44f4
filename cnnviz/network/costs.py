"""Parameters and multiply-adds (MACs) of a graph's layers, for one image.

MACs are counted in PyTorch's operations, so that it makes no difference whether a convolution is a module, a function,
a subclass, or has weights computed from others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._python_dispatch import TorchDispatchMode

from cnnviz.network.graph import depends_on_input
from cnnviz.network.hooked import hooked_module, module_read
from cnnviz.network.operations import name_set
from cnnviz.network.shapes import MetaInterpreter, meta_input, shapes_by_forward

_UNCOUNTABLE = name_set(
    """
    _trilinear lstm gru rnn_tanh rnn_relu mkldnn_rnn_layer _cudnn_rnn miopen_rnn _thnn_fused_lstm_cell
    _thnn_fused_gru_cell _cdist_forward cdist _fft_r2c _fft_c2r _fft_c2c linalg_matrix_exp
    _transformer_encoder_layer_fwd _native_multi_head_attention
    """
)
"""PyTorch's operations whose number of multiply-adds depends on the algorithm."""


def shapes_and_macs(
    graph_module: fx.GraphModule, input_shape: tuple[int, ...]
) -> tuple[dict[fx.Node, Any], dict[fx.Node, int | None]]:
    """Each node's output shape, and its multiply-adds (None where they cannot be counted).

    Computed on shapes alone. If the module needs values for its shapes, it runs on an image of zeros, and multiply-adds
    are not counted.
    """
    interpreter = _CountingInterpreter(graph_module)
    try:
        with torch.no_grad():
            interpreter.run(meta_input(graph_module, input_shape))
    except Exception:  # user code may raise anything on tensors without values
        parameter = next(graph_module.parameters(), torch.empty(0))
        if parameter.is_meta:
            raise
        shapes = shapes_by_forward(
            graph_module, torch.zeros(input_shape, dtype=parameter.dtype, device=parameter.device)
        )
        return shapes, dict.fromkeys(graph_module.graph.nodes)
    if hooked_module(graph_module) is not None:  # one node computes everything
        return interpreter.shapes, dict.fromkeys(graph_module.graph.nodes)
    return interpreter.shapes, interpreter.macs


class _CountingInterpreter(MetaInterpreter):
    def __init__(self, graph_module: fx.GraphModule) -> None:
        super().__init__(graph_module)
        self.macs: dict[fx.Node, int | None] = {}

    def run_node(self, n: fx.Node) -> Any:
        with _Counter() as counter:
            value = super().run_node(n)
        self.macs[n] = None if counter.is_uncountable else counter.macs
        return value


@functools.cache
def _formulas() -> Mapping[Any, Callable[..., int]]:
    """PyTorch's own counts by operation; imported when needed, since the import loads triton."""
    from torch.utils.flop_counter import flop_registry

    return flop_registry


class _Counter(TorchDispatchMode):
    """Counts the multiply-adds of the operations that run in its context."""

    def __init__(self) -> None:
        super().__init__()
        self.macs, self.is_uncountable = 0, False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func._overloadpacket
        if packet in _formulas():
            self.macs += _formulas()[packet](*args, **kwargs, out_val=out) // 2
        elif packet in (torch.ops.aten.mv, torch.ops.aten.dot):
            self.macs += args[0].numel()
        elif packet is torch.ops.aten.addmv:
            self.macs += args[1].numel()
        self.is_uncountable |= packet.__name__ in _UNCOUNTABLE
        return out


def costs_by_layer(
    graph_module: fx.GraphModule, rows: Collection[fx.Node], macs: Mapping[fx.Node, int | None]
) -> tuple[dict[fx.Node, int], dict[fx.Node, int | None]]:
    """The parameters and multiply-adds of the nodes ``rows``.

    Those of any other node count for the next row that its value goes into. A parameter that several layers share
    counts for the first.
    """
    owned: dict[fx.Node, int] = dict.fromkeys(rows, 0)
    spent: dict[fx.Node, int | None] = dict.fromkeys(rows, 0)
    known: set[int] = set()
    of_input = depends_on_input(graph_module.graph)  # values of weights alone are not computed per image
    for node in graph_module.graph.nodes:
        owner = _owner(node, rows)
        if owner is None:
            continue
        for parameter in _parameters(graph_module, node):
            if id(parameter) not in known:
                known.add(id(parameter))
                owned[owner] += parameter.numel()
        count, before = macs.get(node), spent[owner]
        if node in of_input and node.op != "placeholder":
            spent[owner] = None if count is None or before is None else before + count
    return owned, spent


def _owner(node: fx.Node, rows: Collection[fx.Node]) -> fx.Node | None:
    """The first of ``rows`` that is computed from a node's value, or the node itself."""
    waiting, seen = [node], set()
    while waiting:
        nearest = waiting.pop(0)
        if nearest in rows:
            return nearest
        for user in nearest.users:
            if user not in seen:
                seen.add(user)
                waiting.append(user)
    return None


def _parameters(root: nn.Module, node: fx.Node) -> list[Tensor]:
    read = module_read(root, node)
    if read is not None:
        return list(read.parameters())
    if node.op == "call_module" and hooked_module(root) is None:
        return list(root.get_submodule(str(node.target)).parameters())
    if node.op == "get_attr":
        value = functools.reduce(getattr, str(node.target).split("."), root)
        return [value] if isinstance(value, nn.Parameter) else []
    return []
