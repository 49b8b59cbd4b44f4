"""What ``cnnviz guided`` shows: the gradient image of a class or of one neuron, the neuron's field on the photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnviz.cli.maps import tell_if_blank
from cnnviz.cli.options import position
from cnnviz.errors import UsageError, shortened
from cnnviz.pipeline.image_task import FunctionTask
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.tasks.explanations import explanation_result

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from cnnviz.attribution.registry import AttributionMethod
    from cnnviz.attribution.targets import Explanation
    from cnnviz.network.network import Network


@dataclass(frozen=True)
class Neuron:
    """A channel of a layer, and the place in its map (None: where it is strongest)."""

    layer: str
    channel: int
    at: tuple[int, int] | None


def chosen_neuron(layer: str | None, channel: int | None, at: str | None) -> Neuron | None:
    """The neuron meant by ``--layer``, ``--channel`` and ``--at``; None where a class is to be explained."""
    if layer is None:
        if channel is not None or at is not None:
            raise UsageError("--channel and --at tell a neuron of a layer: name it with --layer.")
        return None
    if channel is None:
        raise UsageError("Name the neuron's channel too: --layer fire5 --channel 17.")
    if at is None:
        return Neuron(layer, channel, None)
    found = position(at)
    if found is None:
        raise UsageError(f"--at takes a row and a column of the layer's map, as in 6,9, not '{shortened(at)}'.")
    return Neuron(layer, channel, found)


def technique(
    target: str | None, method: AttributionMethod, percentile: float, raw: bool
) -> FunctionTask[tuple[Explanation, torch.Tensor]]:
    """``guided`` for a class: the gradient image of each picture."""

    def find(net: Network, pixels: torch.Tensor) -> list[tuple[Explanation, torch.Tensor]]:
        from cnnviz.attribution.targets import predict_targets

        explanations = predict_targets(net, pixels, target)
        found = method.attribute(net, pixels, [explanation.target[0] for explanation in explanations])
        return list(zip(explanations, found.split(1), strict=True))

    def draw(net: Network, picture: LoadedImage, explained: tuple[Explanation, torch.Tensor]) -> Result:
        from cnnviz.figures.captions import explanation_title

        explanation, found = explained
        title = explanation_title(net.name, explanation)
        image = _figure(picture, picture.photo, found, percentile, raw, method, title)
        blank = tell_if_blank(found.abs(), picture, method.name, explanation.target[1])
        return explanation_result(image, explanation, **blank)

    return FunctionTask(find, draw)


def explain(
    net: Network,
    picture: LoadedImage,
    target: str | None,
    neuron: Neuron | None,
    method: AttributionMethod,
    percentile: float,
    raw: bool,
) -> Result:
    """The result of ``guided`` for one picture."""
    from cnnviz.attribution.guided_backprop import rectified_gradient
    from cnnviz.attribution.targets import predict_target

    if neuron is None:
        return technique(target, method, percentile, raw)(net, picture)
    explanation = predict_target(net, picture.pixels, target)
    (y, x), value = _placed(net, picture, neuron)
    found = rectified_gradient(net, picture.pixels, lambda out: out[0, neuron.channel, y, x], method.name, neuron.layer)
    photo = _outlined(net, picture, neuron, (y, x))
    title = f"{net.name}: {neuron.layer}, channel {neuron.channel} at {y},{x}, {value:.1f}"
    facts = {"layer": neuron.layer, "channel": neuron.channel, "at": [y, x], "activation": round(value, 4)}
    facts |= tell_if_blank(found.abs(), picture, method.name, f"channel {neuron.channel} of {neuron.layer}")
    return explanation_result(_figure(picture, photo, found, percentile, raw, method, title), explanation, **facts)


def _figure(
    picture: LoadedImage,
    photo: Image,
    found: torch.Tensor,
    percentile: float,
    raw: bool,
    method: AttributionMethod,
    title: str,
) -> Image:
    from cnnviz.figures.guided import gradient_image, guided_panel

    shown = gradient_image(found[0], percentile, picture.photo.size)
    return shown if raw else guided_panel(photo, shown, method.title, title)


def _placed(net: Network, picture: LoadedImage, neuron: Neuron) -> tuple[tuple[int, int], float]:
    """Where the neuron is in its map, and its activation."""
    import torch

    net.layers.require_map(neuron.layer)
    with torch.no_grad():
        maps = net.features(picture.pixels, [neuron.layer])[neuron.layer]
    channels, height, width = maps.shape[1:]
    if neuron.channel >= channels:
        raise UsageError(f"Layer '{neuron.layer}' has channels 0 to {channels - 1}; there is no {neuron.channel}.")
    y, x = neuron.at or divmod(int(maps[0, neuron.channel].argmax()), width)
    if y >= height or x >= width:
        raise UsageError(f"The map of '{neuron.layer}' has {height} rows and {width} columns; {y},{x} is outside.")
    return (y, x), float(maps[0, neuron.channel, y, x])


def _outlined(net: Network, picture: LoadedImage, neuron: Neuron, place: tuple[int, int]) -> Image:
    """The photo with the neuron's receptive field framed (clipped at the border); as it is if that is everything."""
    from cnnviz.figures.guided import outline_window

    node = net.layers.node(neuron.layer)
    rows = net.layer_table((picture.pixels.shape[2], picture.pixels.shape[3]))
    field = next(row.receptive_field for row in rows if row.name == net.layers.name_of(node))
    if field is None:
        return picture.photo
    height, width = picture.pixels.shape[2:]
    return outline_window(picture.photo, field.window(*place), (height, width))
