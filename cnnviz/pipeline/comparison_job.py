"""Runs a task that shows each image to several networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from cnnviz.pipeline.config import ImageConfig
from cnnviz.pipeline.image_job import ImageJob, NetworkSource
from cnnviz.pipeline.image_loading import prepare_image
from cnnviz.pipeline.image_task import ClassTask, ImageWorker
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.outputs import OutputPath
from cnnviz.pipeline.result import LoadedImage, Result

if TYPE_CHECKING:
    from cnnviz.network.network import Network


@dataclass(frozen=True)
class NetworkView:
    """A network, and an image at the size that it sees."""

    network: Network
    image: LoadedImage


class ComparisonTask(Protocol):
    """What is done with each image, as several networks see it."""

    def compare(self, views: Sequence[NetworkView]) -> Result: ...


@dataclass
class ComparisonJob(ImageJob):
    """A ``ComparisonTask`` over images; ``others`` are the networks after the first.

    Metadata and recipe name all networks, as does ``{model}`` in an output template.
    """

    others: Sequence[NetworkSource] = ()

    @property
    def networks(self) -> list[NetworkSource]:
        return [self.network, *self.others]

    def worker(self, model: str, task: Any) -> ImageWorker:
        network = self.load(model)
        others = [self.load(source.choose(self.purpose)[0], source) for source in self.others]
        if isinstance(task, ClassTask):  # by the first network's classes
            task = task.for_network(network)
        return ImageWorker(self, network, _OfAllNetworks(task, others, self.input))

    def _plan_outputs(self, sources: list[ImageSource], model: str) -> Sequence[OutputPath | None]:
        names = [model, *(source.choose(self.purpose)[0] for source in self.others)]
        return super()._plan_outputs(sources, "+".join(names))


@dataclass(frozen=True)
class _OfAllNetworks:
    """A ``ComparisonTask`` as a task of one network: the others are at hand, and frame the image for themselves."""

    task: ComparisonTask
    others: Sequence[Network]
    input: ImageConfig

    def __call__(self, network: Network, image: LoadedImage) -> Result:
        from cnnviz.network.assumptions import assumed_values

        views = [NetworkView(network, image)]
        for other in self.others:
            views.append(NetworkView(other, prepare_image(image.source, image.decoded, other, self.input)))
        result = self.task.compare(views)
        networks = [view.network for view in views]
        names = {"model": [net.name for net in networks], "weights": [net.weights.label for net in networks]}
        sums = {"weights_sha256": [net.weights.sha256 for net in networks]}
        assumed = {net.name: assumed_values(net.spec) for net in networks if net.spec.assumed}
        more = {"assumed": assumed} if assumed else {}
        return replace(
            result, metadata={**names, **more, **result.metadata}, recipe={**names, **result.recipe, **sums, **more}
        )
