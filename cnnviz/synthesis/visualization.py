"""Feature visualization: images that maximize the score of a class, a channel or a neuron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cnnviz.errors import UsageError
from cnnviz.imaging.pixel_ops import resize
from cnnviz.network import checks
from cnnviz.network.feature_network import LayerLike
from cnnviz.network.network import Network
from cnnviz.network.operations import operation
from cnnviz.network.targets import Target, plain
from cnnviz.runtime.progress import OnStep
from cnnviz.synthesis.generator import make_latent
from cnnviz.synthesis.objectives import Channels, Classes, Subject, make_score
from cnnviz.synthesis.recipes import VisualizationObjective, deep_generator, find_recipe
from cnnviz.synthesis.settings import VisualizationSettings, build_settings

_CONVOLUTIONS = ("Conv2d", "conv2d")


@torch.inference_mode(False)
def visualize(
    network: Network,
    target: Target = None,
    *,
    layer: LayerLike | None = None,
    channel: int | Sequence[int] | None = None,
    at: tuple[int, int] | str | None = None,
    settings: VisualizationSettings | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
    **options: Any,
) -> Tensor:
    """Images that a class, or a channel of a layer, responds to most.

    Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017, doi:10.23915/distill.00007, and the recipes
    of ``cnnviz.synthesis.recipes``, where deviations from the papers are listed.

    Args:
        network: the network to be visualized.
        target: a class by index, name or part of its name, or several; or name ``layer`` and ``channel``.
        layer: the layer of the channel, by name or as a submodule of your own module.
        channel: the channel, or several.
        at: (y, x), or ``"center"``, for one neuron of the channel's map instead of its mean.
        settings: None takes the defaults of ``VisualizationSettings``.
        seed: of the noise and the random views.
        on_step: called after every step; ``terms`` holds the mean ``score``.
        options: fields of ``VisualizationSettings``, which replace those of ``settings``: ``method``, ``size``,
            ``steps``, ``diversity``.

    Returns:
        Pixels (N, 3, H, W) in [0, 1], one image for each class or channel.

    Raises:
        UsageError: neither or both of a class and a layer, no such method, class, layer or channel, a layer that is
            no map, or a size the network cannot take.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> cnnviz.visualize(network, "flamingo", size=64, steps=2).shape
        torch.Size([1, 3, 64, 64])
        >>> cnnviz.visualize(network, layer="fire5", channel=[3, 17], size=64, steps=2).shape
        torch.Size([2, 3, 64, 64])
    """
    if (target is None) == (layer is None):
        raise UsageError("Name either a class or a layer to visualize.")
    subject: Subject
    if target is not None:
        named = plain(target)
        several = named if isinstance(named, list) else [named]
        subject = Classes(tuple(network.find_class(name) for name in several))
    else:
        assert layer is not None
        if channel is None:
            raise UsageError("Name the layer's channel too.")
        number = plain(channel)
        channels = tuple(number) if isinstance(number, list) else (number,)
        subject = Channels(network.layer_name(layer), channels, at)
    return visualize_subject(network, subject, settings=settings, seed=seed, on_step=on_step, **options)


def visualize_subject(
    network: Network,
    subject: Subject,
    *,
    start: Tensor | None = None,
    generator: nn.Module | None = None,
    settings: VisualizationSettings | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
    **options: Any,
) -> Tensor:
    """One image for each class or channel of ``subject``, optimized in one batch; (N, 3, H, W) in [0, 1].

    Args:
        network: the network to be visualized.
        subject: ``Classes`` or ``Channels``, one for each image.
        start: initial pixels (1 or N, 3, H, W) in [0, 1] instead of noise or the mean color, as the mean of
            photos that activate the class (Nguyen, Yosinski & Clune, "Multifaceted Feature Visualization", 2016,
            arXiv:1602.03616).
        generator: latent code (N, *latent) -> images (N, 3, h, w) in [-1, 1]; its latent code is optimized instead
            of pixels (Nguyen et al. 2016, arXiv:1605.09304).
        settings: None takes the defaults of ``VisualizationSettings``.
        seed: of the noise and the random views.
        on_step: called after every step.
        options: fields of ``VisualizationSettings``, which replace those of ``settings``.

    Raises:
        UsageError: no such method, layer or channel, a layer that is no map, or a size the network cannot take.
    """
    checks.require_photos(network, "A visualization")
    given = {name: value for name, value in options.items() if value is not None}  # None is the default, as before
    chosen = build_settings(VisualizationSettings, settings, given)
    size = _size(network, chosen.size)
    objective = VisualizationObjective(
        network,
        make_score(network, subject),
        count=len(subject),
        size=size,
        steps=chosen.steps,
        generator=torch.Generator().manual_seed(seed),
        start=None if start is None else resize(start, size),
        diversity=chosen.diversity,
        diversity_layer=_diversity_layer(network, subject) if chosen.diversity else None,
    )
    if generator is None:
        run = find_recipe(chosen.method)(objective)
    else:
        latent = make_latent(generator, objective.count, chosen.latent, objective.generator, network.device)
        run = deep_generator(objective, latent)
    with checks.explain_divergence(network, torch.full((1, 3, *size), 0.5)):
        return run.run(on_step)


def _size(network: Network, size: int | tuple[int, int] | None) -> tuple[int, int]:
    if size is None or network.spec.fixed:
        return network.spec.size, network.spec.size
    return (size, size) if isinstance(size, int) else size


def _diversity_layer(network: Network, subject: Subject) -> str:
    """Where images are compared: the layer itself, or for classes a convolution two thirds of the way down."""
    if isinstance(subject, Channels):
        return subject.layer
    maps = [name for name in network.layers if operation(network.graph, network.layers.node(name)) in _CONVOLUTIONS]
    if not maps:
        raise UsageError(f"{network.name} has no convolutions, by whose maps images could be kept apart.")
    return maps[len(maps) * 2 // 3]
