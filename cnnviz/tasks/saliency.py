"""Which pixels the score of a class is most sensitive to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cnnviz.attribution.registry import AttributionMethod, methods_of
from cnnviz.attribution.settings import (
    ExpectedGradientsSettings,
    IntegratedGradientsSettings,
    PerturbationSettings,
    SmoothGradSettings,
)
from cnnviz.pipeline.true_classes import TrueClasses
from cnnviz.settings import setting
from cnnviz.tasks.shared.baselines import read_baselines
from cnnviz.tasks.shared.boxes import boxes_setting
from cnnviz.tasks.shared.check import check_setting
from cnnviz.tasks.shared.cutout import grabcut_setting
from cnnviz.tasks.shared.explanations import target_setting, versus_setting, wanted_target
from cnnviz.tasks.shared.map_task import MapAnswer, MapTask
from cnnviz.tasks.shared.maps import MapSettings
from cnnviz.tasks.shared.true_classes import classes_setting

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.network.network import Network

METHODS = methods_of("saliency", default="gradient")


@dataclass(frozen=True)
class Saliency(MapTask):
    """A map of each image by one of the methods that read the gradient of the class score, or hide parts of it.

    ``baseline_pixels`` are those of the folder ``baselines``, read before any work: (B, C, side, side).
    """

    target: str | None = target_setting()
    versus: str | None = versus_setting()
    method: str = setting("gradient", "Which method.", choices=tuple(METHODS))
    smoothgrad: SmoothGradSettings = field(default=SmoothGradSettings())
    integrated: IntegratedGradientsSettings = field(default=IntegratedGradientsSettings())
    expected: ExpectedGradientsSettings = field(default=ExpectedGradientsSettings())
    hidden: PerturbationSettings = field(default=PerturbationSettings())
    grabcut: bool = grabcut_setting()
    check: bool = check_setting()
    boxes: str | None = boxes_setting()
    maps: MapSettings = field(default=MapSettings())
    classes: str | None = classes_setting()
    known_classes: TrueClasses | None = field(default=None, compare=False)
    seed: int = 0
    baseline_pixels: Any = field(default=None, compare=False, repr=False)

    def with_files(self) -> Saliency:
        task = super().with_files()
        if self.expected.baselines is None or self.baseline_pixels is not None:
            return task
        return replace(task, baseline_pixels=read_baselines(self.expected.baselines))

    @property
    def chosen(self) -> AttributionMethod:
        return METHODS[self.method]

    def settings_for(self, pixels: Tensor) -> dict[str, Any]:
        """The arguments of the chosen method for images (N, C, H, W)."""
        parts = (self.smoothgrad, self.integrated, self.expected, self.hidden)
        values = {name: value for part in parts for name, value in asdict(part).items()}
        return self.chosen.accepted(**{**values, "baselines": self._baselines(pixels), "seed": self.seed})

    def _baselines(self, pixels: Tensor) -> Tensor | None:
        """The photos of the folder of baselines, at the size of ``pixels``."""
        from cnnviz.imaging.pixel_ops import resize

        if self.expected.baselines is None or "baselines" not in self.chosen.settings:
            return None
        found: Tensor = self.with_files().baseline_pixels
        return resize(found, (pixels.shape[2], pixels.shape[3]))

    def explain(self, network: Network, pixels: Tensor) -> list[MapAnswer]:
        from cnnviz.attribution.targets import ResolvedOnce

        target, settings = ResolvedOnce(wanted_target(self.target, self.versus)), self.settings_for(pixels)
        found = self.chosen.attribute(network, pixels, target, **settings)
        errors = self.chosen.sum_errors(network, pixels, found, target, **settings)
        return list(map(MapAnswer, target.explanations(network, pixels), found.split(1), errors))

    def map_for_check(self, network: Network, pixels: Tensor, answer: MapAnswer) -> Tensor:
        return self.chosen(network, pixels, answer.explanation.explained, **self.settings_for(pixels))
