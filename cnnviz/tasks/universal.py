"""One perturbation that fools the network on most images: trained on a collection, and added to images."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cnnviz.adversarial.settings import UniversalSettings
from cnnviz.errors import CnnvizError, Remark, UsageError
from cnnviz.figures.captions import percent
from cnnviz.pipeline.outputs import PNG
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.settings import setting
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.epsilon import epsilon_setting, epsilon_text, parse_epsilon
from cnnviz.tasks.shared.explanations import prediction_json

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.adversarial.universal_training import TrainedPerturbation
    from cnnviz.imaging.disk_images import DiskImages
    from cnnviz.network.network import Network
    from cnnviz.pipeline.collection_job import ImageCollection
    from cnnviz.pipeline.step_monitor import StepMonitor

_EXAMPLES = 3
_LOW_RATE = 0.1
"""The fooling rate below which a warning says what to raise."""


@dataclass(frozen=True)
class Universal(TaskDefaults):
    """Trains a universal perturbation on the images of a collection.

    ``start`` is a perturbation to continue from, a tensor (1, 3, H, W).
    """

    needs_gradients = True
    photos_only = "A universal perturbation"

    epsilon: str = epsilon_setting("10/255")
    training: UniversalSettings = field(default=UniversalSettings())
    crops: int = setting(0, "Random squares taken of each image; 0: its center.", min=0, max=10_000)
    held_out: float = setting(0.2, "Fraction held out to measure on.", min=0, max=0.9, metavar="0..0.9")
    start: Any = field(default=None, compare=False)
    seed: int = 0

    def __post_init__(self) -> None:
        parse_epsilon(self.epsilon, self.training.norm)

    @property
    def settings(self) -> UniversalSettings:
        """The library's settings."""
        return replace(self.training, epsilon=parse_epsilon(self.epsilon, self.training.norm), seed=self.seed)

    @property
    def sidecars(self) -> Sequence[str]:
        from cnnviz.adversarial.perturbation_file import SUFFIX

        return (SUFFIX,)

    def run(self, network: Network, images: ImageCollection) -> Result:
        from cnnviz.adversarial.perturbation_file import SUFFIX, encode_perturbation
        from cnnviz.adversarial.universal_training import train_perturbation
        from cnnviz.pipeline.ray_workers import part_executor

        settings, squares = self.settings, self._squares(network, images)
        with (
            images.reporter.progress(settings.passes, "passes") as advance,
            part_executor(images, network) as executor,
        ):
            found = train_perturbation(
                network,
                squares,
                settings,
                held_out=self.held_out,
                start=self.start,
                on_step=lambda step: advance(f"{step.terms['fooled']:.0%} fooled"),
                executor=executor,
            )
        rates = {
            "fooling_rate": round(found.training.rate, 4),
            "held_out_fooling_rate": None if found.held_out is None else round(found.held_out.rate, 4),
        }
        metadata = {
            **rates,
            "pictures": len(found.training),
            "held_out": 0 if found.held_out is None else len(found.held_out),
            "linf": round(float(found.perturbation.abs().max()), 6),
        }
        return Result(
            metadata,
            _training_figure(network, found),
            sidecars={SUFFIX: encode_perturbation(found.perturbation, network, metadata)},
            recipe={"fooling": rates},
            warnings=[weakness(found, settings)] if found.training.rate < _LOW_RATE else [],
        )

    def _squares(self, network: Network, images: ImageCollection) -> DiskImages:
        """The squares (N, 3, S, S) to train on; an image that cannot be read is left out."""
        from cnnviz.adversarial.universal_training import square_crops
        from cnnviz.imaging.decoding import read_pil_image
        from cnnviz.imaging.disk_images import DiskImages

        rng, options, spec = random.Random(self.seed), images.config, network.spec
        side = spec.size if spec.fixed else options.side or spec.size
        squares = DiskImages(side, side)
        for source in images.sources:
            try:
                photo = read_pil_image(source.content(), background=options.background, max_pixels=options.max_pixels)
            except CnnvizError as error:
                images.fail(source, error)
                continue
            for square in square_crops(photo, side, self.crops, spec.crop, rng):
                squares.append(square)
        if not len(squares):
            raise images.nothing_read()
        return squares


