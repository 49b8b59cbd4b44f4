"""Builds the module of a catalogue network by its name: with random weights, or with shapes alone."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cnnviz.errors import ModelError
from cnnviz.network import catalogue
from cnnviz.network.lenet import LeNet5
from cnnviz.network.squeezenet import SqueezeNet

RESCALING = ("googlenet", "inception_v3")
"""Networks that can first rescale their input from ImageNet's normalization to Inception's (mean and std 0.5), which
their published weights need: torchvision's ``transform_input``."""


def build(name: str, classes: int, channels: int = 3) -> nn.Module:
    """The architecture ``name`` with ``classes`` outputs.

    ``channels`` of the input: 3, 1 for gray images, or any other number. GoogLeNet and Inception are built without
    their auxiliary classifiers, which only training uses.
    """
    if name == catalogue.LENET:
        return LeNet5(classes, channels)
    module = _build_rgb(name, classes)
    if channels != 3:
        first = next(part for part in module.modules() if isinstance(part, nn.Conv2d))
        first.in_channels = channels
        weight = first.weight.detach()
        first.weight = nn.Parameter(weight.repeat(1, -(-channels // weight.shape[1]), 1, 1)[:, :channels])
    return module


def _build_rgb(name: str, classes: int) -> nn.Module:
    if name == catalogue.EMBEDDED:
        return SqueezeNet(classes)
    catalogue.entry(name)
    from torchvision.models import get_model  # takes 0.4 s, which the embedded network does without

    options: dict[str, Any] = {"weights": None, "num_classes": classes}
    if name in RESCALING:
        options |= {"aux_logits": False, "init_weights": True, "transform_input": True}
    return get_model(name, **options)


class ParametersOnMeta(TorchFunctionMode):
    """Creates uninitialized tensors, as parameters are at first, on the meta device.

    ``torch.device("meta")`` would create all tensors there, also those whose values a constructor needs: RegNets
    compute their widths with tensors.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def build_on_meta(name: str, classes: int, channels: int = 3) -> nn.Module:
    """The architecture ``name`` with all tensors on the meta device: shapes, no memory, no initialization."""
    with ParametersOnMeta():
        module = build(name, classes, channels)
    return module.to("meta")


def fit_stem(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give an MNASNet on the meta device the stem of torchvision 0.4, of fixed width, if ``state`` has that."""
    first, alpha = state.get("layers.0.weight"), getattr(module, "alpha", 1.0)
    if first is None or alpha == 1.0 or first.shape[:1] != (32,):
        return
    with ParametersOnMeta(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision warns that such weights should be trained again
        module._load_from_state_dict({}, "", {"version": 1}, False, [], [], [])
    module.to("meta")


def image_size(module: nn.Module) -> int | None:
    """The side of the only images that torchvision's ViT takes; None for other networks."""
    side = getattr(module, "image_size", None)
    return side if isinstance(side, int) and hasattr(module, "seq_length") else None


def fit_image_size(module: nn.Module, side: int) -> None:
    """Let a ViT on the meta device take images of ``side`` × ``side``; other networks stay as they are."""
    if image_size(module) in (None, side):
        return
    tokens = (side // module.patch_size) ** 2 + 1  # type: ignore[operator]
    module.image_size, module.seq_length = side, tokens  # type: ignore[assignment]
    shape = (1, tokens, module.hidden_dim)
    module.encoder.pos_embedding = nn.Parameter(torch.empty(shape, device="meta"))  # type: ignore[union-attr,arg-type]


def fit_positions(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a ViT on the meta device the image size whose positions ``state`` holds."""
    positions = state.get("encoder.pos_embedding")
    if image_size(module) is not None and positions is not None and positions.ndim == 3:
        fit_image_size(module, math.isqrt(positions.shape[1] - 1) * module.patch_size)  # type: ignore[operator,arg-type]


def build_random(name: str, classes: int, seed: int, channels: int | None = None) -> nn.Module:
    """The architecture with its authors' random initial weights, which depend on ``seed`` alone.

    ``channels`` of the input: None for as many as the architecture was made for. A first convolution of others begins
    as He et al., "Delving Deep into Rectifiers", ICCV 2015, have it. A classifier that its authors begin at zero, as
    ViT's, gets small random weights: its scores would all be equal.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        usual = 1 if name == catalogue.LENET else 3
        module = build(name, classes, channels or usual)
        if channels not in (None, usual):
            first = next(part for part in module.modules() if isinstance(part, nn.Conv2d))
            nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
        for part in module.modules():
            if isinstance(part, nn.Linear) and part.out_features == classes and not part.weight.any():
                nn.init.normal_(part.weight, std=0.02)
        return module


_SENTINEL_CLASSES = 10_007
"""A class count that no other dimension of any network equals, by which the classifier is found."""


@cache
def _skeleton(name: str) -> nn.Module:
    return build_on_meta(name, _SENTINEL_CLASSES)


def part_names(name: str) -> tuple[str, ...]:
    """The names of the network's outermost submodules, in order."""
    return tuple(part for part, _ in _skeleton(name).named_children())


@cache
def parameter_shapes(name: str) -> tuple[dict[str, Tensor], str]:
    """The state dict on the meta device, and the name of the classifier's weight (one row for each class)."""
    shapes = _skeleton(name).state_dict()
    classifier = next((key for key, tensor in shapes.items() if tensor.shape[:1] == (_SENTINEL_CLASSES,)), None)
    if classifier is None:
        raise ModelError(f"The model {name} has no classifier.")
    return shapes, classifier
