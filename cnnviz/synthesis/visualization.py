"""Pictures of what a class, a channel or a neuron responds to most."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cnnviz.errors import UsageError
from cnnviz.network import checks
from cnnviz.network.network import Network
from cnnviz.network.targets import Target, plain
from cnnviz.runtime.progress import OnStep
from cnnviz.synthesis.objectives import Channels, Classes, Subject, make_score
from cnnviz.synthesis.parameterization import Latent
from cnnviz.synthesis.recipes import VisualizationObjective, deep_generator, recipe

STEPS = {"lucid": 256, "simonyan": 256, "yosinski": 256}
"""How many steps each recipe takes by default."""


def visualize_subject(
    network: Network,
    subject: Subject,
    *,
    method: str = "lucid",
    size: int | tuple[int, int] | None = None,
    steps: int | None = None,
    start: Tensor | None = None,
    diversity: float = 0.0,
    generator: nn.Module | None = None,
    latent: Sequence[int] = (4096,),
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Tensor:
    """One picture for each class or channel of ``subject``, all ascended in one batch.

    Args:
        network: the network whose view it is.
        subject: ``Classes`` or ``Channels``, one for each picture.
        method: ``lucid`` (Olah et al. 2017), ``simonyan`` (Simonyan et al. 2014) or ``yosinski`` (Yosinski et al.
            2015); see ``cnnviz.synthesis.recipes`` for their papers and what is done otherwise.
        size: side, or (H, W), in pixels; None takes the network's own.
        steps: forward and backward passes; None takes the method's default.
        start: pixels (1 or N, 3, H, W) in [0, 1] to begin with instead of noise or the mean colour, as the mean of
            photos that activate the class (Nguyen, Yosinski & Clune, "Multifaceted Feature Visualization", 2016,
            arXiv:1602.03616).
        diversity: how much pictures of one batch are to differ; 0.2 to 1 gives several facets of one class.
        generator: latent (N, *latent) -> pictures (N, 3, h, w) in [-1, 1]; ascends its latent code instead of
            pixels (Nguyen et al. 2016, arXiv:1605.09304).
        latent: shape of one latent code.
        seed: of the noise and the random views.
        on_step: called after every step.

    Returns:
        Pixels (N, 3, H, W) in [0, 1].

    Raises:
        UsageError: no such method, layer or channel, a layer that is no map, or a size the network cannot take.
    """
    chance = torch.Generator().manual_seed(seed)
    height_width = _size(network, size)
    count = len(subject.indices if isinstance(subject, Classes) else subject.channels)
    task = VisualizationObjective(
        network,
        make_score(network, subject),
        count,
        height_width,
        STEPS.get(method, 256) if steps is None else steps,
        chance,
        _fitted(start, height_width),
        diversity,
        _diversity_layer(network, subject) if diversity else None,
    )
    ascent = recipe(method)(task) if generator is None else deep_generator(task, _latent(task, generator, latent))
    with checks.explain_divergence(network, torch.full((1, 3, *height_width), 0.5)):
        return ascent.run(on_step)


@torch.inference_mode(False)
def visualize(
    network: Network,
    target: Target = None,
    *,
    layer: str | None = None,
    channel: int | Sequence[int] | None = None,
    at: tuple[int, int] | str | None = None,
    method: str = "lucid",
    size: int | tuple[int, int] | None = None,
    steps: int | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Pixels (N, 3, H, W) in [0, 1] that a class, or a channel of a layer, responds to most.

    Name either ``target`` (a class by index, name or part of it; or several) or ``layer`` and ``channel`` (one or
    several), with ``at`` (y, x), or ``"centre"``, for one neuron of the map. The other arguments, errors and papers
    are those of ``visualize_subject``.
    """
    if (target is None) == (layer is None):
        raise UsageError("Name either a class or a layer to visualise.")
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
        subject = Channels(layer, channels, at)
    return visualize_subject(network, subject, method=method, size=size, steps=steps, seed=seed, on_step=on_step)


def _size(network: Network, size: int | tuple[int, int] | None) -> tuple[int, int]:
    if size is None or network.spec.fixed:
        return network.spec.size, network.spec.size
    return (size, size) if isinstance(size, int) else size


def _fitted(start: Tensor | None, size: tuple[int, int]) -> Tensor | None:
    if start is None or start.shape[2:] == size:
        return start
    return torch.nn.functional.interpolate(start, size, mode="bilinear", antialias=True, align_corners=False)


def _diversity_layer(network: Network, subject: Subject) -> str:
    """Where pictures are compared: the layer itself, or for classes a layer two thirds of the way down."""
    if isinstance(subject, Channels):
        return subject.layer
    maps = [name for name in network.layers if isinstance(_module(network, name), nn.Conv2d)]
    return maps[len(maps) * 2 // 3]


def _module(network: Network, layer: str) -> nn.Module | None:
    node = network.layers.node(layer)
    return network.graph.get_submodule(str(node.target)) if node.op == "call_module" else None


def _latent(task: VisualizationObjective, generator: nn.Module, shape: Sequence[int]) -> Latent:
    device = task.network.device
    start = 0.1 * torch.randn(task.count, *shape, generator=task.generator)
    try:
        with torch.no_grad():
            made = generator.to(device).eval()(start.to(device))
    except RuntimeError as error:
        raise UsageError(
            f"The generator takes no latent code of the shape {tuple(shape)}: {str(error).strip().splitlines()[-1]}"
        ) from error
    if not isinstance(made, Tensor) or made.ndim != 4 or made.shape[1] != 3:
        raise UsageError("The generator must make pictures (N, 3, H, W) of latent codes.")
    for parameter in generator.parameters():
        parameter.requires_grad_(False)
    return Latent(generator, start.to(device), bound=3.0)
