"""The attribution maps of a report: every method over the photo, in one class's name, and Grad-CAM for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cnnviz.attribution.blank import blankness
from cnnviz.attribution.cam import grad_cam
from cnnviz.attribution.registry import AttributionMethod
from cnnviz.errors import UsageError
from cnnviz.figures.maps import MapStyle
from cnnviz.network.network import Prediction
from cnnviz.report.figures import Figure, Study


@dataclass(frozen=True)
class MapFigures:
    """What became of the methods: their figures, for those that refused this network why, and which maps show
    nothing."""

    figures: Sequence[Figure]
    refused: Mapping[str, str]
    blank: Mapping[str, str] = field(default_factory=dict)


def map_figures(study: Study, target: int, methods: Mapping[str, AttributionMethod]) -> MapFigures:
    """The map of each method for class ``target``, laid over the photo.

    A method that is not defined for the network, as guided backpropagation without ReLUs, is no error: the reason is
    in ``refused``.
    """
    figures, refused, blank = [], {}, {}
    for method in methods.values():
        try:
            found = method(study.network, study.pixels, target, **method.accepted(seed=study.seed))
        except UsageError as error:
            refused[method.title] = str(error)
            continue
        words, caution = blankness(found), method.caveat
        if words is not None:
            blank[method.title] = words
            caution = f"This map is {words}. {caution}"
        style = MapStyle("overlay", percentile=method.percentile, blur=method.blur, signed=method.signed)
        image = style.draw(found, study.shown)
        figures.append(Figure(method.title, image, method.question, caution, _recipe(study, target, method)))
    return MapFigures(figures, refused, blank)


def _recipe(study: Study, target: int, method: AttributionMethod) -> dict[str, Any]:
    """The recipe of a method's overlay: its own command's, or that of ``compare`` where that draws none."""
    if not method.has_overlay:
        return study.recipe_of("compare", target, methods=method.name)
    blur = {"blur": method.blur} if method.blur else {}
    return study.recipe_of(method.command, target, view="overlay", **method.command_options, **blur)


def cam_figures(study: Study, predictions: Sequence[Prediction]) -> list[Figure]:
    """Grad-CAM for each of the likeliest classes, every map on its own scale."""
    figures = []
    for index, label, _ in predictions:
        found = grad_cam(study.network, study.pixels, index)
        image = MapStyle("overlay", percentile=100.0).draw(found, study.shown)
        figures.append(Figure(label, image, recipe=study.recipe_of("gradcam", index, view="overlay")))
    return figures
