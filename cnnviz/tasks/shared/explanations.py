"""What tasks that explain a class share: the option for the class, the result, and the warning of an empty map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnviz.pipeline.result import Result
from cnnviz.settings import setting

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.attribution.targets import Explanation
    from cnnviz.network.network import Prediction


def target_setting() -> Any:
    """The class that is explained: an index, a name, or part of a name; None for the likeliest."""
    help = "Class to explain: index, name, or part of a name (default: the likeliest)."
    return setting(None, help, names=("--target", "-t"), metavar="CLASS")


def prediction_json(prediction: Prediction) -> dict[str, Any]:
    """A class as metadata have it."""
    index, label, probability = prediction
    return {"index": index, "label": label, "probability": round(probability, 6)}


def explanation_result(image: Image, explanation: Explanation, **metadata: Any) -> Result:
    """The result of an explanation by ``image``."""
    target = prediction_json(explanation.target)
    return Result(
        {"target": target, "predicted": prediction_json(explanation.predicted), **metadata},
        image,
        target=explanation.target[1],
        recipe={"target": target},
    )


def blank_map(attribution: Tensor, name: str, title: str, whose: str) -> tuple[dict[str, Any], list[str]]:
    """Metadata and a warning where the map of ``title`` shows nothing for the image ``name``; neither if it does."""
    from cnnviz.attribution.blank import blankness

    words = blankness(attribution)
    if words is None:
        return {}, []
    return {"blank": words}, [f"{name}: the map of {title} for {whose} is {words}."]
