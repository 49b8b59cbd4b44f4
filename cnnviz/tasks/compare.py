"""The maps of several attribution methods, and of several networks, on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cnnviz.attribution.registry import METHODS, AttributionMethod, select_methods
from cnnviz.errors import UsageError, listed
from cnnviz.pipeline.comparison_job import NetworkView
from cnnviz.pipeline.result import Result
from cnnviz.pipeline.true_classes import TrueClasses
from cnnviz.settings import setting
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.explanations import blank_map, explanation_json, target_setting
from cnnviz.tasks.shared.true_classes import TrueClassTask, classes_setting

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.attribution.targets import Explanation
    from cnnviz.figures.comparison import NetworkMaps
    from cnnviz.figures.maps import MapStyle


DEFAULT_METHODS = "saliency,smoothgrad,guided,gradcam,occlusion"
"""Those of them that a network has: without gradients, those that need none; of a transformer, not ``guided``."""


@dataclass(frozen=True)
class NetworkAnswer:
    """What one network says of an image.

    Attributes:
        explanation: the class predicted and the class explained.
        maps: the map (1, 1, H, W) of each method, by its name.
        refused: why there is none, by the method's name.
        blank: why a method's map shows nothing, by its title.
        warnings: the same in sentences.
    """

    explanation: Explanation
    maps: dict[str, Tensor] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    blank: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Compare(TrueClassTask, TaskDefaults):
    """A sheet of each image: a row for each network, with a map by each method; UsageError for an unknown method."""

    target: str | None = target_setting()
    methods: str = setting(DEFAULT_METHODS, f"Which maps, of {', '.join(METHODS)}.", metavar="A,B,...")
    view: str = setting(
        "overlay",
        "overlay: on the photo. heat: the map in color. raw: in gray, unclipped.",
        choices=("overlay", "heat", "raw"),
    )
    classes: str | None = classes_setting()
    known_classes: TrueClasses | None = field(default=None, compare=False)
    seed: int = 0

    def __post_init__(self) -> None:
        select_methods(self.methods)

    @property
    def chosen(self) -> list[AttributionMethod]:
        """The methods that are named."""
        return list(select_methods(self.methods).values())

    @property
    def needs_gradients(self) -> bool:  # type: ignore[override]
        return self.methods != DEFAULT_METHODS and any(method.needs_gradients for method in self.chosen)

    def compare(self, views: Sequence[NetworkView]) -> Result:
        lacking = [view.network.name for view in views if not view.network.has_gradients]
        usable = [method for method in self.chosen if not (lacking and method.needs_gradients)]
        left_out = [method.name for method in self.chosen if method not in usable]
        task = replace(self, methods=",".join(method.name for method in usable))
        result = task._sheet(views, all_wanted=self.methods != DEFAULT_METHODS)
        if left_out:
            without = f"{listed(lacking)} {'has' if len(lacking) == 1 else 'have'} no gradients"
            result.warnings = [f"{without}: left out {listed(left_out)}.", *result.warnings]
        return result

    def _sheet(self, views: Sequence[NetworkView], all_wanted: bool) -> Result:
        from cnnviz.figures.comparison import comparison_sheet

        answers = [self._answer(view, all_wanted) for view in views]
        refused = {name: reason for answer in answers for name, reason in answer.refused.items()}
        shown = [method for method in self.chosen if method.name not in refused]
        pairs = list(zip(views, answers, strict=True))
        first = answers[0].explanation
        return Result(
            {**self.true_json(views[0].image.source), "networks": [_metadata(view, answer) for view, answer in pairs]},
            comparison_sheet([self._row(view, answer, shown) for view, answer in pairs]),
            target=first.name,
            recipe={} if self.target is None else {"target": explanation_json(first)["target"]},
            warnings=[
                *(f"Left out {name}: {reason}" for name, reason in refused.items()),
                *(warning for answer in answers for warning in answer.warnings),
            ],
        )

    def _answer(self, view: NetworkView, all_wanted: bool) -> NetworkAnswer:
        from cnnviz.attribution.targets import predict_target

        network, pixels = view.network, view.image.pixels
        explanation = predict_target(network, pixels, self.target)
        whose, name = f"{explanation.name} by {network.name}", view.image.source.display
        answer = NetworkAnswer(explanation)
        for method in self.chosen:
            try:
                found = method(network, pixels, explanation.explained, **method.accepted(seed=self.seed))
            except UsageError as error:
                if all_wanted:
                    raise
                answer.refused[method.name] = str(error)
                continue
            blank, warnings = blank_map(found, name, method.title, whose)
            answer.maps[method.name] = found
            if blank:
                answer.blank[method.title] = blank["blank"]
            answer.warnings.extend(warnings)
        return answer

    def _row(self, view: NetworkView, answer: NetworkAnswer, shown: Sequence[AttributionMethod]) -> NetworkMaps:
        from cnnviz.figures.captions import explanation_title
        from cnnviz.figures.comparison import NetworkMaps

        title = explanation_title(view.network.name, answer.explanation, self.true_label(view.image.source))
        maps = [(method.title, answer.maps[method.name], self._style(method)) for method in shown]
        return NetworkMaps(view.image.photo, title, maps, view.image.caption)

    def _style(self, method: AttributionMethod) -> MapStyle:
        from cnnviz.figures.maps import MapStyle

        view: Any = self.view
        blur = method.blur if self.view == "overlay" else 0.0
        return MapStyle(view, None, method.percentile, blur, method.signed)


def _metadata(view: NetworkView, answer: NetworkAnswer) -> dict[str, Any]:
    return {
        "model": view.network.name,
        **explanation_json(answer.explanation),
        **({"blank": answer.blank} if answer.blank else {}),
    }
