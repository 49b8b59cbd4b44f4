"""Checks that a traced graph computes what its module does."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Size, Tensor, fx, nn

from cnnviz.errors import ModelError, shortened
from cnnviz.network.exported import FixedBatch
from cnnviz.runtime.memory import is_out_of_memory

_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 5e-2}
"""Largest difference, relative to the largest value, of the same operations computed twice."""

_DIFFERS = (
    "their graph computes other values than the module does: it misses a forward hook that changes values, or a tensor "
    "that is changed in place under two names; take the hook off, or write the statement out of place"
)


class InputNotTakenError(ModelError):
    """The module itself fails on an input, as one of a size that it does not take."""


class GraphCheck:
    """Compares graphs with their module, before anything is read from them.

    They differ where a graph misses a change of values: by a forward hook on a block of layers, or by an in-place
    operation on a tensor that has a second name; or where it is that of another branch of the forward pass.

    Args:
        module: the module that the graphs were traced from.
        choose: from what the module returns to what the graphs do.
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
        self.name, self.autocast = name, autocast
        self._module, self._choose, self._dtype = module, choose, dtype
        self._count = module.count if isinstance(module, FixedBatch) else 1

    def difference(self, graph: fx.GraphModule, x: Tensor, *, with_gradients: bool = False) -> str | None:
        """Why a graph is not the module's, on a normalized input (N, C, H, W); None where they agree.

        ``with_gradients``: whether the gradients with respect to the input must agree too. Raises InputNotTakenError
        where the module itself fails.
        """
        x = x[:1].detach().repeat(self._count, 1, 1, 1)
        try:
            # The graph first: a pass of the module may change its weights, which the graph shares.
            found: Any = self._results(_without_unused_nodes(graph), x, with_gradients)
        except Exception as error:  # whatever the module's own operations raise where they are called in another way
            if is_out_of_memory(error):
                raise
            found = error
        try:
            expected = self._results(lambda x: self._choose(self._module(x)), x, with_gradients)
        except Exception as error:  # user code may raise anything
            if is_out_of_memory(error):
                raise
            if isinstance(found, Exception):
                raise InputNotTakenError(
                    f"{self.name} does not take images of {x.shape[3]}×{x.shape[2]} pixels: {first_line(error)}"
                ) from error
            return f"the graph runs where the module does not: {first_line(error)}"
        if isinstance(found, Exception):
            return f"their graph does not run: {first_line(found)}"
        return None if self._agree(expected, found) else _DIFFERS

    def writes_to_weights(self, x: Tensor) -> bool:
        """Whether a pass over ``x`` changes parameters of the module, which torch.export does not survive."""

        def state() -> list[tuple[int, int]]:
            return [(each.data_ptr(), each._version) for each in self._module.parameters() if not each.is_inference()]

        before = state()
        with torch.no_grad(), self.autocast():
            _seeded(self._module, x[:1].clone())
        return state() != before

    def noise(self, shape: Size | tuple[int, ...]) -> Tensor:
        """A normalized input of one image of noise, of the module's type and on its device."""
        like = next(chain(self._module.parameters(), self._module.buffers()), torch.empty(0))
        like = like if like.is_floating_point() else torch.empty(0, device=like.device)
        return torch.randn((1, *shape[-3:]), generator=torch.Generator().manual_seed(0)).to(like)

    def _results(self, run: Callable[[Tensor], Any], x: Tensor, with_gradients: bool) -> list[Tensor]:
        """The tensors in the output of a pass, and the gradient of their sum if there is one."""
        with torch.set_grad_enabled(with_gradients), self.autocast():
            x = x.clone().requires_grad_(with_gradients)
            found = list(_tensors(_seeded(partial(run), x)))
            weighted = [value.float() * torch.linspace(-1, 1, value.numel()).to(value.device).view_as(value)
                        for value in found if value.requires_grad]  # fmt: skip
            if not weighted:
                return found
            (gradient,) = torch.autograd.grad(
                torch.stack([each.sum() for each in weighted]).sum(), x, allow_unused=True
            )
        return [value.detach() for value in found] + ([] if gradient is None else [gradient])

    def _agree(self, expected: list[Tensor], found: list[Tensor]) -> bool:
        return len(expected) == len(found) and all(map(self._is_close, expected, found))

    def _is_close(self, one: Tensor, other: Tensor) -> bool:
        scale = float(one.abs().nan_to_num(0).max().clamp_min(1e-30)) if one.numel() else 1.0
        atol = scale * _TOLERANCE.get(self._dtype or one.dtype, 1e-4)
        return one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=atol, equal_nan=True)


def proves_little(x: Tensor) -> bool:
    """Whether an input is of one color, so that an agreement on it may be chance."""
    return not bool((x != x.mean((2, 3), keepdim=True)).any())


def first_line(error: Exception) -> str:
    """The first line of an exception's message, or its type."""
    return shortened(next(iter(str(error).strip().splitlines()), "") or type(error).__name__, 200)


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
