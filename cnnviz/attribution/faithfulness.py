"""Whether a map can be trusted: deletion and insertion curves, and the comparison with a randomised network."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from cnnviz.attribution.occlusion import replicate_blur
from cnnviz.attribution.targets import Target, target_indices
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.imaging.image_metrics import ssim
from cnnviz.imaging.map_ops import normalize
from cnnviz.imaging.pixels import to_pil_image
from cnnviz.network.network import Network

Attribute = Callable[[Network, Tensor], Tensor]
"""A way to explain: network and pixels (N, 3, H, W) -> maps (N, 1, H, W)."""

_DRAWS = 10


@dataclass(frozen=True)
class FaithfulnessCurve:
    """How a class's probability changes as the picture is taken away or brought in, most important pixels first.

    ``shares`` (K,) are the shares of pixels changed, from 0 to 1; ``probabilities`` (N, K) those of each picture.
    """

    shares: Tensor
    probabilities: Tensor

    @property
    def area(self) -> Tensor:
        """The area under each picture's curve by the trapezoid rule, (N,) in [0, 1]."""
        return torch.trapezoid(self.probabilities.double(), self.shares.double(), dim=1)


def deletion_curve(
    network: Network, pixels: Tensor, saliency_map: Tensor, target: Target = None, *, steps: int = 32, batch: int = 8
) -> FaithfulnessCurve:
    """The class's probability as the most important pixels are replaced by grey first: it should fall at once.

    Petsiuk, Das & Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018,
    arXiv:1806.07421. A small area under the curve speaks for the map. As in the authors' code the grey is the mean
    colour the network was trained with; opposed to there the steps are equal shares of the picture, not 224 pixels.

    Args:
        network: the network that was explained.
        pixels: (N, 3, H, W), RGB in [0, 1].
        saliency_map: (N, 1, H, W), larger where it matters more; of equals, the pixel further up or left goes first.
        target: the class explained; each picture's likeliest if None.
        steps: how many equal shares.
        batch: changed pictures seen at once.

    Raises:
        UsageError: no such class, maps of another size than the pictures, or no steps.
    """
    return _curve(
        network, pixels, saliency_map, target, steps, batch, lambda picture: (picture, _mean(network, picture))
    )


def insertion_curve(
    network: Network,
    pixels: Tensor,
    saliency_map: Tensor,
    target: Target = None,
    *,
    steps: int = 32,
    batch: int = 8,
    blur: float = 5.0,
) -> FaithfulnessCurve:
    """The class's probability as the most important pixels come into a blurred picture: it should rise at once.

    From the same paper; a large area speaks for the map. ``blur`` is the Gaussian's deviation in pixels, 5 as in the
    authors' code, where it is cut off at 5 pixels, here at 15. The other arguments are those of ``deletion_curve``.
    """
    return _curve(
        network, pixels, saliency_map, target, steps, batch, lambda picture: (replicate_blur(picture, blur), picture)
    )


@torch.no_grad()
def _curve(
    network: Network,
    pixels: Tensor,
    saliency_map: Tensor,
    target: Target,
    steps: int,
    batch: int,
    ends: Callable[[Tensor], tuple[Tensor, Tensor]],
) -> FaithfulnessCurve:
    """Probabilities on the way between the two pictures that ``ends`` gives, pixel after pixel in the map's order."""
    if steps < 1 or batch < 1:
        raise UsageError("A curve needs at least one step, and batches of at least one picture.")
    pixels = require_pixels(pixels)
    if saliency_map.shape != (pixels.shape[0], 1, *pixels.shape[2:]):
        raise UsageError(
            f"Pixels {tuple(pixels.shape)} need maps of the same height and width, not {tuple(saliency_map.shape)}."
        )
    pixels = pixels.to(network.device)
    indices = target_indices(network, network(pixels), target).tolist()
    shares = torch.arange(steps + 1, dtype=torch.float64) / steps
    counts = (shares * pixels[0, 0].numel()).round().long().to(pixels.device)
    rows = []
    for picture, found, index in zip(pixels.split(1), saliency_map, indices, strict=True):
        before, after = ends(picture)
        ranks = _order(found).to(pixels.device)
        parts = []
        for some in counts.split(batch):
            changed = torch.where(ranks < some.view(-1, 1, 1, 1), after, before)
            parts.append(network.probabilities(network(changed))[:, index].cpu())
        rows.append(torch.cat(parts))
    return FaithfulnessCurve(shares, torch.stack(rows))


def _order(found: Tensor) -> Tensor:
    """Each pixel's place, from 0, when the pixels of a map (1, H, W) stand from the largest to the least."""
    places = torch.empty(found.numel(), dtype=torch.long)
    places[found.detach().cpu().flatten().argsort(descending=True, stable=True)] = torch.arange(found.numel())
    return places.view(found.shape)


def _mean(network: Network, picture: Tensor) -> Tensor:
    """A picture of nothing but the mean colour of the network's normalisation."""
    return picture.new_tensor(network.spec.mean).view(1, -1, 1, 1).expand_as(picture)


@dataclass(frozen=True)
class RandomizationStep:
    """How alike the maps of the network and of its randomised copy are.

    ``layer``: the deepest randomised layer, all from there up to the logits are; None where the whole network is.
    ``maps`` (N, 1, H, W) are the copy's; ``ssim`` and ``rank_correlation`` are (N,), 1 where nothing changed.
    """

    layer: str | None
    maps: Tensor
    ssim: Tensor
    rank_correlation: Tensor


