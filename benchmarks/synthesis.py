"""Feature visualisation, a step of ours against a step of lucent's ``render_vis``, and against the network alone.

The peer is torch-lucent itself (extra ``bench``). By itself it enlarges pictures below 224 pixels to that size before
each pass, and is measured so; and once more told to show the network the size asked for. The network alone is
torchvision's, frozen and channels last, forward to the layer (or the logits) and back to the pixels, and nothing else;
*bare* is as much as ours computes of it, by its own convolutions. VGG-16's weights are random: speed does not depend on
them.

``python -m benchmarks.synthesis [--size 128]``
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch

import cnnviz
from benchmarks.row import Row
from benchmarks.running import Setting, installed, operations, parser, setting, show
from cnnviz.network.network import Network
from cnnviz.runtime.malloc import tune_malloc
from cnnviz.synthesis.objectives import Channels, Classes, make_score
from cnnviz.synthesis.optimization import ImageOptimizer
from cnnviz.synthesis.optimizers import Adam
from cnnviz.synthesis.recipes import VisualizationObjective, lucid

STEPS = 12


@dataclass(frozen=True)
class Case:
    """What is visualised: a channel of ``layer`` (a convolution before its ReLU), or a class where there is none."""

    name: str
    layer: str | None
    index: int
    size: int

    def subject(self) -> Channels | Classes:
        return Channels(self.layer, (self.index,)) if self.layer else Classes((self.index,))

    def __str__(self) -> str:
        return f"{self.name}, {self.layer or 'a class'}, {self.size} px"


def cases(size: int) -> tuple[Case, ...]:
    """Two layers and a class of the embedded network, the class at the size that is the default, and a large one."""
    return (
        Case("squeezenet1_1", "features.9.expand3x3", 3, size),
        Case("squeezenet1_1", "features.12.expand3x3", 3, size),
        Case("squeezenet1_1", None, 130, size),
        Case("squeezenet1_1", None, 130, 224),
        Case("vgg16", "features.24", 3, size),
    )


def ours(network: Network, case: Case) -> Callable[[], None]:
    """Steps of the default recipe."""
    size = (case.size, case.size)
    ascent: ImageOptimizer = lucid(
        VisualizationObjective(network, make_score(network, case.subject()), 1, size, 10_000, torch.Generator())
    )

    def run() -> None:
        for _ in range(STEPS):
            ascent._step()

    return run


def bare(network: Network, case: Case) -> Callable[[], None]:
    """The score and its gradient by our own convolutions, and Adam's update of the pixels."""
    score = make_score(network, case.subject())
    pixels = torch.rand(1, 3, case.size, case.size, device=network.device, requires_grad=True)
    adam = Adam(1e-6)

    def evaluate() -> tuple[torch.Tensor, torch.Tensor]:
        value = score(pixels).sum()
        return value.detach(), torch.autograd.grad(value, pixels)[0]

    def run() -> None:
        for _ in range(STEPS):
            adam.step(pixels, evaluate)

    return run


def alone(case: Case, device: torch.device) -> Callable[[], None]:
    """Torchvision's network forward to the layer, or the logits, and back."""
    import torchvision
    from torchvision.models.feature_extraction import create_feature_extractor

    module = torchvision.models.get_model(case.name, weights=None).eval().requires_grad_(False)
    module = module.to(device, memory_format=torch.channels_last)
    cut = create_feature_extractor(module, {case.layer: "found"}) if case.layer else None
    pixels = torch.rand(1, 3, case.size, case.size, device=device).to(memory_format=torch.channels_last)
    pixels.requires_grad_()

    def run() -> None:
        for _ in range(STEPS):
            found = cut(pixels)["found"] if cut else module(pixels)
            torch.autograd.grad(found[:, case.index].mean(), pixels)

    return run


def peer(network: Network, case: Case, seen: int | None) -> Callable[[], None]:
    """Steps of lucent's ``render_vis`` on the same module; ``seen`` is the size it shows the network."""
    from lucent.optvis import param, render  # type: ignore[import-not-found]

    module = network.module
    module.requires_grad_(True)  # as its users have it
    place = case.layer.replace(".", "_") if case.layer else "labels"

    def run() -> None:
        render.render_vis(
            module,
            f"{place}:{case.index}",
            lambda: param.image(case.size),
            thresholds=(STEPS,),
            fixed_image_size=seen,
            progress=False,
            show_image=False,
        )

    return run


def rows(setting: Setting, size: int = 128) -> list[Row]:
    """A row for each case: milliseconds of a step."""
    warnings.filterwarnings("ignore")
    tune_malloc()  # as a run of ours does before its first step; the others have it too
    found = []
    for case in cases(size)[: 1 if setting.quick else None]:
        weights = None if case.name == "squeezenet1_1" else "random"
        nets = [cnnviz.load_network(case.name, weights=weights, device=str(setting.device)) for _ in range(2)]
        runs = {"ours": ours(nets[1], case), "bare": bare(nets[1], case), "alone": alone(case, setting.device)}
        count = operations(runs["ours"]) / STEPS
        if installed("lucent"):
            runs["peer"] = peer(nets[0], case, None)
            if case.size < 224:  # else it is the same
                runs["at size"] = peer(nets[0], case, case.size)
        spent = {run: 1e3 * value / STEPS for run, value in setting.compare(runs, 5).items()}
        if "peer" in spent:
            spent.setdefault("at size", spent["peer"])
        more = {
            **({"lucent at size": spent["at size"]} if "at size" in spent else {}),
            "network alone": spent["alone"],
            "beyond it, %": 100 * (spent["ours"] / spent["alone"] - 1),
            "bare": spent["bare"],
            "beyond bare, %": 100 * (spent["ours"] / spent["bare"] - 1),
        }
        found.append(Row(str(case), spent["ours"], "ms", spent.get("peer"), "lucent", operations=count, more=more))
    return found


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--size", type=int, default=128)
    given = options.parse_args()
    chosen = setting(given)
    show(rows(chosen, given.size), chosen)


if __name__ == "__main__":
    main()
