"""Recipes of feature visualization from the literature: parameterization, optimizer and regularization of each.

A recipe turns a score into a run of ``ImageOptimizer``. Penalties are weighted by the score itself (its current value,
without gradient), so that one set of weights serves every network and layer, whatever its scale.
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
    """What a recipe maximizes, and for which images.

    Attributes:
        network: the network to be visualized.
        score: pixels (N, 3, H, W) -> (N,).
        count: number of images, N.
        size: (H, W).
        steps: forward and backward passes.
        generator: random generator.
        start: initial pixels (1 or N, 3, H, W), or None.
        diversity: weight of the similarity of the batch's images.
        diversity_layer: the layer whose features are compared.
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
        """The negative score of ``view``, with penalties (N,) of ``pixels`` in units of the score."""
        penalty = penalties(pixels)  # first, while the pixels are in the processor's cache
        score = self.score(view)
        weight = score.detach().clamp_min(0)
        loss = (weight * penalty - score).sum()
        if self.diversity and self.diversity_layer:
            features = self.network.features(view, [self.diversity_layer])[self.diversity_layer]
            loss = loss + self.diversity * weight.sum() * batch_similarity(features)
        return loss, {"score": score.detach().mean()}

    def initial_pixels(self) -> Tensor:
        """Pixels (N, 3, H, W) to start from: those given, or the network's mean color with very faint noise."""
        if self.start is not None:
            return self.start.expand(self.count, -1, -1, -1).to(self.network.device)
        mean = torch.tensor(self.network.spec.pixel_mean).mean() if self.network.spec.channels == 1 else None
        color = mean.expand(3) if mean is not None else torch.tensor(self.network.spec.pixel_mean)
        noise = 1e-3 * torch.randn(self.count, 3, *self.size, generator=self.generator)
        return (color.view(1, 3, 1, 1) + noise).to(self.network.device)


def lucid(objective: VisualizationObjective) -> ImageOptimizer:
    """Fourier spectrum, decorrelated color, random views: Olah, Mordvintsev & Schubert, "Feature Visualization".

    Distill 2017, doi:10.23915/distill.00007. Unlike the article: contrast and total variation are penalized, which
    reduces glare; the views are drawn in one resampling; the step size falls along a cosine.
    """
    start = objective.start.expand(objective.count, -1, -1, -1) if objective.start is not None else None
    image = Fourier(
        objective.size, objective.count, start=start, generator=objective.generator, device=objective.network.device
    )
    view = RandomView(shift=min(16, *objective.size) if min(objective.size) > 96 else 8, scale=(0.8, 1.2), degrees=10)

    def loss(pixels: Tensor) -> tuple[Tensor, Terms]:
        return objective.loss(pixels, _penalty, view(pixels, objective.generator))

    return ImageOptimizer(image, loss, Adam(0.05), objective.steps, cosine, generator=objective.generator)


def _penalty(pixels: Tensor) -> Tensor:
    return smoothness_penalty(pixels, gray=10, variation=150)


def simonyan(objective: VisualizationObjective) -> ImageOptimizer:
    """Gradient ascent from the mean image with an L2 penalty.

    Simonyan, Vedaldi & Zisserman, "Deep Inside Convolutional Networks", ICLR workshop 2014, arXiv:1312.6034. Unlike
    the paper: steps of constant length, a random circular shift before each, and now and then a slight blur (as in
    Stanford's CS231n), without which the result looks like noise.
    """
    return _on_pixels(objective, lambda x: 2 * gray_distance(x), [(lambda step: step % 10 == 0, _blur(0.5))])


