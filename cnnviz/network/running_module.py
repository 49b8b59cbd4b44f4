"""The module that a network runs: made from the one that it was given, and kept up to date with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from cnnviz.network.black_box import BlackBox
from cnnviz.network.exported import FixedBatch
from cnnviz.network.fast.conv import use_fast_convs, use_winograd, winograd_bytes
from cnnviz.network.fast.pooling import use_fast_pooling
from cnnviz.network.fast.sequential import use_fast_sequences
from cnnviz.network.functionalize import remove_inplace
from cnnviz.network.module_copy import copy_module
from cnnviz.network.shared_copy import SharedCopy

Alteration = Callable[[nn.Module], None]
"""Changes a module tree in place, but not its tensors, which are shared."""


class RunningModule:
    """A copy of a module that shares its weights; or, to be quicker, the module itself, changed for good.

    Args:
        module: the network's own.
        optimize: change ``module`` itself for speed.
        alterations: functions that change the copy before it runs.
        fast_conv: compute 3×3 convolutions in fewer multiplications where it is optimized.
        images_at_once: the only number of images that ``module`` takes; None for any.

    Attributes:
        body: normalized input -> outputs, in evaluation mode, no gradients of parameters; as it was at the last
            ``refresh``.
    """

    body: nn.Module

    def __init__(
        self,
        module: nn.Module,
        *,
        optimize: bool,
        alterations: Sequence[Alteration],
        fast_conv: bool,
        images_at_once: int | None,
    ) -> None:
        self._module, self._alterations, self._count = module, alterations, images_at_once
        self._moves: tuple[torch.device | torch.dtype | str, ...] = ()
        self._shared_copy: SharedCopy | None = None
        if optimize:
            self.body = _optimized(module, alterations, fast_conv)
        else:
            self._copy()

    def _copy(self) -> None:
        self._shared_copy = SharedCopy(self._module)
        self.body = self._shared_copy.module
        if self._moves:
            self.body.to(*self._moves)  # type: ignore[call-overload]
        for alter in self._alterations:
            alter(self.body)
        if self._count is not None:
            self.body = FixedBatch(self.body, self._count)

    @property
    def is_copy(self) -> bool:
        """Whether it is a copy of the user's module."""
        return self._shared_copy is not None

    @property
    def like(self) -> Tensor:
        """A tensor of its type and device."""
        tensors = chain(self.body.parameters(), self.body.buffers())  # lazily: going through all modules takes long
        return next(tensors, torch.empty(0))

    def refresh(self) -> bool:
        """Take over what changed in the user's module since the last call; whether the body was made again for that."""
        if self._shared_copy is None:
            return False
        is_outdated = not self._shared_copy.is_current()
        if is_outdated:
            self._copy()
        self._shared_copy.copy_values()
        return is_outdated

    def to(self, *target: torch.device | torch.dtype | str) -> None:
        """Move it to a device or type; a copy moves without the user's module."""
        if self._shared_copy is None:
            self.body.to(*target)  # type: ignore[call-overload]
        else:
            self._moves = (*self._moves, *target)
            self._copy()

    def use_fast_conv(self, on: bool) -> None:
        """Compute 3×3 convolutions in fewer multiplications from now on, or directly; a copy never does."""
        if not self.is_copy:
            use_winograd(self.body, on)

    def fast_conv_bytes(self) -> int:
        """Bytes that weights take for convolutions in fewer multiplications, beside themselves; 0 for a copy."""
        is_possible = not self.is_copy and self.like.device.type == "cpu" and self.like.dtype == torch.float32
        return winograd_bytes(self.body) if is_possible else 0

    def __getstate__(self) -> dict[str, Any]:
        """The attributes to pickle or copy, without what is made again from the module."""
        made = {"_shared_copy", "body"} if self.is_copy else set()
        return {name: value for name, value in self.__dict__.items() if name not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "body" not in state:
            self._copy()


def _optimized(module: nn.Module, alterations: Sequence[Alteration], fast_conv: bool) -> nn.Module:
    """The module itself, or an altered copy of it, changed for speed."""
    if isinstance(module, BlackBox):
        return module.eval()
    body = copy_module(module) if alterations else module
    for alter in alterations:
        alter(body)
    body.eval().requires_grad_(False)
    remove_inplace(body)
    use_fast_convs(body)
    use_winograd(body, fast_conv)
    use_fast_pooling(body)
    use_fast_sequences(body)
    # Channels last in memory: convolutions forward and back take a third less time on the CPU, and tensor cores
    # need it. Values and shapes are the same.
    return body.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
