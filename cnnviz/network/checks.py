"""Checks of a network's weights and outputs: shape of the logits, finite numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn

from cnnviz.errors import DivergedError, ModelError, UsageError
from cnnviz.imaging.checks import is_functorch_active
from cnnviz.network.graph import LAYER
from cnnviz.network.outputs import why_no_logits, with_class_axis

if TYPE_CHECKING:
    from cnnviz.network.feature_network import FeatureNetwork
    from cnnviz.network.network import Network

_STATISTICS = ("running_mean", "running_var")
"""Buffers that must be finite; others may hold infinities on purpose, as attention masks do."""

_CHANNELS = re.compile(r"to have (\d+) channels, but got (\d+) channels")
"""What torch says of the channels that a convolution takes, and of those it got."""

_LARGEST = {torch.float16: "65504", torch.bfloat16: "3.4e38", torch.float32: "3.4e38", torch.float64: "1.8e308"}


def require_logits(output: object, count: int, name: str, labels: Sequence[str] | None) -> Tensor:
    """``output``, checked to be logits (``count``, classes); of one logit the last axis may be missing.

    Raises ModelError that describes any other output, and UsageError where ``labels`` name another number of classes.
    """
    output = with_class_axis(output, count)
    if not isinstance(output, Tensor) or output.ndim != 2 or output.shape[1] == 0 or not output.is_floating_point():
        raise why_no_logits(output, name)
    if len(output) != count:
        raise ModelError(f"{name} gives logits for {len(output)} images where {count} were given.")
    if labels is not None and len(labels) != output.shape[1]:
        raise UsageError(label_count_message(len(labels), output.shape[1]))
    return output


def label_count_message(labels: int, classes: int) -> str:
    """The message for too many or too few labels."""
    ending = " (one logit, whose sigmoid is the probability of one class: name that)" if classes == 1 else ""
    return f"The labels name {labels} {'class' if labels == 1 else 'classes'}, but the network has {classes}{ending}."


def wrong_channels(error: RuntimeError, name: str, channels: int) -> ModelError | None:
    """The ModelError for a first layer that takes other than ``channels``, by torch's error; None for other errors."""
    found = _CHANNELS.search(str(error))
    if not found or int(found[2]) != channels:
        return None
    takes = int(found[1])
    return ModelError(
        f"The first layer of {name} takes {takes} channels, not {channels}: its images are of channels={takes}.",
        remedy="input_channels",
        channels=takes,
    )


def require_photos(network: Network, what: str) -> None:
    """Raise UsageError unless the network takes photos, in color or gray; ``what`` is made, as ``A dream``."""
    if not network.spec.is_photo:
        raise UsageError(
            f"{what} is made with networks that take photos, in color or gray; {network.name} takes images of "
            f"{network.spec.channels} channels."
        )


def require_any_size(network: Network, what: str) -> None:
    """Raise UsageError where the network takes images of one size only; ``what`` needs several, as ``A painting``."""
    if network.spec.fixed:
        raise one_size_error(network.name, network.spec.size, what)


def one_size_error(name: str, side: int, what: str) -> UsageError:
    """The error where ``what`` needs images of several sizes, and the network ``name`` takes those of one ``side``."""
    return UsageError(f"{what} is made at several sizes, and {name} takes images of {side}×{side} pixels only.")


def is_finite(value: Tensor) -> bool:
    """Whether no number in ``value`` is infinite or NaN; True for tensors without values, or while traced."""
    has_values = value.numel() > 0 and (value.is_floating_point() or value.is_complex())
    if value.is_meta or not has_values or is_functorch_active():
        return True
    value = value.detach()
    # The sum needs no memory and is finite only if all numbers are; it may overflow where they are large.
    return bool(value.sum().isfinite()) or bool(value.isfinite().all())


def nonfinite_kind(value: Tensor) -> str | None:
    """``NaN`` or ``infinite values`` if a tensor holds such; None if it is finite."""
    if is_finite(value):
        return None
    return "NaN" if bool(value.detach().isnan().any()) else "infinite values"


def require_finite_weights(module: nn.Module, source: str) -> None:
    """Raise ModelError that names the first parameter or statistic of ``module`` that is not finite.

    ``source`` begins the sentence, as ``The weights file 'x.pth'`` does.
    """
    found = _first_bad_weight(module)
    if found:
        raise ModelError(f"{source} has weights that are not finite: '{found[0]}' holds {found[1]}.")


