"""The attribution maps of a report: every method for one class, and Grad-CAM for several, over the photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cnnviz.attribution.blank import blankness
from cnnviz.attribution.cam import grad_cam
from cnnviz.attribution.registry import AttributionMethod
from cnnviz.errors import UsageError
from cnnviz.figures.maps import MapStyle
from cnnviz.network.prediction import Prediction
from cnnviz.network.targets import TargetFunction
from cnnviz.report.page_figure import PageFigure
from cnnviz.report.report_input import ReportInput


@dataclass(frozen=True)
class MapFigures:
    """The maps of some methods.

    Attributes:
        figures: one for each method that is defined for the network.
        refused: for each of the others the reason, by title.
        blank: which maps show nothing, and how, by title.
    """

    figures: Sequence[PageFigure]
    refused: Mapping[str, str]
    blank: Mapping[str, str] = field(default_factory=dict)


def map_figures(
    report_input: ReportInput, target: int | TargetFunction, methods: Mapping[str, AttributionMethod]
) -> MapFigures:
    """The map of each method for ``target``, laid over the photo.

    A method that is not defined for the network, as guided backpropagation without ReLUs, is no error: the reason is
    in ``refused``.
    """
    figures, refused, blank = [], {}, {}
    for method in methods.values():
        try:
            found = method(report_input.network, report_input.pixels, target, **method.accepted(seed=report_input.seed))
        except UsageError as error:
            refused[method.title] = str(error)
            continue
        words, caveat = blankness(found), method.caveat
        if words is not None:
            blank[method.title] = words
            caveat = f"This map is {words}. {caveat}"
        style = MapStyle("overlay", percentile=method.percentile, blur=method.blur, signed=method.signed)
        image = style.draw(found, report_input.page_photo)
        figures.append(PageFigure(method.title, image, method.question, caveat, _recipe(report_input, target, method)))
    return MapFigures(figures, refused, blank)


def _recipe(
    report_input: ReportInput, target: int | TargetFunction, method: AttributionMethod
) -> dict[str, Any] | None:
    """The recipe of a method's overlay: its own command's, or that of ``compare`` where that draws none."""
    command, options = method.overlay_command()
    return report_input.recipe_of(command, target, **options)


def grad_cam_figures(report_input: ReportInput, predictions: Sequence[Prediction]) -> list[PageFigure]:
    """Grad-CAM for each of the likeliest classes, every map on its own scale."""
    figures = []
    for index, label, _ in predictions:
        found = grad_cam(report_input.network, report_input.pixels, index)
        image = MapStyle("overlay", percentile=100.0).draw(found, report_input.page_photo)
        figures.append(PageFigure(label, image, recipe=report_input.recipe_of("gradcam", index, view="overlay")))
    return figures
