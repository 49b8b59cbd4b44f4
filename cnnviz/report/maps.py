"""The attribution maps of a report: every method over the photo, in one class's name, and Grad-CAM for several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from cnnviz.attribution.blank import blankness
from cnnviz.attribution.cam import grad_cam
from cnnviz.errors import UsageError
from cnnviz.figures.maps import MapStyle
from cnnviz.network.network import Network, Prediction
from cnnviz.report.figures import Figure, Study


class Method(Protocol):
    """An attribution method with its settings.

    ``compute`` takes network, pixels (1, 3, H, W), class index and seed, and gives a map (1, 1, H, W); it is drawn on
    the photo smoothed by ``blur`` (a deviation in the network's pixels) and clipped at ``percentile``.
    """

    @property
    def title(self) -> str: ...
    @property
    def compute(self) -> Callable[[Network, Tensor, int, int], Tensor]: ...
    @property
    def signed(self) -> bool: ...
    @property
    def percentile(self) -> float: ...
    @property
    def blur(self) -> float: ...


@dataclass(frozen=True)
class Reading:
    """How to read a method's map, and the command that draws it.

    ``asks``: the question it answers; ``misleads``: when not to believe it.
    """

    asks: str
    misleads: str
    command: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


_SEEN = {"view": "overlay"}

READINGS = {
    "saliency": Reading(
        "To which pixels is the score most sensitive?",
        "Sensitivity is not importance: a saturated score has small gradients everywhere.",
        "saliency",
        _SEEN,
    ),
    "smoothgrad": Reading(
        "To which pixels is it sensitive on average, with a little noise added?",
        "Smoother is not truer: the noise chooses what is averaged away.",
        "saliency",
        {**_SEEN, "method": "smoothgrad"},
    ),
    "integrated": Reading(
        "Which pixels brought the score up, from a black picture on?",
        "The baseline decides: from black, dark pixels can hardly count.",
        "saliency",
        {**_SEEN, "method": "integrated"},
    ),
    "input-x-gradient": Reading(
        "What is each pixel's share of the score, to first order?",
        "Black pixels have no share whatever they mean.",
        "saliency",
        {**_SEEN, "method": "input-x-gradient"},
    ),
    "guided": Reading(
        "What in the picture excites the class, by positive evidence only?",
        "Edges look sharp for every class and for random weights too.",
        "compare",
        {"methods": "guided"},
    ),
    "deconvnet": Reading(
        "What pattern would have caused this activation, projected back?",
        "It depends on the picture mostly through the pooling, and less on the class than it seems.",
        "compare",
        {"methods": "deconvnet"},
    ),
    "gradcam": Reading(
        "Which places of the last feature maps speak for the class?",
        "Its resolution is the layer's, a dozen cells across, however smooth it looks.",
        "gradcam",
        _SEEN,
    ),
    "guided-gradcam": Reading(
        "What fine detail lies where the last maps speak for the class?",
        "The detail is guided backpropagation's and shares its flaws.",
        "gradcam",
        {**_SEEN, "guided": True},
    ),
    "occlusion": Reading(
        "Where does hiding a patch cost the class its score?",
        "One patch at a time cannot show that either of two parts would do.",
        "occlusion",
        _SEEN,
    ),
}
"""By the name that ``cnnviz compare --methods`` knows a method by."""


@dataclass(frozen=True)
class MapFigures:
    """What became of the methods: their figures, for those that refused this network why, and which maps show
    nothing."""

    figures: Sequence[Figure]
    refused: Mapping[str, str]
    blank: Mapping[str, str] = field(default_factory=dict)


def map_figures(study: Study, target: int, methods: Mapping[str, Method]) -> MapFigures:
    """The map of each method for class ``target``, laid over the photo.

    A method that is not defined for the network (guided backpropagation without ReLUs) is told of, not an error.
    """
    figures, refused, blank = [], {}, {}
    for name, method in methods.items():
        try:
            found = method.compute(study.network, study.pixels, target, study.seed)
        except UsageError as error:
            refused[method.title] = str(error)
            continue
        reading, words = READINGS[name], blankness(found)
        if words is not None:
            blank[method.title] = words
        blur = {"blur": method.blur} if method.blur and reading.command != "compare" else {}
        recipe = study.recipe_of(reading.command, target, **reading.parameters, **blur)
        caution = f"This map is {words}. {reading.misleads}" if words else reading.misleads
        style = MapStyle("overlay", percentile=method.percentile, blur=method.blur, signed=method.signed)
        figures.append(Figure(method.title, style.draw(found, study.shown), reading.asks, caution, recipe))
    return MapFigures(figures, refused, blank)


def cam_figures(study: Study, predictions: Sequence[Prediction]) -> list[Figure]:
    """Grad-CAM for each of the likeliest classes, every map on its own scale."""
    figures = []
    for index, label, _ in predictions:
        found = grad_cam(study.network, study.pixels, index)
        image = MapStyle("overlay", percentile=100.0).draw(found, study.shown)
        figures.append(Figure(label, image, recipe=study.recipe_of("gradcam", index, view="overlay")))
    return figures
