"""The network under study: pixels in, logits and features out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex, TypeVar

import torch
from torch import Tensor, fx, nn

from cnnviz.errors import ImageError, ModelError, UsageError
from cnnviz.imaging.checks import gradients, require_pixels, warn_if_out_of_range
from cnnviz.imaging.pixel_ops import LUMA
from cnnviz.network import checks
from cnnviz.network.activations import activate, chosen_activation, require_activation
from cnnviz.network.black_box import BlackBox
from cnnviz.network.body_graphs import BodyGraphs
from cnnviz.network.exported import FixedBatch, exported_input, in_parts, is_exported, program_module
from cnnviz.network.fast.conv import use_fast_convs, use_winograd, winograd_bytes
from cnnviz.network.fast.pooling import use_fast_pooling
from cnnviz.network.fast.sequential import use_fast_sequences
from cnnviz.network.functionalize import remove_inplace
from cnnviz.network.graph import layer_nodes
from cnnviz.network.graph_check import GraphCheck
from cnnviz.network.graph_rewrites import FeatureCallback
from cnnviz.network.hooked import missing_layers
from cnnviz.network.label_files import read_labels
from cnnviz.network.layers import Layer, LayerTable
from cnnviz.network.measuring import measured
from cnnviz.network.module_copy import copy_module, path_of, unwrap
from cnnviz.network.outputs import Output, OutputChoice
from cnnviz.network.shapes import shapes_by_forward
from cnnviz.network.shared_copy import SharedCopy
from cnnviz.network.spec import InputSpec, WeightsInfo, given_spec
from cnnviz.network.targets import Target, find_class, find_classes, numbered_labels
from cnnviz.network.transformers import is_transformer
from cnnviz.runtime.cancellation import check_cancelled
from cnnviz.runtime.precision import conv_precision


class Prediction(NamedTuple):
    """A class that a network predicts, as a tuple (index, label, score).

    Args:
        index: of the class.
        label: its name.
        score: its probability in [0, 1]; for a network with the activation ``none`` the plain value.

    Example:
        >>> import torch, cnnviz
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> best, *others = network.predict(torch.rand(1, 3, 224, 224))[0]
        >>> best.label == network.label(best.index), best.score > others[0].score
        (True, True)
    """

    index: int  # type: ignore[assignment]
    label: str
    score: float


LayerLike = str | nn.Module
"""A layer by any of its names, or as a submodule of the user's own module."""

AnyLayer = TypeVar("AnyLayer", bound=LayerLike)

Alteration = Callable[[nn.Module], None]
"""Changes a module tree in place, but not its tensors, which are shared."""

