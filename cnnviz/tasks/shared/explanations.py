"""What tasks that explain a class share: the option for the class, the result, and the warning of an empty map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnviz.pipeline.result import Result
from cnnviz.settings import setting

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.attribution.targets import Explanation
    from cnnviz.network.prediction import Prediction
    from cnnviz.network.targets import Target


def target_setting() -> Any:
    """What is explained: a class by index, name, or part of a name, or what speaks against it; None: the likeliest."""
    help = "Class to explain: index, name, or part of a name; -NAME: what speaks against it (default: the likeliest)."
    return setting(None, help, names=("--target", "-t"), metavar="CLASS")


def versus_setting() -> Any:
    """The class that the explained one is compared with, ``str | None``."""
    help = "Why the class and not this one: explain the difference of their logits."
    return setting(None, help, metavar="CLASS")


def wanted_target(target: str | int | None, versus: str | None) -> Target:
    """What is explained, as the attribution methods take it; see ``target_setting`` and ``versus_setting``."""
    from cnnviz.network.targets import Versus

    return target if versus is None else Versus(target, versus)


def prediction_json(prediction: Prediction, is_probability: bool = True) -> dict[str, Any]:
    """A class as metadata have it, with its ``probability``, or its ``value`` where there are none."""
    index, label, score = prediction
    return {"index": index, "label": label, "probability" if is_probability else "value": round(score, 6)}


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """The class explained, under ``target``, and the class predicted, under ``predicted``, as metadata have them."""
    target, predicted = (
        prediction_json(each, explanation.is_probability) for each in (explanation.target, explanation.predicted)
    )
    if explanation.function is not None:
        target = {"function": explanation.name, "value": round(explanation.target.score, 6)}
    if explanation.against:
        target["against"] = True
    if explanation.versus is not None:
        target["versus"] = prediction_json(explanation.versus, explanation.is_probability)
    return {"target": target, "predicted": predicted}


def explanation_result(image: Image, explanation: Explanation, **metadata: Any) -> Result:
    """The result of an explanation by ``image``."""
    classes = explanation_json(explanation)
    return Result({**classes, **metadata}, image, target=explanation.name, recipe={"target": classes["target"]})


def blank_map(attribution: Tensor, name: str, title: str, whose: str) -> tuple[dict[str, Any], list[str]]:
    """Metadata and a warning where the map of ``title`` shows nothing for the image ``name``; neither if it does."""
    from cnnviz.attribution.blank import blankness

    words = blankness(attribution)
    if words is None:
        return {}, []
    return {"blank": words}, [f"{name}: the map of {title} for {whose} is {words}."]
