"""Class activation maps against pytorch-grad-cam's, side by side in one run.

Usage: python -m benchmarks.attribution [--network squeezenet1_1] [--methods scorecam,ablationcam,…] [--rounds N]

For each method milliseconds a map at 224 px, interleaved medians, of the last feature maps, one image at a time; and
the largest difference between the two maps, each scaled to [0, 1]. Both have the same weights: the embedded ones of
SqueezeNet 1.1, random ones of other networks. The peer has the network as its users have it, as torchvision makes it;
we hold it as ``load_network`` does. RefineCAM multiplies two layers.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr

import torch
from torch import Tensor

import cnnviz
from benchmarks.row import Row
from benchmarks.running import Setting, installed, parser, setting, show
from cnnviz.attribution.cam_layers import min_max
from cnnviz.attribution.registry import METHODS
from cnnviz.network.network import Network

PEERS = {
    "gradcam": "GradCAM",
    "gradcam++": "GradCAMPlusPlus",
    "hirescam": "HiResCAM",
    "xgradcam": "XGradCAM",
    "layercam": "LayerCAM",
    "scorecam": "ScoreCAM",
    "ablationcam": "AblationCAM",
    "eigencam": "EigenCAM",
    "finercam": "FinerCAM",
    "refinecam": "RefineCAM",
    "shapleycam": "ShapleyCAM",
}
"""Our methods and the peer's classes."""

LAYERS = {"squeezenet1_1": ("features.7", "features.12"), "resnet18": ("layer2", "layer4")}
_LONG = ("scorecam", "ablationcam")
_PEERS_EPSILON = 1e-6  # in the denominator of its Grad-CAM++

Run = Callable[[], Tensor]


def ours(network: Network, pixels: Tensor, target: int, name: str, layers: Sequence[str]) -> Run:
    """Our map (1, 1, H, W)."""
    settings = {"epsilon": _PEERS_EPSILON} if name in ("gradcam++", "refinecam") else {}
    return lambda: METHODS[name](network, pixels, target, layer=layers, **settings)


def theirs(network: Network, pixels: Tensor, target: int, name: str, layers: Sequence[str]) -> Run:
    """The peer's map (1, 1, H, W), of a network as torchvision makes it."""
    import pytorch_grad_cam as peer
    import torchvision
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputReST, ClassifierOutputTarget

    module = torchvision.models.get_model(network.name, weights=None).eval().to(network.device)
    module.load_state_dict(network.module.state_dict())
    kind = ClassifierOutputReST if name == "shapleycam" else ClassifierOutputTarget
    targets = None if name == "finercam" else [kind(target)]  # which finds the classes itself
    method = getattr(peer, PEERS[name])(module, [module.get_submodule(layer) for layer in layers])
    normalized = network.normalize(pixels)

    def run() -> Tensor:
        with redirect_stderr(io.StringIO()):  # its progress bars
            return torch.from_numpy(method(normalized, targets))[None]

    return run


def compare(name: str, network: Network, pixels: Tensor, setting: Setting) -> Row:
    """One method's row."""
    target = int(network(pixels).argmax())
    several = LAYERS[network.name]
    layers = several if name == "refinecam" else several[-1:]
    runs = {
        "ours": ours(network, pixels, target, name, layers),
        "peer": theirs(network, pixels, target, name, layers),
    }
    found = {whose: min_max(run().to(pixels)) for whose, run in runs.items()}
    difference = float((found["ours"] - found["peer"]).abs().max())
    seconds = setting.compare(runs, 3 if name in _LONG else 15)
    return Row(
        f"{name}, {network.name}",
        1e3 * seconds["ours"],
        "ms",
        peer=1e3 * seconds["peer"],
        against="pytorch-grad-cam",
        more={} if name == "eigencam" else {"difference": difference},  # the sign of the peer's is arbitrary
    )


def rows(setting: Setting, name: str = "squeezenet1_1", methods: Sequence[str] = tuple(PEERS)) -> list[Row]:
    """A row for each method."""
    if not installed("pytorch_grad_cam"):
        return []
    weights = None if name == "squeezenet1_1" else "random"
    network = cnnviz.load_network(name, weights=weights, device=str(setting.device))
    size = 96 if setting.quick else 224
    pixels = cnnviz.read_image("sample_images/chelsea.png", size=size, crop=True).to(setting.device)
    return [compare(method, network, pixels, setting) for method in methods]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--network", default="squeezenet1_1", choices=tuple(LAYERS))
    options.add_argument("--methods", default=",".join(PEERS), help="names, comma-separated")
    given = options.parse_args()
    chosen = setting(given)
    show(rows(chosen, given.network, given.methods.split(",")), chosen)


if __name__ == "__main__":
    main()
