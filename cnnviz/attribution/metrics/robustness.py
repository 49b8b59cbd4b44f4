"""Whether a map tells what small changes of the pixels do to the score, and whether it stays as it is under them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from cnnviz.attribution.targets import Target, target_scores, targets_of
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.network.network import Network

_BATCH = 8


@torch.no_grad()
def infidelity(
    network: Network,
    pixels: Tensor,
    saliency_map: Tensor,
    target: Target = None,
    *,
    samples: int = 32,
    sigma: float = 0.1,
    normalize: bool = True,
    seed: int = 0,
) -> Tensor:
    """How far a map is from what noise does to the score: mean (Σ noise · map − change of the score)², (N,); 0 is best.

    Yeh, Hsieh, Suggala, Inouye & Ravikumar, "On the (In)fidelity and Sensitivity of Explanations", NeurIPS 2019,
    arXiv:1901.09392; the same numbers as ``captum.metrics.infidelity`` for the same noise.

    Args:
        network: the network that was explained.
        pixels: (N, C, H, W) in [0, 1].
        saliency_map: (N, 1, H, W), or (N, C, H, W) with a value for each channel.
        target: the class explained, whose logit is the score; the class predicted for each image if None.
        samples: how often noise is subtracted from the image.
        sigma: standard deviation of the noise, the same in all channels for maps with one.
        normalize: scale each map as suits the changes best: only its shape counts then, not its unit.
        seed: of the noise.

    Raises:
        UsageError: no such class, maps of another size than the images, or fewer than one sample.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.infidelity(network, pixels, cnnviz.saliency(network, pixels), samples=4).shape
        torch.Size([1])
    """
    pixels = require_pixels(pixels, network.spec.channels).to(network.device)
    if saliency_map.shape not in [(len(pixels), channels, *pixels.shape[2:]) for channels in (1, pixels.shape[1])]:
        raise UsageError(
            f"Pixels {tuple(pixels.shape)} need maps of the same height and width, not {tuple(saliency_map.shape)}."
        )
    if samples < 1:
        raise UsageError("Infidelity needs at least one sample.")
    generator, found = torch.Generator().manual_seed(seed), []
    logits = network(pixels)
    for image, one, clean, wanted in zip(
        pixels.split(1), saliency_map.split(1), logits.split(1), targets_of(network, logits, target), strict=True
    ):
        noise = sigma * torch.randn(samples, *one.shape[1:], generator=generator).to(image)
        noisy = [network.logits(image - part) for part in noise.split(_BATCH)]
        drops = target_scores(network, clean, wanted) - target_scores(network, torch.cat(noisy), [wanted] * samples)
        found.append(_misfit((one.to(image) * noise).flatten(1).sum(1), drops, normalize))
    return torch.stack(found).cpu()


def _misfit(said: Tensor, drops: Tensor, normalize: bool) -> Tensor:
    """The mean squared difference between predicted and true changes of the score, with the best scale if wanted."""
    if normalize:
        square = said.square().sum()
        said = said * torch.where(square > 0, (said * drops).sum() / square.clamp_min(1e-30), 1.0)
    return (said - drops).square().mean()


def sensitivity_max(
    pixels: Tensor,
    attribute: Callable[[Tensor], Tensor],
    *,
    samples: int = 10,
    radius: float = 0.02,
    seed: int = 0,
) -> Tensor:
    """How much a map can change with an invisible change of the image: the largest ‖change‖ / ‖map‖, (N,); 0 is best.

    Yeh et al., NeurIPS 2019, arXiv:1901.09392; the same numbers as ``captum.metrics.sensitivity_max`` for the same
    noise, but that the noisy image is clipped to [0, 1]. A map that knows nothing of the image has 0 as well: it says
    how steady a map is, not how true.

    Args:
        pixels: (N, C, H, W) in [0, 1].
        attribute: the method: pixels -> maps (N, 1, H, W). Name the class, which noise could change.
        samples: of noise, uniform within the radius.
        radius: the largest change of a pixel.
        seed: of the noise.

    Raises:
        UsageError: fewer than one sample.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.sensitivity_max(pixels, lambda x: cnnviz.saliency(network, x, "tabby"), samples=2).shape
        torch.Size([1])
    """
    if samples < 1:
        raise UsageError("Sensitivity needs at least one sample.")
    generator = torch.Generator().manual_seed(seed)
    clean = attribute(pixels).detach().cpu()
    sizes = _norms(clean)
    sizes = torch.where(sizes == 0, torch.ones_like(sizes), sizes)
    changes = []
    for _ in range(samples):
        noise = radius * (2 * torch.rand(pixels.shape, generator=generator) - 1)
        changes.append(_norms(attribute((pixels + noise.to(pixels)).clamp(0, 1)).detach().cpu() - clean) / sizes)
    return torch.stack(changes).amax(0)


def _norms(maps: Tensor) -> Tensor:
    return maps.flatten(1).norm(dim=1)
