"""Where hiding part of an image costs a class its score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cnnviz.attribution.registry import METHODS, AttributionMethod
from cnnviz.attribution.settings import OcclusionSettings
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.pipeline.true_classes import TrueClasses
from cnnviz.settings import setting
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.boxes import boxes_setting
from cnnviz.tasks.shared.check import CHECK_SIDECAR, MapCheck, check_map, check_setting
from cnnviz.tasks.shared.explanations import (
    blank_map,
    explanation_result,
    target_setting,
    versus_setting,
    wanted_target,
)
from cnnviz.tasks.shared.maps import MapSettings
from cnnviz.tasks.shared.true_classes import TrueClassTask, classes_setting

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.attribution.occlusion import OcclusionGrid
    from cnnviz.attribution.targets import Explanation, ResolvedOnce
    from cnnviz.network.network import Network
    from cnnviz.network.targets import TargetFunction


@dataclass(frozen=True)
class OcclusionAnswer:
    """The effect of each patch on the score of the class that is explained, and the test of the map if wanted."""

    explanation: Explanation
    grid: OcclusionGrid
    check: MapCheck | None = None


@dataclass(frozen=True)
class Occlusion(TrueClassTask, TaskDefaults):
    """A map of each image: how much the score of the class drops where a patch hides the image."""

    workload = "scores"
    has_numbers = True

    target: str | None = target_setting()
    versus: str | None = versus_setting()
    settings: OcclusionSettings = field(default=OcclusionSettings())
    class_map: bool = setting(
        False, "Show in the panel which class wins where the patch lies, even if one wins everywhere."
    )
    check: bool = check_setting()
    boxes: str | None = boxes_setting()
    maps: MapSettings = field(default=MapSettings())
    classes: str | None = classes_setting()
    known_classes: TrueClasses | None = field(default=None, compare=False)
    seed: int = 0

    @property
    def chosen(self) -> AttributionMethod:
        return METHODS["occlusion"]

    @property
    def batchable(self) -> bool:
        return False

    @property
    def sidecars(self) -> Sequence[str]:
        return (CHECK_SIDECAR,) if self.check else ()

    def compute(self, network: Network, pixels: Tensor) -> Sequence[OcclusionAnswer]:
        return [self._explain_one(network, image) for image in pixels.split(1)]

    def _explain_one(self, network: Network, pixels: Tensor) -> OcclusionAnswer:
        from cnnviz.attribution.targets import ResolvedOnce

        once = ResolvedOnce(wanted_target(self.target, self.versus))
        grid = self._grid(network, pixels, once)
        (explanation,) = once.explanations(network, pixels)
        if not self.check:
            return OcclusionAnswer(explanation, grid)
        target = explanation.explained

        def map_of(other: Network, image: Tensor) -> Tensor:
            found = grid if other is network and image is pixels else self._grid(other, image, target)
            return found.to_pixels(*pixels.shape[2:]).float()[None, None]

        return OcclusionAnswer(explanation, grid, check_map(network, pixels, target, map_of, self.seed))

    def _grid(self, network: Network, pixels: Tensor, target: int | TargetFunction | ResolvedOnce) -> OcclusionGrid:
        from cnnviz.attribution.occlusion import occlusion_grids

        (grid,) = occlusion_grids(network, pixels, target, replace(self.settings, seed=self.seed))
        return grid

    def render(self, network: Network, image: LoadedImage, answer: OcclusionAnswer) -> Result:
        from cnnviz.figures.captions import explanation_title

        explanation, grid = answer.explanation, answer.grid
        title = explanation_title(network.name, explanation, self.true_label(image.source))
        blank, warnings = blank_map(grid.score_drops, image.source.display, "occlusion", explanation.name)
        figure = self._figure(network, image, answer, title)
        result = explanation_result(figure, explanation, **self.true_json(image.source), **_metadata(grid), **blank)
        result.arrays = {"occlusion": grid.to_pixels(*image.pixels.shape[2:]).cpu().numpy()}
        result.warnings = warnings
        if network.classes == 1 and not network.has_probabilities:
            result.unused = {"class_map": f"on {network.name}, which has one value"}
        if not answer.check:
            return result
        return answer.check.added_to(result, title, image, explanation.target.label, self.boxes)

    def _figure(self, network: Network, image: LoadedImage, answer: OcclusionAnswer, title: str) -> Image:
        from cnnviz.figures.occlusion import occlusion_figure

        explanation, grid = answer.explanation, answer.grid
        return occlusion_figure(
            grid,
            image.photo,
            (image.pixels.shape[2], image.pixels.shape[3]),
            self.maps.style_of(self.chosen),
            title,
            _score_name(self.settings.score, explanation),
            {index: _winner(network, index) for index in grid.classes.unique().tolist()},
            class_map=self.class_map,
            wins=network.has_probabilities or network.black_box is not None,  # of values of a regression none does
            photo_caption=image.caption,
        )


def _winner(network: Network, index: int) -> str:
    """The label of a class, or that the only one is unlikely."""
    return network.label(index) if index < network.classes else f"not {network.label(0)}"


def _score_name(score: str, explanation: Explanation) -> str:
    """What drops, in words."""
    if explanation.versus is not None:
        return "log-odds" if explanation.is_probability else "difference"
    if score == "probability" and explanation.is_probability:
        return "probability of other classes" if explanation.against else score
    name = "logit" if explanation.is_probability else "value"
    return f"negative {name}" if explanation.against else name


def _metadata(grid: OcclusionGrid) -> dict[str, Any]:
    """The grid and its largest drop."""
    row, column = divmod(int(grid.score_drops.argmax()), grid.score_drops.shape[1])
    return {
        "score": round(grid.score, 6),
        "largest_drop": round(float(grid.score_drops.max()), 6),
        "largest_drop_at": [int(grid.tops[row]), int(grid.lefts[column])],
        "tops": grid.tops.tolist(),
        "lefts": grid.lefts.tolist(),
        "drops": [[round(value, 6) for value in values] for values in grid.score_drops.tolist()],
        "classes": grid.classes.tolist(),
    }
