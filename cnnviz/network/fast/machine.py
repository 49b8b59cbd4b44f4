"""Whether products of matrices are quick enough on this machine that convolutions may be made of them.

Measured once for a processor, its instruction set and a PyTorch, and kept in a file: a result must not depend on how
busy the machine was when it was made.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from cnnviz.imaging.atomic_file import atomic_path
from cnnviz.runtime.executors.threads import torch_threads
from cnnviz.runtime.paths import cache_home, is_file

_FAST_ENOUGH = 0.6
"""Speed of products beside that of convolutions from which on Winograd's way is quicker."""

_ROUNDS = 5
_SIDE, _CHANNELS, _MAP = 512, 128, 28
"""Side of the square matrices, and channels and side of the map, whose products and convolutions are timed."""

_CAPS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR")
"""Variables by which a process is kept to fewer instructions than its processor has."""


@functools.cache
def has_fast_products() -> bool:
    """Whether one thread's products of matrices reach 0.6 of its convolutions' GFLOP/s, as kept or measured now.

    False where the answer cannot be kept, so that it is the same each time.
    """
    path = kept_at()
    try:
        if is_file(path):
            return bool(json.loads(path.read_text(encoding="utf-8"))["fast_products"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # damaged: measured and written again
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.touch()
            found = _measured()
            temporary.write_text(json.dumps(found, indent=1), encoding="utf-8")
    except OSError:
        return False
    return bool(found["fast_products"])


def _measured() -> dict[str, Any]:
    product, convolution = measured_speeds()
    return {
        "fast_products": product >= _FAST_ENOUGH * convolution,
        "product": round(product),
        "convolution": round(convolution),
        "unit": "GFLOP/s",
        **_machine(),
    }


def kept_at() -> Path:
    """The file of the answer for this machine: in ``$XDG_CACHE_HOME/cnnviz``, by default below ``~/.cache``."""
    digest = hashlib.sha256(json.dumps(_machine(), sort_keys=True).encode()).hexdigest()
    return cache_home() / "cnnviz" / f"machine-{digest[:16]}.json"


def measured_speeds() -> tuple[float, float]:
    """GFLOP/s of one thread: products of matrices, and 3×3 convolutions, each the median of some rounds."""
    with torch.inference_mode(), torch_threads(1):
        matrix = torch.ones(_SIDE, _SIDE, device="cpu", dtype=torch.float32)
        maps = torch.ones(1, _CHANNELS, _MAP, _MAP, device="cpu", dtype=torch.float32)
        weight = torch.ones(_CHANNELS, _CHANNELS, 3, 3, device="cpu", dtype=torch.float32)
        maps, weight = (each.to(memory_format=torch.channels_last) for each in (maps, weight))
        product = 2 * _SIDE**3 / _seconds(lambda: matrix @ matrix)
        return product / 1e9, 18 * (_CHANNELS * _MAP) ** 2 / _seconds(lambda: F.conv2d(maps, weight, padding=1)) / 1e9


def _seconds(run: Callable[[], object]) -> float:
    """Processor time of this thread for ``run``, the median."""
    spent = []
    run()
    for _ in range(_ROUNDS):
        started = time.thread_time()
        run()
        spent.append(time.thread_time() - started)
    return statistics.median(spent)


def _machine() -> dict[str, str]:
    """A text of all that the answer depends on: processor, PyTorch, instruction set."""
    caps = {name: os.environ[name] for name in _CAPS if name in os.environ}
    return {
        "processor": _processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        **caps,
    }


def _processor() -> str:
    """The processor's name, family, model and flags, where the system tells them; not its frequency."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return platform.processor() or platform.machine()
    named = ("vendor_id", "cpu family", "model", "model name", "CPU part", "flags", "Features")
    pairs = (line.partition(":")[::2] for line in text.splitlines())
    told = {name.strip(): value.strip() for name, value in pairs if name.strip() in named}
    flags = told.pop("flags", told.pop("Features", ""))
    isa = " ".join(flag for flag in flags.split() if flag.startswith(("avx", "fma", "asimd", "sve", "amx")))
    return ", ".join([*told.values(), isa]) or platform.machine()
