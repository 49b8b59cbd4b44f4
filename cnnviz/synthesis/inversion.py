"""Feature inversion: what of a photo a layer still knows, painted from its features alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.network.network import Network
from cnnviz.runtime.progress import OnStep
from cnnviz.synthesis.feature_statistics import relative_error
from cnnviz.synthesis.optimization import ImageOptimizer, Parameterization, Schedule, Terms, cosine
from cnnviz.synthesis.optimizers import LBFGS, Adam, Optimizer
from cnnviz.synthesis.parameterization import Fourier, Pixels
from cnnviz.synthesis.regularizers import out_of_range, total_variation

_SCALE = 1e3
"""What the loss is multiplied by: L-BFGS stops at changes below an absolute bound."""


@torch.inference_mode(False)
def invert(
    network: Network,
    pixels: Tensor,
    layer: str,
    *,
    steps: int = 80,
    optimizer: str = "lbfgs",
    prior: str = "fourier",
    tv_weight: float = 2.0,
    tv_beta: float = 2.0,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Paint a picture that has the features of a photo, starting from grey noise.

    Mahendran & Vedaldi, "Understanding deep image representations by inverting them", CVPR 2015, arXiv:1412.0035:
    minimise ``|Φ(x) - Φ(photo)|² / |Φ(photo)|²``, plus total variation and a penalty for values out of range. Opposed
    to the paper, the picture is described by its Fourier spectrum in decorrelated colours and moved by L-BFGS: in
    that metric what the features leave open comes out as in photos, mostly coarse and of natural colour, where plain
    pixels come out as noise on grey.

    Args:
        network: the network whose features they are; unaltered, with its own pooling.
        pixels: the photo (1, 3, H, W) in [0, 1]; nothing of it but the layer's features is used.
        layer: any layer, also a fully connected one.
        steps: forward and backward passes.
        optimizer: ``lbfgs``, or ``adam``, which needs more steps.
        prior: ``fourier``, or ``pixels`` for the plain recipe.
        tv_weight: of the mean total variation.
        tv_beta: exponent of the total variation, 1 to 2.
        seed: of the noise it starts from.
        on_step: called after every step; its terms are the relative feature error and the penalties.

    Returns:
        Pixels (1, 3, H, W) in [0, 1].

    Raises:
        UsageError: no such layer, optimizer or prior.
    """
    pixels = require_pixels(pixels)
    with torch.no_grad():
        wanted = network.features(pixels, [layer])[layer]
    chance = torch.Generator().manual_seed(seed)
    picture = _picture(prior, pixels, network, chance)

    def objective(image: Tensor) -> tuple[Tensor, Terms]:
        error = relative_error(network.features(image, [layer])[layer], wanted)
        calm = tv_weight * total_variation(image, tv_beta).sum()
        loss = error + calm + 10 * out_of_range(image).sum()
        return _SCALE * loss, {"error": error.detach(), "variation": calm.detach()}

    mover, schedule = _optimizer(optimizer)
    return ImageOptimizer(picture, objective, mover, steps, schedule, generator=chance).run(on_step)


def feature_error(network: Network, pixels: Tensor, photo: Tensor, layers: Sequence[str]) -> dict[str, float]:
    """``|Φ(pixels) - Φ(photo)|² / |Φ(photo)|²`` of each layer."""
    with torch.no_grad():
        found, wanted = network.features(pixels, layers), network.features(photo, layers)
    return {layer: float(relative_error(found[layer], wanted[layer])) for layer in layers}


def _picture(prior: str, like: Tensor, network: Network, chance: torch.Generator) -> Parameterization:
    size = (like.shape[2], like.shape[3])
    if prior == "fourier":
        return Fourier(size, decay=1.1, generator=chance, device=network.device)
    if prior == "pixels":
        noise = 0.5 + 0.02 * torch.randn(1, 3, *size, generator=chance)
        return Pixels(noise.to(network.device), bounded=False)
    raise UsageError(f"There is no prior '{prior}'; there are fourier and pixels.")


def _optimizer(name: str) -> tuple[Optimizer, Schedule | None]:
    if name == "lbfgs":
        return LBFGS(history=50, growth=4.0, guard=4.0), None
    if name == "adam":
        return Adam(0.05), cosine
    raise UsageError(f"There is no optimizer '{name}'; there are lbfgs and adam.")
