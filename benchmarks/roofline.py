"""The roofline of a run: the least time that its multiplications and its traffic take at what the machine can do.

Williams, Waterman & Patterson, "Roofline: An Insightful Visual Performance Model for Multicore Architectures",
Communications of the ACM 52 (2009). Each convolution and matrix product takes at least as long as its multiplications
at the highest speed measured, and as long as its inputs and its output take to pass by once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.peak import measured_peaks, measured_traffic
from benchmarks.running import flop_formulas


def least_seconds(run: Callable[[], object], device: torch.device, precision: str = "fp32") -> float:
    """The least time that the convolutions and matrix products in ``run`` take on this machine."""
    speeds = (speed for name, speed in measured_peaks(device).items() if name.endswith(precision))
    with _Roofline(1e9 * max(speeds), 1e9 * measured_traffic(device)) as found:
        run()
    return found.seconds


class _Roofline(TorchDispatchMode):
    def __init__(self, operations_a_second: float, bytes_a_second: float) -> None:
        super().__init__()
        self.speeds = operations_a_second, bytes_a_second
        self.seconds = 0.0
        self._formulas = flop_formulas()

    def __torch_dispatch__(
        self, function: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        found = function(*args, **given)
        formula = self._formulas.get(function.overloadpacket)
        if formula is not None:
            tensors = [each for each in tree_leaves((args, given, found)) if isinstance(each, Tensor)]
            amounts = formula(*args, **given, out_val=found), sum(each.numel() * each.itemsize for each in tensors)
            self.seconds += max(amount / speed for amount, speed in zip(amounts, self.speeds, strict=True))
        return found
