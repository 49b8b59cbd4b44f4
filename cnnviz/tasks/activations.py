"""A layer's feature maps of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.settings import setting
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.layers import channel_numbers, channels_setting, layer_setting, shared_scale_setting
from cnnviz.tasks.shared.maps import colormap_setting

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.features.activations import ActivationGrid
    from cnnviz.network.network import Network


@dataclass(frozen=True)
class Activations(TaskDefaults):
    """Feature maps of each image: the strongest channels in gray, or chosen ones in color over the photo."""

    purpose = "features"

    layer: str | None = layer_setting("A layer whose output is a map.", "one half way down")
    channel: tuple[str, ...] | None = channels_setting()
    top: int = setting(40, "How many channels, strongest first.", min=1)
    shared_scale: bool = shared_scale_setting()
    colormap: str | None = colormap_setting()

    @property
    def channels(self) -> list[int]:
        """The chosen channels; empty for the strongest ones. UsageError for what is no channel."""
        return channel_numbers(self.channel)

    @property
    def batchable(self) -> bool:
        return False

    def compute(self, network: Network, pixels: Tensor) -> Sequence[ActivationGrid]:
        from cnnviz.features.activations import activation_grid
        from cnnviz.features.top_activations import check_channels
        from cnnviz.network.default_layers import middle_layer

        layer = self.layer or middle_layer(network)
        found = [activation_grid(network, image, layer) for image in pixels.split(1)]
        check_channels(self.channels, len(found[0].maps), layer)
        return found

    def render(self, network: Network, image: LoadedImage, answer: ActivationGrid) -> Result:
        channels = self.channels or answer.order[: self.top].tolist()
        strengths = [{"channel": c, "mean": round(float(answer.strengths[c]), 6)} for c in channels]
        metadata = {"layer": answer.layer, "shape": tuple(answer.maps.shape), "channels": strengths}
        return Result(metadata, self._figure(network, image, answer, channels), target=answer.layer)

    def _figure(self, network: Network, image: LoadedImage, answer: ActivationGrid, channels: list[int]) -> Image:
        from cnnviz.figures.activations import activation_overlays, activation_tiles

        title = f"{network.name} {answer.layer}"
        shown: dict[str, Any] = {"colormap": self.colormap, "photo_caption": image.caption}
        if self.channels:
            return activation_overlays(answer, channels, image.photo, title, **shown)
        return activation_tiles(answer, channels, image.photo, title, shared_scale=self.shared_scale, **shown)