def yosinski(objective: VisualizationObjective) -> ImageOptimizer:
    """Gradient ascent with L2 decay, blur, and pixels of small norm or contribution cleared.

    Yosinski, Clune, Nguyen, Fuchs & Lipson, "Understanding Neural Networks Through Deep Visualization", ICML workshop
    2015, arXiv:1506.06579. Unlike the paper, pixels return to the mean color rather than to black, and the percentiles
    are lower: the paper's leave small networks such as SqueezeNet only gray. Shifts as in ``simonyan``, and random
    scaling: without it, the network recognizes the result no longer when it is a tenth larger.
    """
    mean = objective.initial_pixels().mean((2, 3), keepdim=True)

    def decay(image: Pixels, gradient: Tensor) -> None:
        image.parameter.lerp_(mean.expand_as(image.parameter), 0.004)

    def clear(image: Pixels, gradient: Tensor) -> None:
        signal = image.parameter - mean
        _clear_below(image, mean, signal.norm(dim=1, keepdim=True), 0.1)
        _clear_below(image, mean, (signal * gradient).sum(1, keepdim=True).abs(), 0.1)

    last = objective.steps
    rules = [
        (lambda step: True, decay),
        (lambda step: step % 8 == 0, _blur(0.5)),
        (lambda step: step % 8 == 0 or step == last, clear),
    ]
    scaled = RandomView(shift=0, scale=(0.85, 1.15), degrees=0)
    return _on_pixels(objective, lambda x: torch.zeros(len(x), device=x.device), rules, scaled)


Rule = tuple[Callable[[int], bool], Callable[[Pixels, Tensor], None]]
"""At which steps, and what is done to the image in place, given the last gradient."""


def _on_pixels(
    objective: VisualizationObjective,
    penalties: Callable[[Tensor], Tensor],
    rules: list[Rule],
    view: RandomView | None = None,
) -> ImageOptimizer:
    """Gradient ascent on pixels in steps of constant length, with random circular shifts, through ``view``."""
    image = Pixels(objective.initial_pixels())
    loss, draw = _shifted(objective, penalties, view)

    def apply_rules(step: int) -> None:
        assert run.gradient is not None
        for is_due, rule in rules:
            if is_due(step):
                rule(image, run.gradient)

    run = ImageOptimizer(
        image,
        loss,
        NormalizedGradient(0.012),
        objective.steps,
        lambda fraction: 1 - 0.8 * fraction,
        before_step=draw,
        after_step=apply_rules,
        generator=objective.generator,
    )
    return run


def _shifted(
    objective: VisualizationObjective, penalties: Callable[[Tensor], Tensor], view: RandomView | None
) -> tuple[Objective, Hook]:
    offset = (0, 0)

    def draw(step: int) -> None:
        nonlocal offset
        offset = random_offset(min(16, min(objective.size) // 8), objective.generator)

    def loss(pixels: Tensor) -> tuple[Tensor, Terms]:
        shifted = roll(pixels, offset)
        return objective.loss(pixels, penalties, shifted if view is None else view(shifted, objective.generator))

    return loss, draw


def _blur(sigma: float) -> Callable[[Pixels, Tensor], None]:
    def rule(image: Pixels, gradient: Tensor) -> None:
        image.parameter.copy_(gaussian_blur(image.parameter, sigma))

    return rule


def _clear_below(image: Pixels, mean: Tensor, values: Tensor, fraction: float) -> None:
    """Set the ``fraction`` of pixels whose value (N, 1, H, W) is smallest to the mean color, image by image."""
    limit = values.flatten(1).quantile(fraction, dim=1).view(-1, 1, 1, 1)
    image.parameter.copy_(torch.where(values > limit, image.parameter, mean))


Recipe = Callable[[VisualizationObjective], ImageOptimizer]
"""An objective -> the run that maximizes it."""

RECIPES: dict[str, Recipe] = {"lucid": lucid, "simonyan": simonyan, "yosinski": yosinski}


def deep_generator(objective: VisualizationObjective, latent: Latent) -> ImageOptimizer:
    """Gradient ascent on a generator's latent code, with the paper's L2 decay of it.

    Nguyen, Dosovitskiy, Yosinski, Brox & Clune, "Synthesizing the preferred inputs for neurons in neural networks via
    deep generator networks", NIPS 2016, arXiv:1605.09304.
    """
    view = RandomView(shift=8, scale=(0.95, 1.05), degrees=0)

    def loss(pixels: Tensor) -> tuple[Tensor, Terms]:
        seen = view(pixels, objective.generator)
        value, terms = objective.loss(pixels, lambda x: torch.zeros(len(x), device=x.device), seen)
        return value + 1e-3 * latent.parameter.square().sum(), terms

    return ImageOptimizer(latent, loss, Adam(0.05), objective.steps, cosine, generator=objective.generator)


def find_recipe(name: str) -> Recipe:
    """The recipe called ``name``; UsageError lists those there are."""
    if name not in RECIPES:
        raise UsageError(f"There is no method '{name}'; there are {', '.join(RECIPES)}.")
    return RECIPES[name]