def _first_bad_weight(module: nn.Module) -> tuple[str, str] | None:
    for name, value in module.named_parameters():
        found = _nonfinite_weight_kind(value)
        if found:
            return name, found
    for name, buffer in module.named_buffers():
        found = _nonfinite_weight_kind(buffer)
        if found == "NaN" or (found and name.endswith(_STATISTICS)):
            return name, found
    return None


def _nonfinite_weight_kind(value: Tensor) -> str | None:
    return None if value.is_quantized or value.layout is not torch.strided else nonfinite_kind(value)


def require_finite(value: Tensor, what: str, network: FeatureNetwork, pixels: Tensor) -> Tensor:
    """``value``; ModelError that names the cause where it is not finite.

    ``what`` describes the value, as in ``logits``; the network computed it from ``pixels``.
    """
    if is_finite(value):
        return value
    raise not_finite_error(what, nonfinite_kind(value) or "NaN", network, pixels)


def not_finite_error(what: str, holds: str, network: FeatureNetwork, pixels: Tensor) -> ModelError | UsageError:
    """The error that names the first tensor that is not finite: the pixels, a weight, or a layer's output."""
    bad_pixels = nonfinite_kind(pixels)
    if bad_pixels:
        return UsageError(f"The pixels hold {bad_pixels}.")
    try:
        require_finite_weights(network.body, network.name)
    except ModelError as error:
        return error
    layer = _first_bad_layer(network, pixels)
    if layer is None:
        why = "" if network.black_box else ", though its weights and layers are finite"
        return ModelError(f"The {what} of {network.name} holds {holds}{why}.")
    return _layer_error(network, layer)


def _layer_error(network: FeatureNetwork, layer: _NonFiniteLayer) -> ModelError:
    return ModelError(
        f"The output of layer '{layer.name}' of {network.name} holds {layer.holds}, though its weights are finite: "
        f"{_overflow_hint(network)}"
    )


def _overflow_hint(network: FeatureNetwork) -> str:
    """A sentence on the largest number of the network's precision, and the remedy."""
    if network.precision == "fp16":
        return f"numbers end at {_LARGEST[torch.float16]} in fp16; try the precision fp32."
    if network.dtype == torch.float16:
        return f"numbers end at {_LARGEST[torch.float16]} in float16; try module.float()."
    kind = str(network.dtype).removeprefix("torch.")
    return f"numbers end at {_LARGEST.get(network.dtype, 'some point')} in {kind}; are these weights trained?"


@contextmanager
def explain_divergence(network: Network, pixels: Tensor) -> Iterator[None]:
    """Turn a DivergedError in the block into a ModelError where the network itself is the cause.

    That is, where its weights, or its layers' outputs for ``pixels`` (N, 3, H, W), are not finite.
    """
    try:
        yield
    except DivergedError as error:
        require_finite_weights(network.module, network.name)
        layer = _first_bad_layer(network, pixels)
        if layer is None:
            raise
        raise _layer_error(network, layer) from error


@dataclass(frozen=True)
class _NonFiniteLayer:
    """A layer whose output is not finite; ``holds`` is ``NaN`` or ``infinite values``."""

    name: str
    holds: str


def _first_bad_layer(network: FeatureNetwork, pixels: Tensor) -> _NonFiniteLayer | None:
    """The first layer whose output is not finite; None if there is none, or no graph."""
    try:
        finder = _Finder(network.graph)
    except ModelError:
        return None
    with torch.no_grad(), network.autocast():
        finder.run(network.normalize(pixels.detach()))
    return finder.worst or finder.first


class _Finder(fx.Interpreter):
    """Runs a graph and keeps the first layer that is not finite.

    ``first`` may be a layer of masked scores, with -inf on purpose; ``worst`` is the first with NaN or +inf.
    """

    def __init__(self, graph_module: fx.GraphModule) -> None:
        super().__init__(graph_module)
        self.first: _NonFiniteLayer | None = None
        self.worst: _NonFiniteLayer | None = None

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if self.worst is None and LAYER in n.meta and isinstance(value, Tensor):
            holds = nonfinite_kind(value)
            if holds:
                layer = _NonFiniteLayer(n.meta[LAYER], holds)
                self.first = self.first or layer
                if holds == "NaN" or bool(value.isposinf().any()):
                    self.worst = layer
        return value
