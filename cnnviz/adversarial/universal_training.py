"""Training a universal perturbation: crops of images, some held out to measure on, and examples of what it does."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import torch
from PIL import Image
from torch import Tensor

from cnnviz.adversarial.settings import UniversalSettings
from cnnviz.adversarial.universal import PartExecutor, fooled_by, universal_perturbation
from cnnviz.imaging.disk_images import DiskImages
from cnnviz.imaging.pixels import Crop, to_pixels
from cnnviz.network.network import Network
from cnnviz.runtime.progress import OnStep


def square_crops(image: Image.Image, side: int, count: int, crop: Crop, rng: random.Random) -> Iterator[Tensor]:
    """Squares (1, 3, side, side) of an image, in [0, 1].

    Args:
        image: of any size.
        side: of the squares, in pixels.
        count: how many squares are cut at random places, half as wide as the image's shorter side or wider, every
            other one, on average, mirrored; with 0 there is one, the image's center.
        crop: how the center is resized and cut out.
        rng: where chance comes from.
    """
    if count == 0:
        yield to_pixels(image, side, crop=crop)
    for _ in range(count):
        edge = max(1, int(min(image.size) * rng.uniform(0.5, 1)))
        left, top = rng.randint(0, image.width - edge), rng.randint(0, image.height - edge)
        square = to_pixels(image.crop((left, top, left + edge, top + edge)), (side, side))
        yield square.flip(3) if rng.random() < 0.5 else square


@dataclass(frozen=True)
class MeasuredImages:
    """Images, and which of them a perturbation fools the network on, (N,) boolean."""

    images: DiskImages
    fooled: Tensor

    def __len__(self) -> int:
        return len(self.images)

    @property
    def rate(self) -> float:
        """The fraction of images that are fooled, in [0, 1]."""
        return float(self.fooled.float().mean())


@dataclass(frozen=True)
class TrainedPerturbation:
    """A universal perturbation (1, 3, H, W), what it does to the images it was trained on, and to those held out."""

    perturbation: Tensor
    training: MeasuredImages
    held_out: MeasuredImages | None

    def examples(self, count: int) -> list[Tensor]:
        """At most ``count`` images (1, 3, H, W), of those that are fooled if there are any; held-out ones first."""
        groups = [self.training] if self.held_out is None else [self.held_out, self.training]
        return example_images(groups, count)


def example_images(groups: Sequence[MeasuredImages], count: int) -> list[Tensor]:
    """At most ``count`` images (1, 3, H, W) that are fooled, in order; some of the first group if none is."""
    wanted = [group.images.subset(group.fooled.nonzero()[:, 0]) for group in groups]
    if not any(len(images) for images in wanted):
        wanted = [groups[0].images]
    found = [images[n : n + 1] for images in wanted for n in range(min(len(images), count))]
    return found[:count]


def train_perturbation(
    network: Network,
    images: DiskImages,
    settings: UniversalSettings,
    *,
    held_out: float = 0.0,
    start: Tensor | None = None,
    on_step: OnStep | None = None,
    executor: PartExecutor | None = None,
) -> TrainedPerturbation:
    """A universal perturbation trained on some of the images and measured on all.

    Args:
        network: the network to fool.
        images: of the size the network sees.
        settings: those of ``universal_perturbation``.
        held_out: the fraction of images, in [0, 1), that is kept back at random and only measured on.
        start, on_step, executor: as of ``universal_perturbation``.
    """
    kept_back = int(len(images) * held_out)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(settings.seed))
    training, unseen = images.subset(order[kept_back:]), images.subset(order[:kept_back])
    found = universal_perturbation(
        network, training, **asdict(settings), start=start, on_step=on_step, executor=executor
    ).cpu()
    return TrainedPerturbation(
        found,
        MeasuredImages(training, fooled_by(network, training, found)),
        MeasuredImages(unseen, fooled_by(network, unseen, found)) if kept_back else None,
    )
