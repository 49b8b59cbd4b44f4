"""Counts the memory traffic of a forward pass without a graph, while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class Measured(TorchDispatchMode):
    """Counts what the operations that run in its context read and write.

    Attributes:
        largest: bytes that the largest operation reads and writes.
        values: numbers that all operations write.
    """

    def __init__(self) -> None:
        super().__init__()
        self.largest, self.values = 1, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        read = [each for each in args if isinstance(each, Tensor)]
        made = [each for each in (out if isinstance(out, tuple | list) else (out,)) if isinstance(each, Tensor)]
        self.largest = max(self.largest, sum(each.nbytes for each in [*read, *made]))
        known = {each.untyped_storage().data_ptr() for each in read}
        self.values += sum(each.numel() for each in made if each.untyped_storage().data_ptr() not in known)
        return out


@torch.no_grad()
def measured(run: Callable[[Tensor], Any], x: Tensor) -> Measured:
    """The counts of a pass over ``x``."""
    with Measured() as counts:
        run(x)
    return counts
