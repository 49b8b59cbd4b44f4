"""Where the last feature maps speak for a class."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cnnviz.attribution.registry import METHODS as ALL_METHODS
from cnnviz.attribution.registry import AttributionMethod, methods_of
from cnnviz.attribution.settings import SMOOTHINGS
from cnnviz.errors import UsageError
from cnnviz.pipeline.result import LoadedImage
from cnnviz.pipeline.true_classes import TrueClasses
from cnnviz.settings import setting
from cnnviz.tasks.shared.boxes import boxes_setting
from cnnviz.tasks.shared.check import check_setting
from cnnviz.tasks.shared.cutout import grabcut_setting
from cnnviz.tasks.shared.explanations import target_setting, versus_setting, wanted_target
from cnnviz.tasks.shared.layers import layer_names, layers_setting
from cnnviz.tasks.shared.map_task import MapAnswer, MapTask
from cnnviz.tasks.shared.maps import MapSettings
from cnnviz.tasks.shared.true_classes import classes_setting

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.network.network import Network


METHODS = methods_of("gradcam", default="gradcam")


@dataclass(frozen=True)
class GradCam(MapTask):
    """A class activation map of each image, or guided Grad-CAM; the answer's metadata name the layer, or ``layers``."""

    target: str | None = target_setting()
    versus: str | None = versus_setting()
    method: str = setting("gradcam", "How the layer's maps are weighted.", choices=tuple(METHODS))
    layer: tuple[str, ...] | None = layers_setting(
        "Whose maps to weight; of several the mean of their maps.",
        "the last before the classifier; refinecam: four over the depth",
    )
    smooth: str = setting(
        "none", "flips: mean over mirror images and contrasts; eigen: first principal component.", choices=SMOOTHINGS
    )
    guided: bool = setting(False, "Guided Grad-CAM: times guided backprop.")
    grabcut: bool = grabcut_setting()
    check: bool = check_setting()
    boxes: str | None = boxes_setting()
    maps: MapSettings = field(default=MapSettings())
    classes: str | None = classes_setting()
    known_classes: TrueClasses | None = field(default=None, compare=False)
    seed: int = 0

    @property
    def chosen(self) -> AttributionMethod:
        return ALL_METHODS["guided-gradcam"] if self.guided else METHODS[self.method]

    def __post_init__(self) -> None:
        if self.guided and self.method != "gradcam":
            raise UsageError(f"Guided Grad-CAM is the product with Grad-CAM, not with {METHODS[self.method].title}.")

    def explain(self, network: Network, pixels: Tensor) -> list[MapAnswer]:
        from cnnviz.attribution.targets import ResolvedOnce

        target, layers = ResolvedOnce(wanted_target(self.target, self.versus)), self._layers(network, pixels)
        maps = self.chosen.attribute(network, pixels, target, layer=layers, smooth=self.smooth).split(1)
        metadata = {"layer": layers[0]} if len(layers) == 1 else {"layers": layers}
        pairs = zip(target.explanations(network, pixels), maps, strict=True)
        return [MapAnswer(each, found, metadata) for each, found in pairs]

    def _layers(self, network: Network, pixels: Tensor) -> list[str]:
        """The layers named, or those that the method takes by itself."""
        from cnnviz.attribution.cam import default_layers

        return layer_names(self.layer) or default_layers(network, self.chosen.name, pixels)

    def map_for_check(self, network: Network, pixels: Tensor, answer: MapAnswer) -> Tensor:
        return self.chosen(network, pixels, answer.explanation.explained, layer=_layers_of(answer), smooth=self.smooth)

    def title(self, network: Network, answer: MapAnswer) -> str:
        from cnnviz.report.map_panel import method_title

        return method_title(network, self.chosen, _layers_of(answer))

    def colored(self, image: LoadedImage, answer: MapAnswer) -> Image | None:
        from cnnviz.figures.guided import gradient_image

        clip = self.chosen.percentile if self.maps.percentile is None else self.maps.percentile
        if not self.guided:
            return None
        return gradient_image(answer.attribution[0], clip, image.photo.size, image.channels)


def _layers_of(answer: MapAnswer) -> list[str]:
    """The layers whose maps were weighted."""
    found: list[str] = answer.metadata.get("layers") or [answer.metadata["layer"]]
    return found
