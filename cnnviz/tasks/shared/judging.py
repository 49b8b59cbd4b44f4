"""Which images of a collection a network mistakes, for tasks that show those."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnviz.errors import ImageError, MemoryShortError
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.true_classes import TrueClasses
from cnnviz.tasks.shared.true_classes import ranked

if TYPE_CHECKING:
    from cnnviz.features.evaluation import Evaluation
    from cnnviz.network.network import Network
    from cnnviz.pipeline.collection_job import ImageCollection


@dataclass(frozen=True)
class CollectionEvaluation:
    """The judgments of the images of a collection; ``sources`` has each by the name it has in ``evaluation``."""

    evaluation: Evaluation
    sources: Mapping[str, ImageSource]

    def worst(self, count: int | None) -> list[ImageSource]:
        """At most ``count`` images that are mistaken, the most certain mistakes first."""
        return [self.sources[judgment.name] for judgment in self.evaluation.mistakes[:count]]

    def facts(self) -> dict[str, str]:
        """What a page says in its head: values, by what they are of."""
        images, mistakes = len(self.evaluation.judgments), len(self.evaluation.mistakes)
        accuracy = f"{self.evaluation.accuracy:.1%}".replace("%", " %")
        return {
            f"of {images:,} {'image' if images == 1 else 'images'} right": accuracy,
            "mistake" if mistakes == 1 else "mistakes": f"{mistakes:,}",
        }

    def metadata(self) -> dict[str, Any]:
        """The counts, as JSON can hold them."""
        found = self.evaluation
        counts = {"pictures": len(found.judgments), "correct": found.top(1)}
        return {**counts, "accuracy": round(found.accuracy, 6), "mistakes": len(found.mistakes)}


def evaluate(network: Network, images: ImageCollection, known: TrueClasses) -> CollectionEvaluation:
    """Judge all images whose class is known, one after another; those that cannot be read are reported and left out.

    Raises ImageError if none could be read.
    """
    from cnnviz.features.evaluation import Evaluation, judged

    judgments, sources = [], {}
    with images.reporter.progress(len(images.sources), "images") as advance:
        for source in images.sources:
            true = known.index(source)
            if true is not None:
                try:
                    predictions = ranked(network, read_image(source, network, images.config).pixels)[0]
                except (ImageError, MemoryShortError) as error:
                    images.fail(source, error)
                else:
                    judgments.append(judged(source.display, predictions, true))
                    sources[source.display] = source
            advance(source.name)
    if not judgments:
        raise images.nothing_read()
    return CollectionEvaluation(Evaluation(judgments, network.classes), sources)
