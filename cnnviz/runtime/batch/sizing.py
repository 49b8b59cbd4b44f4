"""How many pictures a network is shown at once."""

from __future__ import annotations

from typing import Any

from cnnviz.runtime.memory import activation_bytes, available_memory

_MOST = 32
_SHARE = 0.5  # of the free memory; pictures may be larger than the network's own size


def batch_size(network: Any) -> int:
    """Pictures for one pass: as many as fit on a GPU, one on the CPU.

    On the CPU larger batches gain little or lose to memory traffic, and change the last bits of the results: there
    a picture's result is the same in whatever company it comes. On a GPU the last bits follow the batch.
    """
    if network.device.type != "cuda":
        return 1
    side = network.spec.size
    free = available_memory(network.device) or 0
    return int(max(1, min(_MOST, _SHARE * free // max(1, activation_bytes(network, (side, side))))))
