"""Feature visualisation, a step of ours against a step of lucent's ``render_vis``, and against the bare network.

The peer is torch-lucent itself (extra ``bench``). By itself it enlarges pictures below 224 pixels to that size before
each pass, and is measured so; and once more told to show the network the size asked for. VGG-16's weights are random:
speed does not depend on them.

``python -m benchmarks.synthesis [--size 128]``
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch

import cnnviz
from benchmarks.row import Row
from benchmarks.running import Setting, installed, operations, parser, setting, show
from cnnviz.network import Network
from cnnviz.runtime.memory import keep_freed_memory
from cnnviz.synthesis import Adam, Ascent, Channels
from cnnviz.synthesis.neurons import score_of
from cnnviz.synthesis.recipes import Task, lucid

STEPS = 12
CASES = (
    ("squeezenet1_1", None, "features.9.expand3x3", 3),
    ("squeezenet1_1", None, "features.12.expand3x3", 3),
    ("vgg16", "random", "features.24", 3),
)
"""Network, weights, layer (a convolution before its ReLU, which lucent calls by underscores), channel."""


def ours(network: Network, layer: str, channel: int, size: int) -> Callable[[], None]:
    """Steps of the default recipe."""
    task = Task(network, score_of(network, Channels(layer, (channel,))), 1, (size, size), 10_000, torch.Generator())
    ascent: Ascent = lucid(task)

    def run() -> None:
        for _ in range(STEPS):
            ascent._step()

    return run


def bare(network: Network, layer: str, channel: int, size: int) -> Callable[[], None]:
    """What no loop can leave out: the layer's one channel and its gradient, and Adam's update."""
    score = score_of(network, Channels(layer, (channel,)))
    pixels = torch.rand(1, 3, size, size, device=network.device, requires_grad=True)
    adam = Adam(1e-6)

    def evaluate() -> tuple[torch.Tensor, torch.Tensor]:
        value = score(pixels).sum()
        return value.detach(), torch.autograd.grad(value, pixels)[0]

    def run() -> None:
        for _ in range(STEPS):
            adam.step(pixels, evaluate)

    return run


def peer(network: Network, layer: str, channel: int, size: int, seen: int | None) -> Callable[[], None]:
    """Steps of lucent's ``render_vis`` on the same module; ``seen`` is the size it shows the network."""
    from lucent.optvis import param, render  # type: ignore[import-not-found]

    module = network.module
    module.requires_grad_(True)  # as its users have it

    def run() -> None:
        render.render_vis(
            module,
            f"{layer.replace('.', '_')}:{channel}",
            lambda: param.image(size),
            thresholds=(STEPS,),
            fixed_image_size=seen,
            progress=False,
            show_image=False,
        )

    return run


def rows(setting: Setting, size: int = 128) -> list[Row]:
    """A row for each case: milliseconds of a step."""
    warnings.filterwarnings("ignore")
    keep_freed_memory(setting.device)  # as a run of ours does before its first step; the peer has it too
    found = []
    for name, weights, layer, channel in CASES[: 1 if setting.quick else None]:
        nets = [cnnviz.load_network(name, weights=weights, device=str(setting.device)) for _ in range(2)]
        runs = {"ours": ours(nets[1], layer, channel, size), "bare": bare(nets[1], layer, channel, size)}
        count = operations(runs["ours"]) / STEPS
        if installed("lucent"):
            runs["peer"] = peer(nets[0], layer, channel, size, None)
            runs["at size"] = peer(nets[0], layer, channel, size, size)
        spent = {run: 1e3 * value / STEPS for run, value in setting.compare(runs, 5).items()}
        at_size = {"lucent at size": spent["at size"]} if "at size" in spent else {}
        more = {**at_size, "bare": spent["bare"], "overhead, %": 100 * (spent["ours"] / spent["bare"] - 1)}
        case = f"{name}, {layer}, {size} px"
        found.append(Row(case, spent["ours"], "ms", spent.get("peer"), "lucent", operations=count, more=more))
    return found


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--size", type=int, default=128)
    given = options.parse_args()
    chosen = setting(given)
    show(rows(chosen, given.size), chosen)


if __name__ == "__main__":
    main()
