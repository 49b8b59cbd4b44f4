"""Device: what ``auto`` means on this machine, and clear errors for what it does not have."""

from __future__ import annotations

import re

import torch

from cnnviz.errors import UsageError


def choose_device(wanted: str = "auto") -> torch.device:
    """The torch device for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    ``auto`` is CUDA if there is a GPU for it, and the CPU if not, also on Apple's machines, on whose GPUs cnnviz is not
    tested. A device this machine lacks is a UsageError.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", wanted):
        raise UsageError(f"There is no device '{wanted}'; give auto, cpu, cuda or cuda:N.")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        found = f"only {count} CUDA device{'s' if count > 1 else ''}" if count else "no CUDA device"
        raise UsageError(f"Device '{wanted}' is not here: torch finds {found}. '--device auto' takes what there is.")
    return device
