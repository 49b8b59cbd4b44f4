"""The maps of several attribution methods, and of several networks, on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from cnnviz.attribution.registry import DEFAULT_COMPARED, METHODS, AttributionMethod, all_named, select_methods
from cnnviz.errors import listed
from cnnviz.pipeline.comparison_job import NetworkView
from cnnviz.pipeline.result import Result
from cnnviz.pipeline.true_classes import TrueClasses
from cnnviz.settings import setting
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.explanations import blank_map, explanation_json, target_setting, versus_setting, wanted_target
from cnnviz.tasks.shared.true_classes import TrueClassTask, classes_setting

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnviz.report.comparison import NetworkAnswer


@dataclass(frozen=True)
class Compare(TrueClassTask, TaskDefaults):
    """A sheet of each image: a row for each network, with a map by each method; UsageError for an unknown method."""

    has_numbers = True

    target: str | None = target_setting()
    versus: str | None = versus_setting()
    methods: str = setting(
        DEFAULT_COMPARED, f"Which maps: all, cam, fast, or of {', '.join(METHODS)}.", metavar="A,B,..."
    )
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
    def _all_wanted(self) -> bool:
        """Whether each method was asked for by name, so that a network without it is an error."""
        return self.methods != DEFAULT_COMPARED and all_named(self.methods)

    @property
    def needs_gradients(self) -> bool:  # type: ignore[override]
        return self._all_wanted and any(method.needs_gradients for method in self.chosen)

    def compare(self, views: Sequence[NetworkView]) -> Result:
        from cnnviz.figures.comparison import comparison_sheet
        from cnnviz.report.comparison import explain, row_of, shown_methods, usable_methods

        usable = usable_methods([view.network for view in views], self.chosen)
        ask = partial(explain, methods=usable, all_wanted=self._all_wanted)
        wanted = wanted_target(self.target, self.versus)
        answers = [ask(view.network, view.image.pixels, target=wanted, seed=self.seed) for view in views]
        methods, form = shown_methods(answers, usable), cast(Any, self.view)
        pairs = list(zip(views, answers, strict=True))
        blanks = [_blank_maps(*pair, methods) for pair in pairs]
        first, source = answers[0].explanation, views[0].image.source
        rows = [
            row_of(view.network, view.image, answer, methods, form, self.true_label(source)) for view, answer in pairs
        ]
        return Result(
            {
                **self.true_json(source),
                "networks": [_metadata(*pair, blank) for pair, (blank, _) in zip(pairs, blanks, strict=True)],
            },
            comparison_sheet(rows),
            target=first.name,
            recipe={} if self.target is None else {"target": explanation_json(first)["target"]},
            arrays=_arrays(pairs, methods),
            warnings=[*self._left_out(views, answers, usable), *(text for _, texts in blanks for text in texts)],
        )

    def _left_out(
        self, views: Sequence[NetworkView], answers: Sequence[NetworkAnswer], usable: Sequence[AttributionMethod]
    ) -> list[str]:
        """The sentences that say which methods are left out, and why: what a network lacks, or its reason."""
        names: dict[str, list[str]] = {}
        for method in self.chosen:
            if method not in usable:
                lacking = {view.network.name: method.lacking(view.network) for view in views}
                whose = [name for name, what in lacking.items() if what]
                verb, what = "has" if len(whose) == 1 else "have", lacking[whose[0]]
                names.setdefault(f"{listed(whose)} {verb} no {what}", []).append(method.name)
        refused = {name: reason for answer in answers for name, reason in answer.refused.items()}
        return [
            *(f"{why}: left out {listed(methods)}." for why, methods in names.items()),
            *(f"Left out {name}: {reason}" for name, reason in refused.items()),
        ]


def _arrays(
    pairs: Sequence[tuple[NetworkView, NetworkAnswer]], methods: Sequence[AttributionMethod]
) -> dict[str, NDArray[Any]]:
    """The maps (H, W) by the methods' names; of several networks by the networks' too: ``vgg16/gradcam``."""
    names = [view.network.name for view, _ in pairs]
    if len(set(names)) < len(names):  # the same with other weights
        names = [f"{name}-{number}" for number, name in enumerate(names, 1)]
    prefixes = [""] if len(names) == 1 else [f"{name}/" for name in names]
    return {
        f"{prefix}{method.name}": answer.maps[method.name][0, 0].detach().cpu().numpy()
        for prefix, (_, answer) in zip(prefixes, pairs, strict=True)
        for method in methods
    }


def _blank_maps(
    view: NetworkView, answer: NetworkAnswer, methods: Sequence[AttributionMethod]
) -> tuple[dict[str, str], list[str]]:
    """Why a method's map shows nothing, by its title, and the same in sentences."""
    whose, name = f"{answer.explanation.name} by {view.network.name}", view.image.source.display
    blank: dict[str, str] = {}
    warnings: list[str] = []
    for method in methods:
        why, texts = blank_map(answer.maps[method.name], name, method.title, whose)
        blank |= {method.title: why["blank"]} if why else {}
        warnings += texts
    return blank, warnings


def _metadata(view: NetworkView, answer: NetworkAnswer, blank: dict[str, str]) -> dict[str, Any]:
    return {
        "model": view.network.name,
        **explanation_json(answer.explanation),
        **({"blank": blank} if blank else {}),
    }
