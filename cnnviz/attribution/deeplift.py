"""DeepLIFT: each pixel's share of the difference of the score from that of a baseline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from cnnviz.attribution.integrated_gradients import baseline_pixels
from cnnviz.attribution.module_graph import Recording, Replacement, max_pool, with_modules
from cnnviz.attribution.nonlinearities import rectifier, unsupported_operation
from cnnviz.attribution.settings import IntegratedGradientsSettings
from cnnviz.attribution.targets import Target, TargetFunction, resolved_targets, target_scores
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import gradients, require_pixels
from cnnviz.network import checks
from cnnviz.network.hooked import hooked_module
from cnnviz.network.network import Network
from cnnviz.network.operations import name_set, operation_label
from cnnviz.runtime.precision import gradients_of

LARGEST_ERROR = 0.01
"""How far the sum of a map may be from the difference of the scores, as a fraction of that."""

ACTIVATIONS = name_set(
    """
    ReLU ReLU6 LeakyReLU PReLU ELU CELU SELU GELU SiLU Mish Hardswish Hardsigmoid Hardtanh Hardshrink Softshrink
    Tanhshrink Softplus Softsign Sigmoid LogSigmoid Tanh Threshold
    relu relu6 leaky_relu prelu elu celu selu gelu silu mish hardswish hardsigmoid hardtanh hardshrink softshrink
    tanhshrink softplus softsign sigmoid logsigmoid tanh threshold clamp clamp_min clamp_max
    pow exp log sqrt rsqrt square abs erf
    """
)
"""Elementwise functions of one value."""

_NORMALIZING = name_set(
    """
    LayerNorm RMSNorm GroupNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d LocalResponseNorm CrossMapLRN2d
    layer_norm rms_norm group_norm instance_norm local_response_norm normalize
    AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d FractionalMaxPool2d FractionalMaxPool3d MaxPool1d MaxPool3d
    MaxUnpool1d MaxUnpool2d MaxUnpool3d adaptive_max_pool1d adaptive_max_pool2d max_pool1d max_pool3d
    amax amin max min grid_sample
    """
)
"""Operations that guided backpropagation lets pass, and that are not linear."""


def deeplift(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    *,
    baseline: str | Tensor = IntegratedGradientsSettings.baseline,
) -> Tensor:
    """DeepLIFT by the rescale rule: each pixel's share of the difference of the score from that of a baseline.

    Shrikumar, Greenside & Kundaje, "Learning Important Features Through Propagating Activation Differences", ICML 2017,
    arXiv:1704.02685. The rules are applied in the network's graph, so that no function is missed. The values sum to the
    difference of the class score between image and baseline; a map that does not, to 1 %, is refused. Without max
    pooling it equals captum's, whose rule for max pooling does not keep the sum.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; the class predicted for each image if None. Or what ``saliency`` takes.
        baseline: ``black``, ``gray``, ``white``, or pixels broadcastable to (N, 3, H, W).

    Returns:
        (N, 3, H, W), signed, in units of the score.

    Raises:
        UsageError: no such class or baseline; a network with operations that have no rule, which are named.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.deeplift(network, pixels, "tabby").shape
        torch.Size([1, 3, 64, 96])
    """
    network.require_gradients()
    network.require_count(2)  # image and baseline go through it together
    pixels = require_pixels(pixels, network.spec.channels).to(network.device)
    starts = baseline_pixels(pixels, baseline).split(1)
    targets = resolved_targets(network, pixels, target)
    parts = zip(pixels.split(1), starts, targets, strict=True)
    maps, logits = zip(*(_one(network, *part) for part in parts), strict=True)
    found = torch.cat(maps)
    _require_sum(network, found, targets, torch.stack(logits))
    return checks.require_finite(found, "DeepLIFT map", network, pixels)


@torch.no_grad()
def _require_sum(network: Network, found: Tensor, targets: list[int | TargetFunction], logits: Tensor) -> None:
    """Raise UsageError where the shares do not sum to the difference of the scores, which may be but rounding.

    ``logits`` (N, 2, classes) are those of the images and of their baselines.
    """
    scores, others = (target_scores(network, each, targets).double() for each in logits.unbind(1))
    rounding = _least(found.dtype) * (scores.abs() + others.abs() + found.abs().sum((1, 2, 3)))
    error = (found.double().sum((1, 2, 3)) - (scores - others)).abs() - rounding
    if bool((error > LARGEST_ERROR * (scores - others).abs()).any()):
        off = float((error / (scores - others).abs()).max())
        raise UsageError(
            f"DeepLIFT's shares do not sum to the score of {network.name} (off by {off:.0%}): its rules do not cover "
            "what it computes.",
            remedy="methods_without_rules",
        )


def _one(network: Network, image: Tensor, start: Tensor, target: int | TargetFunction) -> tuple[Tensor, Tensor]:
    """The shares (1, C, H, W), and the logits (2, classes) of image and baseline."""
    graph = _rescaled(network, image)
    with gradients(), network.autocast():
        both = torch.cat([image, start]).detach().requires_grad_()
        logits = network.check_logits(graph(network.normalize(both)), both)
        (multipliers,) = gradients_of(target_scores(network, logits, [target, target])[0], both)
    return (image - start) * multipliers[:1], logits.detach()


def _rescaled(network: Network, image: Tensor) -> fx.GraphModule:
    """The network's graph with the rules in its backward pass; UsageError that names an operation without one."""
    network.require_gradients()
    if hooked_module(network.graph) is not None:
        raise UsageError(
            f"DeepLIFT needs every operation of a network, but {network.name} can be read by hooks on its modules only."
        )
    with torch.no_grad(), network.autocast():
        recording = Recording(network.graph, network.normalize(image))
    return with_modules(recording, lambda node: _replaced(network, recording, node))


