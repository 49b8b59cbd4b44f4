"""The fooling example of a report: the picture, changed by less than one can see into the likeliest of all mistakes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cnnviz.adversarial.image_attack import Attack, fool
from cnnviz.adversarial.image_loading import ImagePipeline
from cnnviz.adversarial.objective import scores_of
from cnnviz.figures.fooling import magnification, perturbation_image
from cnnviz.imaging.pixels import to_pil_image, to_pixels
from cnnviz.network.network import Prediction
from cnnviz.report.figures import Figure, Study

_EPSILONS = (2, 4, 8)  # grey levels; the first that does it is taken
_STEPS = 30


@dataclass(frozen=True)
class Fooling:
    """A picture before and after; ``factor`` magnifies the change, which is at most ``levels`` grey levels."""

    original: Figure
    change: Figure
    adversarial: Figure
    before: Prediction
    after: Prediction
    success: bool
    levels: int
    factor: int


def fooling_example(study: Study, target: int | None = None) -> Fooling:
    """The picture, at the network's size, taken for ``target``; by default for what it seemed least.

    The iterative least-likely class method (Kurakin, Goodfellow & Bengio, ICLR workshop 2017, arXiv:1607.02533) with
    the least epsilon of 2, 4 and 8 grey levels that works; where none does, the largest is shown as it failed.
    """
    start = to_pil_image(study.pixels)
    height, width = study.pixels.shape[2:]
    goal = _least_likely(study) if target is None else target
    for epsilon in _EPSILONS:
        attack = Attack("iterative", epsilon / 255, target=goal, steps=_STEPS, seed=study.seed)
        found = fool(study.network, start, attack, ImagePipeline((height, width)))
        if found.success:
            break
    levels = round(found.linf * 255)
    factor = magnification(found.linf)
    change = to_pixels(found.adversarial) - to_pixels(found.original)
    named = goal if study.network.classes > 1 else None  # of a single class there is only one way out
    settings = {"epsilon": f"{epsilon}/255", "small": True}
    return Fooling(
        Figure("before", start, exact=True),
        Figure("change", perturbation_image(change, factor)),
        Figure("after", found.adversarial, exact=True, recipe=study.recipe_of("fool", named, raw=True, **settings)),
        found.before,
        found.after,
        found.success,
        levels,
        factor,
    )


def _least_likely(study: Study) -> int:
    with torch.no_grad():
        return int(scores_of(study.network, study.pixels)[0].argmin())
