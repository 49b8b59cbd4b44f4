"""Feature visualisation, a step of ours against a step of lucent's ``render_vis``, and against the bare network.

The peer is torch-lucent itself, which needs an old kornia beside it:
``pip install --no-deps torch-lucent==0.1.8 kornia==0.4.1 tqdm decorator ipython``. By itself it enlarges pictures below
224 pixels to that size before each pass, and is measured so; and once more told to show the network the size asked
for. VGG-16's weights are random: speed does not depend on them.

``python -m benchmarks.synthesis [--size 128]``
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

import cnnviz
from benchmarks.timing import interleaved, machine
from cnnviz.network import Network
from cnnviz.synthesis import Adam, Ascent, Channels
from cnnviz.synthesis.neurons import score_of
from cnnviz.synthesis.recipes import Task, lucid

STEPS, ROUNDS = 12, 5
CASES = (
    ("squeezenet1_1", None, "features.9.expand3x3", 3),
    ("squeezenet1_1", None, "features.12.expand3x3", 3),
    ("vgg16", "random", "features.24", 3),
)
"""Network, weights, layer (a convolution before its ReLU, which lucent calls by underscores), channel."""


def ours(network: Network, layer: str, channel: int, size: int) -> Callable[[], float]:
    """Seconds of processor time of one step of the default recipe."""
    task = Task(network, score_of(network, Channels(layer, (channel,))), 1, (size, size), 10_000, torch.Generator())
    ascent: Ascent = lucid(task)

    def run() -> float:
        started = time.process_time()
        for _ in range(STEPS):
            ascent._step()
        return (time.process_time() - started) / STEPS

    return run


def bare(network: Network, layer: str, channel: int, size: int) -> Callable[[], float]:
    """Seconds of what no loop can leave out: the layer's one channel and its gradient, and Adam's update."""
    score = score_of(network, Channels(layer, (channel,)))
    pixels = torch.rand(1, 3, size, size, requires_grad=True)
    adam = Adam(1e-6)

    def evaluate() -> tuple[torch.Tensor, torch.Tensor]:
        value = score(pixels).sum()
        return value.detach(), torch.autograd.grad(value, pixels)[0]

    def run() -> float:
        started = time.process_time()
        for _ in range(STEPS):
            adam.step(pixels, evaluate)
        return (time.process_time() - started) / STEPS

    return run


def peer(network: Network, layer: str, channel: int, size: int, seen: int | None) -> Callable[[], float]:
    """Seconds of one step of lucent's ``render_vis`` on the same module; ``seen`` is the size it shows the network."""
    from lucent.optvis import param, render  # type: ignore[import-not-found]

    module = network.module
    module.requires_grad_(True)  # as its users have it

    def run() -> float:
        started = time.process_time()
        render.render_vis(
            module,
            f"{layer.replace('.', '_')}:{channel}",
            lambda: param.image(size),
            thresholds=(STEPS,),
            fixed_image_size=seen,
            progress=False,
            show_image=False,
        )
        return (time.process_time() - started) / STEPS

    return run


def main() -> None:
    """Print one line for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    size = parser.parse_args().size
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    print(f"{machine()}; one thread's processor time, medians of {ROUNDS} interleaved rounds, {size} px")
    print(
        f"{'network':14} {'layer':22} {'lucent ms':>10} {'at size ms':>11} {'ours ms':>9} {'ratio':>6} {'at size':>8} "
        f"{'bare ms':>9} {'overhead':>9}"
    )
    for name, weights, layer, channel in CASES:
        nets = [cnnviz.load_network(name, weights=weights, device="cpu") for _ in range(2)]
        seconds = interleaved(
            {
                "peer": peer(nets[0], layer, channel, size, None),
                "at size": peer(nets[0], layer, channel, size, size),
                "ours": ours(nets[1], layer, channel, size),
                "bare": bare(nets[1], layer, channel, size),
            },
            ROUNDS,
        )
        theirs, at_size, own, least = (1000 * seconds[key] for key in ("peer", "at size", "ours", "bare"))
        print(
            f"{name:14} {layer:22} {theirs:10.1f} {at_size:11.1f} {own:9.1f} {theirs / own:5.1f}x "
            f"{at_size / own:7.1f}x {least:9.1f} {own / least - 1:9.0%}"
        )


if __name__ == "__main__":
    main()
