"""Reconstructions of a photo from the features of each layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.settings import setting
from cnnviz.synthesis.settings import InversionSettings
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.layers import layer_names, layers_setting

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.network.network import Network
    from cnnviz.pipeline.step_monitor import StepMonitor


@dataclass(frozen=True)
class Invert(TaskDefaults):
    """Each image reconstructed from some layers, one after another; several make a strip from shallow to deep."""

    purpose = "inversion"
    photos_only = "An inversion"
    workload = "synthesis"
    needs_gradients = True

    layers: tuple[str, ...] | None = layers_setting(
        "Layers to reconstruct from; may be repeated.", show_default="shallow to deep"
    )
    settings: InversionSettings = field(default=InversionSettings())
    raw: bool = setting(False, "Write the image alone, without captions; takes one layer.")
    seed: int = 0

    def run(self, network: Network, image: LoadedImage, monitor: StepMonitor) -> Result:
        from cnnviz.figures.inversion import inversion_strip
        from cnnviz.imaging.image_metrics import psnr
        from cnnviz.imaging.pixels import to_pil_image, to_pixels
        from cnnviz.network.default_layers import inversion_layers
        from cnnviz.network.network_transforms import in_full_precision
        from cnnviz.synthesis.inversion import feature_error, invert
        from cnnviz.synthesis.optimization import offset_steps

        layers, steps = layer_names(self.layers) or inversion_layers(network), self.settings.steps
        for layer in layers:
            network.layers.node(layer)
        photo = to_pil_image(image.pixels)
        painted: list[Image] = []
        found: list[dict[str, Any]] = []

        def strip(begun: Image | None) -> Image:
            """The photo, the finished reconstructions, and the unfinished one if any, as a strip."""
            images = [*painted[: len(found)], *([] if begun is None else [begun])]
            errors = [layer["feature_error"] for layer in found]
            return inversion_strip(photo, images, layers, errors, f"{network.name}: painted from a layer's features")

        monitor.sheet = None if self.raw else strip
        for number, layer in enumerate(layers):
            on_step = offset_steps(monitor, number * steps, len(layers) * steps)
            pixels = invert(network, image.pixels, layer, settings=self.settings, seed=self.seed, on_step=on_step)
            painted.append(to_pil_image(pixels, clamp=True))
            written = to_pixels(painted[-1])  # eight bits
            error = feature_error(in_full_precision(network), written, image.pixels, [layer])[layer]
            likeness = psnr(painted[-1], photo)
            found.append({"layer": layer, "feature_error": round(error, 5), "psnr": round(likeness, 2)})
            monitor.part_is_done(layer)
        drawn = painted[0] if self.raw else strip(None)
        return Result({"layers": found, "steps": steps}, drawn, target=layers[-1], is_measured=True)
