"""Makes more of a texture, of any size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.settings import setting
from cnnviz.synthesis.settings import EfrosLeungSettings, TextureSettings
from cnnviz.tasks.shared.multiscale import MultiscaleTask

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.network.network import Network
    from cnnviz.pipeline.step_monitor import StepMonitor
    from cnnviz.synthesis.texture import TextureSynthesis

GATYS, EFROS_LEUNG = "gatys", "efros-leung"


@dataclass(frozen=True)
class Texture(MultiscaleTask):
    """A new image with the texture of each sample, or a strip of what each further layer adds to it.

    Attributes:
        size: height and width of the result; the sample's if None.
    """

    method: str = setting(GATYS, "By the network's features, or pixel by pixel.", choices=(GATYS, EFROS_LEUNG))
    strip: bool = setting(False, "Show what each layer adds, shallow to deep.")
    settings: TextureSettings = field(default=TextureSettings())
    efros_leung: EfrosLeungSettings = field(default=EfrosLeungSettings())
    size: tuple[int, int] | None = None
    seed: int = 0

    @property
    def uses_network(self) -> bool:
        return self.method == GATYS

    @property
    def needs_gradients(self) -> bool:  # type: ignore[override]
        return self.uses_network

    def run(self, network: Network, image: LoadedImage, monitor: StepMonitor) -> Result:
        from cnnviz.network.network_transforms import has_max_pooling

        sample = (int(image.pixels.shape[2]), int(image.pixels.shape[3]))
        height, width = size = self.size or sample
        metadata = {"width": width, "height": height}
        if not self.uses_network:
            return Result(metadata, self._efros_leung(image, size, monitor))
        if not has_max_pooling(network):
            monitor.reporter.unused("pooling", why=f"on {network.name}, which has no max pooling")
        if self.strip:
            return self._strip(network, image, monitor, metadata)
        synthesis = self._synthesis(network, image, self.settings)
        return self.optimize(network, synthesis, monitor, metadata, sample=list(sample), size=list(size))

    def _efros_leung(self, image: LoadedImage, size: tuple[int, int], monitor: StepMonitor) -> Image:
        from cnnviz.imaging.pixels import to_pil_image
        from cnnviz.synthesis.efros_leung import efros_leung_texture

        texture = efros_leung_texture(image.pixels, size, settings=self.efros_leung, seed=self.seed, on_step=monitor)
        return to_pil_image(texture, clamp=True)

    def _strip(self, network: Network, image: LoadedImage, monitor: StepMonitor, metadata: dict[str, Any]) -> Result:
        """The texture that the first layer sees, the first two, and so on, beside the sample."""
        from cnnviz.figures.texture import texture_strip
        from cnnviz.imaging.pixels import to_pil_image
        from cnnviz.network.default_layers import style_layers

        layers = list(self.settings.layers or style_layers(network).style)
        weights, sample = self.settings.layer_weights, to_pil_image(image.pixels)

        def runs() -> Iterator[tuple[str, TextureSynthesis]]:
            for count in range(1, len(layers) + 1):
                first = {"layers": layers[:count], "layer_weights": weights[:count] if weights else None}
                yield f"up to {layers[count - 1]}", self._synthesis(network, image, replace(self.settings, **first))  # type: ignore[arg-type]

        def strip(textures: Any, is_unfinished: bool) -> Image:
            return texture_strip(sample, textures, layers, metadata["height"], is_unfinished=is_unfinished)

        drawn, _ = self.optimize_each(runs(), strip, monitor)
        return Result({"layers": layers, **metadata}, drawn)

    def _synthesis(self, network: Network, image: LoadedImage, settings: TextureSettings) -> TextureSynthesis:
        from cnnviz.synthesis.texture import TextureSynthesis

        return TextureSynthesis(network, image.pixels, self.size, settings, self.seed)
