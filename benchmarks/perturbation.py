"""RISE against a plain batched loop over the same masks, and other methods against captum's, side by side in one run.

Usage: python -m benchmarks.perturbation [--methods rise,ablation,…] [--masks 1000] [--rounds N]

For each method milliseconds a map at 224 px, interleaved medians, of SqueezeNet 1.1 with the embedded weights. The loop
is what users write: masks made before the clock runs, batches of 16, torchvision's network, ``inference_mode``. captum
has the same superpixels, as many images, batches of 16, and a network whose ReLUs are modules and not in place, which
DeepLIFT needs. Ours makes its masks within the time.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

import cnnviz
from benchmarks.row import Row
from benchmarks.running import Setting, parser, setting, show
from cnnviz.attribution.registry import METHODS
from cnnviz.attribution.rise import random_masks
from cnnviz.attribution.superpixels import superpixels
from cnnviz.network.network import Network

BATCH = 16
NAMES = ("rise", "ablation", "lime", "kernelshap", "deeplift", "gradientshap")

Run = Callable[[], object]


class Probabilities(nn.Module):
    """Probabilities of pixels by torchvision's network, each ReLU a module that keeps its input."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        import torchvision

        self.network = torchvision.models.squeezenet1_1(weights=None).eval().requires_grad_(False)
        self.network.load_state_dict(network.module.state_dict())
        for module in self.network.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (network.spec.mean, network.spec.std))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.network((pixels - self.mean) / self.std).softmax(1)
        return found


def loop(module: nn.Module, pixels: Tensor, masks: Tensor, target: int) -> Tensor:
    """RISE as one writes it: the image times each mask, the mean color elsewhere."""
    fill, total = pixels.mean((2, 3), keepdim=True), torch.zeros_like(pixels[:, :1])
    with torch.inference_mode():
        for some in masks.split(BATCH):
            scores = module(pixels * some + fill * (1 - some))[:, target]
            total += (scores[:, None, None, None] * some).sum(0, keepdim=True)
    return total / masks.sum(0, keepdim=True)


def peer(name: str, network: Network, pixels: Tensor, target: int, masks: int) -> Run:
    """The peer's way."""
    from captum.attr import DeepLift, FeatureAblation, GradientShap, KernelShap, Lime

    module = Probabilities(network).to(pixels.device)
    if name == "rise":
        made = random_masks(masks, 7, (pixels.shape[2], pixels.shape[3]), 0)(slice(0, masks)).to(pixels)
        return lambda: loop(module, pixels, made, target)
    fill = pixels.mean((2, 3), keepdim=True).expand_as(pixels)
    shared = {"target": target, "baselines": fill}
    regions = {**shared, "feature_mask": superpixels(pixels, 50)[None, None].to(pixels.device)}
    evaluated = {**regions, "perturbations_per_eval": BATCH}
    runs: dict[str, Run] = {
        "ablation": partial(FeatureAblation(module).attribute, pixels, **evaluated),
        "lime": partial(Lime(module).attribute, pixels, n_samples=masks, **evaluated),
        "kernelshap": partial(KernelShap(module).attribute, pixels, n_samples=masks, **evaluated),
        "deeplift": partial(DeepLift(module).attribute, pixels, **shared),
        "gradientshap": partial(GradientShap(module).attribute, pixels, n_samples=50, **shared),
    }
    return runs[name]


def compare(name: str, network: Network, pixels: Tensor, masks: int, setting: Setting) -> Row:
    """One method's row."""
    target, method = int(network(pixels).argmax()), METHODS[name]
    runs = {
        "ours": lambda: method(network, pixels, target, **method.accepted(masks=masks)),
        "peer": peer(name, network, pixels, target, masks),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum's, about its hooks
        seconds = setting.compare(runs, 3)
    against = "a batched loop" if name == "rise" else "captum"
    many = f", {masks} masks" if "masks" in method.settings else ""
    return Row(f"{name}{many}", 1e3 * seconds["ours"], "ms", peer=1e3 * seconds["peer"], against=against)


def rows(setting: Setting, names: Sequence[str] = NAMES, masks: int = 1000) -> list[Row]:
    """A row for each method."""
    network = cnnviz.load_network("squeezenet1_1", device=str(setting.device))
    size, masks = (96, min(masks, 64)) if setting.quick else (224, masks)
    pixels = cnnviz.read_image("sample_images/chelsea.png", size=size, crop=True).to(setting.device)
    return [compare(name, network, pixels, masks, setting) for name in names]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--methods", default=",".join(NAMES), help="names, comma-separated")
    options.add_argument("--masks", type=int, default=1000, help="of RISE, LIME and KernelSHAP")
    given = options.parse_args()
    chosen = setting(given)
    show(rows(chosen, given.methods.split(","), given.masks), chosen)


if __name__ == "__main__":
    main()
