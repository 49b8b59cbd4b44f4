"""Recipes of class visualisation from the literature: how each describes, moves and disciplines the picture.

A recipe turns a score into a run of the one optimisation loop. Penalties are weighed by the score itself (as it
stands, without gradient), so that one set of weights serves every network and layer, whatever its scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cnnviz.errors import UsageError
from cnnviz.imaging.pixel_ops import gaussian_blur
from cnnviz.network.network import Network
from cnnviz.synthesis.objectives import Score
from cnnviz.synthesis.optimization import Hook, ImageOptimizer, Objective, Terms, cosine
from cnnviz.synthesis.optimizers import Adam, NormalizedGradient
from cnnviz.synthesis.parameterization import Fourier, Latent, Pixels
from cnnviz.synthesis.regularizers import batch_similarity, gray_distance, smoothness_penalty
from cnnviz.synthesis.transforms import RandomView, random_offset, roll


@dataclass
class VisualizationObjective:
    """What a recipe works on.

    ``size`` is (H, W); ``start`` pixels (1 or N, 3, H, W) to begin with, or None; ``diversity`` weighs the likeness
    of the batch's pictures, judged by the features of ``diversity_layer``.
    """

    network: Network
    score: Score
    count: int
    size: tuple[int, int]
    steps: int
    generator: torch.Generator
    start: Tensor | None = None
    diversity: float = 0.0
    diversity_layer: str | None = None

    def loss(self, pixels: Tensor, penalties: Callable[[Tensor], Tensor], view: Tensor) -> tuple[Tensor, Terms]:
        """The score of ``view`` turned into a loss, with penalties (N,) of ``pixels`` in units of the score."""
        penalty = penalties(pixels)  # first, while the pixels are at hand in the processor's cache
        score = self.score(view)
        weight = score.detach().clamp_min(0)
        loss = (weight * penalty - score).sum()
        if self.diversity and self.diversity_layer:
            features = self.network.features(view, [self.diversity_layer])[self.diversity_layer]
            loss = loss + self.diversity * weight.sum() * batch_similarity(features)
        return loss, {"score": score.detach().mean()}

    def first(self) -> Tensor:
        """Pixels (N, 3, H, W) to start from: those given, or the network's mean colour with the faintest noise."""
        if self.start is not None:
            return self.start.expand(self.count, -1, -1, -1).to(self.network.device)
        mean = torch.tensor(self.network.spec.mean).mean() if self.network.spec.channels == 1 else None
        color = mean.expand(3) if mean is not None else torch.tensor(self.network.spec.mean)
        noise = 1e-3 * torch.randn(self.count, 3, *self.size, generator=self.generator)
        return (color.view(1, 3, 1, 1) + noise).to(self.network.device)


def lucid(task: VisualizationObjective) -> ImageOptimizer:
    """Fourier spectrum, decorrelated colour, random views: Olah, Mordvintsev & Schubert, "Feature Visualization".

    Distill 2017, doi:10.23915/distill.00007. Beside the article: the penalties on contrast and total variation, which
    take the glare off; the views are drawn in one resampling; the step size falls along a cosine.
    """
    start = task.start.expand(task.count, -1, -1, -1) if task.start is not None else None
    picture = Fourier(task.size, task.count, start=start, generator=task.generator, device=task.network.device)
    view = RandomView(shift=min(16, *task.size) if min(task.size) > 96 else 8, scale=(0.8, 1.2), degrees=10)

    def objective(pixels: Tensor) -> tuple[Tensor, Terms]:
        return task.loss(pixels, _penalty, view(pixels, task.generator))

    return ImageOptimizer(picture, objective, Adam(0.05), task.steps, cosine, generator=task.generator)


def _penalty(pixels: Tensor) -> Tensor:
    return smoothness_penalty(pixels, grey=10, variation=150)


def simonyan(task: VisualizationObjective) -> ImageOptimizer:
    """Gradient ascent from the mean picture with an L2 penalty.

    Simonyan, Vedaldi & Zisserman, "Deep Inside Convolutional Networks", ICLR workshop 2014, arXiv:1312.6034. Beside
    the paper: steps of one length, a shift around the borders before each, and now and then a slight blur (as in
    Stanford's CS231n), without which the result is noise to the eye.
    """
    return _on_pixels(task, lambda x: 2 * gray_distance(x), [(lambda step: step % 10 == 0, _blur(0.5))])


