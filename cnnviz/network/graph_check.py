"""Whether a network's graph computes what its module does."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Size, Tensor, fx

from cnnviz.errors import ModelError
from cnnviz.runtime.memory import is_out_of_memory

if TYPE_CHECKING:
    from cnnviz.network.network import Network

_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 5e-2}
"""Largest difference in parts of the largest value: the same operations, computed once more."""


class GraphCheck:
    """Compares graph and module on the first input of each size, before anything is read from the graph.

    They differ where the graph does not see a change of values: by a forward hook on a block of layers, or
    through a second name of a tensor that is changed in place.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._agreed: set[Size] = set()
        self._last: tuple[Size, weakref.ref[Tensor]] | None = None

    def check(self, x: Tensor, graph: fx.GraphModule | None) -> None:
        """Compare on a normalised input (N, C, H, W), or remember it until there is a graph."""
        if graph is None:
            self._last = x.shape, weakref.ref(x)
        elif x.shape[1:] not in self._agreed and not x.is_meta:
            self._compare(x, graph)

    def check_pending(self, graph: fx.GraphModule) -> None:
        """Compare on the input that came last, or, where that is gone, on one of its size."""
        if self._last is not None:
            shape, seen = self._last
            x = seen()
            self._last = None
            x = _noise(shape, self._network._like) if x is None else x
            if not x.is_meta:
                self._compare(x, graph)

    @torch.no_grad()
    def _compare(self, x: Tensor, graph: fx.GraphModule) -> None:
        network, x = self._network, x[:1].detach()
        with network.autocast():
            # The graph first: a pass of the module may change its weights, and the graph would be of those.
            found = list(_tensors(_seeded(partial(self._run, _needed(graph)), x.clone())))
            expected = list(_tensors(_seeded(network._body, x.clone())))
        for one, other in zip(expected, found, strict=False):
            scale = float(one.abs().nan_to_num(0).max().clamp_min(1e-30)) if one.numel() else 1.0
            atol = scale * _TOLERANCE.get(torch.bfloat16 if network.precision in ("bf16", "fp16") else one.dtype, 1e-4)
            if one.shape != other.shape or not torch.allclose(one, other, rtol=0, atol=atol, equal_nan=True):
                raise ModelError(
                    f"The layers of {type(network.module).__name__} cannot be read: their graph computes other values "
                    "than the module does. A forward hook that changes values, or a tensor that is changed in place "
                    "under two names, is not seen by the graph; take the hook off, or write the statement out of place."
                )
        if bool((x != x.mean((2, 3), keepdim=True)).any()):  # an image of one color proves little
            self._agreed.add(x.shape[1:])

    def _run(self, graph: fx.GraphModule, x: Tensor) -> Any:
        try:
            return graph(x)
        except Exception as error:  # whatever the module's own operations raise where they are called in another way
            if is_out_of_memory(error):
                raise
            kind = type(self._network.module).__name__
            raise ModelError(f"The layers of {kind} cannot be read: their graph does not run: {error}") from error


def _needed(graph: fx.GraphModule) -> fx.GraphModule:
    """The graph without what its output is not made of, as graphs that are cut from it: writing in place is lost."""
    needed = fx.GraphModule(graph, copy.deepcopy(graph.graph))
    for node in reversed(needed.graph.nodes):
        if not node.users and node.op not in ("placeholder", "output"):
            needed.graph.erase_node(node)
    needed.recompile()
    return needed


def _noise(shape: Size, like: Tensor) -> Tensor:
    """A normalised input of one image of noise."""
    return torch.randn((1, *shape[1:]), generator=torch.Generator().manual_seed(0)).to(like)


def _seeded(run: Any, x: Tensor) -> Any:
    """The result of a pass in which what is drawn by chance is drawn from the same seed each time."""
    devices = [x.device] if x.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(0)
        return run(x)


def _tensors(output: Any) -> Iterator[Tensor]:
    """The floating-point tensors in what a module gives: a tensor, or tuples, lists and dictionaries of them."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _tensors(value)
