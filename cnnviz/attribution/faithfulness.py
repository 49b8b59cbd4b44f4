"""Tests of attribution maps: deletion and insertion curves, and comparison with a randomized network."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from cnnviz.attribution.occlusion import replicate_blur
from cnnviz.attribution.targets import Target, measures, targets_of
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.imaging.image_metrics import ssim
from cnnviz.imaging.map_ops import normalize
from cnnviz.imaging.pixels import to_pil_image
from cnnviz.network.network import Network

Attribute = Callable[[Network, Tensor], Tensor]
"""An attribution method: network and pixels (N, 3, H, W) -> maps (N, 1, H, W)."""

_MAX_DRAWS = 10
_BATCH = 8
_GRAY = 0.5


@dataclass(frozen=True)
class FaithfulnessCurve:
    """The probability of a class as pixels are deleted or inserted in the order of a map.

    Args:
        shares: (K,), the fractions of pixels changed, from 0 to 1.
        probabilities: (N, K), the probability of each image's class at those fractions.
    """

    shares: Tensor
    probabilities: Tensor

    @property
    def area(self) -> Tensor:
        """The area under each image's curve by the trapezoid rule, (N,) in [0, 1]."""
        return torch.trapezoid(self.probabilities.double(), self.shares.double(), dim=1)


def deletion_curve(
    network: Network,
    pixels: Tensor,
    saliency_map: Tensor,
    target: Target = None,
    *,
    steps: int = 32,
    batch: int | None = None,
) -> FaithfulnessCurve:
    """Probability of the class as pixels are replaced by gray, the most important first; a small area is good.

    Petsiuk, Das & Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018,
    arXiv:1806.07421. As in the authors' code, the gray is the mean color the network was trained with. Unlike there,
    the steps are equal fractions of the image, not 224 pixels.

    Args:
        network: the network that was explained.
        pixels: (N, 3, H, W), RGB in [0, 1].
        saliency_map: (N, 1, H, W), larger where more important; of equal pixels the upper, then the left one is first.
        target: the class explained; the class predicted for each image if None.
        steps: number of equal steps.
        batch: changed images in a forward pass; 8, or what suits a program best, if None.

    Raises:
        UsageError: no such class, maps of another size than the images, or no steps.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> curve = cnnviz.deletion_curve(network, pixels, cnnviz.saliency(network, pixels), steps=4)
        >>> curve.probabilities.shape
        torch.Size([1, 5])
    """
    return _curve(
        network, pixels, saliency_map, target, steps, batch, lambda image: (image, _mean_color(network, image))
    )


def insertion_curve(
    network: Network,
    pixels: Tensor,
    saliency_map: Tensor,
    target: Target = None,
    *,
    steps: int = 32,
    batch: int | None = None,
    blur: float = 5.0,
) -> FaithfulnessCurve:
    """Probability of the class as a blurred image is restored, the most important pixels first; a large area is good.

    Petsiuk, Das & Saenko, BMVC 2018, arXiv:1806.07421. ``blur`` is the standard deviation of the Gaussian in pixels: 5,
    as in the authors' code, which cuts it off at 5 pixels; this one at 15. Other arguments and errors are those of
    ``deletion_curve``.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> curve = cnnviz.insertion_curve(network, pixels, cnnviz.saliency(network, pixels), steps=4)
        >>> curve.area.shape
        torch.Size([1])
    """
    return _curve(
        network, pixels, saliency_map, target, steps, batch, lambda image: (replicate_blur(image, blur), image)
    )


