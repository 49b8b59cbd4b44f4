"""Occlusion maps against captum's, side by side in one run.

Usage: python -m benchmarks.occlusion [--networks squeezenet1_1,resnet18,…] [--rounds N] [--batches 1,2,4,8]

For each network (random weights, convolutions as ``cnnviz occlusion`` computes them on this machine; 224 px, patch 32,
stride 8: 625 positions): milliseconds per position, interleaved medians, of the incremental pass, of captum at its best
batch, and of the batched full pass; the peak of memory that each needs beyond the loaded network; the share of its
roofline that the incremental pass reaches; and its largest difference to the network itself, relative to the largest
score.

Captum is given the network as its users have it, as torchvision makes it; ours is as ``load_network`` makes it,
channels last and with fast convolutions where they suit. Captum on a network channels last is stated beside.

A pass over the whole network costs the same wherever the patch lies, so captum and the full pass are timed on
25 positions; the incremental pass, whose windows differ, on all 625. All of captum's batches are run once, the two
quickest of each layout in the rounds. Memory is the median of three processes.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, fx, nn

import cnnviz
from benchmarks.memory_use import peak_beyond, told_by
from benchmarks.roofline import least_seconds
from benchmarks.row import Row
from benchmarks.running import Setting, operations, parser, setting, show
from benchmarks.timing import interleaved
from cnnviz.attribution.occlusion_scores import score_positions
from cnnviz.network.fast_conv_choice import choose_fast_conv
from cnnviz.network.spec import InputSpec

SIZE, PATCH, STRIDE = 224, 32, 8
NETWORKS = ("squeezenet1_1", "resnet18", "resnet50", "vgg16")
BATCHES = {"cpu": (1, 2, 4, 8), "cuda": (16, 64, 256)}
GRID = [(top, left) for top in range(0, SIZE - PATCH + 1, STRIDE) for left in range(0, SIZE - PATCH + 1, STRIDE)]
PROCESSES = 3
APART = 48
"""Step between the positions of those that take as long for each, and side of the patches where that must be so."""

SPARSE = [(top, left) for top, left in GRID if top % APART == 0 and left % APART == 0]

Run = Callable[[], object]


def load(name: str, device: torch.device) -> tuple[nn.Module, Tensor]:
    """A torchvision network with random weights, and a picture of noise."""
    import torchvision

    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None).eval().requires_grad_(False)
    return network.to(device), torch.rand(1, 3, SIZE, SIZE).to(device)


def contender(name: str, network: nn.Module, image: Tensor) -> tuple[Run, int]:
    """One way to compute the map, and how many positions it computes; changes how the network lies in memory."""
    from captum.attr import Occlusion

    if not name.startswith("captum, batch"):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    window, strides, gray = (3, APART, APART), (3, APART, APART), torch.zeros(1, 1, 1, 1, device=image.device)

    if name.startswith("captum"):
        occlusion, batch = Occlusion(network), int(name.rsplit(maxsplit=1)[-1])

        def captum() -> object:
            with torch.inference_mode():
                return occlusion.attribute(image, window, strides, target=0, perturbations_per_eval=batch)

        return captum, len(SPARSE) + 1  # one more for the picture itself
    graph, positions = ours(network), GRID if name == "incremental" else SPARSE
    return lambda: score_positions(graph, image, positions, PATCH, gray, algorithm=name), len(positions)  # type: ignore[arg-type]


def ours(network: nn.Module) -> fx.GraphModule:
    """The graph of the network as ours is loaded for occlusion."""
    made = cnnviz.Network(copy.deepcopy(network), optimize=True, spec=InputSpec(size=SIZE))
    made.use_fast_conv(choose_fast_conv(made, None, "scores"))
    return made.graph


def largest_difference(network: nn.Module, image: Tensor) -> float:
    """Between the incremental pass and the untouched network, relative to the largest score."""
    graph, gray = ours(network), torch.zeros(1, 1, 1, 1, device=image.device)
    positions = GRID[:: len(GRID) // 25]
    scores = score_positions(graph, image, positions, PATCH, gray, algorithm="incremental")
    pictures = image.repeat(len(positions), 1, 1, 1)
    for picture, (top, left) in zip(pictures, positions, strict=True):
        picture[:, top : top + PATCH, left : left + PATCH] = 0
    expected = torch.cat([network(picture[None]) for picture in pictures])
    return float((scores - expected).abs().max() / expected.abs().max())


def compare(name: str, setting: Setting, batches: Sequence[int]) -> Row:
    """One network's row."""
    names = [f"captum{layout}, batch {batch}" for layout in ("", " channels last") for batch in batches]
    plain, last = (load(name, setting.device) for _ in range(2))
    runs = {
        run: contender(run, *(plain if run.startswith("captum, ") else last)) for run in (*names, "full", "incremental")
    }
    timed = {run: setting.clocked(function, count) for run, (function, count) in runs.items()}
    once = interleaved(timed, 1, warmups=0)
    kinds = [[run for run in names if run.startswith(kind)] for kind in ("captum, ", "captum channels")]
    quick = {run for kind in kinds for run in sorted(kind, key=once.__getitem__)[:2]}
    seconds = interleaved({run: timed[run] for run in timed if run not in names or run in quick}, setting.turns(3), 0)
    best, best_last = (min(quick.intersection(kind), key=seconds.__getitem__) for kind in kinds)
    given = ("--device", setting.device, "--networks", name, "--memory-of")
    incremental, count = runs["incremental"]
    return Row(
        name,
        1e3 * seconds["incremental"],
        "ms",
        peer=1e3 * seconds[best],
        against="captum",
        operations=operations(incremental) / count,
        memory=memory(*given, "incremental") if setting.memory else None,
        peer_memory=memory(*given, best) if setting.memory else None,
        more={
            "of roofline, %": 100 * least_seconds(incremental, setting.device) / count / seconds["incremental"],
            "captum's batch": best.split()[-1],
            "captum channels last, ms": 1e3 * seconds[best_last],
            "full pass, ms": 1e3 * seconds["full"],
            "difference": largest_difference(*plain),
        },
    )


def memory(*given: object) -> float:
    """The median of some processes' peaks, which differ by up to a third."""
    return statistics.median(told_by("benchmarks.occlusion", *given) for _ in range(PROCESSES))


def rows(setting: Setting, networks: Sequence[str] = NETWORKS, batches: Sequence[int] = ()) -> list[Row]:
    """A row for each network."""
    batches = batches or BATCHES[setting.device.type]
    return [compare(name, setting, batches) for name in networks[: 2 if setting.quick else None]]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--networks", default=",".join(NETWORKS), help="torchvision names, comma-separated")
    options.add_argument("--batches", help="captum's batches to try, comma-separated")
    options.add_argument("--memory-of")
    given = options.parse_args()
    chosen, batches = setting(given), [int(word) for word in (given.batches or "").split(",") if word]
    if given.memory_of:
        network, image = load(given.networks, chosen.device)
        run, _ = contender(given.memory_of, network, image)
        print(peak_beyond(run, chosen.device))
    else:
        show(rows(chosen, given.networks.split(","), batches), chosen)


if __name__ == "__main__":
    main()
