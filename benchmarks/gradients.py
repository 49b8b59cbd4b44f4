"""Gradient attributions against captum's: one picture of 224 px, milliseconds each.

Usage: python -m benchmarks.gradients [--networks squeezenet1_1,resnet18,…]

captum (extra ``bench``) has torchvision's module, contiguous and with parameters that want gradients, as its users
have it. SmoothGrad and integrated gradients take 16 samples, eight at a time in both. The difference is the largest
between the two maps, relative to captum's largest value; noise and quadrature differ, so those two have none. The
difference to float64 is that of saliency, with the ReLUs' masks held fixed; the share of the roofline is of the speed
at which ours would take the least time possible here. Weights are random but for SqueezeNet's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

import cnnviz
from benchmarks.exactness import difference_to_float64
from benchmarks.photos import Plain, photo
from benchmarks.roofline import least_seconds
from benchmarks.row import Row
from benchmarks.running import Setting, operations, parser, setting, show
from cnnviz.attribution.gradients import pixel_gradient
from cnnviz.network.default_layers import last_spatial_layer
from cnnviz.network.network import Network

NETWORKS = ("squeezenet1_1", "resnet18")
SAMPLES, BATCH, TARGET = 16, 8, 285

Pair = tuple[Callable[[], Tensor], Callable[[], Tensor]]


def pairs(network: Network, pixels: Tensor) -> dict[str, Pair]:
    """Ours and captum's of each technique."""
    from captum.attr import GuidedBackprop, IntegratedGradients, LayerGradCam, NoiseTunnel, Saliency

    plain = Plain(network)
    layer = last_spatial_layer(network)
    noisy, integrated = NoiseTunnel(Saliency(plain)), IntegratedGradients(plain)
    plain_saliency = partial(Saliency(plain).attribute, abs=False)
    given = {"target": TARGET}

    def theirs(attribute: Callable[..., Tensor], **options: object) -> Callable[[], Tensor]:
        return lambda: attribute(pixels.clone().requires_grad_(), **given, **options).detach()

    return {
        "saliency": (lambda: pixel_gradient(network, pixels, TARGET), theirs(plain_saliency)),
        "guided backprop": (
            lambda: cnnviz.guided_backprop(network, pixels, TARGET),
            theirs(GuidedBackprop(plain).attribute),
        ),
        "Grad-CAM": (
            lambda: cnnviz.grad_cam(network, pixels, TARGET, layer=layer),
            theirs(LayerGradCam(plain, _module(plain.module, layer)).attribute, relu_attributions=True),
        ),
        f"SmoothGrad, {SAMPLES}": (
            lambda: cnnviz.smoothgrad(network, pixels, TARGET, samples=SAMPLES),
            theirs(noisy.attribute, nt_samples=SAMPLES, nt_samples_batch_size=BATCH, stdevs=0.15, abs=False),
        ),
        f"integrated gradients, {SAMPLES}": (
            lambda: cnnviz.integrated_gradients(network, pixels, TARGET, steps=SAMPLES),
            theirs(integrated.attribute, n_steps=SAMPLES, internal_batch_size=BATCH),
        ),
    }


def _module(network: nn.Module, layer: str) -> nn.Module:
    """The module that gives a layer's output: the block, where the layer is its last operation."""
    while layer not in dict(network.named_modules()):
        layer = layer.rpartition(".")[0]
    return network.get_submodule(layer)


def compare(name: str, technique: str, pair: Pair, setting: Setting, more: Mapping[str, float]) -> Row:
    """One technique's row, to which ``more`` is added."""
    ours, theirs = pair
    spent = setting.compare({"ours": ours, "captum": theirs}, 5)
    one, other = ours(), theirs()
    found = {"of roofline, %": 100 * least_seconds(ours, setting.device) / spent["ours"]}
    if not technique[-1].isdigit():
        other = torch.nn.functional.interpolate(other, one.shape[2:], mode="bilinear")
        found["difference"] = float((one - other).abs().max() / other.abs().max())
    case = f"{technique}, {name}"
    return Row(
        case, 1e3 * spent["ours"], "ms", 1e3 * spent["captum"], "captum", operations(ours), more={**found, **more}
    )


def rows(setting: Setting, networks: Sequence[str] = NETWORKS) -> list[Row]:
    """A row for each network and technique."""
    pixels, found = photo(224, setting.device), []
    for name in networks[: 1 if setting.quick else None]:
        weights = None if name == "squeezenet1_1" else "random"
        network = cnnviz.load_network(name, weights=weights, device=str(setting.device))
        exact = {"saliency": {"to float64": difference_to_float64(network, pixels, TARGET)}}
        found += [
            compare(name, technique, pair, setting, exact.get(technique, {}))
            for technique, pair in pairs(network, pixels).items()
        ]
    return found


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--networks", default=",".join(NETWORKS), help="torchvision names, comma-separated")
    given = options.parse_args()
    chosen = setting(given)
    show(rows(chosen, given.networks.split(",")), chosen)


if __name__ == "__main__":
    main()
