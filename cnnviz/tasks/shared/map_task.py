"""What the tasks that draw the map of one attribution method share: the object cut out, the check, the panel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cnnviz.pipeline.recipe import LIKELIEST
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.check import CHECK_SIDECAR, MapCheck, check_map
from cnnviz.tasks.shared.cutout import CUTOUT_SIDECARS, cut_out
from cnnviz.tasks.shared.explanations import blank_map, explanation_result
from cnnviz.tasks.shared.maps import MapSettings
from cnnviz.tasks.shared.true_classes import TrueClassTask

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.attribution.registry import AttributionMethod
    from cnnviz.attribution.targets import Explanation
    from cnnviz.network.network import Network


@dataclass(frozen=True)
class MapAnswer:
    """What explains the class of one image.

    Attributes:
        explanation: the class predicted and the class explained.
        attribution: (1, 1, H, W) or (1, 3, H, W).
        metadata: what else there is to know of it.
        check: the test of the map, if one was asked for.
    """

    explanation: Explanation
    attribution: Tensor
    metadata: dict[str, Any] = field(default_factory=dict)
    check: MapCheck | None = None


class MapTask(TrueClassTask, TaskDefaults, ABC):
    """A map of each image; a task says which method is ``chosen``, how to ``explain``, and how the map is called.

    Its fields are at least these, in the order of the command's options.
    """

    has_numbers = True

    target: str | None
    versus: str | None
    grabcut: bool
    check: bool
    boxes: str | None
    maps: MapSettings
    seed: int

    @property
    @abstractmethod
    def chosen(self) -> AttributionMethod:
        """The method that makes the map."""

    @abstractmethod
    def explain(self, network: Network, pixels: Tensor) -> list[MapAnswer]:
        """The explanation of each of some images."""

    @abstractmethod
    def map_for_check(self, network: Network, pixels: Tensor, answer: MapAnswer) -> Tensor:
        """The map (1, 1, H, W) of another network for the same image and class."""

    def title(self, network: Network, answer: MapAnswer) -> str:
        """The caption under the map in the panel."""
        return self.chosen.title

    def colored(self, image: LoadedImage, answer: MapAnswer) -> Image | None:
        """What is shown instead of the map's heat, if anything."""
        return None

    @property
    def batchable(self) -> bool:
        return self.chosen.batchable and not self.check

    @property
    def needs_gradients(self) -> bool:  # type: ignore[override]
        return self.chosen.needs_gradients

    @property
    def sidecars(self) -> Sequence[str]:
        return (*(CUTOUT_SIDECARS if self.grabcut else ()), *((CHECK_SIDECAR,) if self.check else ()))

    def compute(self, network: Network, pixels: Tensor) -> Sequence[MapAnswer]:
        answers = self.explain(network, pixels)
        if not self.check:
            return answers
        return [
            replace(answer, check=self._checked(network, pixels[place : place + 1], answer))
            for place, answer in enumerate(answers)
        ]

    def _checked(self, network: Network, pixels: Tensor, answer: MapAnswer) -> MapCheck:
        target = answer.explanation.explained
        return check_map(network, pixels, target, lambda net, x: self.map_for_check(net, x, answer), self.seed)

    def render(self, network: Network, image: LoadedImage, answer: MapAnswer) -> Result:
        from cnnviz.figures.captions import explanation_title

        explanation, heat = answer.explanation, self.chosen.map_of(answer.attribution)
        title = explanation_title(network.name, explanation, self.true_label(image.source))
        caption = self.title(network, answer)
        blank, warnings = blank_map(heat, image.source.display, caption, explanation.name)
        of_class = explanation.explained if explanation.versus is None else explanation.target.index
        wanted = of_class if self.target is not None else None
        cut = cut_out(network, image, wanted, self.seed) if self.grabcut else None
        tiles = [cut.tile] if cut else []
        drawn = self.maps.style_of(self.chosen).draw(
            heat, image.photo, title, caption, tiles, self.colored(image, answer), image.caption
        )
        known = self.true_json(image.source)
        more = {**answer.metadata, **blank, **(cut.metadata if cut else {})}
        result = explanation_result(drawn, explanation, **known, **more)
        result.warnings = [*warnings, *(cut.warnings if cut else [])]
        result.sidecars = cut.sidecars if cut else {}
        if cut and self.target is None:  # the object of the likeliest classes is not that of the class explained
            result.recipe = {**result.recipe, "target": {**result.recipe["target"], LIKELIEST: True}}
        result.arrays = {self.chosen.name: heat[0, 0].detach().cpu().numpy()}
        if not answer.check:
            return result
        return answer.check.added_to(result, title, image, explanation.target.label, self.boxes)
