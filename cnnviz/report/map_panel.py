"""The panel of one attribution method: the photo, the map, and the map over the photo, under what the network says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from cnnviz.attribution.cam import default_layers
from cnnviz.attribution.cam_layers import Layers
from cnnviz.attribution.registry import AttributionMethod, select_methods
from cnnviz.attribution.targets import ResolvedOnce, Target
from cnnviz.errors import UsageError, listed
from cnnviz.figures.captions import explanation_title
from cnnviz.figures.guided import gradient_image
from cnnviz.figures.maps import MapStyle, MapView
from cnnviz.report.subject import ImageInput, load_subject

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.network.network import Network
    from cnnviz.pipeline.result import LoadedImage


def panel(
    network: Network,
    image: ImageInput,
    target: Target = None,
    *,
    method: str = "saliency",
    view: MapView = "panel",
    colormap: str | None = None,
    percentile: float | None = None,
    blur: float | None = None,
    size: int | None = None,
    crop: bool = False,
    show_channels: str | Sequence[int] | None = None,
    **settings: Any,
) -> Image:
    """The figure that the command line draws of one method: photo, map, and the map over the photo, as a PIL image.

    Its title is what the network says: the class explained, the predicted one if it is another, and their
    probabilities. A notebook shows the image.

    Args:
        network: the network to explain.
        image: a file, a PIL image, or pixels (1, C, H, W) in [0, 1], which are explained as they are.
        target: the class to explain: index, name, or part of a name; ``-NAME`` is what speaks against it; or a
            function from the logits (1, classes) to a score (1,); the predicted class if None.
        method: ``saliency``, ``smoothgrad``, ``guided``, ``gradcam``, ``occlusion`` or another that ``cnnviz compare``
            takes.
        view: ``panel``; ``overlay``, the map over the photo; ``heat``, the map in color; ``raw``, the map in gray.
        colormap: the name of one of matplotlib's; None takes ``inferno``, or ``RdBu_r`` for signed maps.
        percentile: magnitudes above this percentile, in (0, 100], are clipped; as suits the method if None.
        blur: standard deviation, in the map's pixels, of a Gaussian that smooths the map; None smooths gradients where
            they lie over the photo, by 2.
        size: of a file or PIL image, the shorter side that the network sees; its own if None.
        crop: whether it sees the central square of a file or PIL image only.
        show_channels: which channels are shown of an image that is no photo, counted from 1: ``(3, 2, 1)``, ``(4,)`` or
            ``"mean"``; None takes the first three, of two the mean.
        settings: arguments of the method's function, as ``steps=64`` or ``layer="layer3"``.

    Raises:
        UsageError: no such method, class, view or colormap, or a setting that the method does not have.
        ImageError: a file that cannot be read, or an image of other channels than the network takes.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.panel(network, pixels, "tabby", method="gradcam").mode
        'RGB'
    """
    (chosen,) = _one(method)
    _require_settings(chosen, settings)
    subject = load_subject(image, network, size=size, crop=crop, show_channels=show_channels)
    if "layer" in chosen.settings:
        settings = {"layer": default_layers(network, chosen.name, subject.pixels), **settings}
    once = ResolvedOnce(target)
    found = chosen.attribute(network, subject.pixels, once, **settings)
    (explanation,) = once.explanations(network, subject.pixels)
    style = MapStyle.of(chosen, view, colormap, percentile, blur)
    return style.draw(
        chosen.map_of(found),
        subject.photo,
        explanation_title(network.name, explanation),
        method_title(network, chosen, settings.get("layer")),
        (),
        color_gradient(chosen, found, subject, style.percentile),
        subject.caption,
    )


def _one(method: str) -> list[AttributionMethod]:
    found = list(select_methods(method).values())
    if len(found) != 1:
        raise UsageError(f"A panel is of one method, not of {len(found)}; cnnviz.compare shows several.")
    return found


def _require_settings(method: AttributionMethod, settings: dict[str, Any]) -> None:
    """UsageError for settings that the method does not have."""
    for name in settings:
        if name not in method.settings:
            known = f"it has {', '.join(method.settings)}" if method.settings else "it has none"
            raise UsageError(f"The method {method.name} has no setting '{name}'; {known}.")


def method_title(network: Network, method: AttributionMethod, layers: Layers = None) -> str:
    """What stands under a map: the method's name, and the layers whose maps it weights, by their shortest names."""
    if layers is None:
        return method.title
    several = [layers] if isinstance(layers, str | nn.Module) else layers
    return f"{method.title} of {listed([_shortest_name(network, network.layer_name(each)) for each in several])}"


def _shortest_name(network: Network, layer: str) -> str:
    """A layer's shortest name: ``fire9``."""
    return min((layer, *network.layers.aliases_of(network.layers.node(layer))), key=len)


def color_gradient(method: AttributionMethod, found: Tensor, subject: LoadedImage, percentile: float) -> Image | None:
    """The gradient in color (1, C, H, W), of methods whose signs of each channel are looked at; None for others."""
    if method.name not in ("guided", "deconvnet", "guided-gradcam"):
        return None
    return gradient_image(found[0], percentile, subject.photo.size, subject.channels)
