"""What feature visualization reads and measures: the photos where facets start, and how strong a response is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.errors import CnnvizError, Remark, UsageError
from cnnviz.pipeline.config import InputConfig
from cnnviz.pipeline.inputs import expand
from cnnviz.pipeline.reporter import Reporter
from cnnviz.tasks.shared.explanations import prediction_json

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.network.network import Network
    from cnnviz.synthesis.objectives import Subject


def starts_from_photos(
    network: Network, folder: Path, target: int, count: int, seed: int, reporter: Reporter
) -> tuple[Tensor, list[Remark]]:
    """Initial images (count, 3, H, W) for facets of a class, and a warning of each photo that cannot be read.

    They are means of clusters of the photos in ``folder`` that activate the class ``target``.

    Raises:
        UsageError: fewer photos than facets.
    """
    import torch

    from cnnviz.features.embeddings import embed_images
    from cnnviz.imaging.pixels import to_pixels
    from cnnviz.pipeline.image_loading import read_image
    from cnnviz.synthesis.facet_init import facet_starts

    options = InputConfig(images=[str(folder)], recursive=True)
    warnings, photos, scores, features = [], [], [], []
    for source in expand(options, reporter):
        try:
            image = read_image(source, network, options)
        except CnnvizError as error:
            warnings.append(_warning_of(source.display, error))
            continue
        square = to_pixels(image.photo, crop=network.spec.crop)
        with torch.no_grad():
            scores.append(network(square)[0, target].cpu())
        features.append(embed_images(network, square))
        photos.append(square)
    if len(photos) < count:
        raise UsageError(f"{count} facets need at least {count} photos; '{folder}' has {len(photos)}.")
    clusters = torch.cat(photos), torch.stack(scores), torch.cat(features)
    return facet_starts(*clusters, count, seed=seed), warnings


def _warning_of(name: str, error: CnnvizError) -> Remark:
    message = str(error)
    return Remark(message if name in message else f"{name}: {message}", remedy=error.remedy, **error.values)


def rate_images(network: Network, subjects: Sequence[Subject], pixels: Tensor) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each image's caption and metadata, by the network in full precision, of the eight-bit image."""
    import torch

    from cnnviz.figures.captions import score_text, three_digits
    from cnnviz.imaging.pixels import to_pil_image, to_pixels
    from cnnviz.network.network_transforms import in_full_precision
    from cnnviz.network.prediction import Prediction
    from cnnviz.synthesis.objectives import Classes, make_activation

    network = in_full_precision(network)
    images = iter(pixels.split(1))
    for subject in subjects:
        written = torch.cat([to_pixels(to_pil_image(next(images), clamp=True)) for _ in range(len(subject))])
        if isinstance(subject, Classes):
            with torch.no_grad():
                probabilities = network.probabilities(network(written)).cpu()
            for row, target in zip(probabilities, subject.indices, strict=True):
                prediction = Prediction(target, network.label(target), float(row[target]))
                caption = f"{prediction.label} {score_text(prediction.score, network.has_probabilities)}"
                yield caption, prediction_json(prediction, network.has_probabilities)
            continue
        with torch.no_grad():
            values = make_activation(network, subject)(written).tolist()
        for channel, value in zip(subject.channels, values, strict=True):
            metadata = {"layer": subject.layer, "channel": channel, "activation": round(value, 4)}
            yield f"{channel}: {three_digits(value)}", metadata
