"""LRP: the score of a class, handed down layer by layer to the pixels."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from cnnviz.attribution.deeplift import ACTIVATIONS
from cnnviz.attribution.integrated_gradients import relative_error
from cnnviz.attribution.module_graph import Recording, Replacement, max_pool, with_modules
from cnnviz.attribution.nonlinearities import rectifier
from cnnviz.attribution.targets import (
    Against,
    Contrast,
    ResolvedOnce,
    Target,
    TargetFunction,
    logits_of,
    resolved_targets,
    target_scores,
)
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.network import checks
from cnnviz.network.hooked import hooked_module
from cnnviz.network.network import Network
from cnnviz.network.operations import module_of, name_set, operation_label

GAMMA = 0.25
"""The gamma of the LRP-gamma rule: how much more positive weights of convolutions count, where it applies."""

LARGEST_ERROR = 0.01
"""The largest fraction of the score that the map's sum may lack."""

_PASSED_ON = name_set(
    """
    cat stack flatten unflatten ravel view view_as reshape reshape_as permute transpose movedim t contiguous clone
    squeeze unsqueeze unbind chunk split tensor_split narrow select getitem pixel_shuffle channel_shuffle
    to type type_as float double dropout dropout2d alpha_dropout feature_dropout stochastic_depth detach getattr
    Identity Flatten Unflatten Dropout Dropout1d Dropout2d AlphaDropout PixelShuffle ChannelShuffle
    pad ZeroPad2d ConstantPad2d
    """
)
"""Operations that only move values: their relevance moves along."""

_AVERAGING = name_set(
    """
    AvgPool2d AdaptiveAvgPool2d avg_pool2d adaptive_avg_pool2d mean sum Upsample interpolate upsample
    ReflectionPad2d ReplicationPad2d
    """
)
"""Operations whose outputs are weighted sums, to which their inputs contribute."""

_SCALING = name_set("add sub mul div neg BatchNorm1d BatchNorm2d SyncBatchNorm batch_norm")
"""Operations that scale or shift each value by a constant, and hand its relevance on."""


def lrp(network: Network, pixels: Tensor, target: Target = None) -> Tensor:
    """Layer-wise relevance propagation: the score, divided in each layer by what its inputs contribute to it.

    Bach, Binder, Montavon, Klauschen, Müller & Samek, "On Pixel-Wise Explanations for Non-Linear Classifier Decisions
    by Layer-Wise Relevance Propagation", PLOS ONE 2015; with the rules of Montavon et al., "Layer-Wise Relevance
    Propagation: An Overview", 2019: zero in linear layers and where the image is read; in convolutions gamma (0.25),
    or, in a network with batch normalization or shortcuts, alpha 1, beta 0, which counts positive weights alone: by
    gamma shares grow without bound there, since the contributions to a value that is passed on may sum to nothing.
    Biases and batch normalization take no relevance, so that it is conserved. Computed by captum, on a copy of the
    network's graph in which each operation is a module of its own.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; the class predicted for each image if None. Or what ``saliency`` takes, but no
            function.

    Returns:
        (N, 3, H, W), signed, in units of the score, to which it sums.

    Raises:
        UsageError: no such class; a network with operations that have no rule, which are named; or one that does not
            conserve the relevance to 1 %.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.lrp(network, pixels, "tabby").shape
        torch.Size([1, 3, 64, 96])
    """
    network.require_gradients()
    pixels = require_pixels(pixels, network.spec.channels).to(network.device)
    once = ResolvedOnce.of(target)
    targets = resolved_targets(network, pixels, once)
    found = torch.cat([_one(network, *pair) for pair in zip(pixels.split(1), targets, strict=True)])
    error = conservation_error(network, pixels, found, once)
    if bool((error > LARGEST_ERROR).any()):
        worst = int(error.argmax())
        raise UsageError(
            f"Layer-wise relevance propagation does not conserve the score of {network.name}: its map sums to "
            f"{float(found[worst].sum()):.3g}, {float(error[worst]):.0%} off.",
            remedy="methods_without_rules",
        )
    return checks.require_finite(found, "relevance", network, pixels)


@torch.no_grad()
def conservation_error(
    network: Network, pixels: Tensor, attribution: Tensor, target: Target | ResolvedOnce = None, **_: object
) -> Tensor:
    """How far the sum of ``attribution`` (N, C, H, W) is from the score, as a fraction of the score: (N,)."""
    logits = logits_of(network, pixels.to(network.device), target)
    return relative_error(attribution, target_scores(network, logits, target))


def _one(network: Network, image: Tensor, target: int | TargetFunction) -> Tensor:
    from captum.attr import LRP

    with warnings.catch_warnings(), torch.inference_mode(False), torch.enable_grad():
        warnings.simplefilter("ignore")  # captum's, about its hooks
        x = network.normalize(image).detach().clone()
        model = nn.Sequential(ruled_modules(network, x), _read_out(network, target).to(x))
        found: Tensor = LRP(model).attribute(x, target=0)
    return found.detach().to(image.dtype)