@torch.no_grad()
def _curve(
    network: Network,
    pixels: Tensor,
    saliency_map: Tensor,
    target: Target,
    steps: int,
    batch: int | None,
    ends: Callable[[Tensor], tuple[Tensor, Tensor]],
) -> FaithfulnessCurve:
    """Probabilities while pixels change from the first to the second image of ``ends``, in the map's order."""
    if steps < 1 or (batch is not None and batch < 1):
        raise UsageError("A curve needs at least one step, and batches of at least one image.")
    pixels = require_pixels(pixels, network.spec.channels)
    if saliency_map.shape != (pixels.shape[0], 1, *pixels.shape[2:]):
        raise UsageError(
            f"Pixels {tuple(pixels.shape)} need maps of the same height and width, not {tuple(saliency_map.shape)}."
        )
    pixels = pixels.to(network.device)
    if batch is None:
        batch = network.black_box.batch_size((pixels.shape[2], pixels.shape[3])) if network.black_box else _BATCH
    targets = targets_of(network, network(pixels), target)
    shares = torch.arange(steps + 1, dtype=torch.float64) / steps
    counts = (shares * pixels[0, 0].numel()).round().long().to(pixels.device)
    rows = []
    for image, found, one in zip(pixels.split(1), saliency_map, targets, strict=True):
        before, after = ends(image)
        ranks = _order(found).to(pixels.device)
        parts = []
        for some in counts.split(batch):
            changed = torch.where(ranks < some.view(-1, 1, 1, 1), after, before)
            parts.append(measures(network, network(changed), one).cpu())
        rows.append(torch.cat(parts))
    return FaithfulnessCurve(shares, torch.stack(rows))


def _order(found: Tensor) -> Tensor:
    """Each pixel's rank (1, H, W), from 0 for the largest value of a map (1, H, W)."""
    places = torch.empty(found.numel(), dtype=torch.long)
    places[found.detach().cpu().flatten().argsort(descending=True, stable=True)] = torch.arange(found.numel())
    return places.view(found.shape)


def _mean_color(network: Network, image: Tensor) -> Tensor:
    """An image of the mean color of the network's normalization; of a program, which has none, in gray."""
    if network.black_box and not network.black_box.is_normalized:
        return torch.full_like(image, _GRAY)
    return image.new_tensor(network.spec.pixel_mean).view(1, -1, 1, 1).expand_as(image)


@dataclass(frozen=True)
class RandomizationStep:
    """The similarity between the maps of a network and of its randomized copy.

    Args:
        layer: the first randomized layer: all from there to the logits are; None if the whole network is.
        maps: (N, 1, H, W), those of the copy.
        ssim: (N,), structural similarity, 1 for equal maps.
        rank_correlation: (N,), Spearman's, 1 for equal maps.
    """

    layer: str | None
    maps: Tensor
    ssim: Tensor
    rank_correlation: Tensor


def randomization_check(
    network: Network, pixels: Tensor, attribute: Attribute, *, cascading: bool = False, seed: int = 0
) -> list[RandomizationStep]:
    """Similarity of maps to those of the network with random weights: near 1, they do not depend on what it learned.

    Adebayo, Gilmer, Muelly, Goodfellow, Hardt & Kim, "Sanity Checks for Saliency Maps", NeurIPS 2018,
    arXiv:1810.03292. A map that hardly changes shows the image's edges, not the network's reasons. The measures are the
    paper's SSIM (of the maps scaled to [0, 1], clipped at the 99th percentile) and Spearman's rank correlation (of the
    values with their signs), which is 0 for a constant map.

    Args:
        network: the network to explain; it is copied and stays as it is.
        pixels: (N, 3, H, W), RGB in [0, 1].
        attribute: the method, as ``lambda net, x: cnnviz.saliency(net, x, 285)``. Name the class: the copy predicts
            another one.
        cascading: randomize layer after layer from the logits down, a step for each, as in the paper's figure 2;
            otherwise everything in one step.
        seed: of the random weights.

    Returns:
        The steps, from the least to the most randomized.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> steps = cnnviz.randomization_check(network, pixels, lambda net, x: cnnviz.saliency(net, x, 285))
        >>> [step.maps.shape for step in steps]
        [torch.Size([1, 1, 64, 96])]
    """
    if network.black_box:
        raise UsageError(f"{network.name} only gives scores: it has no weights to randomize.")
    own = attribute(network, pixels)
    copied = _copy(network)
    owners = _modules_with_parameters(copied)
    stages = [(name, [module]) for name, module in owners] if cascading else [(None, [m for _, m in owners])]
    generator = torch.Generator().manual_seed(seed)
    steps = []
    for layer, modules in stages:
        maps = _maps_with_random_weights(copied, modules, generator, pixels, attribute)
        pairs = list(zip(own, maps, strict=True))
        similarities = torch.tensor([map_ssim(one, other) for one, other in pairs])
        correlations = torch.tensor([rank_correlation(one, other) for one, other in pairs])
        steps.append(RandomizationStep(layer, maps, similarities, correlations))
    return steps


