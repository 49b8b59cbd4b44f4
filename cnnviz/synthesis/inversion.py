"""Feature inversion: an image with the same features at one layer as a photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cnnviz.imaging.checks import require_pixels
from cnnviz.network.checks import require_photos
from cnnviz.network.feature_network import LayerLike
from cnnviz.network.network import Network
from cnnviz.runtime.progress import OnStep
from cnnviz.synthesis.feature_statistics import relative_error
from cnnviz.synthesis.optimization import ImageOptimizer, Parameterization, Schedule, Terms, cosine
from cnnviz.synthesis.optimizers import LBFGS, Adam, Optimizer
from cnnviz.synthesis.parameterization import Fourier, Pixels
from cnnviz.synthesis.regularizers import out_of_range, total_variation
from cnnviz.synthesis.settings import InversionSettings, build_settings

_SCALE = 1e3
"""Factor of the loss: L-BFGS stops at changes below an absolute bound."""


@torch.inference_mode(False)
def invert(
    network: Network,
    pixels: Tensor,
    layer: LayerLike,
    *,
    settings: InversionSettings | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
    **options: Any,
) -> Tensor:
    """An image reconstructed from one layer's features of a photo, starting from gray noise.

    Mahendran & Vedaldi, "Understanding deep image representations by inverting them", CVPR 2015, arXiv:1412.0035:
    minimizes ``|Φ(x) - Φ(photo)|² / |Φ(photo)|²``, plus total variation and a penalty for values out of range. Unlike
    the paper, the image is parameterized by its Fourier spectrum in decorrelated colors and optimized by L-BFGS: in
    that metric what the features leave undetermined comes out as in photos, mostly coarse and of natural color, where
    plain pixels come out as noise on gray.

    Args:
        network: the network whose features they are, with its own pooling.
        pixels: the photo (1, 3, H, W), RGB in [0, 1]; only the layer's features of it are used.
        layer: any layer, also a fully connected one, by name or as a submodule of your own module.
        settings: None takes the defaults of ``InversionSettings``.
        seed: of the initial noise.
        on_step: called after every step; ``terms`` holds the relative feature ``error`` and the ``variation``.
        options: fields of ``InversionSettings``, which replace those of ``settings``: ``steps``, ``optimizer``,
            ``prior``, ``tv_weight``, ``tv_beta``.

    Returns:
        Pixels (1, 3, H, W) in [0, 1].

    Raises:
        UsageError: no such layer, optimizer or prior.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.invert(network, pixels, "fire4", steps=2).shape
        torch.Size([1, 3, 64, 96])
    """
    require_photos(network, "An inversion")
    chosen = build_settings(InversionSettings, settings, options)
    pixels, layer = require_pixels(pixels), network.layer_name(layer)
    with torch.no_grad():
        wanted = network.features(pixels, [layer])[layer]
    generator = torch.Generator().manual_seed(seed)
    parameterization = _parameterize(chosen.prior, pixels, network, generator)

    def objective(image: Tensor) -> tuple[Tensor, Terms]:
        error = relative_error(network.features(image, [layer])[layer], wanted)
        variation = chosen.tv_weight * total_variation(image, chosen.tv_beta).sum()
        loss = error + variation + 10 * out_of_range(image).sum()
        return _SCALE * loss, {"error": error.detach(), "variation": variation.detach()}

    optimizer, schedule = _optimizer(chosen.optimizer)
    run = ImageOptimizer(parameterization, objective, optimizer, chosen.steps, schedule, generator=generator)
    return run.run(on_step)


def feature_error(network: Network, pixels: Tensor, photo: Tensor, layers: Sequence[str]) -> dict[str, float]:
    """The relative error ``|Φ(pixels) - Φ(photo)|² / |Φ(photo)|²`` of each layer, by name."""
    with torch.no_grad():
        found, wanted = network.features(pixels, layers), network.features(photo, layers)
    return {layer: float(relative_error(found[layer], wanted[layer])) for layer in layers}


def _parameterize(prior: str, like: Tensor, network: Network, generator: torch.Generator) -> Parameterization:
    size = (like.shape[2], like.shape[3])
    if prior == "fourier":
        return Fourier(size, decay=1.1, generator=generator, device=network.device)
    noise = 0.5 + 0.02 * torch.randn(1, 3, *size, generator=generator)
    return Pixels(noise.to(network.device), bounded=False)


def _optimizer(name: str) -> tuple[Optimizer, Schedule | None]:
    if name == "lbfgs":
        return LBFGS(history=50, growth=4.0, guard=4.0), None
    return Adam(0.05), cosine