def randomization_check(
    network: Network, pixels: Tensor, attribute: Attribute, *, cascading: bool = False, seed: int = 0
) -> list[RandomizationStep]:
    """Whether a map depends on what the network has learned: explain again with random weights, and compare.

    Adebayo, Gilmer, Muelly, Goodfellow, Hardt & Kim, "Sanity Checks for Saliency Maps", NeurIPS 2018,
    arXiv:1810.03292. A map that stays alike shows the picture's edges, not the network's reasons. The measures are
    the paper's SSIM (of the maps scaled to [0, 1], clipped at the 99th percentile) and Spearman's rank correlation
    (of the values with their signs); a map that is the same everywhere correlates with nothing, which counts as 0.

    Args:
        network: the network to explain; it is copied, and stays bit-identical itself.
        pixels: (N, 3, H, W), RGB in [0, 1].
        attribute: the explanation, as ``lambda net, x: cnnviz.saliency(net, x, 285)``; fix the class, for the copy
            has another favourite.
        cascading: randomise layer after layer from the logits down, a step for each, as in the paper's figure 2;
            otherwise everything in one step.
        seed: of the random weights.

    Returns:
        The steps, from the least to the most randomised.
    """
    own = attribute(network, pixels)
    copied = _copy(network)
    owners = _owners(copied)
    stages = [(name, [module]) for name, module in owners] if cascading else [(None, [m for _, m in owners])]
    generator = torch.Generator().manual_seed(seed)
    steps = []
    for layer, modules in stages:
        maps = _explained_at_random(copied, modules, generator, pixels, attribute)
        pairs = list(zip(own, maps, strict=True))
        likeness = torch.tensor([map_ssim(one, other) for one, other in pairs])
        correlations = torch.tensor([rank_correlation(one, other) for one, other in pairs])
        steps.append(RandomizationStep(layer, maps, likeness, correlations))
    return steps


def randomized(network: Network, seed: int = 0) -> Network:
    """A copy of the network as it was before training: the same architecture, all its weights random.

    Weights are drawn as by He et al. 2015 (arXiv:1502.01852), biases are zero, normalisations as PyTorch begins them.
    """
    copied = _copy(network)
    generator = torch.Generator().manual_seed(seed)
    for _, module in _owners(copied):
        _randomize(module, generator)
    return copied


def _explained_at_random(
    network: Network, modules: Sequence[nn.Module], generator: torch.Generator, pixels: Tensor, attribute: Attribute
) -> Tensor:
    """Maps after ``modules`` were randomised, drawn anew while a map is the same everywhere.

    A random network may have no opinion on a class at all: SqueezeNet's logits come out of a ReLU, which is shut for
    half the classes. That would look like a map unlike any other.
    """
    for _ in range(_DRAWS):
        for module in modules:
            _randomize(module, generator)
        maps = attribute(network, pixels).detach()
        if all(bool(found.min() < found.max()) for found in maps):
            break
    return maps


def _copy(network: Network) -> Network:
    """A deep copy of the network, whose weights can be changed without changing the original's."""
    with torch.inference_mode(False):
        return replace(network, module=copy.deepcopy(network.body), alterations=(), optimize=True)


def _owners(network: Network) -> list[tuple[str, nn.Module]]:
    """The modules that have parameters of their own, by name, the last defined first: from the logits down."""
    return [(name, module) for name, module in network.body.named_modules() if list(_own(module))][::-1]


def _own(module: nn.Module) -> Iterator[Tensor]:
    return module.parameters(recurse=False)


@torch.no_grad()
def _randomize(module: nn.Module, generator: torch.Generator) -> None:
    """Set a module's own parameters, not its children's, as before training."""
    if isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm):
        module.reset_parameters()
        return
    for parameter in _own(module):
        if parameter.ndim < 2:
            parameter.zero_()
            continue
        drawn = torch.randn(parameter.shape, generator=generator) * math.sqrt(2 / parameter[0].numel())
        parameter.copy_(drawn)


def map_ssim(one: Tensor, other: Tensor) -> float:
    """Structural similarity of two maps as they would be shown in grey: 1 where alike, near 0 where unrelated."""
    signed = bool((one < 0).any() or (other < 0).any())
    shown = [normalize(found, 99.0, signed) for found in (one, other)]
    return ssim(*(to_pil_image((values + 1) / 2 if signed else values) for values in shown))


def rank_correlation(one: Tensor, other: Tensor) -> float:
    """Spearman's rank correlation of two maps of one size, in [-1, 1]; 0 where one is the same everywhere."""
    ranks = [_mean_ranks(found) for found in (one, other)]
    centred = [values - values.mean() for values in ranks]
    size = centred[0].norm() * centred[1].norm()
    return float((centred[0] * centred[1]).sum() / size) if size > 0 else 0.0


def _mean_ranks(found: Tensor) -> Tensor:
    """Every value's place in the order, those that are equal sharing their mean place; (number of values,)."""
    _, which, counts = found.detach().cpu().double().flatten().unique(return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    return (ends - (counts - 1) / 2)[which]
