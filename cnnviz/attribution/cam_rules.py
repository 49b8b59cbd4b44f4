"""Rules of class activation methods that use the gradient at a layer, and the scores whose gradient they take."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnviz.attribution.cam_layers import CamRule, LayerState, ScoreFunction
from cnnviz.attribution.targets import Against, ResolvedOnce, Target, TargetFunction, target_scores, targets_of
from cnnviz.errors import UsageError
from cnnviz.network.network import Network


def _mean(values: Tensor) -> Tensor:
    return values.mean((2, 3), keepdim=True)


def _total(values: Tensor) -> Tensor:
    return values.sum((2, 3), keepdim=True)


def plus_plus_rule(epsilon: float) -> CamRule:
    """The rule of Grad-CAM++, with ``epsilon`` added to the denominator of its coefficients."""

    def weigh(state: LayerState) -> Tensor:
        gradient = state.gradient
        if epsilon:
            square = gradient.square()
            share = square / (2 * square + _total(state.maps) * square * gradient + epsilon)
        else:
            share = 1 / (2 + _total(state.maps) * gradient)
        return _total(torch.where(gradient > 0, share * gradient, 0.0)) * state.maps

    return CamRule(weigh)


def _axiom_based(state: LayerState) -> Tensor:
    total = _total(state.maps)
    share = _total(state.gradient * state.maps) / torch.where(total == 0, 1.0, total)
    return share * state.maps


GRAD_CAM = CamRule(lambda state: _mean(state.gradient) * state.maps)
HIRES_CAM = CamRule(lambda state: state.gradient * state.maps)
LAYER_CAM = CamRule(lambda state: state.gradient.relu() * state.maps)
XGRAD_CAM = CamRule(_axiom_based)
EIGEN_CAM = CamRule(lambda state: state.maps, derivatives=0, is_projected=True)


def finer_rule(strength: float, references: int) -> CamRule:
    """The rule of Finer-CAM: the logit less ``strength`` times those of the ``references`` nearest classes."""
    if references < 1:
        raise UsageError(f"A class is compared with at least one other, not {references}.")

    def score(network: Network, logits: Tensor, target: Target | ResolvedOnce) -> Tensor:
        if logits.shape[1] == 1:
            raise UsageError(f"Finer-CAM compares classes, and {network.name} has only one.")
        found = targets_of(network, logits, target)
        rows = zip(logits.split(1), found, strict=True)
        return torch.cat([_finer(network, row, one, strength, references) for row, one in rows])

    return CamRule(GRAD_CAM.weigh, score=score)


def _finer(network: Network, logits: Tensor, target: int | TargetFunction, strength: float, references: int) -> Tensor:
    """The score (1,): of a class less the mean, by their probabilities, of the classes nearest to it in ``logits``."""
    if not isinstance(target, int):
        return target_scores(network, logits, [target])
    own = logits[:, target : target + 1]
    distance = (logits - own).detach().abs()
    distance[:, target] = torch.inf
    near = distance.topk(min(references, logits.shape[1] - 1), dim=1, largest=False).indices
    others = logits.gather(1, near)
    return (others.softmax(1) * (own - strength * others)).sum(1)


def _residual_softmax(network: Network, logits: Tensor, target: Target | ResolvedOnce) -> Tensor:
    """The scores (N,) of ShapleyCAM: a class's logit plus the logarithm of its probability."""
    found = targets_of(network, logits, target)
    rows = zip(logits.split(1), found, strict=True)
    return torch.cat([_with_log_probability(network, row, one) for row, one in rows])


def _with_log_probability(network: Network, logits: Tensor, target: int | TargetFunction) -> Tensor:
    score = target_scores(network, logits, [target])
    sign = -1 if isinstance(target, Against) else 1
    index = target.index if isinstance(target, Against) else target
    if not isinstance(index, int):
        return score
    logarithms = {"softmax": lambda: logits.log_softmax(1), "sigmoid": lambda: F.logsigmoid(logits)}
    kind = network.chosen_activation
    return score + sign * logarithms[kind]()[:, index] if kind in logarithms else score


residual_softmax: ScoreFunction = _residual_softmax

SHAPLEY_CAM = CamRule(
    lambda state: _mean(state.gradient - 0.5 * state.curvature) * state.maps, derivatives=2, score=residual_softmax
)
