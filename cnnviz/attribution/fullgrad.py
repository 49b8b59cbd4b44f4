"""FullGrad: the shares of the input and of every bias in the score."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional as F

from cnnviz.attribution.targets import Target, TargetFunction, each_image, target_scores
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import gradients, require_pixels
from cnnviz.network import checks
from cnnviz.network.graph import ancestors
from cnnviz.network.hooked import hooked_module
from cnnviz.network.network import Network
from cnnviz.network.operations import name_set, operation
from cnnviz.runtime.precision import at_least_float32, gradients_of

_WITH_BIAS = name_set("Conv2d ConvTranspose2d BatchNorm2d SyncBatchNorm conv2d conv_transpose2d batch_norm")
"""Operations on maps that are affine in their input and may have a bias."""


def fullgrad(network: Network, pixels: Tensor, target: Target = None) -> Tensor:
    """FullGrad map: the gradient with respect to the input and to every bias of a map, times these, added up.

    Srinivas & Fleuret, "Full-Gradient Representation for Neural Network Visualization", NeurIPS 2019, arXiv:1905.00780.
    As in the paper each part is made absolute, scaled to [0, 1] and brought to the size of the image before it is
    added. Biases are those of convolutions and batch normalizations, whose running means count, too; the input is the
    normalized image.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; the class predicted for each image if None. Or what ``saliency`` takes.

    Returns:
        Maps (N, 1, H, W), at least 0.

    Raises:
        UsageError: no such class, or a network whose operations cannot be traced.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.fullgrad(network, pixels, "tabby").shape
        torch.Size([1, 1, 64, 96])
    """
    pixels = require_pixels(pixels, network.spec.channels).to(network.device)
    return torch.cat([_map(network, *pair) for pair in each_image(network, pixels, target)])


def _map(network: Network, image: Tensor, target: int | TargetFunction) -> Tensor:
    parts = full_gradients(network, image, target)
    total = torch.zeros_like(image[:, :1])
    for part in parts:
        shown = part.abs()
        low, high = shown.amin((2, 3), keepdim=True), shown.amax((2, 3), keepdim=True)
        shown = ((shown - low) / (high - low).clamp_min(1e-12)).to(total)
        size = image.shape[2:]
        total += F.interpolate(shown, size=size, mode="bilinear", align_corners=False).sum(1, keepdim=True)
    return total


def full_gradients(network: Network, image: Tensor, target: int | TargetFunction) -> list[Tensor]:
    """Input times gradient, and bias times gradient of each operation with a bias: (1, C, h, w) each.

    Of a network of ReLUs whose classifier has no bias they sum to the score of ``image`` (1, C, H, W).
    """
    graph = network.graph
    if hooked_module(graph) is not None:
        raise UsageError(
            f"FullGrad needs every operation of a network, but {network.name} can be read by hooks on its modules only."
        )
    with gradients(), network.autocast():
        x = network.normalize(image).detach().requires_grad_()
        run = _BiasRecorder(graph)
        output = network.check_logits(run.run(x), image)
        score = target_scores(network, output, target).sum()
        found = gradients_of(score, [x, *run.outputs])
    checks.require_finite(found[0], "gradient", network, image)
    values = [x.detach(), *run.biases]
    return [at_least_float32(one * value) for one, value in zip(found, values, strict=True)]


class _BiasRecorder(fx.Interpreter):
    """Runs a graph, and records the output of each operation with a bias, and the bias: its output for zeros."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        super().__init__(graph_module)
        self.outputs: list[Tensor] = []
        self.biases: list[Tensor] = []
        self._needed = ancestors([graph_module.graph.output_node()])

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n in self._needed and operation(self.module, n) in _WITH_BIAS and value.ndim == 4 and value.requires_grad:
            bias = self._of_zeros(n)
            if bool(bias.any()):
                self.outputs.append(value)
                self.biases.append(bias)
        return value

    @torch.no_grad()
    def _of_zeros(self, n: fx.Node) -> Tensor:
        """The operation's output with zeros as its first input."""
        arguments, options = self.fetch_args_kwargs_from_env(n)
        if arguments:
            arguments = (torch.zeros_like(arguments[0]), *arguments[1:])
        else:
            options = {**options, "input": torch.zeros_like(options["input"])}
        found: Tensor = getattr(self, n.op)(n.target, arguments, options)
        return found
