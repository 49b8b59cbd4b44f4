"""DeepFool: the smallest perturbation to the nearest decision boundary."""

from __future__ import annotations

import torch
from torch import Tensor

from cnnviz.adversarial import norms
from cnnviz.adversarial.objective import Through, identity, is_taken_for, labels_of, rivals, scores_of
from cnnviz.adversarial.settings import check_norm
from cnnviz.imaging.checks import differentiable, gradients, require_in_range
from cnnviz.network.network import Network
from cnnviz.network.targets import Target
from cnnviz.runtime.precision import gradients_of


@torch.inference_mode(False)
def deepfool(
    network: Network,
    pixels: Tensor,
    *,
    label: Target = None,
    norm: str = "l2",
    candidates: int = 10,
    overshoot: float = 0.02,
    steps: int = 50,
    through: Through = identity,
) -> Tensor:
    """Adversarial pixels just across the nearest decision boundary, found by linearizing the boundaries.

    Moosavi-Dezfooli, Fawzi & Frossard, "DeepFool: a simple and accurate method to fool deep neural networks", CVPR
    2016, arXiv:1511.04599. As in the authors' experiments, only the ``candidates`` most probable classes are
    considered. Unlike the paper, the result is clipped to [0, 1] after every step.

    Args:
        network: the network to fool.
        pixels: (N, 3, H, W), RGB in [0, 1]; each image is attacked independently.
        label: the class to move away from; None for the predicted class.
        norm: the norm to keep small, ``l2`` or ``linf``.
        candidates: how many other classes to consider.
        overshoot: how far to go beyond the boundary, as a fraction of the perturbation.
        steps: the largest number of steps.
        through: from pixels to what the network sees, differentiable.

    Returns:
        Adversarial pixels (N, 3, H, W) in [0, 1]; unchanged where the prediction is another class already.

    Raises:
        UsageError: no such class or norm, or pixels outside [0, 1].

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.deepfool(network, pixels, steps=2).shape
        torch.Size([1, 3, 64, 96])
    """
    check_norm(norm, 0)
    pixels = require_in_range(pixels, network.spec.channels).to(network.device)
    labels = labels_of(network, pixels, label, through).tolist()
    moved = [
        _one(network, image[None], own, norm, candidates, overshoot, steps, through)
        for image, own in zip(pixels, labels, strict=True)
    ]
    return torch.cat(moved)


def _one(
    network: Network,
    image: Tensor,
    label: int,
    norm: str,
    candidates: int,
    overshoot: float,
    steps: int,
    through: Through,
) -> Tensor:
    total = torch.zeros_like(image)
    current = image
    others: list[int] = []
    for _ in range(steps):
        with gradients():
            current = differentiable(current, network.device, network.spec.channels)
            logits = scores_of(network, through(current))[0]
        if not is_taken_for(network, logits[None], torch.tensor([label], device=logits.device)):
            break
        others = others or rivals(network, logits, label, candidates)
        total = total + _step_to_boundary(logits, current, label, others, norm)
        current = (image + (1 + overshoot) * total).clamp(0, 1)
    return current.detach()


def _step_to_boundary(logits: Tensor, image: Tensor, label: int, others: list[int], norm: str) -> Tensor:
    """The smallest step in ``norm`` to the nearest boundary of the linearized logits (the paper's equation 8).

    The distance to a boundary is the gap over the gradient's dual norm: L2 for L2, L1 for L-infinity.
    """
    own = gradients_of(logits[label], image, retain_graph=True)[0]
    gap_gradients = torch.cat([gradients_of(logits[c], image, retain_graph=True)[0] - own for c in others])
    gaps = (logits[label] - logits[others]).detach()
    dual_norms = gap_gradients.flatten(1).norm(dim=1) if norm == "l2" else gap_gradients.flatten(1).abs().sum(1)
    distances = torch.where(dual_norms > 0, gaps / dual_norms, torch.inf)
    nearest = distances.argmin()
    # A tiny extra so that an image exactly on the boundary still moves.
    step = (distances[nearest] + 1e-6) * norms.direction(gap_gradients[nearest][None], norm)
    return torch.where(distances[nearest].isfinite(), step, 0.0)  # the gradient is zero everywhere: no step helps