def yosinski(task: VisualizationObjective) -> ImageOptimizer:
    """Gradient ascent with L2 decay, blur, and pixels of small norm or contribution cleared.

    Yosinski, Clune, Nguyen, Fuchs & Lipson, "Understanding Neural Networks Through Deep Visualization", ICML workshop
    2015, arXiv:1506.06579. Pixels return to the mean colour rather than to black. The percentiles are lower than the
    paper's, which leave networks as small as SqueezeNet nothing but grey. Shifts as in ``simonyan``, and scaling:
    without it, what the network is sure of is another thing to it a tenth larger.
    """
    mean = task.first().mean((2, 3), keepdim=True)

    def decay(picture: Pixels, gradient: Tensor) -> None:
        picture.parameter.lerp_(mean.expand_as(picture.parameter), 0.004)

    def clear(picture: Pixels, gradient: Tensor) -> None:
        signal = picture.parameter - mean
        _clear_below(picture, mean, signal.norm(dim=1, keepdim=True), 0.1)
        _clear_below(picture, mean, (signal * gradient).sum(1, keepdim=True).abs(), 0.1)

    last = task.steps
    rules = [
        (lambda step: True, decay),
        (lambda step: step % 8 == 0, _blur(0.5)),
        (lambda step: step % 8 == 0 or step == last, clear),
    ]
    scaled = RandomView(shift=0, scale=(0.85, 1.15), degrees=0)
    return _on_pixels(task, lambda x: torch.zeros(len(x), device=x.device), rules, scaled)


Rule = tuple[Callable[[int], bool], Callable[[Pixels, Tensor], None]]
"""At which steps, and what is done to the picture in place; it is handed the last gradient too."""


def _on_pixels(
    task: VisualizationObjective,
    penalties: Callable[[Tensor], Tensor],
    rules: list[Rule],
    view: RandomView | None = None,
) -> ImageOptimizer:
    """Ascent on the pixels themselves by steps of one length, shifted around the borders and seen as by ``view``."""
    picture = Pixels(task.first())
    objective, draw = _shifted(task, penalties, view)

    def apply_rules(step: int) -> None:
        assert ascent.gradient is not None
        for due, act in rules:
            if due(step):
                act(picture, ascent.gradient)

    ascent = ImageOptimizer(
        picture,
        objective,
        NormalizedGradient(0.012),
        task.steps,
        lambda share: 1 - 0.8 * share,
        before_step=draw,
        after_step=apply_rules,
        generator=task.generator,
    )
    return ascent


def _shifted(
    task: VisualizationObjective, penalties: Callable[[Tensor], Tensor], view: RandomView | None
) -> tuple[Objective, Hook]:
    offset = (0, 0)

    def draw(step: int) -> None:
        nonlocal offset
        offset = random_offset(min(16, min(task.size) // 8), task.generator)

    def objective(pixels: Tensor) -> tuple[Tensor, Terms]:
        seen = roll(pixels, offset)
        return task.loss(pixels, penalties, seen if view is None else view(seen, task.generator))

    return objective, draw


def _blur(sigma: float) -> Callable[[Pixels, Tensor], None]:
    def act(picture: Pixels, gradient: Tensor) -> None:
        picture.parameter.copy_(gaussian_blur(picture.parameter, sigma))

    return act


def _clear_below(picture: Pixels, mean: Tensor, values: Tensor, share: float) -> None:
    """Set the ``share`` of pixels whose value (N, 1, H, W) is smallest to the mean colour, picture by picture."""
    limit = values.flatten(1).quantile(share, dim=1).view(-1, 1, 1, 1)
    picture.parameter.copy_(torch.where(values > limit, picture.parameter, mean))


RECIPES: dict[str, Callable[[VisualizationObjective], ImageOptimizer]] = {
    "lucid": lucid,
    "simonyan": simonyan,
    "yosinski": yosinski,
}


def deep_generator(task: VisualizationObjective, latent: Latent) -> ImageOptimizer:
    """Ascent on a generator's latent code: Nguyen et al., NIPS 2016, arXiv:1605.09304; the paper's L2 decay of it."""
    view = RandomView(shift=8, scale=(0.95, 1.05), degrees=0)

    def objective(pixels: Tensor) -> tuple[Tensor, Terms]:
        loss, terms = task.loss(pixels, lambda x: torch.zeros(len(x), device=x.device), view(pixels, task.generator))
        return loss + 1e-3 * latent.parameter.square().sum(), terms

    return ImageOptimizer(latent, objective, Adam(0.05), task.steps, cosine, generator=task.generator)


def recipe(name: str) -> Callable[[VisualizationObjective], ImageOptimizer]:
    """The recipe of that name; UsageError lists those there are."""
    if name not in RECIPES:
        raise UsageError(f"There is no method '{name}'; there are {', '.join(RECIPES)}.")
    return RECIPES[name]
