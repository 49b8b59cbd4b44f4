"""Peaks of memory beyond what was loaded before, each found in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch


def peak_beyond(run: Callable[[], object], device: torch.device) -> float:
    """MiB that ``run`` takes at its peak beyond what is held now.

    On the CPU what Linux says of the process, so that it must be a fresh one: what was freed before is not always
    given back. On CUDA what torch allocated.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins again at what is held now
    before = held("VmRSS")
    run()
    return (held("VmHWM") - before) / 1024


def held(field: str) -> int:
    """KiB of this process: in memory now (``VmRSS``), at most so far (``VmHWM``), or of addresses (``VmSize``)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def told_by(module: str, *arguments: object) -> float:
    """The figure that ``python -m module`` prints as its last word; CalledProcessError if it fails."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])
