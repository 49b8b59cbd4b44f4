"""Finds the architecture of a module by the names and types of its parts, inside wrappers too."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

_VGGS = {8: "vgg11", 10: "vgg13", 13: "vgg16", 16: "vgg19"}
"""Number of convolutions -> name."""

_PLAIN = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d)
_MAX_WRAPPER_PARAMETERS = 12
"""The most parameters that a wrapper may have beside the network: those of a normalization or a color transform."""


@dataclass(frozen=True)
class Architecture:
    """The network inside a module, without its wrappers.

    Args:
        family: the architecture, as a key of ``families.FAMILIES``; the name given if it is unknown.
        path: of the network in the module, with a dot at its end: ``1.`` in ``nn.Sequential(Normalize(), alexnet)``,
            ``model.`` in a Lightning module, empty where the module is the network.
        module: the network.
        is_known: whether it is built as a known architecture.
    """

    family: str
    path: str
    module: nn.Module
    is_known: bool


def find_architecture(name: str, module: nn.Module) -> Architecture:
    """The outermost part of ``module`` that is built as a known architecture; the largest of several.

    If there is none, the module without the wrappers that have no parameters of their own.
    """
    found = [(path, part, family) for path, part in module.named_modules() if (family := detect_family(part))]
    if found:
        path, part, family = min(found, key=lambda one: (_depth(one[0]), -_size(one[1])))
        return Architecture(family, path and f"{path}.", part, True)
    path = _unwrapped(module)
    return Architecture(name, path and f"{path}.", module.get_submodule(path), False)


def detect_family(module: nn.Module) -> str | None:
    """The architecture that a module is built as, by the names and types of its parts; None if it is unknown."""
    parts = dict(module.named_children())
    if {"layer1", "layer2", "layer3", "layer4"} <= parts.keys():
        return "resnet"
    if {"conv1", "conv3", "inception3a", "inception4c", "inception5b"} <= parts.keys():
        return "googlenet"
    if {"Conv2d_1a_3x3", "Mixed_5b", "Mixed_6b"} <= parts.keys():
        return "inception_v3"
    features = parts.get("features")
    return _family_of_features(features) if isinstance(features, nn.Sequential) else None


def _family_of_features(features: nn.Sequential) -> str | None:
    parts = dict(features.named_children())
    if {"denseblock1", "denseblock2", "denseblock3"} <= parts.keys():
        return "densenet"
    kernels = [part.kernel_size for part in parts.values() if isinstance(part, nn.Conv2d)]
    if kernels and any(hasattr(part, "squeeze") and hasattr(part, "expand3x3") for part in parts.values()):
        return "squeezenet1_0" if kernels[0] == (7, 7) else "squeezenet1_1"
    return _family_of_chain(kernels, features) if all(isinstance(part, _PLAIN) for part in parts.values()) else None


def _family_of_chain(kernels: list[tuple[int, ...]], features: nn.Sequential) -> str | None:
    """``alexnet``, a VGG or None, by the kernel sizes of successive convolutions."""
    if len(kernels) == 5 and kernels[0] == (11, 11):
        return "alexnet"
    if set(kernels) == {(3, 3)} and len(kernels) in _VGGS:
        normalized = any(isinstance(part, nn.BatchNorm2d) for part in features)
        return _VGGS[len(kernels)] + ("_bn" if normalized else "")
    return None


def _unwrapped(module: nn.Module) -> str:
    path = ""
    while True:
        parts = {name: _size(part) for name, part in module.named_children()}
        if not parts:
            return path
        name = max(parts, key=lambda name: parts[name])
        inner = module.get_submodule(name)
        if (
            sum(parts.values()) - parts[name] > _MAX_WRAPPER_PARAMETERS
            or isinstance(module, nn.ModuleList)
            or not _has_parts(inner)
        ):
            return path
        path, module = f"{path}.{name}" if path else name, inner


def _has_parts(module: nn.Module) -> bool:
    return next(module.children(), None) is not None


def _depth(path: str) -> int:
    return path.count(".") + bool(path)


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
