"""How a benchmark runs: on which device, how often, by which clock."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmarks.peak import measured_peaks
from benchmarks.record import Record, describe
from benchmarks.row import Row
from benchmarks.table import table
from benchmarks.timing import interleaved, seconds


@dataclass(frozen=True)
class Setting:
    """Where and how thoroughly to measure.

    ``quick``: few rounds and small cases, to see that all works; ``rounds``: how many, whatever the benchmark's own;
    ``memory``: whether peaks of memory are measured, each in a process of its own; ``json``: where figures are kept.
    """

    device: torch.device
    quick: bool = False
    rounds: int | None = None
    memory: bool = True
    json: Path | None = None

    @property
    def on_cuda(self) -> bool:
        return self.device.type == "cuda"

    def turns(self, usual: int) -> int:
        """How many interleaved rounds, where a thorough run has ``usual``."""
        return self.rounds or (min(2, usual) if self.quick else usual)

    def seconds(self, run: Callable[[], object]) -> float:
        """What a run takes: of this process's processor time, or on CUDA by the clock until the device is done."""
        return seconds(run, self.device)

    def clocked(self, run: Callable[[], object], count: int = 1) -> Callable[[], float]:
        """A measurement of ``run``, for ``interleaved``: seconds for each of ``count`` things it does."""
        return lambda: self.seconds(run) / count

    def compare(self, runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
        """Median seconds of each run, taken in turn; ``rounds`` as in a thorough benchmark."""
        return interleaved({name: self.clocked(run) for name, run in runs.items()}, self.turns(rounds))


def operations(run: Callable[[], object]) -> float:
    """Floating-point operations of convolutions and matrix products in ``run``; a multiply-add is two."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False, custom_mapping=_NAMED_CONVOLUTIONS) as counter:
        run()
    return float(counter.get_total_flops())


def flop_formulas() -> dict[Any, Callable[..., int]]:
    """Operation -> the number of its floating-point operations, of its arguments and ``out_val``."""
    from torch.utils.flop_counter import flop_registry, shape_wrapper

    return {**flop_registry, **{each: shape_wrapper(count) for each, count in _NAMED_CONVOLUTIONS.items()}}


def _convolution(inputs: list[int], weight: list[int], *_: object, out_shape: list[int], **__: object) -> int:
    from torch.utils.flop_counter import conv_flop_count

    return conv_flop_count(inputs, weight, out_shape)


_NAMED_CONVOLUTIONS = dict.fromkeys(
    filter(None, [torch.ops.aten.mkldnn_convolution, getattr(torch.ops.mkldnn, "_convolution_pointwise", None)]),
    _convolution,
)
"""Those that name their library, which PyTorch's counter does not know."""


def installed(package: str) -> bool:
    """Whether a peer is here to be measured; says how to get it where it is not."""
    if find_spec(package) is not None:
        return True
    print(f"{package} is not installed and is left out: pip install 'cnnviz[bench]'", file=sys.stderr)
    return False


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    made.add_argument("--quick", action="store_true", help="few rounds and small cases, to see that all works")
    made.add_argument("--rounds", type=int, help="interleaved rounds, of which the median is taken")
    made.add_argument("--no-memory", action="store_true", help="measure no peaks of memory, which takes processes")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, beside those there")
    return made


def setting(options: argparse.Namespace) -> Setting:
    """The setting that the common options describe."""
    torch.set_num_threads(1)
    return Setting(torch.device(options.device), options.quick, options.rounds, not options.no_memory, options.json)


def show(rows: Sequence[Row], where: Setting) -> None:
    """Print the rows of a benchmark that runs by itself, and keep them under its name if they are to be kept."""
    peaks = dict(measured_peaks(where.device)) if any(row.operations for row in rows) else {}
    if peaks:
        print(", ".join(f"{name} {value:.0f} GFLOP/s" for name, value in peaks.items()), end="\n\n")
    print(table(rows, peaks))
    if where.json:
        record = Record(describe(where.device), peaks)
        record.add(Path(sys.argv[0]).stem, rows)
        record.write_into(where.json)
