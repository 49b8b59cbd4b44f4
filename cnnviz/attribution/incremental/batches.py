"""How many positions to compute at a time."""

from __future__ import annotations

import torch

WORKING_SET = {"cpu": 30 << 20, "cuda": 2 << 30}
"""Bytes that one operation of a batch may read and write: about a CPU's cache; enough to fill a GPU."""

LARGEST_BATCH = {"cpu": 16, "cuda": 256}
"""Larger batches gain nothing more."""


SLICE = {"cpu": 4 << 20, "cuda": 2 << 30}
"""Bytes of maps that only a sum is taken of."""


def slice_of(bytes_each: int, device: torch.device) -> int:
    """How many positions of a batch to take at a time through maps of which only a sum is kept."""
    return max(1, SLICE["cpu" if device.type == "cpu" else "cuda"] // max(1, bytes_each))


def fitting_batch(bytes_each: int, device: torch.device, cached: int = 0) -> int:
    """How many positions to compute at a time if each takes ``bytes_each`` in the largest operation.

    ``cached`` bytes that stay in memory beside them come off the working set, but for a quarter of it.
    """
    kind = "cpu" if device.type == "cpu" else "cuda"
    left = max(WORKING_SET[kind] - cached, WORKING_SET[kind] // 4)
    return max(1, min(LARGEST_BATCH[kind], left // max(1, bytes_each)))
