"""The network under study: pixels in, scores of classes and features out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import SupportsIndex

import torch
from torch import Tensor, nn

from cnnviz.errors import ModelError, UsageError
from cnnviz.imaging.checks import gradients, warn_if_out_of_range
from cnnviz.network import checks
from cnnviz.network.activations import activate, chosen_activation, require_activation
from cnnviz.network.exported import exported_input, is_exported, program_module
from cnnviz.network.feature_network import FeatureNetwork
from cnnviz.network.label_files import read_labels
from cnnviz.network.outputs import Output, OutputChoice
from cnnviz.network.prediction import Prediction
from cnnviz.network.running_module import Alteration
from cnnviz.network.spec import InputSpec, WeightsInfo, given_spec
from cnnviz.network.targets import Target, find_class, find_classes, numbered_labels
from cnnviz.runtime.precision import at_least_float32


@dataclass(eq=False, init=False)
class Network(FeatureNetwork):
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
        named = read_labels(labels) if isinstance(labels, str | Path) else labels
        self.labels = None if named is None else tuple(named)
        self.has_numbered_labels = named is None
        self.output, self.activation = output, activation
        exported = exported_input(module) if is_exported(module) else None
        if exported and spec is None:
            size, channels = size or exported.size, channels or exported.channels
        spec = given_spec(spec, mean=mean, std=std, size=size, channels=channels, input_range=input_range)
        super().__init__(
            module,
            name,
            exported.fitted(spec) if exported else spec,
            weights or WeightsInfo("custom"),
            precision=precision,
            optimize=optimize,
            alterations=alterations,
            fast_conv=fast_conv,
            choose=OutputChoice(output, name),
            images_at_once=exported.count if exported else None,
        )
        if output is not None and not self.has_numbered_labels and self.device.type != "meta":
            self._logits_of_black()  # a wrong choice is an error now, not at the first image

    def _renew(self) -> None:
        super()._renew()
        self.__dict__.pop("classes", None)
        self.__dict__.pop("_reaches_pixels", None)
        if self.has_numbered_labels:
            self.labels = None
            self.labels = numbered_labels(self.classes)

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
        """Logits (N, classes), as by calling the network, but faster: hooks on its modules may not run."""
        self._refresh()
        is_fused = not self._running.is_copy and self._graphs.is_traced
        run = self._graphs.current.fused if is_fused else self._running.body
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

    @cached_property
    def classes(self) -> int:
        """The number of classes."""
        return self._logits_of_black().shape[1] if self.labels is None else len(self.labels)

    @torch.no_grad()
    def _logits_of_black(self) -> Tensor:
        """The logits (1, classes) of a black image."""
        return self(self.blank_pixels())

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