def weakness(found: TrainedPerturbation, settings: UniversalSettings) -> Remark:
    """The remark that says why a perturbation fools the network on hardly any image."""
    from cnnviz.adversarial import norms

    fooled, size = int(found.training.fooled.sum()), float(norms.size(found.perturbation, settings.norm))
    message = f"The perturbation fools the network on {fooled or 'none'} of the {len(found.training)} training images"
    allowed = epsilon_text(settings.epsilon, settings.norm)
    if settings.epsilon == 0:
        return Remark(f"{message}: an epsilon of 0 allows no change.", remedy="first_epsilon")
    if size < 0.9 * settings.epsilon:
        grown = epsilon_text(size, settings.norm)
        message = f"{message}: it has grown to {grown} of the {allowed} allowed when the passes were over."
        return Remark(message, remedy="more_passes", passes=settings.passes)
    message = f"{message}, although it is as large as allowed ({allowed})."
    return Remark(message, remedy="larger_epsilon", passes=settings.passes)


def _training_figure(network: Network, found: TrainedPerturbation) -> Image:
    """The perturbation magnified, and what it does to a few images."""
    from cnnviz.adversarial.objective import predictions_of
    from cnnviz.figures.fooling import universal_panel

    images = found.examples(_EXAMPLES)
    perturbed = [(image + found.perturbation).clamp(0, 1) for image in images]
    captions = [
        " → ".join(predictions_of(network, pixels)[0][1] for pixels in pair)
        for pair in zip(images, perturbed, strict=True)
    ]
    rates = f"{found.training.rate:.0%} of the images"
    rates += "" if found.held_out is None else f", {found.held_out.rate:.0%} of unseen ones"
    return universal_panel(found.perturbation, perturbed, captions, f"{network.name} fooled on {rates}")


@dataclass(frozen=True)
class ApplyPerturbation(TaskDefaults):
    """Adds a ``perturbation``, a tensor (1, 3, H, W), to each image, at the size the network sees.

    ``raw_format`` is the extension of the file that ``raw`` writes, by which the result is judged.
    """

    photos_only = "A perturbed image"

    raw: bool = setting(False, "With --apply: write the image alone, no panel.")
    perturbation: Any = field(default=None, compare=False)
    raw_format: str = PNG

    def run(self, network: Network, image: LoadedImage, monitor: StepMonitor) -> Result:
        from cnnviz.adversarial.image_loading import ImagePipeline
        from cnnviz.adversarial.objective import predictions_of
        from cnnviz.adversarial.universal import apply_perturbation
        from cnnviz.figures.fooling import perturbed_panel
        from cnnviz.imaging.pixels import to_pil_image, to_pixels

        if self.perturbation is None:
            raise UsageError("There is no perturbation to apply.")
        file_format = self.raw_format if self.raw else PNG  # on a panel nobody is fooled
        changed = to_pil_image(apply_perturbation(self.perturbation, image.pixels))
        height, width = image.pixels.shape[2:]
        written = to_pixels(ImagePipeline((height, width), format=file_format).roundtrip(changed))
        before, after = (predictions_of(network, pixels)[0] for pixels in (image.pixels, written))
        metadata = {
            "success": before[0] != after[0],
            "before": prediction_json(before),
            "after": prediction_json(after),
            "linf": round(float((written - image.pixels).abs().max()), 6),
            "judged_as": file_format,
        }
        captions = [f"{label} {percent(probability)}" for _, label, probability in (before, after)]
        shown = changed if self.raw else perturbed_panel(to_pil_image(image.pixels), changed, *captions)
        return Result(metadata, shown, target=after[1])
