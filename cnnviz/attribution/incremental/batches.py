"""How many positions to compute at a time."""

from __future__ import annotations

import torch

WORKING_SET = {"cpu": 30 << 20, "cuda": 2 << 30}
"""Bytes that one operation of a batch may read and write: about a CPU's cache; enough to fill a GPU."""

LARGEST_BATCH = {"cpu": 16, "cuda": 256}
"""Larger batches gain nothing more."""


def fitting_batch(bytes_each: int, device: torch.device, cached: int = 0) -> int:
    """How many positions to compute at a time if each takes ``bytes_each`` in the largest operation.

    ``cached`` bytes that stay in memory beside them come off the working set, but for a quarter of it.
    """
    kind = "cpu" if device.type == "cpu" else "cuda"
    left = max(WORKING_SET[kind] - cached, WORKING_SET[kind] // 4)
    return max(1, min(LARGEST_BATCH[kind], left // max(1, bytes_each)))
