"""The network under study: pixels in, logits and features out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, SupportsIndex

import torch
from torch import Tensor, fx, nn

from cnnviz.errors import ImageError, ModelError, UsageError
from cnnviz.imaging.checks import require_pixels, warn_if_out_of_range
from cnnviz.imaging.pixel_ops import LUMA
from cnnviz.network import checks, graph
from cnnviz.network.architecture_detection import find_architecture
from cnnviz.network.fast.conv import use_fast_convs
from cnnviz.network.fast.pooling import use_fast_pooling
from cnnviz.network.functionalize import remove_inplace
from cnnviz.network.graph_check import GraphCheck
from cnnviz.network.graph_rewrites import FeatureCallback, fuse_inplace_relu, stream_to_callback, truncate
from cnnviz.network.layers import Layer, LayerTable
from cnnviz.network.module_copy import copy_module
from cnnviz.network.shapes import shapes_by_forward
from cnnviz.network.shared_copy import SharedCopy
from cnnviz.network.spec import InputSpec, WeightsInfo
from cnnviz.network.targets import Target, find_class, find_classes, numbered_labels
from cnnviz.runtime.cancellation import check_cancelled
from cnnviz.runtime.precision import conv_precision

Prediction = tuple[int, str, float]
"""Class index, class name, probability."""

Alteration = Callable[[nn.Module], None]
"""Changes a module tree in place; its tensors are shared and stay as they are."""

_AUTOCAST = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(eq=False)
class Network:
    """A classification CNN that takes pixels: RGB (N, 3, H, W) in [0, 1], never normalised.

    Normalisation happens inside, so gradients, step sizes and bounds are in pixel units whatever the network.

    Your module stays as it is: what runs is ``body``, a copy in evaluation mode that shares its weights, whatever mode
    the module is in. Train the module, load weights into it or replace its layers: each call sees it as it is then.

    Args:
        module: normalised input -> logits (N, classes).
        name: the architecture's name, by which the papers' layer names are known.
        labels: class names; ``class 0``, ``class 1`` … if None.
        spec: picture size and normalisation the module expects.
        weights: where the weights came from.
        precision: ``fp32``, ``tf32``, ``bf16`` or ``fp16``: the type convolutions compute in (the last two by
            autocast); logits and features are returned as float32 in any case.
        optimize: take ``module`` over and alter it for speed: for modules that nobody else trains, saves or changes.
            ``load_network`` does so with the modules it builds.
        alterations: functions that change the copy of the module before it runs (see
            ``cnnviz.network.network_transforms``).

    Raises:
        UsageError: no module. ModelError: a TorchScript module, or one whose lazy layers have no weights yet.
    """

    module: nn.Module
    name: str = "custom"
    labels: tuple[str, ...] | None = None
    spec: InputSpec = field(default_factory=InputSpec)
    weights: WeightsInfo = field(default_factory=lambda: WeightsInfo("custom"))
    precision: str = "fp32"
    optimize: bool = False
    alterations: tuple[Alteration, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.module, nn.Module):
            raise UsageError(f"A network is made of a torch.nn.Module, not of a {type(self.module).__name__}.")
        self._numbered = self.labels is None
        self._target: tuple[torch.device | torch.dtype | str, ...] = ()
        self._kept: dict[tuple[torch.device, torch.dtype], tuple[Tensor, ...]] = {}
        self._build()

    def _build(self) -> None:
        """Make the body, and forget all that was made of an earlier one."""
        if self.optimize:
            self._shared_copy, self._body = None, self._own_body()
        else:
            self._shared_copy = SharedCopy(self.module)
            self._body = self._shared_copy.module
            if self._target:
                self._body.to(*self._target)  # type: ignore[call-overload]
            for alter in self.alterations:
                alter(self._body)
        self._graph: fx.GraphModule | None = None
        self._check = GraphCheck(self)
        self._forget_graphs()
        if self.weights.sha256 is None:  # those of files were checked as they were read
            checks.require_finite_weights(self._body, self.name)
        self.__dict__.pop("classes", None)
        if self._numbered:
            self.labels = None
            self.labels = numbered_labels(self.classes)

    def __getstate__(self) -> dict[str, Any]:
        """What is saved or copied: the network without what is made of its module, which is made again."""
        made = {"_graph", "_check", "_quick", "_layers", "_truncated", "_streaming"}
        if self._shared_copy is not None:
            made |= {"_shared_copy", "_body"}
        return {name: value for name, value in self.__dict__.items() if name not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_body" not in state:
            self._build()
        else:
            self._graph, self._check = None, GraphCheck(self)
            self._forget_graphs()

    def _own_body(self) -> nn.Module:
        """The module, or an altered copy of it, made quick: for good, since nobody else has it."""
        body = copy_module(self.module) if self.alterations else self.module
        for alter in self.alterations:
            alter(body)
        body.eval().requires_grad_(False)
        remove_inplace(body)
        use_fast_convs(body)
        use_fast_pooling(body)
        # Channels side by side in memory: convolutions forward and back take a third less time on the CPU, and
        # tensor cores want it so. Values and shapes are the same.
        return body.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _forget_graphs(self) -> None:
        for name in ("_quick", "_layers"):
            self.__dict__.pop(name, None)
        self._truncated: dict[tuple[tuple[tuple[str, str | None], ...], bool], fx.GraphModule] = {}
        self._streaming: dict[tuple[str, ...], fx.GraphModule] = {}

    def _refresh(self) -> None:
        """Follow the module where something in it was replaced since the last call."""
        if self._shared_copy is None:
            return
        if not self._shared_copy.is_current():
            self._build()
        self._shared_copy.copy_values()

    @property
    def body(self) -> nn.Module:
        """What runs: normalised input -> logits, in evaluation mode; no parameter takes a gradient."""
        self._refresh()
        return self._body

    @property
    def device(self) -> torch.device:
        return self._like.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the parameters: float32, or float64 after ``network.to(torch.float64)``."""
        return self._like.dtype

    @property
    def _like(self) -> Tensor:
        """A tensor of the type and on the device of the network's."""
        return next(self._body.parameters(), next(self._body.buffers(), torch.empty(0)))

    @property
    def pixel_dtype(self) -> torch.dtype:
        """The type pictures that are changed are kept in: float64 for a network in that, float32 for any other."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    def to(self, *target: torch.device | torch.dtype | str) -> Network:
        """Move the network to a device or type, in place; returns itself.

        A module of your own stays where it is: a copy of its weights moves, brought up to date at each call.
        """
        if self._shared_copy is None:
            self._body.to(*target)  # type: ignore[call-overload]
            self._graph = None
            self._forget_graphs()
        else:
            self._target = (*self._target, *target)
            self._build()
        return self

    @cached_property
    def classes(self) -> int:
        """The number of classes."""
        if self.labels is not None:
            return len(self.labels)
        with torch.no_grad():
            return int(self(torch.zeros(1, 3, self.spec.size, self.spec.size)).shape[1])

    @property
    def graph(self) -> fx.GraphModule:
        """The body as a graph: normalised input -> logits. Shares the parameters.

        Raises ModelError where it cannot be traced, or computes something else than your module does.
        """
        self._refresh()
        return self._trace()

    def _trace(self) -> fx.GraphModule:
        """The graph of the body as it is."""
        if self._graph is None:
            self._graph = graph.trace(self._body if self._shared_copy is None else copy_module(self._body))
            self._check.check_pending(self._graph)
        return self._graph

    @cached_property
    def _quick(self) -> fx.GraphModule:
        """The graph for passes of which only the logits are wanted."""
        return fuse_inplace_relu(self._trace())

    @property
    def layers(self) -> LayerTable:
        """The layers in order, to be found by path, block or alias."""
        self._refresh()
        return self._layers

    @cached_property
    def _layers(self) -> LayerTable:
        shape = (self.spec.channels, self.spec.size, self.spec.size)
        return LayerTable(self._trace(), find_architecture(self.name, self._body), shape)

    def layer_table(self, size: tuple[int, int] | None = None) -> list[Layer]:
        """Shape, parameters, multiply-adds and receptive field of every layer for pictures of ``size`` (H, W)."""
        return self.layers.table(self.spec.channels, size or (self.spec.size, self.spec.size))

    def activation_count(self, size: tuple[int, int]) -> int:
        """Values in all feature maps together, for one picture of ``size`` (height, width).

        Those of a picture of up to the network's own size are counted on their way.
        """
        if math.prod(size) > self.spec.size**2:
            return sum(math.prod(layer.shape) for layer in self.layer_table(size))
        shapes = shapes_by_forward(self.graph, self.normalize(torch.zeros(1, 3, *size)))
        made = (shapes[node] for node in graph.layer_nodes(self.graph).values())
        return sum(shape[1:].numel() for shape in made if isinstance(shape, torch.Size))

    def normalize(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 3, H, W) in [0, 1] -> the module's input, on its device and in its type.

        Raises ImageError where the picture is too small for the network, or not of the one size it takes.
        """
        pixels = require_pixels(pixels)
        self.require_size((pixels.shape[2], pixels.shape[3]))
        self._refresh()
        x = pixels.to(self.device, self.dtype)
        luma, mean, std = self._constants(x)
        if self.spec.channels == 1:
            x = (x * luma).sum(1, keepdim=True)
        x = (x - mean).div_(std)
        if self._shared_copy is not None:
            x = x.contiguous()  # as the module is used to; ``x.view(x.size(0), -1)`` needs it
            self._check.check(x, self._graph)
        return x

    def __call__(self, pixels: Tensor) -> Tensor:
        """Logits (N, classes) of pixels (N, 3, H, W) in [0, 1]; differentiable with respect to the pixels.

        Raises ModelError where the module gives something else, or numbers that are not finite.
        """
        with self.autocast():
            output = self.body(self.normalize(pixels))
        if not pixels.requires_grad:  # what an optimization changes is its own affair
            warn_if_out_of_range(pixels)
        return self.check_logits(output, pixels)

    def logits(self, pixels: Tensor) -> Tensor:
        """The same by the quickest way there is, which does not call every module: hooks on them may not be met."""
        self._refresh()
        run = self._body if self._graph is None or self._shared_copy is not None else self._quick
        with self.autocast():
            output = run(self.normalize(pixels))
        return self.check_logits(output, pixels)

    def check_logits(self, output: object, pixels: Tensor) -> Tensor:
        """What the module or its graph made of ``pixels``, having been checked, as logits (N, classes).

        In float32, or float64 if the network is in that. Raises ModelError that says what came instead of logits, or
        names the first tensor that is not finite; UsageError where the labels name another number of classes.
        """
        logits = at_least_float32(checks.require_logits(output, len(pixels), self.name, self.labels))
        if logits.is_meta:
            raise ModelError(
                f"{self.name} is on the meta device, where tensors have shapes and no values; load weights."
            )
        return checks.require_finite(logits, "logits", self, pixels)

    def probabilities(self, logits: Tensor) -> Tensor:
        """The classes' probabilities (N, classes) by logits: their softmax, or the sigmoid of a single one."""
        return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)

    def features(self, pixels: Tensor, layers: Sequence[str], *, raw: bool = False) -> dict[str, Tensor]:
        """The outputs of ``layers`` by the names asked for, (N, C, H, W) for maps; differentiable.

        Maps that the network holds with their channels last are (N, C, H, W) here too. Computes nothing deeper than
        the deepest layer asked for. An unknown layer is a UsageError that lists the nearest names. ``raw`` leaves
        them in the type they were computed in, for work that goes on in it.
        """
        if not layers:
            raise UsageError("Name at least one layer.", remedy="list_layers")
        x = self.normalize(pixels)
        graph_module = self.truncated({name: name for name in layers}, fused=True)
        with self.autocast():
            found = graph_module(x)
        if raw:
            return dict(found)
        if not pixels.requires_grad:  # those of an optimization are many, and its loss is watched
            warn_if_out_of_range(pixels)
            for name, value in found.items():
                checks.require_finite(value, f"output of layer '{name}'", self, pixels)
        return {name: at_least_float32(value) for name, value in found.items()}

    def stream_features(self, pixels: Tensor, layers: Sequence[str], callback: FeatureCallback) -> None:
        """Call ``callback(name, output)`` for each of ``layers`` as soon as it is computed, in the type it has then.

        Like ``features``, without holding all outputs at once: what the callback does not keep is freed, and in the
        backward pass the gradient of what was made of a layer comes just before that of the layer.
        """
        x = self.normalize(pixels)
        key = tuple(layers)
        if key not in self._streaming:
            nodes = {name: self._layers.node(name) for name in layers}
            self._streaming[key] = stream_to_callback(self._trace(), nodes, self._layers.nchw_orders(nodes.values()))
        run = self._streaming[key]
        with self.autocast():
            run(x, callback)

    def truncated(self, layers: Mapping[str, str | None], *, fused: bool = False) -> fx.GraphModule:
        """The graph cut down to what ``layers`` need: normalised input -> ``{key: output of the layer}``.

        None stands for the module's output, which ``check_logits`` is then to check. Graphs are kept for the next call.
        A ``fused`` graph returns the same values faster, but does not hold the outputs of layers in between.
        """
        self._refresh()
        key = tuple(layers.items()), fused
        if key not in self._truncated:
            whole = self._trace()
            nodes = {name: self._layers.node(layer) if layer else self._output(whole) for name, layer in layers.items()}
            cut = truncate(whole, nodes, self._layers.nchw_orders(nodes.values()))
            self._truncated[key] = fuse_inplace_relu(cut) if fused else cut
        return self._truncated[key]

    @property
    def output_node(self) -> fx.Node:
        """The graph's node that gives the logits; ModelError where it gives a tuple or dict."""
        return self._output(self.graph)

    def _output(self, whole: fx.GraphModule) -> fx.Node:
        found = whole.graph.output_node().args[0]
        if not isinstance(found, fx.Node):
            raise ModelError(
                f"{self.name} gives {checks.describe_output(found)}, not logits of the shape (N, classes)."
            )
        return found

    def predict(self, pixels: Tensor, k: int = 5) -> list[list[Prediction]]:
        """For each picture the ``k`` likeliest classes: (index, name, probability), likeliest first.

        The probability of a network of one logit is that logit's sigmoid.
        """
        with torch.no_grad():
            top = self.probabilities(self(pixels)).topk(min(k, self.classes), dim=1)
        return [
            [(i, self.label(i), p) for i, p in zip(indices, values, strict=True)]
            for indices, values in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ]

    def label(self, index: int) -> str:
        assert self.labels is not None
        return self.labels[index]

    def find_class(self, wanted: str | SupportsIndex | Tensor) -> int:
        """The class index meant by an index, a name, or part of a name that only one class has.

        The index may be NumPy's or a tensor's. Raises UsageError where there is no such class, or several are meant.
        """
        assert self.labels is not None
        return find_class(self.labels, wanted)

    def find_classes(self, wanted: Target, count: int) -> list[int] | None:
        """The class index for each of ``count`` pictures by a class for all or one for each; None for None."""
        assert self.labels is not None
        return find_classes(self.labels, wanted, count)

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """The context convolutions run in for this network's precision."""
        check_cancelled()
        lower, device = _AUTOCAST[self.precision], self.device
        with conv_precision(self.precision, device), torch.autocast(device.type, lower) if lower else nullcontext():
            yield

    def _constants(self, like: Tensor) -> tuple[Tensor, ...]:
        """Luma, mean and deviation where ``like`` is, (1, C, 1, 1) each; kept there, so that no pass copies them."""
        key = like.device, like.dtype
        if key not in self._kept:
            numbers = LUMA, self.spec.mean, self.spec.std
            with torch.inference_mode(False):
                self._kept[key] = tuple(like.new_tensor(values).view(1, -1, 1, 1) for values in numbers)
        return self._kept[key]

    def require_size(self, size: tuple[int, int]) -> None:
        """Raise ImageError where a picture of ``size`` (height, width) is none that the network takes."""
        height, width = size
        side = self.spec.size
        if self.spec.fixed and (height, width) != (side, side):
            raise ImageError(f"{self.name} takes pictures of {side}×{side} pixels only, not {width}×{height}.")
        if min(height, width) < self.spec.min_size:
            raise ImageError(
                f"A picture of {width}×{height} pixels is too small for {self.name}, "
                f"which needs sides of at least {self.spec.min_size}."
            )


def at_least_float32(value: Tensor) -> Tensor:
    """A tensor in float32, or in float64 if it is in that."""
    return value if value.dtype == torch.float64 else value.float()
