"""What in an image excites a class or one neuron, by guided backpropagation or a deconvnet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cnnviz.attribution.registry import AttributionMethod, methods_of
from cnnviz.errors import UsageError, shortened
from cnnviz.pipeline.parsing import position
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.pipeline.true_classes import TrueClasses
from cnnviz.settings import setting
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.boxes import boxes_setting
from cnnviz.tasks.shared.check import CHECK_SIDECAR, MapCheck, check_map, check_setting
from cnnviz.tasks.shared.explanations import (
    blank_map,
    explanation_result,
    target_setting,
    versus_setting,
    wanted_target,
)
from cnnviz.tasks.shared.layers import layer_setting
from cnnviz.tasks.shared.true_classes import TrueClassTask, classes_setting

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.attribution.targets import Explanation
    from cnnviz.network.network import Network
    from cnnviz.network.targets import TargetFunction

METHODS = methods_of("guided", default="guided")


@dataclass(frozen=True)
class Neuron:
    """A channel of a layer, and its position in the layer's map (None: where it is strongest)."""

    layer: str
    channel: int
    at: tuple[int, int] | None


@dataclass(frozen=True)
class GuidedAnswer:
    """The gradient image (1, 3, H, W) of a class, or of a neuron at ``at`` with its ``activation``.

    ``is_of_target_alone``: of a class versus another, whether it is that of the class alone.
    """

    explanation: Explanation
    gradient: Tensor
    at: tuple[int, int] | None = None
    activation: float = 0.0
    check: MapCheck | None = field(default=None)
    is_of_target_alone: bool = False


