"""What a report tells of one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cnnviz.attribution.registry import AttributionMethod
from cnnviz.errors import ImageError
from cnnviz.network.default_layers import evenly_spaced_layers
from cnnviz.network.network import Prediction
from cnnviz.report.figures import Figure, Study
from cnnviz.report.fooling import Fooling, fooling_example
from cnnviz.report.layers import LayerFigures, layer_figures
from cnnviz.report.maps import MapFigures, cam_figures, map_figures


@dataclass(frozen=True)
class Plan:
    """What to tell: which methods by name, which layers (None: some over the depth) with how many channels each, how
    many of the likeliest classes, which class to explain (None: the likeliest), what to fool the network into (None:
    what it thinks least)."""

    methods: Mapping[str, AttributionMethod] = field(default_factory=dict)
    layers: Sequence[str] | None = None
    channels: int = 12
    top: int = 5
    target: str | int | None = None
    fool_into: str | int | None = None


@dataclass(frozen=True)
class Chapter:
    """One picture: what the network says, why, what its layers answer, and how it is fooled."""

    name: str
    photo: Figure
    seen: tuple[int, int]
    predictions: Sequence[Prediction]
    target: Prediction
    maps: MapFigures
    cams: Sequence[Figure]
    layers: Sequence[LayerFigures]
    fooling: Fooling | None


def picture_chapter(study: Study, plan: Plan) -> Chapter:
    """Work out all that the plan asks for.

    Raises UsageError for an unknown class or layer, ImageError for a picture too small for the network.
    """
    network, pixels = study.network, study.pixels
    every = network.predict(pixels, network.classes)[0]
    predictions = every[: plan.top]
    index = every[0][0] if plan.target is None else network.find_class(plan.target)
    target = next(prediction for prediction in every if prediction[0] == index)
    layers = evenly_spaced_layers(network) if plan.layers is None else plan.layers
    height, width = pixels.shape[2:]
    return Chapter(
        study.name,
        Figure(study.name, study.shown, recipe=study.recipe_of("classify")),
        (width, height),
        predictions,
        target,
        map_figures(study, index, plan.methods),
        cam_figures(study, predictions),
        [layer_figures(study, layer, plan.channels) for layer in layers],
        _fooling(study, plan),
    )


def _fooling(study: Study, plan: Plan) -> Fooling | None:
    """The example, or None where there is nothing to fool: the picture is taken for that class as it is."""
    into = None if plan.fool_into is None else study.network.find_class(plan.fool_into)
    try:
        return fooling_example(study, into)
    except ImageError:
        return None
