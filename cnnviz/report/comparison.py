"""The maps of several methods, and of several networks, of one image on one sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from cnnviz.attribution.registry import DEFAULT_COMPARED, AttributionMethod, all_named, select_methods
from cnnviz.attribution.targets import Explanation, ResolvedOnce, Target
from cnnviz.errors import UsageError
from cnnviz.figures.captions import explanation_title
from cnnviz.figures.comparison import NetworkMaps, comparison_sheet
from cnnviz.figures.maps import MapStyle
from cnnviz.network.network import Network
from cnnviz.report.subject import ImageInput, load_subject

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.pipeline.result import LoadedImage

CompareView = Literal["overlay", "heat", "raw"]


def compare(
    network: Network | Sequence[Network],
    image: ImageInput,
    methods: str | Sequence[str] | None = None,
    target: Target = None,
    *,
    view: CompareView = "overlay",
    size: int | None = None,
    crop: bool = False,
    show_channels: str | Sequence[int] | None = None,
    seed: int = 0,
) -> Image:
    """The maps of several methods side by side, a row for each network, as a PIL image, which a notebook shows.

    Args:
        network: the network to explain, or several.
        image: a file, a PIL image, or pixels (1, C, H, W) in [0, 1], which all networks see as they are; a file or PIL
            image is brought to the size of each.
        methods: their names, as ``"saliency,gradcam"`` or a list; ``"all"``, ``"cam"`` or ``"fast"`` for several, of
            which those that are not defined for the networks are left out; if None saliency, SmoothGrad, guided
            backpropagation, Grad-CAM and occlusion, or those of them that are defined for the networks.
        target: the class to explain: index, name, or part of a name; ``-NAME`` is what speaks against it; or a
            function from the logits (1, classes) to a score (1,); of each network the predicted class if None.
        view: ``overlay``, each map over the photo; ``heat``, in color; ``raw``, in gray.
        size: of a file or PIL image, the shorter side that the networks see; their own if None.
        crop: whether they see the central square of a file or PIL image only.
        show_channels: which channels are shown of an image that is no photo, as in ``panel``.
        seed: of everything random.

    Raises:
        UsageError: no such method, class or view; a method that is not defined for a network; no network.
        ImageError: a file that cannot be read, or an image of other channels than a network takes.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.compare(network, pixels, ["saliency", "gradcam"], "tabby").mode
        'RGB'
    """
    networks = [network] if isinstance(network, Network) else list(network)
    if not networks:
        raise UsageError("There is no network to compare.")
    chosen = list(select_methods(_names(methods)).values())
    all_wanted = methods is not None and all_named(_names(methods))
    if not all_wanted:
        chosen = usable_methods(networks, chosen)
    subjects = [load_subject(image, each, size=size, crop=crop, show_channels=show_channels) for each in networks]
    answers = [
        explain(each, subject.pixels, chosen, target, seed, all_wanted=all_wanted)
        for each, subject in zip(networks, subjects, strict=True)
    ]
    shown = shown_methods(answers, chosen)
    return comparison_sheet(list(map(partial(row_of, methods=shown, view=view), networks, subjects, answers)))


def _names(methods: str | Sequence[str] | None) -> str:
    if methods is None:
        return DEFAULT_COMPARED
    return methods if isinstance(methods, str) else ",".join(methods)


def usable_methods(networks: Sequence[Network], methods: Sequence[AttributionMethod]) -> list[AttributionMethod]:
    """The methods for which all networks have what they need."""
    return [method for method in methods if not any(method.lacking(network) for network in networks)]


@dataclass(frozen=True)
class NetworkAnswer:
    """What one network says of an image.

    Attributes:
        explanation: the class predicted and the class explained.
        maps: the map (1, 1, H, W) of each method, by its name.
        refused: why there is none, by the method's name.
    """

    explanation: Explanation
    maps: Mapping[str, Tensor]
    refused: Mapping[str, str]


def explain(
    network: Network,
    pixels: Tensor,
    methods: Sequence[AttributionMethod],
    target: Target = None,
    seed: int = 0,
    *,
    all_wanted: bool = True,
) -> NetworkAnswer:
    """The maps of pixels (1, C, H, W) by ``methods``, for ``target``.

    A method that is not defined for the network is a UsageError if all are wanted; otherwise it is left out.
    """
    once, maps, refused = ResolvedOnce(target), {}, {}
    for method in methods:
        try:
            maps[method.name] = method(network, pixels, once, **method.accepted(seed=seed))
        except UsageError as error:
            if all_wanted:
                raise
            refused[method.name] = str(error)
    (explanation,) = once.explanations(network, pixels)
    return NetworkAnswer(explanation, maps, refused)


def shown_methods(answers: Sequence[NetworkAnswer], methods: Sequence[AttributionMethod]) -> list[AttributionMethod]:
    """The methods that no network refused."""
    return [method for method in methods if not any(method.name in answer.refused for answer in answers)]


def row_of(
    network: Network,
    subject: LoadedImage,
    answer: NetworkAnswer,
    methods: Sequence[AttributionMethod],
    view: CompareView,
    true: str | None = None,
) -> NetworkMaps:
    """A network's row of the sheet; ``true`` is the name of the image's true class, if it is known."""
    styles = [
        MapStyle(view, None, method.percentile, method.blur if view == "overlay" else 0.0, method.signed)
        for method in methods
    ]
    maps = [(method.title, answer.maps[method.name], style) for method, style in zip(methods, styles, strict=True)]
    return NetworkMaps(subject.photo, explanation_title(network.name, answer.explanation, true), maps, subject.caption)