def _replaced(network: Network, recording: Recording, node: fx.Node) -> Replacement | None:
    name, root = recording.operation_of(node), recording.module
    sources = recording.sources(node)
    found = rectifier(root, node, recording.env, recording.dependent)
    if found is not None:
        return _Rule(_Rescale, bounded(*found[1])), (found[0],)
    if name in ACTIVATIONS and len(sources) == 1:
        return _Rule(_Rescale, recording.function(node, sources[0])), sources
    pooling = max_pool(recording, node)
    if pooling is not None:
        return _Rule(_MaxPool, pooling[0]), pooling[1]
    no_rule = operation_label(root, node) if name in _NORMALIZING else None
    no_rule = no_rule or unsupported_operation(root, node, recording.dependent)
    if no_rule is not None:
        raise UsageError(
            f"DeepLIFT has no rule for {no_rule} ({recording.layer(node)}) of {network.name}.",
            remedy="methods_without_rules",
        )
    return None


def bounded(low: float, high: float | None) -> Callable[[Tensor], Tensor]:
    """A function that clamps a tensor to [low, high], as ReLU and ReLU6 do."""
    return lambda value: value.clamp(low, high)


class _Rule(nn.Module):
    """A module that runs an operation forward, and an attribution rule in its place backward."""

    def __init__(self, rule: Any, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._call = rule, run

    def forward(self, value: Tensor) -> Tensor:
        rule, run = self._call
        found: Tensor = rule.apply(value, run)
        return found


def _least(dtype: torch.dtype) -> float:
    """The smallest divisor: a difference from the baseline, as a fraction of the layer's largest."""
    return 8 * torch.finfo(dtype).eps


class _Rescale(torch.autograd.Function):
    """An elementwise function of an image's values and a baseline's, (2, ...), with Δy/Δx for its derivative."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.run = run
        found = run(value)
        ctx.save_for_backward(value, found)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        value, found = ctx.saved_tensors
        with torch.enable_grad():
            again = value.detach().requires_grad_()
            (derivative,) = torch.autograd.grad(ctx.run(again).sum(), again)
        change, way = found[:1] - found[1:], value[:1] - value[1:]
        multiplier = torch.where(way.abs() > _least(value.dtype) * way.abs().max(), change / way, derivative[:1])
        return gradients[0] * multiplier, None


class _MaxPool(torch.autograd.Function):
    """Max pooling of an image's maps and a baseline's, (2, C, H, W): a maximum's change is that of where it lies.

    It is where the image's maximum lies if it is larger than the baseline's, and otherwise where the baseline's lies.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, run: Any) -> Tensor:
        settings = (run.kernel_size, run.stride, run.padding, run.dilation, run.ceil_mode)
        found, places = functional.max_pool2d(value, *settings, return_indices=True)
        ctx.save_for_backward(value, found, places)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        value, found, places = ctx.saved_tensors
        share = gradients[0][:1] * (found[:1] - found[1:])
        where = torch.where(found[:1] > found[1:], places[:1], places[1:])
        total = torch.zeros_like(value[:1]).flatten(2)
        total.scatter_add_(2, where.flatten(2), share.flatten(2))
        way = value[:1] - value[1:]
        multiplier = torch.where(way == 0, 0, total.view_as(way) / torch.where(way == 0, 1, way))
        return multiplier.expand_as(value), None
