"""What a command over many pictures costs beside its computation alone.

Usage: python -m benchmarks.batch [--pictures N] [--rounds N] [--case NAME…] [--quick]

N JPEGs of 500×375 pixels, cut from sample_images at random, and for each case:

- alone: the computation and nothing else, on pixels of the same size that are in memory already, at the best of some
  batches and, on the CPU, of one thread and one for each processor. For ``classify``, ``saliency`` and ``gradcam``
  it is torchvision's own network, frozen and channels last, forward or forward and back; for ``occlusion``,
  ``compare`` and ``fast-style`` our technique called from Python, since what is asked is what files and figures cost.
- ours: the command, reading, computing, drawing and writing all pictures on the local engine with its default
  ``--jobs``; from the first result to the last, so that start-up and loading are left out.

Each is measured in a process of its own. Prints milliseconds a picture, medians of rounds in which both take turns: by
the clock, which a busy machine spoils, and of the processor time of all threads. The ratio is the share of the
throughput that is kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch
from torch import Tensor, nn

from benchmarks.features import make_pictures
from benchmarks.row import Row
from benchmarks.running import Setting, parser, setting, show
from cnnviz.runtime.malloc import tune_malloc

_BATCHES = (1, 2, 4, 8, 16)
_SIZE, _PHOTO = (224, 299), (375, 500)
_NETWORK = "squeezenet1_1"

Run = Callable[[Tensor], object]
"""What is done with pixels (N, 3, H, W)."""


@dataclass(frozen=True)
class Cost:
    """Milliseconds a picture, by the clock and of the processors."""

    clock: float
    processor: float


@dataclass(frozen=True)
class Case:
    """A command and what it is compared with.

    ``command``: its words before the folder; ``options``: those after it; ``alone``: makes what computes the same of
    pixels on a device; ``peer``: what that is, in words; ``count``: of the pictures; ``batches``: how many may share a
    pass; ``writes``: whether it writes files.
    """

    command: tuple[str, ...]
    options: tuple[str, ...]
    alone: Callable[[torch.device], Run]
    peer: str = "the bare network"
    count: int = 500
    batches: tuple[int, ...] = _BATCHES
    size: tuple[int, int] = _SIZE
    writes: bool = True


def _torchvision(device: torch.device) -> nn.Module:
    import torchvision

    module = torchvision.models.get_model(_NETWORK, weights=None).eval().requires_grad_(False)
    return module.to(device, memory_format=torch.channels_last)  # type: ignore[no-any-return]


def _forward(device: torch.device) -> Run:
    return torch.inference_mode()(_torchvision(device))


def _gradient(device: torch.device) -> Run:
    module = _torchvision(device)

    def run(pixels: Tensor) -> object:
        pixels.requires_grad_()
        return torch.autograd.grad(module(pixels).amax(1).sum(), pixels)

    return run


def _gradient_of_maps(device: torch.device) -> Run:
    module = _torchvision(device)

    def run(pixels: Tensor) -> object:
        with torch.no_grad():
            maps = module.features(pixels)
        maps.requires_grad_()
        return torch.autograd.grad(module.classifier(maps).amax((1, 2, 3)).sum(), maps)

    return run


def _occlusion(device: torch.device) -> Run:
    import cnnviz

    network = cnnviz.load_network(_NETWORK, device=str(device))
    return lambda pixels: cnnviz.occlusion(network, pixels, 285, stride=32)


def _compared(device: torch.device) -> Run:
    import cnnviz
    from cnnviz.attribution.registry import DEFAULT_COMPARED, select_methods

    network = cnnviz.load_network(_NETWORK, device=str(device))
    methods = list(select_methods(DEFAULT_COMPARED).values())
    return lambda pixels: [method(network, pixels, 285) for method in methods]


def _painted(device: torch.device) -> Run:
    import cnnviz

    model = cnnviz.load_fast_style().to(device)
    return lambda pixels: cnnviz.apply_fast_style(model, pixels, model.styles[0])


_OF_NETWORK = ("-m", _NETWORK, "--size", "224")
_OURS = "the technique alone"
CASES = {
    "classify": Case(("classify",), _OF_NETWORK, _forward, writes=False),
    "saliency, --view raw": Case(("saliency",), (*_OF_NETWORK, "--view", "raw"), _gradient),
    "saliency, --view panel": Case(("saliency",), _OF_NETWORK, _gradient),
    "gradcam": Case(("gradcam",), _OF_NETWORK, _gradient_of_maps, count=200),
    "occlusion, stride 32": Case(("occlusion",), (*_OF_NETWORK, "--stride", "32"), _occlusion, _OURS, 200, (1,)),
    "compare": Case(("compare",), _OF_NETWORK, _compared, _OURS, 40, (1,)),
    "fast-style apply": Case(("fast-style", "apply"), (), _painted, _OURS, 200, (1,), _PHOTO),
}


def measured(run: Callable[[], int]) -> Cost:
    """The cost of ``run``, which says how many pictures it did."""
    clock, processor = time.perf_counter(), time.process_time()
    count = run()
    return Cost((time.perf_counter() - clock) * 1e3 / count, (time.process_time() - processor) * 1e3 / count)


def alone(case: Case, device: torch.device, count: int) -> Cost:
    """The computation alone at its best batch and number of threads, by either measure."""
    costs = []
    run = case.alone(device)
    for batch in case.batches:
        pixels = torch.rand(batch, 3, *case.size, generator=torch.Generator().manual_seed(0)).to(device)
        for threads in sorted({1, _processors()}) if device.type == "cpu" else [_processors()]:
            torch.set_num_threads(threads)
            run(pixels.clone())
            costs.append(measured(lambda pixels=pixels: _passes(run, pixels, count, device)))  # type: ignore[misc]
    return Cost(min(cost.clock for cost in costs), min(cost.processor for cost in costs))


def _passes(run: Run, pixels: Tensor, count: int, device: torch.device) -> int:
    """Run over about ``count`` pictures; says how many it were."""
    turns = max(1, count // len(pixels))
    for _ in range(turns):
        run(pixels.detach())
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return turns * len(pixels)


def ours(case: Case, device: torch.device, folder: Path) -> Cost:
    """The command over all pictures of ``folder``, from its first result to its last."""
    from typer.testing import CliRunner

    from cnnviz.cli.app import app
    from cnnviz.cli.console import ConsoleReporter
    from cnnviz.runtime.executors.threads import torch_threads

    results: list[tuple[float, float]] = []
    told = patch.object(
        ConsoleReporter, "result", lambda *_: results.append((time.perf_counter(), time.process_time()))
    )
    with told, torch_threads(_processors()), tempfile.TemporaryDirectory(prefix="cnnviz-results-") as place:
        output = ["-o", f"{place}/"] if case.writes else []
        run = CliRunner().invoke(app, [*case.command, str(folder), *case.options, "--device", str(device), *output])
    if run.exit_code:
        raise RuntimeError(run.output)
    (clock, processor), (last_clock, last_processor) = results[0], results[-1]
    count = len(results) - 1
    return Cost((last_clock - clock) * 1e3 / count, (last_processor - processor) * 1e3 / count)


def _elsewhere(name: str, where: Setting, count: int, folder: Path | None) -> Cost:
    """One measurement in a process of its own: ours over ``folder``, or the computation alone if that is None."""
    options = ["--case", name, "--device", where.device, "--pictures", count, "--part", folder or "alone"]
    command = [sys.executable, "-m", "benchmarks.batch", *map(str, options)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Cost(*json.loads(done.stdout.splitlines()[-1]))


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compare(name: str, count: int, where: Setting, rounds: int) -> list[Row]:
    """A case's command beside its computation alone, by the clock and by processor time."""
    case, few = CASES[name], max(8, min(48, count // 8))
    found: Mapping[str, list[Cost]] = {"alone": [], "ours": []}
    with tempfile.TemporaryDirectory(prefix="cnnviz-photos-") as place:
        make_pictures(Path(place), count)
        for _ in range(rounds):
            found["alone"].append(_elsewhere(name, where, few, None))
            found["ours"].append(_elsewhere(name, where, count, Path(place)))
    return [
        Row(
            f"{name}, {count} images, {measure}",
            ours=median(getattr(cost, measure) for cost in found["ours"]),
            unit="ms",
            peer=median(getattr(cost, measure) for cost in found["alone"]),
            against=case.peer,
        )
        for measure in ("clock", "processor")
    ]


def rows(where: Setting, count: int | None = None, names: Sequence[str] = tuple(CASES)) -> list[Row]:
    """Two rows for each case."""
    found = []
    for name in names:
        pictures = count or min(CASES[name].count, 48 if where.quick else CASES[name].count)
        found += compare(name, pictures, where, 1 if where.quick else where.turns(3))
    return found


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--pictures", type=int)
    options.add_argument("--case", action="append", choices=CASES)
    options.add_argument("--part", help="one measurement, as JSON: 'alone', or ours over this folder")
    given = options.parse_args()
    chosen = setting(given)
    if given.part:
        case = CASES[given.case[0]]
        is_alone = given.part == "alone"
        if not is_alone:
            tune_malloc()  # as the program does
        cost = alone(case, chosen.device, given.pictures) if is_alone else ours(case, chosen.device, Path(given.part))
        print(json.dumps([cost.clock, cost.processor]))
        sys.exit()
    show(rows(chosen, given.pictures, given.case or tuple(CASES)), chosen)
