"""Choice of the torch device."""

from __future__ import annotations

import re

import torch

from cnnviz.errors import UsageError


def choose_device(wanted: str = "auto") -> torch.device:
    """The torch device for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    ``auto`` is CUDA if available, else the CPU; Apple's GPUs are not used, since cnnviz is not tested on them.
    Raises UsageError for a device that this machine does not have.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", wanted):
        raise UsageError(f"There is no device '{wanted}'; give auto, cpu, cuda or cuda:N.")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        found = f"only {count} CUDA device{'s' if count > 1 else ''}" if count else "no CUDA device"
        raise UsageError(f"Device '{wanted}' is not here: torch finds {found}.", remedy="device_auto")
    return device
