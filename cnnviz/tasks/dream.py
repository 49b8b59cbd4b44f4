"""DeepDream: each photo changed to activate some layers more, or a zoom animation into the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.settings import setting
from cnnviz.synthesis.settings import DreamSettings
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.layers import channel_numbers, channels_setting, layer_names, layers_setting

if TYPE_CHECKING:
    from cnnviz.network.network import Network
    from cnnviz.pipeline.step_monitor import StepMonitor
    from cnnviz.synthesis.deepdream import DreamTarget

_GUIDE_SIDE = 320
"""Shorter side of the guide, in pixels."""


@dataclass(frozen=True)
class Dream(TaskDefaults):
    """Each photo changed so that it activates some layers or channels more strongly.

    ``guide_pixels`` is the image that ``guide`` names, (1, 3, H, W) in [0, 1], once it is read.
    """

    purpose = "dream"
    photos_only = "A dream"
    workload = "synthesis"
    needs_gradients = True

    layers: tuple[str, ...] | None = layers_setting(
        "Layer to see more of; may be repeated. Shallow: strokes and swirls; deep: eyes and faces.",
        show_default="SqueezeNet fire7, GoogLeNet inception4c, VGG relu4_3, ResNet layer3",
    )
    channels: tuple[str, ...] | None = channels_setting()
    guide: Path | None = setting(None, "Bring out the features of this image instead.", metavar="FILE")
    settings: DreamSettings = field(default=DreamSettings(color_share=0.3))
    average_pooling: bool = setting(False, "Average where the network takes maxima: waves, like fur.", advanced=True)
    zoom: int = setting(0, "Number of frames of a zoom animation.", min=0, max=100_000)
    zoom_factor: float = setting(1.05, "Enlargement from one frame to the next.", min=1, max=1000, advanced=True)
    rotate: float = setting(0.0, "Rotation from one frame to the next, in degrees.", advanced=True)
    seed: int = 0
    guide_pixels: Any = field(default=None, compare=False, repr=False)

    @property
    def suffix(self) -> str:
        return ".gif" if self.zoom else ".png"

    def with_files(self) -> Dream:
        if self.guide is None or self.guide_pixels is not None:
            return self
        from cnnviz.imaging.image_io import read_image

        return replace(self, guide_pixels=read_image(self.guide, _GUIDE_SIDE))

    def targets(self, network: Network) -> list[DreamTarget]:
        """The layers and channels that are activated."""
        from cnnviz.network.default_layers import dream_layers
        from cnnviz.synthesis.deepdream import DreamTarget

        layers = layer_names(self.layers) or dream_layers(network)
        channels: Sequence[int | None] = channel_numbers(self.channels) or [None]
        return [DreamTarget(layer, channel) for layer in layers for channel in channels]

    def run(self, network: Network, image: LoadedImage, monitor: StepMonitor) -> Result:
        from cnnviz.imaging.pixels import to_pil_image, to_pixels
        from cnnviz.network.network_transforms import has_max_pooling, with_average_pooling
        from cnnviz.synthesis.deepdream import activation_gain, dream
        from cnnviz.synthesis.dream_zoom import dream_zoom

        task, targets = self.with_files(), self.targets(network)
        layers = list(dict.fromkeys(target.name for target in targets))
        shared: dict[str, Any] = {"guide": task.guide_pixels, "settings": self.settings}
        shared |= {"seed": self.seed, "on_step": monitor}
        dreaming = with_average_pooling(network) if self.average_pooling else network
        result, unused = Result({"layers": layers}), {}
        if self.average_pooling and not has_max_pooling(network):
            unused["average_pooling"] = f"on {network.name}, which takes no maxima"
        if network.spec.fixed:
            why = f"on {network.name}, which takes images of one size"
            unused |= {"octaves": why, "octave_scale": why}
        result.unused = unused
        if self.zoom:
            zoom: dict[str, Any] = {"frames": self.zoom, "factor": self.zoom_factor, "degrees": self.rotate}
            frames = dream_zoom(dreaming, image.pixels, targets, **zoom, **shared)
            result.metadata["frames"] = len(frames)
            result.image = [to_pil_image(frame, clamp=True) for frame in frames]
            return result
        result.image = to_pil_image(dream(dreaming, image.pixels, targets, **shared), clamp=True)
        if self.settings.tile is None:
            gain = activation_gain(network, image.pixels, to_pixels(result.image), layers)  # of the eight-bit image
            result.metadata["activation_gain"] = round(gain, 3)
            result.is_measured = True
        return result
