"""Feature ablation: how much the score of a class drops when one superpixel is hidden."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cnnviz.attribution.masked_scores import MaskedScores, require_choices
from cnnviz.attribution.occlusion_scores import score_patches
from cnnviz.attribution.settings import PerturbationSettings
from cnnviz.attribution.superpixels import superpixels
from cnnviz.attribution.targets import Target, each_image
from cnnviz.imaging.checks import require_pixels
from cnnviz.network.network import Network


def feature_ablation(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    *,
    segments: int = PerturbationSettings.segments,
    fill: str = PerturbationSettings.fill,
    score: str = PerturbationSettings.score,
    seed: int = PerturbationSettings.seed,
) -> Tensor:
    """Score drop of a class when each superpixel is hidden by itself.

    Zeiler & Fergus, ECCV 2014, arXiv:1311.2901, with superpixels in place of squares. Only what a superpixel can reach
    is computed again, as for ``occlusion``.

    Args:
        network: the network to explain; it needs no gradients.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; the class predicted for each image if None. Or what ``saliency`` takes.
        segments: about how many superpixels there are (SLIC).
        fill: what replaces hidden pixels: ``mean``, ``gray``, ``black``, ``blur`` or ``noise``, as for ``occlusion``.
        score: ``probability`` or ``logit``, as for ``occlusion``.
        seed: of the noise.

    Returns:
        Maps (N, 1, H, W), signed, in units of the score, the same all over a superpixel.

    Raises:
        UsageError: no such class, fill or score, or fewer than two segments.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.feature_ablation(network, pixels, "tabby", segments=12).shape
        torch.Size([1, 1, 64, 96])
    """
    require_choices(fill, score)
    pixels = require_pixels(pixels, network.spec.channels).to(network.device)
    maps = []
    for image, one in each_image(network, pixels, target):
        scores = MaskedScores(network, image, one, fill, score, seed)
        labels = superpixels(image, segments).to(image.device)
        with torch.no_grad():
            clean = scores.of(scores.network(image))
        maps.append((clean - _without_each(scores, labels))[labels][None, None])
    return torch.cat(maps).to(pixels.dtype)


@torch.no_grad()
def _without_each(scores: MaskedScores, labels: Tensor) -> Tensor:
    """The score without each superpixel of ``labels`` (H, W)."""
    positions, (height, width) = _boxes(labels)

    def patches(indices: Sequence[int]) -> Tensor:
        found = []
        for index in indices:
            top, left = positions[index]
            part = (..., slice(top, top + height), slice(left, left + width))
            found.append(torch.where(labels[part] == index, scores.hidden[part], scores.x[part]))
        return torch.cat(found)

    with scores.network.autocast():
        output = score_patches(
            scores.network.forward_pass,
            scores.x,
            positions,
            (height, width),
            patches,
            batch=scores.batch if scores.network.black_box else None,
        )
    return scores.of(output)


def _boxes(labels: Tensor) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Boxes of one size that hold a superpixel each: their (top, left), inside the image, and that size."""
    ends = []
    for index in range(int(labels.max()) + 1):
        rows, cols = (labels == index).nonzero().unbind(1)
        ends.append((int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1))
    height = max(bottom - top for top, bottom, _, _ in ends)
    width = max(right - left for _, _, left, right in ends)
    places = [(min(top, labels.shape[0] - height), min(left, labels.shape[1] - width)) for top, _, left, _ in ends]
    return places, (height, width)
