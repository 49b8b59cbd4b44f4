"""What a report says about one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cnnviz.attribution.targets import predict_target
from cnnviz.errors import ImageError
from cnnviz.network.default_layers import evenly_spaced_layers
from cnnviz.network.prediction import Prediction
from cnnviz.report.adversarial_example import AdversarialExample, adversarial_example
from cnnviz.report.layers import LayerFigures, layer_figures
from cnnviz.report.maps import MapFigures, grad_cam_figures, map_figures
from cnnviz.report.page_figure import PageFigure
from cnnviz.report.report_input import ReportInput
from cnnviz.report.settings import ReportSettings


@dataclass(frozen=True)
class ImageReport:
    """What a report says about one image.

    Attributes:
        name: the image file's name, without folders.
        photo: the image at the size it has on the page.
        input_size: width and height of what the network sees, in pixels.
        predictions: the likeliest classes.
        target: the class that the maps explain; what speaks ``against`` it if that is set; why it and not
            ``versus`` if that is.
        maps: of each attribution method.
        grad_cams: of each of ``explained``.
        layers: the strongest channels of some layers.
        adversarial_example: None where the image is taken for that class as it is, or is no photo, or where the network
            has values and no classes.
        true: the class that the image is truly of; None if it is not known.
        explained: the likeliest classes, and the true one where it is none of them.
        is_function: whether the target is a function of the logits, whose score is its value.
    """

    name: str
    photo: PageFigure
    input_size: tuple[int, int]
    predictions: Sequence[Prediction]
    target: Prediction
    maps: MapFigures
    grad_cams: Sequence[PageFigure]
    layers: Sequence[LayerFigures]
    adversarial_example: AdversarialExample | None
    true: Prediction | None = None
    explained: Sequence[Prediction] = ()
    against: bool = False
    versus: Prediction | None = None
    is_function: bool = False

    @property
    def subject(self) -> str:
        """What the maps explain: ``tabby``, ``against tabby``, or ``tabby versus lynx``."""
        if self.versus is not None:
            return f"{self.target.label} versus {self.versus.label}"
        return f"against {self.target.label}" if self.against else self.target.label

    @property
    def is_mistake(self) -> bool:
        """Whether the likeliest class is another than the true one."""
        return self.true is not None and self.true[0] != self.predictions[0][0]


def report_on_image(image: ReportInput, settings: ReportSettings) -> ImageReport:
    """All that the settings ask about one image.

    Raises:
        UsageError: there is no such class or layer.
        ImageError: the image is too small for the network.
    """
    network, pixels = image.network, image.pixels
    every = network.predict(pixels, network.classes)[0]
    predictions = every[: settings.top]
    explanation = predict_target(network, pixels, settings.target)
    layers = evenly_spaced_layers(network) if settings.layers is None else settings.layers
    explained = [*predictions, *_missing(image.true, predictions, network.classes)]
    height, width = pixels.shape[2:]
    return ImageReport(
        image.name,
        PageFigure(image.name, image.page_photo, image.caption, recipe=image.recipe_of("classify")),
        (width, height),
        predictions,
        explanation.target,
        map_figures(image, explanation.explained, settings.methods),
        grad_cam_figures(image, explained),
        [layer_figures(image, layer, settings.channels) for layer in layers],
        _adversarial(image, settings),
        image.true,
        explained,
        explanation.against,
        explanation.versus,
        explanation.function is not None,
    )


def _missing(true: Prediction | None, predictions: Sequence[Prediction], classes: int) -> list[Prediction]:
    """The true class where it is none of ``predictions``, and no negation of a single one."""
    known = {prediction[0] for prediction in predictions}
    return [true] if true is not None and true[0] < classes and true[0] not in known else []


def _adversarial(image: ReportInput, settings: ReportSettings) -> AdversarialExample | None:
    if not image.network.spec.is_photo:  # a report's images hold no other channels
        return None
    if not image.network.has_probabilities and settings.fool_into is None:
        return None
    into = None if settings.fool_into is None else image.network.find_class(settings.fool_into)
    try:
        return adversarial_example(image, into)
    except ImageError:  # there is nothing to fool: the image is taken for that class as it is
        return None
