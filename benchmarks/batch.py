"""What 500 pictures through ``cnnviz saliency`` cost beside the bare network.

Usage: python -m benchmarks.batch [--pictures N] [--rounds N] [--network NAME…] [--quick]

N JPEGs of 500×375 pixels, cut from sample_images at random:

- bare: forward and backward of torchvision's own network, frozen and channels last, over pictures of the same size
  (224×299) that are in memory already, at the best of several batches and, on the CPU, numbers of threads up to the
  processors there are; in a process of its own, where nothing of ours is set up.
- ours: the command itself, in this process, reading, explaining, drawing and writing all pictures on the local engine
  with its default ``--jobs``; from the first result to the last, so that start-up and loading are left out.

Prints milliseconds a picture, medians of rounds in which all take turns, the bare network's at whatever batch and
number of threads is best in that round: by the clock, which a busy machine spoils, and of the processor time of all
threads. The ratio is the share of the bare network's throughput that is kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import nn

from benchmarks.features import make_pictures
from benchmarks.row import Row
from benchmarks.running import Setting, parser, setting, show

_BATCHES = (1, 2, 4, 8, 16)
_SIZE = (224, 299)
_VIEWS = ("raw", "panel")


@dataclass(frozen=True)
class Cost:
    """Milliseconds a picture, by the clock and of the processors."""

    clock: float
    processor: float


def measured(run: Callable[[], int]) -> Cost:
    """The cost of ``run``, which says how many pictures it did."""
    clock, processor = time.perf_counter(), time.process_time()
    count = run()
    return Cost((time.perf_counter() - clock) * 1e3 / count, (time.process_time() - processor) * 1e3 / count)


def bare(module: nn.Module, device: torch.device, batch: int, threads: int, count: int) -> Cost:
    """Passes forward and back over ``count`` pictures in memory."""
    pixels = torch.rand(batch, 3, *_SIZE, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)

    def run() -> int:
        for _ in range(max(1, count // batch)):
            torch.autograd.grad(module(pixels).amax(1).sum(), pixels)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return max(1, count // batch) * batch

    try:
        run()
        return measured(run)
    finally:
        torch.set_num_threads(before)


def bare_costs(name: str, where: Setting, count: int) -> dict[str, Cost]:
    """The bare network at each batch and number of threads."""
    import torchvision

    module = torchvision.models.get_model(name, weights=None).eval().requires_grad_(False)
    module = module.to(where.device, memory_format=torch.channels_last)
    processors = _processors()
    return {
        f"bare {batch}, {threads} threads": bare(module, where.device, batch, threads, count)
        for batch in _BATCHES
        for threads in (sorted({1, processors}) if not where.on_cuda else [processors])
    }


def bare_costs_elsewhere(name: str, where: Setting, count: int) -> dict[str, Cost]:
    """``bare_costs`` in a process of its own."""
    options = ["--bare", "--network", name, "--device", where.device, "--pictures", count]
    command = [sys.executable, "-m", "benchmarks.batch", *map(str, options)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {case: Cost(*cost) for case, cost in json.loads(done.stdout.splitlines()[-1]).items()}


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _medians(rounds: Sequence[Mapping[str, Cost]]) -> dict[str, Cost]:
    return {
        case: Cost(median(each[case].clock for each in rounds), median(each[case].processor for each in rounds))
        for case in rounds[0]
    }


def ours(options: list[str], folder: Path, view: str, threads: int) -> Cost:
    """The command over all pictures of ``folder``, from its first result to its last."""
    from typer.testing import CliRunner

    from cnnviz.cli import console
    from cnnviz.cli.app import app

    results: list[tuple[float, float]] = []
    plain = console.result
    console.result = lambda *_: results.append((time.perf_counter(), time.process_time()))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with tempfile.TemporaryDirectory(prefix="cnnviz-maps-") as place:
            run = CliRunner().invoke(app, ["saliency", str(folder), *options, "--view", view, "-o", f"{place}/"])
    finally:
        console.result = plain
        torch.set_num_threads(before)
    if run.exit_code:
        raise RuntimeError(run.output)
    (clock, processor), (last_clock, last_processor) = results[0], results[-1]
    count = len(results) - 1
    return Cost((last_clock - clock) * 1e3 / count, (last_processor - processor) * 1e3 / count)


def costs(name: str, folder: Path, count: int, where: Setting, rounds: int) -> Mapping[str, Cost]:
    """Medians of the bare network at its best, and of ours in each view."""
    # Random weights cost what trained ones do; only the embedded network's are here for sure.
    weights = [] if name == "squeezenet1_1" else ["-w", "random"]
    options = ["-m", name, "--device", str(where.device), "--size", "224", *weights]
    processors, few = _processors(), max(16, min(48, count // 8))
    return _medians(
        [
            {"bare": _best(bare_costs_elsewhere(name, where, few).values())}
            | {view: ours(options, folder, view, processors) for view in _VIEWS}
            for _ in range(rounds)
        ]
    )


def _best(costs: Iterable[Cost]) -> Cost:
    clocks, processors = zip(*((cost.clock, cost.processor) for cost in costs), strict=True)
    return Cost(min(clocks), min(processors))


def compare(name: str, count: int, where: Setting, rounds: int) -> list[Row]:
    """Ours in each view beside the best bare case, by the clock and by processor time."""
    with tempfile.TemporaryDirectory(prefix="cnnviz-photos-") as place:
        make_pictures(Path(place), count)
        found = costs(name, Path(place), count, where, rounds)
    rows = []
    for view in _VIEWS:
        for clock in ("clock", "processor"):
            rows.append(
                Row(
                    f"{name}, {count} images, --view {view}, {clock}",
                    ours=getattr(found[view], clock),
                    unit="ms",
                    peer=getattr(found["bare"], clock),
                    against="the bare network",
                )
            )
    return rows


def rows(where: Setting, count: int | None = None, networks: tuple[str, ...] = ("squeezenet1_1",)) -> list[Row]:
    """The cost of a picture among many."""
    count = count or (24 if where.quick else 500)
    return [row for name in networks for row in compare(name, count, where, where.turns(3))]


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--pictures", type=int)
    options.add_argument("--network", action="append")
    options.add_argument("--bare", action="store_true", help="the bare network alone, as a line of JSON")
    given = options.parse_args()
    chosen = setting(given)
    if given.bare:
        found = bare_costs(given.network[0], chosen, given.pictures or 48)
        print(json.dumps({case: [cost.clock, cost.processor] for case, cost in found.items()}))
        sys.exit()
    show(rows(chosen, given.pictures, tuple(given.network or ["squeezenet1_1"])), chosen)
