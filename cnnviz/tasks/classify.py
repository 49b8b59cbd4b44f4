"""Names the likeliest classes of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.settings import setting
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.explanations import prediction_json

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.network.network import Network, Prediction


@dataclass(frozen=True)
class Classify(TaskDefaults):
    """The ``top`` likeliest classes of each image."""

    writes: ClassVar[bool] = False

    top: int = setting(5, "How many classes to list.", min=1, names=("--top", "-k"))

    def compute(self, network: Network, pixels: Tensor) -> Sequence[Sequence[Prediction]]:
        return network.predict(pixels, self.top)

    def render(self, network: Network, image: LoadedImage, answer: Sequence[Prediction]) -> Result:
        width = len(str(network.classes - 1))
        lines = [f"  {p:6.1%}  {index:>{width}}  {label}" for index, label, p in answer]
        return Result({"predictions": list(map(prediction_json, answer))}, text=[image.source.display, *lines])
