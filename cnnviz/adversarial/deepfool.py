"""DeepFool: the smallest perturbation to the nearest decision boundary."""

from __future__ import annotations

import torch
from torch import Tensor

from cnnviz.adversarial import norms
from cnnviz.adversarial.objective import Label, Through, identity, labels_of, scores_of
from cnnviz.imaging.checks import differentiable, gradients, require_in_range
from cnnviz.network.network import Network
from cnnviz.runtime.precision import gradients_of


@torch.inference_mode(False)
def deepfool(
    network: Network,
    pixels: Tensor,
    *,
    label: Label = None,
    norm: str = "l2",
    candidates: int = 10,
    overshoot: float = 0.02,
    steps: int = 50,
    through: Through = identity,
) -> Tensor:
    """Step to the nearest of the linearised boundaries to other classes until the network says something else.

    Moosavi-Dezfooli, Fawzi & Frossard, "DeepFool: a simple and accurate method to fool deep neural networks", CVPR
    2016, arXiv:1511.04599. As in the authors' experiments only the likeliest ``candidates`` classes are considered.
    Opposed to the paper the result is clipped to [0, 1] after every step.

    Args:
        network: the network to fool.
        pixels: (N, 3, H, W), RGB in [0, 1]; each picture is taken by itself.
        label: the class to be driven away from; what the network says if None.
        norm: the norm to be kept small, ``l2`` or ``linf``.
        candidates: how many other classes to consider.
        overshoot: how far to go beyond the boundary, as a share of the perturbation.
        steps: at most so many.
        through: from pixels to what the network sees, if not the same.

    Returns:
        Adversarial pixels (N, 3, H, W) in [0, 1]; unchanged where the network says something else already.

    Raises:
        UsageError: no such class or norm, or pixels outside [0, 1].
    """
    norms.check(norm, 0)
    pixels = require_in_range(pixels).to(network.device)
    labels = labels_of(network, pixels, label, through).tolist()
    moved = [
        _one(network, picture[None], own, norm, candidates, overshoot, steps, through)
        for picture, own in zip(pixels, labels, strict=True)
    ]
    return torch.cat(moved)


def _one(
    network: Network,
    picture: Tensor,
    label: int,
    norm: str,
    candidates: int,
    overshoot: float,
    steps: int,
    through: Through,
) -> Tensor:
    total = torch.zeros_like(picture)
    current = picture
    others: list[int] = []
    for _ in range(steps):
        with gradients():
            current = differentiable(current, network.device)
            logits = scores_of(network, through(current))[0]
        if int(logits.argmax()) != label:
            break
        others = others or [c for c in logits.topk(min(candidates + 1, len(logits))).indices.tolist() if c != label]
        total = total + _step_to_boundary(logits, current, label, others, norm)
        current = (picture + (1 + overshoot) * total).clamp(0, 1)
    return current.detach()


def _step_to_boundary(logits: Tensor, picture: Tensor, label: int, others: list[int], norm: str) -> Tensor:
    """The smallest step in ``norm`` to the nearest boundary, taking the logits for linear (the paper's equation 8).

    The dual norm measures how fast a gap closes: L2 for L2, L1 for L-infinity.
    """
    own = gradients_of(logits[label], picture, retain_graph=True)[0]
    slopes = torch.cat([gradients_of(logits[c], picture, retain_graph=True)[0] - own for c in others])
    gaps = (logits[label] - logits[others]).detach()
    speeds = slopes.flatten(1).norm(dim=1) if norm == "l2" else slopes.flatten(1).abs().sum(1)
    ways = torch.where(speeds > 0, gaps / speeds, torch.inf)
    nearest = ways.argmin()
    # A tiny extra so that a picture exactly on the boundary still moves.
    step = (ways[nearest] + 1e-6) * norms.direction(slopes[nearest][None], norm)
    return torch.where(ways[nearest].isfinite(), step, 0.0)  # no gradient anywhere: there is no way to go