@dataclass(frozen=True)
class Guided(TrueClassTask, TaskDefaults):
    """The gradient image of a class, or of a layer's neuron, with negative gradients dropped at ReLUs."""

    needs_gradients = True
    has_numbers = True

    target: str | None = target_setting()
    versus: str | None = versus_setting()
    method: str = setting("guided", "The rule for gradients at ReLUs.", choices=tuple(METHODS))
    layer: str | None = layer_setting("Explain a neuron of this layer instead of a class.")
    channel: int | None = setting(None, "The neuron's channel.", min=0, names=("--channel", "-c"))
    at: str | None = setting(None, "The neuron's place (default: where its channel is strongest).", metavar="Y,X")
    raw: bool = setting(False, "Write the gradient image alone, no panel.")
    check: bool = check_setting()
    boxes: str | None = boxes_setting()
    percentile: float = setting(99.5, "Clip the map at this percentile; few pixels hold the peak.", min=1, max=100)
    classes: str | None = classes_setting()
    known_classes: TrueClasses | None = field(default=None, compare=False)
    seed: int = 0

    @property
    def chosen(self) -> AttributionMethod:
        return METHODS[self.method]

    @property
    def neuron(self) -> Neuron | None:
        """The neuron that is explained; None where it is a class. UsageError for half a neuron."""
        if self.layer is None:
            if self.channel is not None or self.at is not None:
                raise UsageError("A channel and a position tell a neuron of a layer.", remedy="neuron_layer")
            return None
        if self.channel is None:
            raise UsageError("The neuron's channel is not named.", remedy="neuron_channel")
        found = None if self.at is None else position(self.at)
        if self.at is not None and found is None:
            raise UsageError(
                f"A neuron's position is a row and a column of the layer's map, as in 6,9, not '{shortened(self.at)}'."
            )
        return Neuron(self.layer, self.channel, found)

    @property
    def batchable(self) -> bool:
        return not self.check and self.neuron is None

    @property
    def sidecars(self) -> Sequence[str]:
        return (CHECK_SIDECAR,) if self.check else ()

    def compute(self, network: Network, pixels: Tensor) -> Sequence[GuidedAnswer]:
        import torch

        from cnnviz.attribution.targets import ResolvedOnce

        target, neuron = ResolvedOnce(wanted_target(self.target, self.versus)), self.neuron
        if neuron is not None:
            parts = zip(target.explanations(network, pixels), pixels.split(1), strict=True)
            return [self._of_neuron(network, image, neuron, explanation) for explanation, image in parts]
        found = self.chosen.attribute(network, pixels, target)
        explanations = target.explanations(network, pixels)
        answers = list(map(GuidedAnswer, explanations, found.split(1)))
        if self.versus is not None:
            alone = self.chosen.attribute(network, pixels, [explanation.target.index for explanation in explanations])
            same = [bool(torch.equal(one, other)) for one, other in zip(found, alone, strict=True)]
            answers = [replace(answer, is_of_target_alone=each) for answer, each in zip(answers, same, strict=True)]
        if not self.check:
            return answers
        return [
            replace(answer, check=self._checked(network, image, answer.explanation.explained))
            for answer, image in zip(answers, pixels.split(1), strict=True)
        ]

    def _checked(self, network: Network, pixels: Tensor, target: int | TargetFunction) -> MapCheck:
        return check_map(network, pixels, target, lambda net, x: self.chosen(net, x, target), self.seed)

    def _of_neuron(self, network: Network, pixels: Tensor, neuron: Neuron, explanation: Explanation) -> GuidedAnswer:
        from cnnviz.attribution.guided_backprop import neuron_activation, rectified_gradient

        (y, x), activation = neuron_activation(network, pixels, neuron.layer, neuron.channel, neuron.at)
        name = self.chosen.name
        found = rectified_gradient(network, pixels, lambda maps: maps[0, neuron.channel, y, x], name, neuron.layer)
        return GuidedAnswer(explanation, found, (y, x), activation)

    def render(self, network: Network, image: LoadedImage, answer: GuidedAnswer) -> Result:
        from cnnviz.figures.captions import explanation_title

        explanation, neuron = answer.explanation, self.neuron
        photo, true = image.photo, self.true_label(image.source)
        title = explanation_title(network.name, explanation, true)
        whose = explanation.name
        metadata: dict[str, Any] = self.true_json(image.source)
        if neuron is not None and answer.at is not None:
            y, x = answer.at
            photo = _outlined(network, image, neuron, answer.at)
            title = f"{network.name}: {neuron.layer}, channel {neuron.channel} at {y},{x}, {answer.activation:.1f}"
            whose = f"channel {neuron.channel} of {neuron.layer}"
            metadata |= {"layer": neuron.layer, "channel": neuron.channel, "at": [y, x]}
            metadata["activation"] = round(answer.activation, 4)
        blank, warnings = blank_map(answer.gradient.abs(), image.source.display, self.chosen.name, whose)
        result = explanation_result(self._figure(photo, image, answer, title), explanation, **metadata, **blank)
        result.warnings = [*warnings, *([_without_other(answer, image)] if answer.is_of_target_alone else [])]
        result.arrays = {self.chosen.name: answer.gradient[0].detach().cpu().numpy()}
        if not answer.check:
            return result
        return answer.check.added_to(result, title, image, explanation.target.label, self.boxes)

    def _figure(self, photo: Image, image: LoadedImage, answer: GuidedAnswer, title: str) -> Image:
        from cnnviz.figures.guided import gradient_image, guided_panel

        shown = gradient_image(answer.gradient[0], self.percentile, image.photo.size, image.channels)
        return shown if self.raw else guided_panel(photo, shown, self.chosen.title, title, image.caption)


def _without_other(answer: GuidedAnswer, image: LoadedImage) -> str:
    """The warning where the class that the explained one is compared with makes no difference."""
    assert answer.explanation.versus is not None
    return (
        f"{image.source.display}: {answer.explanation.versus.label} makes no difference to the image: its gradient is "
        "negative, and dropped at the ReLU that makes the scores."
    )


def _outlined(network: Network, image: LoadedImage, neuron: Neuron, at: tuple[int, int]) -> Image:
    """The photo with the neuron's receptive field framed (clipped at the border); as it is if that is everything."""
    from cnnviz.figures.guided import outline_window

    node = network.layers.node(neuron.layer)
    rows = network.layer_table((image.pixels.shape[2], image.pixels.shape[3]))
    field = next(row.receptive_field for row in rows if row.name == network.layers.name_of(node))
    if field is None:
        return image.photo
    height, width = image.pixels.shape[2:]
    return outline_window(image.photo, field.window(*at), (height, width))
