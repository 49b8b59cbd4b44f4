"""Clocks, interleaved runs and medians, and the machine's name."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def machine() -> str:
    """The processor's name, how many of its cores there are, and the widest instructions that PyTorch uses on it.

    A name without a number, as virtual machines have it, is told apart by its family and model. A processor held back
    (``ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2``) is another machine.
    """
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").partition("\n\n")[0].splitlines() if cpuinfo.is_file() else []
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = told.get("model name") or platform.processor() or platform.machine()
    if {"cpu family", "model"} <= set(told) and not any(map(str.isdigit, name)):
        name += f" (family {told['cpu family']}, model {told['model']})"
    return f"{name}, {os.cpu_count()} cores, {instructions()}"


def instructions() -> str:
    """The widest instructions that PyTorch uses here, as ``AVX-512 with bf16`` or ``AVX2``."""
    import torch

    from cnnviz.runtime.private_torch import cpu_computes_bf16

    told = torch.backends.cpu.get_cpu_capability().replace("AVX512", "AVX-512")
    return f"{told} with bf16" if cpu_computes_bf16() else str(told)


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """What a run takes: of this process's processor time, or on CUDA by the clock until the device is done."""
    if device.type != "cuda":
        started = time.process_time()
        run()
        return time.process_time() - started
    import torch

    torch.cuda.synchronize(device)
    started = time.perf_counter()
    run()
    torch.cuda.synchronize(device)
    return time.perf_counter() - started


def interleaved(runs: Mapping[str, Callable[[], float]], rounds: int, warmups: int = 1) -> dict[str, float]:
    """The median of each measurement, taken in turn round by round so that all meet the same machine."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(warmups + rounds):
        for name, run in runs.items():
            measured = run()
            if turn >= warmups:
                found[name].append(measured)
    return {name: statistics.median(values) for name, values in found.items()}


def process_seconds(command: Sequence[str], **settings: object) -> float:
    """User and system seconds of a whole process, which a busy machine changes less than the clock."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **settings)  # type: ignore[call-overload]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