def randomized(network: Network, seed: int = 0) -> Network:
    """A copy of the network with random weights.

    Weights are drawn as by He et al. 2015 (arXiv:1502.01852), biases are zero, normalizations as in PyTorch.
    """
    copied = _copy(network)
    generator = torch.Generator().manual_seed(seed)
    for _, module in _modules_with_parameters(copied):
        _randomize(module, generator)
    return copied


def _maps_with_random_weights(
    network: Network, modules: Sequence[nn.Module], generator: torch.Generator, pixels: Tensor, attribute: Attribute
) -> Tensor:
    """Maps after ``modules`` are randomized, repeated while a map is constant.

    A random network may have a zero gradient for a class: SqueezeNet's logits are the output of a ReLU, which is zero
    for half the classes. A constant map would count as dissimilar.
    """
    for _ in range(_MAX_DRAWS):
        for module in modules:
            _randomize(module, generator)
        maps = attribute(network, pixels).detach()
        if all(bool(found.min() < found.max()) for found in maps):
            break
    return maps


def _copy(network: Network) -> Network:
    """A deep copy of the network, whose weights can be changed without changing the original."""
    with torch.inference_mode(False):
        return replace(network, module=copy.deepcopy(network.body), alterations=())


def _modules_with_parameters(network: Network) -> list[tuple[str, nn.Module]]:
    """The modules with parameters of their own, by name, from the logits down (the last defined first)."""
    return [(name, module) for name, module in network.module.named_modules() if list(_own_parameters(module))][::-1]


def _own_parameters(module: nn.Module) -> Iterator[Tensor]:
    return module.parameters(recurse=False)


@torch.no_grad()
def _randomize(module: nn.Module, generator: torch.Generator) -> None:
    """Initialize a module's own parameters, not its children's, at random."""
    if isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm):
        module.reset_parameters()
        return
    for parameter in _own_parameters(module):
        if parameter.ndim < 2:
            parameter.zero_()
            continue
        drawn = torch.randn(parameter.shape, generator=generator) * math.sqrt(2 / parameter[0].numel())
        parameter.copy_(drawn)


def map_ssim(one: Tensor, other: Tensor) -> float:
    """Structural similarity of two maps drawn in gray: 1 if equal, near 0 if unrelated."""
    signed = bool((one < 0).any() or (other < 0).any())
    shown = [normalize(found, 99.0, signed) for found in (one, other)]
    return ssim(*(to_pil_image((values + 1) / 2 if signed else values) for values in shown))


def rank_correlation(one: Tensor, other: Tensor) -> float:
    """Spearman's rank correlation of two maps of the same size, in [-1, 1]; 0 if one is constant."""
    ranks = [_mean_ranks(found) for found in (one, other)]
    centered = [values - values.mean() for values in ranks]
    size = centered[0].norm() * centered[1].norm()
    return float((centered[0] * centered[1]).sum() / size) if size > 0 else 0.0


def _mean_ranks(found: Tensor) -> Tensor:
    """The rank of each value, (number of values,); equal values get their mean rank."""
    _, which, counts = found.detach().cpu().double().flatten().unique(return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    return (ends - (counts - 1) / 2)[which]
