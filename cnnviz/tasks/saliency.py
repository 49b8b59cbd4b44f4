"""Which pixels the score of a class is most sensitive to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cnnviz.attribution.registry import AttributionMethod, methods_of
from cnnviz.attribution.settings import IntegratedGradientsSettings, SmoothGradSettings
from cnnviz.pipeline.true_classes import TrueClasses
from cnnviz.settings import setting
from cnnviz.tasks.shared.check import check_setting
from cnnviz.tasks.shared.cutout import grabcut_setting
from cnnviz.tasks.shared.explanations import target_setting, versus_setting, wanted_target
from cnnviz.tasks.shared.map_task import MapAnswer, MapTask
from cnnviz.tasks.shared.maps import MapSettings
from cnnviz.tasks.shared.true_classes import classes_setting

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.network.network import Network
    from cnnviz.network.targets import Target, TargetFunction

METHODS = methods_of("saliency", default="gradient")


@dataclass(frozen=True)
class Saliency(MapTask):
    """A map of each image by one of the methods that read the gradient of the class score."""

    target: str | None = target_setting()
    versus: str | None = versus_setting()
    method: str = setting("gradient", "Which gradient.", choices=tuple(METHODS))
    smoothgrad: SmoothGradSettings = field(default=SmoothGradSettings())
    integrated: IntegratedGradientsSettings = field(default=IntegratedGradientsSettings())
    grabcut: bool = grabcut_setting()
    check: bool = check_setting()
    maps: MapSettings = field(default=MapSettings())
    classes: str | None = classes_setting()
    known_classes: TrueClasses | None = field(default=None, compare=False)
    seed: int = 0

    @property
    def chosen(self) -> AttributionMethod:
        return METHODS[self.method]

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of the chosen method."""
        return self.chosen.accepted(**{**asdict(self.smoothgrad), **asdict(self.integrated), "seed": self.seed})

    def explain(self, network: Network, pixels: Tensor) -> list[MapAnswer]:
        from cnnviz.attribution.targets import predict_targets

        if self.chosen.name == "saliency":
            return _one_pass(network, pixels, wanted_target(self.target, self.versus))
        explanations = predict_targets(network, pixels, wanted_target(self.target, self.versus))
        targets = [explanation.explained for explanation in explanations]
        found = self.chosen.attribute(network, pixels, targets, **self.settings)
        metadata: list[dict[str, Any]] = [{} for _ in targets]
        if self.chosen.name == "integrated":
            metadata = self._completeness(network, pixels, found, targets)
        return list(map(MapAnswer, explanations, found.split(1), metadata))

    def map_for_check(self, network: Network, pixels: Tensor, answer: MapAnswer) -> Tensor:
        return self.chosen(network, pixels, answer.explanation.explained, **self.settings)

    def _completeness(
        self, network: Network, pixels: Tensor, attribution: Tensor, targets: list[int | TargetFunction]
    ) -> list[dict[str, Any]]:
        """How far the integrated gradients of each image are from summing up to the score."""
        from cnnviz.attribution.integrated_gradients import completeness_error

        errors = completeness_error(network, pixels, attribution, targets, self.integrated.baseline).tolist()
        return [{"completeness_error": round(error, 6)} for error in errors]


def _one_pass(network: Network, pixels: Tensor, target: Target) -> list[MapAnswer]:
    """Prediction and saliency of each image from one pass forward and back."""
    from cnnviz.attribution.gradients import gradient_and_logits, strongest_channel
    from cnnviz.attribution.targets import explanations_of

    gradient, logits = gradient_and_logits(network, pixels, target)
    return list(map(MapAnswer, explanations_of(network, logits, target), strongest_channel(gradient).split(1)))
