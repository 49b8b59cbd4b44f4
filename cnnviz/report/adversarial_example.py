"""The adversarial example of a report: the image with an invisible change that makes the network err."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cnnviz.adversarial.image_attack import fool
from cnnviz.adversarial.image_loading import ImagePipeline
from cnnviz.adversarial.objective import scores_of
from cnnviz.adversarial.settings import Attack
from cnnviz.figures.fooling import magnification, perturbation_image
from cnnviz.imaging.pixels import to_pil_image, to_pixels
from cnnviz.network.prediction import Prediction
from cnnviz.report.page_figure import PageFigure
from cnnviz.report.report_input import ReportInput

_EPSILONS = (2, 4, 8)  # gray levels; the first that succeeds is taken
_STEPS = 30


@dataclass(frozen=True)
class AdversarialExample:
    """An image before and after an attack.

    Attributes:
        original: the image as the network sees it.
        perturbation: the change, multiplied by ``factor``, about mid-gray.
        adversarial: the changed image.
        before: what the network says of the original.
        after: what it says of the changed image.
        success: whether the attack reached its goal.
        levels: the largest change of a pixel, in gray levels of 255.
        factor: by how much ``perturbation`` is magnified.
    """

    original: PageFigure
    perturbation: PageFigure
    adversarial: PageFigure
    before: Prediction
    after: Prediction
    success: bool
    levels: int
    factor: int


def adversarial_example(image: ReportInput, target: int | None = None) -> AdversarialExample:
    """The image, at the network's size, changed so that it is taken for ``target``, by default the least likely class.

    The iterative least-likely class method (Kurakin, Goodfellow & Bengio, ICLR workshop 2017, arXiv:1607.02533) with
    the smallest epsilon of 2, 4 and 8 gray levels that succeeds; if none does, the failure of the largest is shown.
    """
    start = to_pil_image(image.pixels)
    height, width = image.pixels.shape[2:]
    goal = _least_likely(image) if target is None else target
    for epsilon in _EPSILONS:
        attack = Attack("iterative", epsilon / 255, target=goal, steps=_STEPS, seed=image.seed)
        found = fool(image.network, start, attack, ImagePipeline((height, width)))
        if found.success:
            break
    levels = round(found.linf * 255)
    factor = magnification(found.linf)
    change = to_pixels(found.adversarial) - to_pixels(found.original)
    named = goal if goal < image.network.classes else None  # what is no class can only be left
    settings = {"epsilon": f"{epsilon}/255", "small": True}
    return AdversarialExample(
        PageFigure("before", start, exact=True),
        PageFigure("change", perturbation_image(change, factor)),
        PageFigure("after", found.adversarial, exact=True, recipe=image.recipe_of("fool", named, raw=True, **settings)),
        found.before,
        found.after,
        found.success,
        levels,
        factor,
    )


def _least_likely(image: ReportInput) -> int:
    with torch.no_grad():
        return int(scores_of(image.network, image.pixels)[0].argmin())
