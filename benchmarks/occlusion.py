"""Occlusion maps against captum's, side by side in one run on one thread of the processor.

Usage: python -m benchmarks.occlusion [--networks squeezenet1_1,resnet18,…] [--rounds N] [--batches 1,2,4,8]

For each network (random weights; 224 px, patch 32, stride 8: 625 positions) prints milliseconds of processor
time per position, interleaved medians, of captum at its best batch, of the batched full pass, and of
the incremental pass; the peak of memory each needs beyond the loaded network (on Linux); and the largest
difference between the incremental pass and the network itself, relative to the largest score.

A pass over the whole network costs the same wherever the patch lies, so captum and the full pass are timed on
49 positions; the incremental pass, whose windows differ, on all 625.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, fx, nn

from benchmarks.timing import interleaved, machine
from cnnviz.attribution.positions import score_positions

SIZE, PATCH, STRIDE = 224, 32, 8
NETWORKS = ("squeezenet1_1", "resnet18", "resnet50", "vgg16")
BATCHES = (1, 2, 4, 8)
GRID = [(top, left) for top in range(0, SIZE - PATCH + 1, STRIDE) for left in range(0, SIZE - PATCH + 1, STRIDE)]
SPARSE = [(top, left) for top, left in GRID if top % PATCH == 0 and left % PATCH == 0]

Run = Callable[[], float]


def load(name: str) -> tuple[nn.Module, Tensor]:
    """A torchvision network with random weights, and a picture of noise."""
    import torchvision

    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None).eval().requires_grad_(False)
    return network, torch.rand(1, 3, SIZE, SIZE)


def contenders(network: nn.Module, image: Tensor, batches: list[int]) -> dict[str, Run]:
    """Each way to compute the map, as a run that returns its processor seconds per position."""
    from captum.attr import Occlusion

    occlusion, graph = Occlusion(network), fx.symbolic_trace(network)
    window, strides, grey = (3, PATCH, PATCH), (3, PATCH, PATCH), torch.zeros(1, 1, 1, 1)

    def captum(batch: int) -> Run:
        def run() -> float:
            started = time.thread_time()
            with torch.inference_mode():
                occlusion.attribute(image, window, strides, target=0, perturbations_per_eval=batch)
            return (time.thread_time() - started) / (len(SPARSE) + 1)  # one more for the picture itself

        return run

    def ours(engine: str, positions: list[tuple[int, int]]) -> Run:
        def run() -> float:
            started = time.thread_time()
            score_positions(graph, image, positions, PATCH, grey, engine=engine)  # type: ignore[arg-type]
            return (time.thread_time() - started) / len(positions)

        return run

    runs = {f"captum, batch {batch}": captum(batch) for batch in batches}
    return {**runs, "full": ours("full", SPARSE), "incremental": ours("incremental", GRID)}


def largest_difference(network: nn.Module, image: Tensor) -> float:
    """Between the incremental pass and the untouched network, relative to the largest score."""
    graph, grey = fx.symbolic_trace(network), torch.zeros(1, 1, 1, 1)
    positions = GRID[:: len(GRID) // 25]
    scores = score_positions(graph, image, positions, PATCH, grey, engine="incremental")
    pictures = image.repeat(len(positions), 1, 1, 1)
    for picture, (top, left) in zip(pictures, positions, strict=True):
        picture[:, top : top + PATCH, left : left + PATCH] = 0
    expected = torch.cat([network(picture[None]) for picture in pictures])
    return float((scores - expected).abs().max() / expected.abs().max())


def peak_memory(name: str, contender: str) -> float:
    """MiB that a process of its own needs beyond the loaded network."""
    command = [sys.executable, "-m", "benchmarks.occlusion", "--networks", name, "--memory-of", contender]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_memory_of(name: str, contender: str) -> None:
    """The child's part of ``peak_memory``."""
    network, image = load(name)
    batches = [int(word) for word in contender.split() if word.isdigit()]
    run = contenders(network, image, batches)[contender]
    loaded = resident("VmRSS")
    run()
    print(resident("VmHWM") - loaded)


def resident(field: str) -> float:
    """MiB of this process in memory: now (``VmRSS``) or at most so far (``VmHWM``); Linux keeps both."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def compare(name: str, batches: list[int], rounds: int) -> None:
    """One network's rows of the table."""
    network, image = load(name)
    seconds = interleaved(contenders(network, image, batches), rounds)
    best = min((run for run in seconds if run.startswith("captum")), key=seconds.__getitem__)
    for run in (best, "full", "incremental"):
        row = f"{name:15s} {run:18s} {seconds[run] * 1e3:8.1f} {seconds[best] / seconds[run]:7.2f}×"
        print(f"{row} {peak_memory(name, run):9.0f}", end="\n" if run != "incremental" else "")
    print(f" {largest_difference(network, image):12.1e}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(NETWORKS), help="torchvision names, comma-separated")
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)), help="captum's batches to try")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds, of which the median is taken")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory_of:
        print_memory_of(options.networks, options.memory_of)
        return
    print(f"{machine()}; one thread; torch {torch.__version__}")
    print(f"{'network':15s} {'pass':18s} {'ms each':>8s} {'ratio':>8s} {'peak MiB':>9s} {'difference':>12s}")
    for name in options.networks.split(","):
        compare(name, [int(batch) for batch in options.batches.split(",")], options.rounds)


if __name__ == "__main__":
    main()
