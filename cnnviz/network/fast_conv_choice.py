"""Whether a network computes its convolutions in fewer multiplications: decided once, when it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz.network.fast.machine import has_fast_products
from cnnviz.runtime.memory import available_memory
from cnnviz.runtime.workload import FAST_CONV_WORKLOADS, Workload

if TYPE_CHECKING:
    from cnnviz.network.network import Network

_OF_FREE_MEMORY = 1 / 4
"""Fraction of the free memory up to which the transformed weights are made."""


def choose_fast_conv(network: Network, wanted: bool | None, workload: Workload) -> bool | None:
    """``wanted``, or where that is None what suits the network and the machine; None where it makes no difference.

    The machine is measured only where a network has such convolutions and may use them, and once for all.
    """
    if workload not in FAST_CONV_WORKLOADS and not wanted:
        return None  # which computes directly unless it is told otherwise
    if wanted is not None:
        return wanted
    needed, free = network.fast_conv_bytes, available_memory(network.device)
    if not needed or (free is not None and needed > _OF_FREE_MEMORY * free):
        return False
    return suits_machine(workload)


def suits_machine(workload: Workload) -> bool:
    """Whether other rounding does no harm to the workload, and this machine is faster with fewer multiplications."""
    return workload in FAST_CONV_WORKLOADS and has_fast_products()
