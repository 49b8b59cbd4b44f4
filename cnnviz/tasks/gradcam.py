"""Where the last feature maps speak for a class."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cnnviz.attribution.registry import METHODS, AttributionMethod
from cnnviz.pipeline.result import LoadedImage
from cnnviz.pipeline.true_classes import TrueClasses
from cnnviz.settings import setting
from cnnviz.tasks.shared.check import check_setting
from cnnviz.tasks.shared.cutout import grabcut_setting
from cnnviz.tasks.shared.explanations import target_setting, versus_setting, wanted_target
from cnnviz.tasks.shared.layers import layer_setting
from cnnviz.tasks.shared.map_task import MapAnswer, MapTask
from cnnviz.tasks.shared.maps import MapSettings
from cnnviz.tasks.shared.true_classes import classes_setting

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.network.network import Network


@dataclass(frozen=True)
class GradCam(MapTask):
    """Grad-CAM of each image, or guided Grad-CAM; the answer's metadata name the layer."""

    target: str | None = target_setting()
    versus: str | None = versus_setting()
    layer: str | None = layer_setting("Whose maps to weight.", "the last before the classifier")
    guided: bool = setting(False, "Guided Grad-CAM: times guided backprop.")
    grabcut: bool = grabcut_setting()
    check: bool = check_setting()
    maps: MapSettings = field(default=MapSettings())
    classes: str | None = classes_setting()
    known_classes: TrueClasses | None = field(default=None, compare=False)
    seed: int = 0

    @property
    def chosen(self) -> AttributionMethod:
        return METHODS["guided-gradcam" if self.guided else "gradcam"]

    def explain(self, network: Network, pixels: Tensor) -> list[MapAnswer]:
        from cnnviz.attribution.targets import predict_targets
        from cnnviz.network.default_layers import last_spatial_layer

        explanations = predict_targets(network, pixels, wanted_target(self.target, self.versus))
        layer = self.layer or last_spatial_layer(network)
        targets = [explanation.explained for explanation in explanations]
        maps = self.chosen.attribute(network, pixels, targets, layer=layer)
        return [
            MapAnswer(each, found, {"layer": layer}) for each, found in zip(explanations, maps.split(1), strict=True)
        ]

    def map_for_check(self, network: Network, pixels: Tensor, answer: MapAnswer) -> Tensor:
        return self.chosen(network, pixels, answer.explanation.explained, layer=answer.metadata["layer"])

    def title(self, network: Network, answer: MapAnswer) -> str:
        from cnnviz.report.map_panel import method_title

        return method_title(network, self.chosen, answer.metadata["layer"])

    def colored(self, image: LoadedImage, answer: MapAnswer) -> Image | None:
        from cnnviz.figures.guided import gradient_image

        clip = self.chosen.percentile if self.maps.percentile is None else self.maps.percentile
        if not self.guided:
            return None
        return gradient_image(answer.attribution[0], clip, image.photo.size, image.channels)