def _read_out(network: Network, target: int | TargetFunction) -> nn.Linear:
    """The score as a linear layer after the logits, so that a contrast divides it between two classes."""
    weights = {Against: lambda one: {one.index: -1.0}, Contrast: lambda one: {one.index: 1.0, one.other: -1.0}}
    if not isinstance(target, int | Against | Contrast):
        raise UsageError("Layer-wise relevance propagation explains a class, not a function of the logits.")
    chosen = {target: 1.0} if isinstance(target, int) else weights[type(target)](target)  # type: ignore[no-untyped-call]
    layer = nn.Linear(network.classes, 1, bias=False)
    layer.weight.data.zero_()
    for index, weight in chosen.items():
        layer.weight.data[0, index] = weight
    layer.rule = _rule(0.0)
    return layer


def ruled_modules(network: Network, x: Tensor) -> fx.GraphModule:
    """The network's graph for ``x`` (1, C, H, W) in modules with captum's rules; UsageError where one has none."""
    if hooked_module(network.graph) is not None:
        raise UsageError(
            f"Layer-wise relevance propagation needs every operation of a network, but {network.name} can be read by "
            "hooks on its modules only."
        )
    with torch.no_grad():
        recording = Recording(network.graph, x)
    nodes = [node for node in network.graph.graph.nodes if node in recording.needed]
    rule = _positive_rule if any(_shifts(recording, node) for node in nodes) else lambda: _rule(GAMMA)
    return with_modules(recording, lambda node: _replaced(network, recording, node, rule))


def _shifts(recording: Recording, node: fx.Node) -> bool:
    """Whether a node normalizes maps or adds two, so that convolutions before it have outputs of both signs."""
    if node not in recording.dependent:
        return False
    name = recording.operation_of(node)
    return name in {"BatchNorm2d", "SyncBatchNorm", "batch_norm"} or (
        name == "add" and len(recording.sources(node)) == 2
    )


def _replaced(network: Network, recording: Recording, node: fx.Node, rule: Callable[[], Any]) -> Replacement | None:
    if node.op in {"placeholder", "output"}:
        return None
    name, sources = recording.operation_of(node), recording.sources(node)
    module = module_of(recording.module, node)
    if name in {"Conv2d", "Linear"} and module is not None:
        reads_image = sources[0].op == "placeholder"
        return _own(module, _rule(0.0) if name == "Linear" or reads_image else rule()), sources
    found = max_pool(recording, node) or _ruled(recording, node, name, sources)
    if found is not None:
        return found
    if name not in _PASSED_ON:
        what = "a product of feature maps" if name in {"mul", "matmul"} else operation_label(recording.module, node)
        raise UsageError(
            f"Layer-wise relevance propagation has no rule for {what} ({recording.layer(node)}) of {network.name}.",
            remedy="methods_without_rules",
        )
    return None if module is None else (recording.function(node, sources[0]), sources)


def _ruled(recording: Recording, node: fx.Node, name: str | None, sources: tuple[fx.Node, ...]) -> Replacement | None:
    """A module with the rule of an operation that has no weights; None where there is none."""
    from captum.attr._utils.custom_modules import Addition_Module
    from captum.attr._utils.lrp_rules import EpsilonRule, IdentityRule

    if name in {"ReLU", "relu"}:
        return nn.ReLU(), sources
    if name == "add" and len(sources) == 2 and not node.kwargs:
        return Addition_Module(), sources
    if len(sources) != 1:
        return None
    run = recording.function(node, sources[0])
    hands_on = name in _SCALING or name in ACTIVATIONS or (name == "div" and node.args[0] is sources[0])
    if hands_on or rectifier(recording.module, node, recording.env, recording.dependent) is not None:
        return _Operation(run, IdentityRule()), sources
    return (_Operation(run, EpsilonRule()), sources) if name in _AVERAGING else None


class _Operation(nn.Module):
    """An operation without weights that are to be changed, with a rule of captum's."""

    def __init__(self, run: Callable[[Tensor], Tensor], rule: Any) -> None:
        super().__init__()
        self._run, self.rule = run, rule

    def forward(self, value: Tensor) -> Tensor:
        return self._run(value)


def _own(module: Any, rule: Any) -> nn.Module:
    """A convolution or linear layer with weights of its own, which captum changes, and its rule."""
    own: Any
    with torch.no_grad():
        has_bias = module.bias is not None
        if isinstance(module, nn.Linear):
            own = nn.utils.skip_init(nn.Linear, module.in_features, module.out_features, has_bias)
        else:
            shape = (module.in_channels, module.out_channels, module.kernel_size, module.stride, module.padding)
            own = nn.utils.skip_init(nn.Conv2d, *shape, module.dilation, module.groups, has_bias, module.padding_mode)
        own.weight = nn.Parameter(module.weight.detach().clone())
        if has_bias:
            own.bias = nn.Parameter(module.bias.detach().clone())
    own.rule = rule
    return own  # type: ignore[no-any-return]


def _rule(gamma: float) -> Any:
    """The gamma rule that gives biases nothing; with gamma 0 the rule zero."""
    from captum.attr._utils.lrp_rules import GammaRule

    return GammaRule(gamma, set_bias_to_zero=True)


def _positive_rule() -> Any:
    """Alpha 1, beta 0: the rule by which positive weights alone have shares, and biases none."""
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule

    return Alpha1_Beta0_Rule(set_bias_to_zero=True)
