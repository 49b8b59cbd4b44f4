"""Feature visualization: images that classes, channels or neurons respond to most."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.errors import UsageError, shortened
from cnnviz.pipeline.config import LARGEST_SIDE
from cnnviz.pipeline.parsing import index, position
from cnnviz.pipeline.result import Result
from cnnviz.runtime.paths import is_folder
from cnnviz.settings import setting
from cnnviz.synthesis.settings import VISUALIZATION_METHODS, VisualizationSettings
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.layers import channel_numbers, channels_setting, layer_setting
from cnnviz.tasks.shared.visualization import rate_images, starts_from_photos

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.network.network import Network
    from cnnviz.pipeline.step_monitor import StepMonitor
    from cnnviz.synthesis.objectives import Subject

_LARGEST_LATENT = 1 << 24  # numbers, of a generator's code
_BATCH_SIZE = 16  # images optimized at once
_SHEET = 16  # more images than this are small and take fewer steps
_SHEET_STEPS = 96
_SHEET_SIZE, _CHANNEL_SIZE = 96, 160  # pixels, of a channel's image on a sheet and by itself
_DIVERSITY = 0.5  # of facets, where nothing else tells them apart


@dataclass(frozen=True)
class Visualize(TaskDefaults):
    """Images of classes, or of a layer's channels, each by gradient ascent on its score; several make a sheet."""

    purpose = "features"
    photos_only = "A visualization"
    workload = "synthesis"
    needs_gradients = True

    targets: tuple[str, ...] | None = setting(
        None,
        "Class: index, name, or part of a name; may be repeated.",
        names=("--target", "--class", "-t"),
        metavar="CLASS",
    )
    layer: str | None = layer_setting("Layer to show channels of.")
    channels: tuple[str, ...] | None = channels_setting()
    at: str | None = setting(None, "One position of the channel's map, as 6,9 or center.", metavar="Y,X|center")
    method: str = setting(
        VisualizationSettings.method,
        "Recipe: lucid (Olah 2017), simonyan (2014) or yosinski (2015).",
        choices=VISUALIZATION_METHODS,
    )
    steps: int | None = setting(
        None,
        "Forward and backward passes.",
        min=1,
        show_default=f"{VisualizationSettings.steps}; of more than {_SHEET} images {_SHEET_STEPS}",
    )
    size: int | None = setting(
        None,
        "Side in pixels.",
        min=16,
        max=LARGEST_SIDE,
        names=("--size", "-s"),
        show_default=f"of classes the network's; of channels {_CHANNEL_SIZE}, of more than {_SHEET} {_SHEET_SIZE}",
    )
    facets: int = setting(1, "Number of different images of one class or channel.", min=1, max=1000)
    photos: Path | None = setting(
        None,
        "Start each facet from the mean of a cluster of the photos in this folder.",
        names=("--from",),
        metavar="FOLDER",
        advanced=True,
    )
    diversity: float | None = setting(
        None, "How much facets are to differ.", min=0, advanced=True, show_default=f"{_DIVERSITY}; with --from 0"
    )
    generator: Path | None = setting(
        None, "Optimize the latent code of this TorchScript generator.", metavar="FILE", advanced=True
    )
    latent: str = setting("4096", "Shape of the generator's latent code.", metavar="N[,N…]", advanced=True)
    raw: bool = setting(False, "Write the images alone, without captions.")
    seed: int = 0

    @property
    def name(self) -> str:
        """What the output is named after: the classes, or the layer and its channels."""
        if self.layer is None:
            return "+".join(self.targets or ())
        return f"{self.layer}-{','.join(self.channels)}" if self.channels else self.layer

    def validate(self) -> None:
        """Raise UsageError where settings contradict each other or have no such values."""
        if not self.targets and self.layer is None:
            raise UsageError("Name what to show: a class or a layer.", remedy="visualize_what")
        if self.targets and self.layer is not None:
            raise UsageError("Show classes or a layer's channels, not both at once.")
        if self.layer is None and (self.channels or self.at is not None):
            raise UsageError("Channels and positions are of a layer, which is missing.", remedy="neuron_layer")
        one_thing = len(self.targets or ()) == 1 or len(channel_numbers(self.channels)) == 1
        if self.facets > 1 and not one_thing:
            raise UsageError("Facets are several images of one thing: name one class, or one channel.")
        if self.photos is not None and not (self.facets > 1 and self.targets):
            raise UsageError("Photos are where the facets of a class start: name both.", remedy="facets_of_photos")
        if self.photos is not None and not is_folder(self.photos):
            raise UsageError(f"There is no folder '{self.photos}'.")
        if self.generator is not None and self.method != VisualizationSettings.method:
            raise UsageError(f"A generator has a recipe of its own; '{self.method}' is for images without one.")
        self.parse_position()
        self.parse_latent_shape()

    def parse_position(self) -> tuple[int, int] | str | None:
        """The neuron's row and column in the layer's map, or ``"center"``; None for the channel's mean.

        Raises:
            UsageError: ``at`` is no position.
        """
        if self.at is None or self.at == "center":
            return self.at
        found = position(self.at)
        if found is None:
            raise UsageError(
                f"A position is a row and a column of a map, as in 6,9, or center, not '{shortened(self.at)}'."
            )
        return found

    def parse_latent_shape(self) -> tuple[int, ...]:
        """The shape of one latent code; UsageError where ``latent`` is no shape."""
        sides = [index(part) or 0 for part in self.latent.split(",")]
        if min(sides) < 1 or math.prod(sides) > _LARGEST_LATENT:
            raise UsageError(
                f"The latent code's shape is numbers separated by commas, as in 4096 or 128,1,1, "
                f"not '{shortened(self.latent)}'."
            )
        return tuple(sides)

    def run(self, network: Network, monitor: StepMonitor) -> Result:
        """The image of each class or channel, alone or on a sheet."""
        import torch

        from cnnviz.runtime.memory import require_memory

        self.validate()
        subjects = list(self._subjects(network))
        count = sum(len(subject) for subject in subjects)
        settings, side = self.settings_for(count), self._side(network, count)
        require_memory(network, (side * min(count, _BATCH_SIZE), side))
        result = Result(target=self.name, is_measured=True)
        if count == 1:
            result.unused = {"diversity": "on one image"}
        start = None
        if self.photos is not None:
            target = network.find_class((self.targets or ())[0])
            start, result.warnings = starts_from_photos(
                network, self.photos, target, self.facets, self.seed, monitor.reporter
            )
        pixels = torch.cat(list(self._optimized(network, subjects, replace(settings, size=side), start, monitor)))
        rated = list(rate_images(network, subjects, pixels))
        result.image = self._figure(network, pixels, [caption for caption, _ in rated])
        result.metadata = {
            "method": self.method if self.generator is None else "generator",
            "steps": settings.steps,
            "pictures": [metadata for _, metadata in rated],
        }
        return result

    def _subjects(self, network: Network) -> Iterator[Subject]:
        """What is shown, a batch at a time."""
        from cnnviz.synthesis.objectives import Channels, Classes, channel_count

        if self.layer is None:
            indices = [network.find_class(name) for name in self.targets or ()] * self.facets
            yield from (Classes(tuple(batch)) for batch in _batches(indices))
            return
        channels = channel_numbers(self.channels) or list(range(channel_count(network, self.layer)))
        for batch in _batches(channels * self.facets):
            yield Channels(self.layer, tuple(batch), self.parse_position())

    def settings_for(self, count: int) -> VisualizationSettings:
        """The settings for ``count`` images, but for their size."""
        starts_alike = self.facets > 1 and self.photos is None
        return VisualizationSettings(
            method=self.method,
            steps=self.steps or (_SHEET_STEPS if count > _SHEET else VisualizationSettings.steps),
            diversity=(_DIVERSITY if starts_alike else 0.0) if self.diversity is None else self.diversity,
            latent=self.parse_latent_shape(),
        )

    def _side(self, network: Network, count: int) -> int:
        """The side in pixels of each of ``count`` images."""
        if self.size is not None:
            return self.size
        if self.layer is None:
            return network.spec.size
        return _SHEET_SIZE if count > _SHEET else _CHANNEL_SIZE

    def _optimized(
        self,
        network: Network,
        subjects: Sequence[Subject],
        settings: VisualizationSettings,
        start: Tensor | None,
        monitor: StepMonitor,
    ) -> Iterator[Tensor]:
        """The images of each batch."""
        from cnnviz.synthesis.generator import load_generator
        from cnnviz.synthesis.optimization import offset_steps
        from cnnviz.synthesis.visualization import visualize_subject

        generator = load_generator(self.generator) if self.generator else None
        total = len(subjects) * settings.steps
        for number, subject in enumerate(subjects):
            yield visualize_subject(
                network,
                subject,
                start=start,
                generator=generator,
                settings=settings,
                seed=self.seed + number,
                on_step=offset_steps(monitor, number * settings.steps, total),
            ).cpu()

    def _figure(self, network: Network, pixels: Tensor, captions: list[str]) -> Image:
        from cnnviz.figures.visualization import image_or_grid, visualization_sheet

        if self.raw:
            return image_or_grid(pixels)
        alone = len(captions) == 1
        if self.layer is not None:
            captions = [f"channel {caption}" for caption in captions] if alone else captions
            return visualization_sheet(pixels, captions, f"{network.name}: {network.layers.common_name(self.layer)}")
        return visualization_sheet(pixels, captions, network.name if alone else f"{network.name}: classes")


def _batches(items: Sequence[int]) -> Iterator[Sequence[int]]:
    return (items[first : first + _BATCH_SIZE] for first in range(0, len(items), _BATCH_SIZE))