_AUTOCAST = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(eq=False, init=False)
class Network:
    """A network with a score for each class that takes pixels: RGB (N, 3, H, W) in [0, 1], never normalized.

    A network of C other channels (``spec``) takes (N, C, H, W); one of gray images takes RGB, too, and sees its luma.

    It normalizes inside, so that gradients, step sizes and bounds are in pixel units for every network.

    Your module stays as it was. What runs is ``body``, a copy in evaluation mode that shares the module's weights,
    whatever mode the module is in. You can train the module, load weights into it or replace its layers: each call
    uses it as it is then.

    Args:
        module: normalized input -> logits (N, classes), or several outputs, of which ``output`` is one. A
            ``torch.export.ExportedProgram`` is taken, too; the size that it was exported for is the network's.
        mean, std: of the normalization that the module was trained with, one number for each channel; ImageNet's if
            None. They are in units of ``input_range``.
        size: side in pixels of the square images it was trained with; 224 if None.
        channels: of the images it takes; 3 (RGB) if None.
        input_range: what black and white are before the mean is subtracted, as (0, 255) or (-1, 1); (0, 1) if None.
            Given without a mean and std, it is the whole normalization.
        labels: class names, or a file of them; ``class 0``, ``class 1`` … if None.
        output: which of the module's outputs are the logits: a key of the dict or an attribute of the object that it
            returns, an index of its tuple, several with dots between them (``heads.color``), or a function from all
            that it returns to the logits. None for a module with one output.
        activation: what makes probabilities of logits: ``softmax`` (one class of several), ``sigmoid`` (each label
            for itself), ``none`` for a regression, whose values are shown as they are, or ``auto``: the sigmoid for one
            logit, the softmax for several.
        optimize: change ``module`` itself for speed, for good: only for modules that nobody else trains, saves or
            changes. Layers derived from its weights are then kept between calls. ``load_network`` sets it.
        fast_conv: of a network with ``optimize``, compute 3×3 convolutions of many channels in fewer multiplications
            where it runs in fp32 on a CPU (Winograd). Their values differ by rounding, by about 1e-5 of the largest.
            None is no, and not a choice that recipes tell.
        name: the architecture's name, which decides the papers' layer names.
        spec: the whole of the input that the module expects, in place of ``mean`` to ``input_range``, which go before.
        weights: where the weights came from.
        precision: ``fp32``, ``tf32``, ``bf16`` or ``fp16``: the type that convolutions are computed in (the last two
            by autocast). Logits and features are float32 in any case.
        alterations: functions that change the copy of the module before it runs, see
            ``cnnviz.network.network_transforms``.

    Raises:
        UsageError: ``module`` is no module, there is no such ``output`` or ``activation``, or numbers that do not fit.
        ModelError: a TorchScript module, one whose lazy layers have no weights yet, one with several outputs of which
            none was chosen, or an output that is no logits, as of networks that segment or detect. Where ``labels``
            are given, the last two are raised by the first call.

    Example:
        >>> import torch, cnnviz
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
        >>> network = cnnviz.Network(model, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), size=64, labels=("cat", "dog"))
        >>> network(torch.rand(1, 3, 64, 64)).shape
        torch.Size([1, 2])
        >>> list(network.layers)
        ['0', '1', '2', '3', '4']
    """

    module: nn.Module
    name: str
    labels: tuple[str, ...] | None
    spec: InputSpec
    weights: WeightsInfo
    precision: str
    optimize: bool
    alterations: tuple[Alteration, ...]
    fast_conv: bool | None
    output: Output
    activation: str

    def __init__(
        self,
        module: nn.Module,
        name: str = "custom",
        labels: str | Path | Sequence[str] | None = None,
        spec: InputSpec | None = None,
        weights: WeightsInfo | None = None,
        precision: str = "fp32",
        optimize: bool = False,
        alterations: Sequence[Alteration] = (),
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        size: int | None = None,
        channels: int | None = None,
        input_range: tuple[float, float] | None = None,
        output: Output = None,
        activation: str = "auto",
        fast_conv: bool | None = None,
    ) -> None:
        module = program_module(module)
        if not isinstance(module, nn.Module):
            raise UsageError(f"A network is made of a torch.nn.Module, not of a {type(module).__name__}.")
        require_activation(activation)
        self.module, self.name, self.precision = module, name, precision
        named = read_labels(labels) if isinstance(labels, str | Path) else labels
        self.labels = None if named is None else tuple(named)
        self._exported = exported_input(module) if is_exported(module) else None
        if self._exported and spec is None:
            size, channels = size or self._exported.size, channels or self._exported.channels
        self.spec = given_spec(spec, mean=mean, std=std, size=size, channels=channels, input_range=input_range)
        if self._exported:
            self.spec = self._exported.fitted(self.spec)
        self.weights = weights or WeightsInfo("custom")
        self.optimize = optimize or isinstance(module, BlackBox)  # which has nothing to share or to change
        self.alterations = tuple(alterations)
        self.fast_conv = fast_conv
        self.output, self.activation = output, activation
        self._choose = OutputChoice(output, name)
        self.has_numbered_labels = self.labels is None
        self._moves: tuple[torch.device | torch.dtype | str, ...] = ()
        self._normalization: dict[tuple[torch.device, torch.dtype], tuple[Tensor, ...]] = {}
        self._build()
        if output is not None and not self.has_numbered_labels and self.device.type != "meta":
            self._logits_of_black()  # a wrong choice is an error now, not at the first image

    def _build(self) -> None:
        """Make the body, and forget what was made from an earlier one."""
        if self.optimize:
            self._shared_copy, self._body = None, self._optimized_body()
        else:
            self._shared_copy = SharedCopy(self.module)
            self._body = self._shared_copy.module
            if self._moves:
                self._body.to(*self._moves)  # type: ignore[call-overload]
            for alter in self.alterations:
                alter(self._body)
            if self.images_at_once is not None:
                self._body = FixedBatch(self._body, self.images_at_once)
        self._graphs = self._new_graphs()
        if self.weights.sha256 is None:  # weights from files were checked when they were read
            checks.require_finite_weights(self._body, self.name)
        self.__dict__.pop("classes", None)
        self.__dict__.pop("_reaches_pixels", None)
        if self.has_numbered_labels:
            self.labels = None
            self.labels = numbered_labels(self.classes)

    def _new_graphs(self) -> BodyGraphs:
        shape = (self.spec.channels, self.spec.size, self.spec.size)
        shortened = torch.bfloat16 if _AUTOCAST[self.precision] else None
        check = GraphCheck(self._body, self._choose, type(self.module).__name__, self.autocast, shortened)
        return BodyGraphs(self._body, self._choose, self.name, shape, check, is_ours=self._shared_copy is None)

    @property
    def images_at_once(self) -> int | None:
        """The only number of images that the module takes, as an exported program may; None for any."""
        return self._exported.count if self._exported and not self.optimize else None

    def __getstate__(self) -> dict[str, Any]:
        """The attributes to pickle or copy, without what is made again from the module."""
        made = {"_graphs"} if self._shared_copy is None else {"_graphs", "_shared_copy", "_body"}
        return {name: value for name, value in self.__dict__.items() if name not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_body" not in state:
            self._build()
        else:
            self._graphs = self._new_graphs()

    def _optimized_body(self) -> nn.Module:
        """The module itself, or an altered copy of it, changed for speed."""
        if isinstance(self.module, BlackBox):
            return self.module.eval()
        body = copy_module(self.module) if self.alterations else self.module
        for alter in self.alterations:
            alter(body)
        body.eval().requires_grad_(False)
        remove_inplace(body)
        use_fast_convs(body)
        use_winograd(body, bool(self.fast_conv))
        use_fast_pooling(body)
        use_fast_sequences(body)
        # Channels last in memory: convolutions forward and back take a third less time on the CPU, and tensor cores
        # need it. Values and shapes are the same.
        return body.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _refresh(self) -> None:
        """Update the body where something in the module was replaced since the last call."""
        if self._shared_copy is None:
            return
        if not self._shared_copy.is_current():
            self._build()
        self._shared_copy.copy_values()

    def use_fast_conv(self, on: bool | None) -> None:
        """Compute 3×3 convolutions in fewer multiplications from now on, as with ``fast_conv``, or directly."""
        self.fast_conv = on
        if self.optimize:
            use_winograd(self._body, bool(on))

    @property
    def fast_conv_bytes(self) -> int:
        """Bytes that weights take for convolutions in fewer multiplications, beside themselves; 0 where there are none.

        None are made where a network computes in other than fp32, on a GPU, or is the user's own module.
        """
        is_possible = self.optimize and self.precision == "fp32" and self.device.type == "cpu"
        return winograd_bytes(self._body) if is_possible and self.dtype == torch.float32 else 0

    @property
    def fast_conv_choice(self) -> bool | None:
        """``fast_conv``, or None where it makes no difference."""
        return self.fast_conv if self.fast_conv_bytes else None

    @property
    def derived_bytes(self) -> int:
        """Bytes that weights take in forms that are made for the first image."""
        return self.fast_conv_bytes if self.fast_conv else 0

    @property
    def body(self) -> nn.Module:
        """The module that runs: normalized input -> its outputs, in evaluation mode, no gradients of parameters."""
        self._refresh()
        return self._body

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return self._like.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the parameters: float32, or another after ``network.to(dtype)``."""
        return self._like.dtype

    @property
    def _like(self) -> Tensor:
        """A tensor of the network's type and device."""
        tensors = chain(self._body.parameters(), self._body.buffers())  # lazily: going through all modules takes long
        return next(tensors, torch.empty(0))

    @property
    def pixel_dtype(self) -> torch.dtype:
        """The type of images that are optimized: float64 for a network in float64, float32 for any other."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    def to(self, *target: torch.device | torch.dtype | str) -> Network:
        """Move the network to a device or type, in place; returns itself.

        Your own module stays where it is: a copy of its weights moves, and is updated at each call.
        """
        if self._shared_copy is None:
            self._body.to(*target)  # type: ignore[call-overload]
            self._graphs = self._new_graphs()
        else:
            self._moves = (*self._moves, *target)
            self._build()
        return self

    @cached_property
    def classes(self) -> int:
        """The number of classes."""
        return self._logits_of_black().shape[1] if self.labels is None else len(self.labels)

    @torch.no_grad()
    def _logits_of_black(self) -> Tensor:
        """The logits (1, classes) of a black image."""
        return self(self.blank_pixels())

    @property
    def black_box(self) -> BlackBox | None:
        """The module, if it only gives scores, without layers and gradients; None for any other."""
        return self.module if isinstance(self.module, BlackBox) else None

    @property
    def has_gradients(self) -> bool:
        """Whether the scores have gradients with respect to the pixels.

        False for programs, ONNX and TFLite files, and for modules that leave the gradient out on its way (``no_grad``,
        ``detach``, quantized layers), which takes a pass to find out.
        """
        if self.black_box is not None:
            return False
        self._refresh()
        return self.optimize or self._reaches_pixels

    @cached_property
    def _reaches_pixels(self) -> bool:
        with gradients():
            return self(self.blank_pixels().requires_grad_()).requires_grad

    def require_gradients(self) -> None:
        """Raise ModelError where the network has no gradients, which most methods follow."""
        if not self.has_gradients:
            raise ModelError(
                f"{self.name} has no gradients, so that only methods that compare scores work on it.",
                remedy="without_gradients",
            )

    def require_convolutions(self) -> None:
        """Raise UsageError where the network is a transformer, for what is defined for convolutions and ReLUs alone."""
        if is_transformer(self.graph):
            raise UsageError(
                f"{self.name} is a transformer, and this is defined for convolutions and ReLUs.", remedy="transformer"
            )

    @property
    def graph(self) -> fx.GraphModule:
        """The body as a torch.fx graph: normalized input -> the chosen output. It shares the parameters.

        Raises ModelError where it cannot be traced, or computes something else than your module does.
        """
        self._refresh()
        return self._graphs.current.whole

    @property
    def forward_pass(self) -> Callable[[Tensor], Any]:
        """Normalized input -> the chosen output: the graph of operations, or where there is none the module itself."""
        self._refresh()
        try:
            if self._graphs.traced_by != "hooks" and self.images_at_once is None:
                return self._graphs.current.whole
        except ModelError:
            pass
        body, choose = self._body, self._choose
        return lambda x: choose(body(x))

    @property
    def traced_by(self) -> str:
        """How the graph was made: ``fx`` (torch.fx), ``export`` (torch.export) or ``hooks``.

        The first is taken that computes what your module does. By hooks the layers are the calls of submodules, and
        functional operations are missing. Raises ModelError where there is none.
        """
        self._refresh()
        return self._graphs.traced_by

    @property
    def missing_layers(self) -> str:
        """A sentence that names the operations that are no layers, of a module traced by hooks; empty for any other."""
        return missing_layers(self.graph)

    @property
    def layers(self) -> LayerTable:
        """The layers in order of computation, found by path, block or alias.

        Raises ModelError as ``graph`` does.
        """
        self._refresh()
        return self._graphs.current.layers

    def layer_table(self, size: tuple[int, int] | None = None) -> list[Layer]:
        """Shape, parameters, multiply-adds and receptive field of every layer for images of ``size`` (H, W)."""
        size = size or (self.spec.size, self.spec.size)
        return self.layers.table(self.spec.channels, size, self.images_at_once or 1)

    def blank_pixels(self, size: tuple[int, int] | None = None) -> Tensor:
        """Black pixels (N, C, H, W) of ``size`` (height, width), by default the network's own.

        One image, or as many as the module takes at a time.
        """
        count = self.images_at_once or 1
        return torch.zeros(count, self.spec.channels, *(size or (self.spec.size, self.spec.size)))

    def activation_count(self, size: tuple[int, int]) -> int:
        """The number of values in all feature maps together, for one image of ``size`` (height, width).

        Up to the network's own size they are counted in one real pass, which takes less time.
        """
        if self.black_box is not None:
            return self.spec.channels * math.prod(size)
        if math.prod(size) > self.spec.size**2 and isinstance(self.forward_pass, fx.GraphModule):
            return sum(math.prod(layer.shape) for layer in self.layer_table(size))
        x, run = self.normalize(self.blank_pixels(size)), self.forward_pass
        if not isinstance(run, fx.GraphModule):
            return measured(run, x).values
        shapes = shapes_by_forward(self.graph, x)
        outputs = (shapes[node] for node in layer_nodes(self.graph).values())
        return sum(shape[1:].numel() for shape in outputs if isinstance(shape, torch.Size))

    def normalize(self, pixels: Tensor) -> Tensor:
        """Pixels (N, C, H, W) in [0, 1] -> the module's input, of the same shape, on its device and in its type.

        A network of one channel takes RGB, too, and sees its luma. Raises UsageError where they are no such tensor, and
        ImageError where the image is too small for the network, or not of the only size it takes.
        """
        pixels = require_pixels(pixels, self.spec.channels)
        self.require_size((pixels.shape[2], pixels.shape[3]))
        self._refresh()
        x = pixels.to(self.device, self.dtype)
        luma, mean, std = self._constants(x)
        if self.spec.channels == 1 and x.shape[1] == len(LUMA):
            x = (x * luma).sum(1, keepdim=True)
        x = (x - mean).div_(std)
        if self._shared_copy is not None:
            x = x.contiguous()  # which ``x.view(x.size(0), -1)`` in the module needs
        self._graphs.check(x)
        return x

    def __call__(self, pixels: Tensor) -> Tensor:
        """Logits (N, classes) of pixels (N, 3, H, W) in [0, 1]; differentiable with respect to the pixels.

        Raises ModelError where the module returns something else, or numbers that are not finite.

        Example:
            >>> import torch, cnnviz
            >>> network = cnnviz.load_network("squeezenet1_1")
            >>> network(torch.rand(2, 3, 224, 224)).shape
            torch.Size([2, 1000])
        """
        with self.autocast():
            output = self._choose(self.body(self.normalize(pixels)))
        if not pixels.requires_grad:  # an optimization may leave [0, 1] on purpose
            warn_if_out_of_range(pixels)
        return self.check_logits(output, pixels)

    def logits(self, pixels: Tensor) -> Tensor:
        """The same, faster: not every module is called, so that hooks on them may not run."""
        self._refresh()
        is_fused = self._shared_copy is None and self._graphs.is_traced
        run = self._graphs.current.fused if is_fused else self._body
        with self.autocast():
            output = run(self.normalize(pixels))
            output = output if is_fused else self._choose(output)
        logits = self.check_logits(output, pixels)
        if pixels.requires_grad and torch.is_grad_enabled() and not logits.requires_grad:
            self.require_gradients()
        return logits

    def check_logits(self, output: object, pixels: Tensor) -> Tensor:
        """The output of the module or its graph for ``pixels``, checked, as logits (N, classes).

        In float32, or float64 if the network is in that. Raises ModelError that describes an output that is no logits,
        or names the first tensor that is not finite, or of weights without a classifier; UsageError where the labels
        name another number of classes.
        """
        self.require_classifier()
        logits = at_least_float32(checks.require_logits(output, len(pixels), self.name, self.labels))
        if logits.is_meta:
            raise ModelError(
                f"{self.name} is on the meta device, where tensors have shapes and no values; load weights."
            )
        return checks.require_finite(logits, "logits", self, pixels)

    def require_classifier(self) -> None:
        """Raise ModelError where the weights are from a file without a classifier, which serves for features only."""
        lacking = self.weights.lacks_classifier
        if lacking:
            raise ModelError(
                f"{self.weights.label} holds no classifier ('{lacking}') for {self.name}: it gives features, but no "
                "classes.",
                remedy="feature_commands",
            )

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities (N, classes) of logits (N, classes), by the network's activation; of ``none`` the logits."""
        return activate(logits, self.activation)

    @property
    def chosen_activation(self) -> str:
        """``softmax``, ``sigmoid`` or ``none``: what ``activation`` means for this network's number of classes."""
        return chosen_activation(self.activation, self.classes)

    @property
    def is_exclusive(self) -> bool:
        """Whether an image is of one class alone, as with a softmax; False where each label is for itself."""
        return self.chosen_activation == "softmax"

    @property
    def has_probabilities(self) -> bool:
        """Whether scores are probabilities in [0, 1]; False for values that are shown as they are."""
        return self.activation != "none"

    def layer_name(self, layer: LayerLike) -> str:
        """The name of a layer that is given by name, or as one of the submodules of your own module.

        Raises UsageError for a module that is no part of it, or is not called in the forward pass.
        """
        if isinstance(layer, str):
            return layer
        if not isinstance(layer, nn.Module):
            raise UsageError(f"A layer is given by name or as a submodule, not as {layer!r}.")
        path = path_of(unwrap(self.module), layer)
        if path is None:
            raise UsageError(f"The {type(layer).__name__} given as a layer is no part of {self.name}.")
        if not path:
            raise UsageError(f"The whole module is no layer of {self.name}; its output is that of the network.")
        if path not in self.layers:
            raise UsageError(f"'{path}' ({type(layer).__name__}) of {self.name} is not called in the forward pass.")
        return path

    def layer_names(self, layers: Iterable[LayerLike]) -> list[str]:
        """The names of several layers, as ``layer_name`` finds each."""
        return [self.layer_name(layer) for layer in layers]

    def features(self, pixels: Tensor, layers: Sequence[AnyLayer], *, raw: bool = False) -> dict[AnyLayer, Tensor]:
        """The outputs of ``layers`` by the names given, (N, C, H, W) for maps; differentiable.

        Maps that the network keeps channels last are (N, C, H, W) here too. Nothing deeper than the deepest of
        ``layers`` is computed.

        Args:
            pixels: (N, 3, H, W), RGB in [0, 1].
            layers: paths, blocks or aliases, as ``network.layers`` finds them, or submodules of your own module, under
                which their outputs are returned then.
            raw: return outputs in the type they were computed in, and unchecked.

        Raises:
            UsageError: an unknown layer; the message lists the nearest names.
            ModelError: the layers cannot be read, or their outputs are not finite.

        Example:
            >>> import torch, cnnviz
            >>> network = cnnviz.load_network("squeezenet1_1")
            >>> network.features(torch.rand(1, 3, 224, 224), ["fire5"])["fire5"].shape
            torch.Size([1, 256, 27, 27])
        """
        if not layers:
            raise UsageError("Name at least one layer.", remedy="list_layers")
        if self.images_at_once not in (None, len(pixels)):
            run = partial(self.features, layers=layers, raw=raw)
            return in_parts(run, pixels, self.images_at_once or 1)  # type: ignore[no-any-return]
        x = self.normalize(pixels)
        names = {layer: self.layer_name(layer) for layer in layers}
        graph_module = self.truncated({name: name for name in names.values()}, fused=True)
        with self.autocast():
            outputs = graph_module(x)
        found = {layer: outputs[name] for layer, name in names.items()}
        if raw:
            return found
        if not pixels.requires_grad:  # an optimization checks its loss instead
            warn_if_out_of_range(pixels)
            for name, value in outputs.items():
                checks.require_finite(value, f"output of layer '{name}'", self, pixels)
        return {layer: at_least_float32(value) for layer, value in found.items()}

    def stream_features(self, pixels: Tensor, layers: Sequence[str], callback: FeatureCallback) -> None:
        """Call ``callback(name, output)`` for each of ``layers`` as soon as it is computed, in the type it has then.

        Like ``features``, without holding all outputs at once: what the callback does not keep is freed, and in the
        backward pass the gradient of what was made of a layer comes just before that of the layer.
        """
        x = self.normalize(pixels)
        graph_module = self._graphs.current.streaming(layers)
        with self.autocast():
            graph_module(x, callback)

    def truncated(self, layers: Mapping[str, str | None], *, fused: bool = False) -> fx.GraphModule:
        """The graph cut down to what ``layers`` need: normalized input -> ``{key: output of the layer}``.

        None stands for the module's output, which ``check_logits`` is then to check. Graphs are kept for the next call.
        A ``fused`` graph returns the same values faster, but does not hold the outputs of layers in between.
        """
        self._refresh()
        return self._graphs.current.truncated(layers, fused=fused)

    @property
    def output_node(self) -> fx.Node:
        """The graph's node that gives the logits; ModelError where there are several outputs and none was chosen."""
        self._refresh()
        return self._graphs.current.output_node

    def predict(self, pixels: Tensor, k: int = 5) -> list[list[Prediction]]:
        """For each image the ``k`` likeliest classes: (index, label, score), likeliest first.

        The score is the probability by the network's ``activation``, or, where that is ``none``, the plain value.

        Example:
            >>> import torch, cnnviz
            >>> network = cnnviz.load_network("squeezenet1_1")
            >>> (index, name, probability), *others = network.predict(torch.rand(1, 3, 224, 224))[0]
            >>> len(others)
            4
        """
        with torch.no_grad():
            logits = self(pixels)
            best = logits.topk(min(k, self.classes), dim=1).indices  # many sigmoids are exactly 1
            scores = self.probabilities(logits).gather(1, best)
        return [
            [Prediction(i, self.label(i), p) for i, p in zip(indices, values, strict=True)]
            for indices, values in zip(best.tolist(), scores.tolist(), strict=True)
        ]

    def label(self, index: int) -> str:
        """The name of a class."""
        self.require_classifier()
        assert self.labels is not None
        return self.labels[index]

    def find_class(self, wanted: str | SupportsIndex | Tensor) -> int:
        """The class index meant by an index, a name, or part of a name that only one class has.

        The index may be NumPy's or a tensor's. Raises UsageError where there is no such class, or several are meant.
        """
        self.require_classifier()
        assert self.labels is not None
        try:
            return find_class(self.labels, wanted)
        except UsageError as error:
            if self.black_box is None:
                raise
            raise UsageError(str(error), remedy=self.black_box.remedy_of_unknown_class) from error

    def find_classes(self, wanted: Target, count: int) -> list[int] | None:
        """The class index for each of ``count`` images, by one class for all or one for each; None for None."""
        self.require_classifier()
        assert self.labels is not None
        return find_classes(self.labels, wanted, count)

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """The context in which convolutions run in this network's precision."""
        check_cancelled()
        lower, device = _AUTOCAST[self.precision], self.device
        with conv_precision(self.precision, device), torch.autocast(device.type, lower) if lower else nullcontext():
            try:
                yield
            except RuntimeError as error:
                wrong = checks.wrong_channels(error, self.name, self.spec.channels)
                if wrong is None:
                    raise
                raise wrong from error

    def _constants(self, like: Tensor) -> tuple[Tensor, ...]:
        """Luma weights, mean and standard deviation (1, C, 1, 1), of the type and on the device of ``like``."""
        key = like.device, like.dtype
        if key not in self._normalization:
            numbers = LUMA, self.spec.pixel_mean, self.spec.pixel_std
            with torch.inference_mode(False):
                self._normalization[key] = tuple(like.new_tensor(values).view(1, -1, 1, 1) for values in numbers)
        return self._normalization[key]

    def require_count(self, count: int) -> None:
        """Raise UsageError where layers cannot be read for so many images at a time."""
        only = self.images_at_once
        if only not in (None, count):
            raise UsageError(
                f"{self.name} was exported for {only} image{'' if only == 1 else 's'} at a time; give it as many, not "
                f"{count}, to look at its layers."
            )

    def require_size(self, size: tuple[int, int]) -> None:
        """Raise ImageError where the network does not take images of ``size`` (height, width)."""
        height, width = size
        side = self.spec.size
        if self.spec.fixed and (height, width) != (side, side):
            raise ImageError(f"{self.name} takes images of {side}×{side} pixels only, not {width}×{height}.")
        if min(height, width) < self.spec.min_size:
            raise ImageError(
                f"An image of {width}×{height} pixels is too small for {self.name}, "
                f"which needs sides of at least {self.spec.min_size}."
            )


def at_least_float32(value: Tensor) -> Tensor:
    """A tensor in float32, or unchanged if it is in float64."""
    return value if value.dtype == torch.float64 else value.float()
