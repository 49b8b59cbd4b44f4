"""Checks that a traced graph computes what its module does."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Size, Tensor, fx, nn

from cnnviz.errors import ModelError
from cnnviz.runtime.memory import is_out_of_memory

_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 5e-2}
"""Largest difference, relative to the largest value, of the same operations computed twice."""


class GraphCheck:
    """Compares a graph with its module on the first input of each size, before anything is read from the graph.

    They differ where the graph misses a change of values: by a forward hook on a block of layers, or by an in-place
    operation on a tensor that has a second name.

    Args:
        module: the module that the graph was traced from.
        choose: from what the module returns to what the graph does.
        name: what messages call the module.
        autocast: the context that passes run in.
        dtype: the type that convolutions are computed in, which decides how closely results must agree; that of the
            result if None.
    """

    def __init__(
        self,
        module: nn.Module,
        choose: Callable[[Any], Any],
        name: str,
        autocast: Callable[[], AbstractContextManager[Any]],
        dtype: torch.dtype | None = None,
    ) -> None:
        self._module, self._choose, self._name = module, choose, name
        self._autocast, self._dtype = autocast, dtype
        self._agreed: set[Size] = set()
        self._pending: tuple[Size, weakref.ref[Tensor]] | None = None

    def check(self, x: Tensor, graph: fx.GraphModule | None) -> None:
        """Compare on a normalized input (N, C, H, W), or remember it until there is a graph.

        Raises ModelError where they differ.
        """
        if graph is None:
            self._pending = x.shape, weakref.ref(x)
        elif x.shape[1:] not in self._agreed and not x.is_meta:
            self._compare(x, graph)

    def check_pending(self, graph: fx.GraphModule) -> None:
        """Compare on the last input given before there was a graph or, if it is gone, on noise of its size."""
        if self._pending is not None:
            shape, reference = self._pending
            x = reference()
            self._pending = None
            x = self._noise(shape) if x is None else x
            if not x.is_meta:
                self._compare(x, graph)

    @torch.no_grad()
    def _compare(self, x: Tensor, graph: fx.GraphModule) -> None:
        x = x[:1].detach()
        with self._autocast():
            # The graph first: a pass of the module may change its weights, which the graph shares.
            found = list(_tensors(_seeded(partial(self._run, _without_unused_nodes(graph)), x.clone())))
            expected = list(_tensors(self._choose(_seeded(self._module, x.clone()))))
        for one, other in zip(expected, found, strict=False):
            scale = float(one.abs().nan_to_num(0).max().clamp_min(1e-30)) if one.numel() else 1.0
            atol = scale * _TOLERANCE.get(self._dtype or one.dtype, 1e-4)
            if one.shape != other.shape or not torch.allclose(one, other, rtol=0, atol=atol, equal_nan=True):
                raise ModelError(
                    f"The layers of {self._name} cannot be read: their graph computes other values than the module "
                    "does. The graph misses a forward hook that changes values, or a tensor that is changed in place "
                    "under two names: take the hook off, or write the statement out of place."
                )
        if bool((x != x.mean((2, 3), keepdim=True)).any()):  # an image of one color proves little
            self._agreed.add(x.shape[1:])

    def _run(self, graph: fx.GraphModule, x: Tensor) -> Any:
        try:
            return graph(x)
        except Exception as error:  # whatever the module's own operations raise where they are called in another way
            if is_out_of_memory(error):
                raise
            raise ModelError(f"The layers of {self._name} cannot be read: their graph does not run: {error}") from error

    def _noise(self, shape: Size) -> Tensor:
        """A normalized input of one image of noise, of the module's type and on its device."""
        like = next(chain(self._module.parameters(), self._module.buffers()), torch.empty(0))
        return torch.randn((1, *shape[1:]), generator=torch.Generator().manual_seed(0)).to(like)


def _without_unused_nodes(graph: fx.GraphModule) -> fx.GraphModule:
    """The graph without nodes that its output does not depend on, as in graphs cut from it."""
    needed = fx.GraphModule(graph, copy.deepcopy(graph.graph))
    for node in reversed(needed.graph.nodes):
        if not node.users and node.op not in ("placeholder", "output"):
            needed.graph.erase_node(node)
    needed.recompile()
    return needed


def _seeded(run: Any, x: Tensor) -> Any:
    """The result of a pass with the random generators seeded."""
    devices = [x.device] if x.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(0)
        return run(x)


def _tensors(output: Any) -> Iterator[Tensor]:
    """The floating-point tensors in a module's output: a tensor, or tuples, lists and dictionaries of them."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _tensors(value)
