"""The papers' names for layers: ``conv4_2``, ``relu5_1``, ``pool5``, ``fire6``, ``res4b``, ``fc7``.

Each function reads the modules of one family and returns alias -> module path. torchvision's own paths always work
too; an alias never hides one.
"""

from __future__ import annotations

import string
from collections.abc import Iterator

from torch import nn

_POOLING = (nn.MaxPool2d, nn.AvgPool2d)  # average pooling replaces max pooling in cnnviz.network.network_transforms


def _children(parent: object, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    assert isinstance(parent, nn.Module)
    return ((f"{prefix}.{name}", child) for name, child in parent.named_children())


def vgg(module: nn.Module) -> dict[str, str]:
    """VGG's aliases: block, then convolution, as Gatys and Caffe number them.

    Simonyan & Zisserman, arXiv:1409.1556.
    """
    found: dict[str, str] = {}
    block, index = 1, 0
    for path, child in _children(module.features, "features"):
        if isinstance(child, nn.Conv2d):
            index += 1
            found[f"conv{block}_{index}"] = path
        elif isinstance(child, nn.BatchNorm2d):
            found[f"bn{block}_{index}"] = path
        elif isinstance(child, nn.ReLU):
            found[f"relu{block}_{index}"] = path
        elif isinstance(child, _POOLING):
            found[f"pool{block}"] = path
            block, index = block + 1, 0
    return found | _fully_connected(module, first=6)


def alexnet(module: nn.Module) -> dict[str, str]:
    """AlexNet's aliases; a pooling layer has the number of the convolution before it.

    Krizhevsky, "One weird trick", arXiv:1404.5997.
    """
    found: dict[str, str] = {}
    index = 0
    for path, child in _children(module.features, "features"):
        if isinstance(child, nn.Conv2d):
            index += 1
            found[f"conv{index}"] = path
        elif isinstance(child, nn.ReLU):
            found[f"relu{index}"] = path
        elif isinstance(child, _POOLING):
            found[f"pool{index}"] = path
    return found | _fully_connected(module, first=6)


def _fully_connected(module: nn.Module, first: int) -> dict[str, str]:
    found: dict[str, str] = {}
    number = first - 1
    for path, child in _children(getattr(module, "classifier", nn.Sequential()), "classifier"):
        if isinstance(child, nn.Linear):
            number += 1
            found[f"fc{number}"] = path
        elif isinstance(child, nn.ReLU):
            found[f"relu{number}"] = path
    return found


def squeezenet(module: nn.Module) -> dict[str, str]:
    """SqueezeNet's aliases: fire modules are numbered on from conv1, a pooling layer has the number before it.

    Iandola et al., arXiv:1602.07360.
    """
    found: dict[str, str] = {}
    number = 0
    for path, child in _children(module.features, "features"):
        if isinstance(child, nn.Conv2d):
            number += 1
            found[f"conv{number}"] = path
        elif isinstance(child, nn.ReLU):
            found[f"relu{number}"] = path
        elif isinstance(child, _POOLING):
            found[f"pool{number}"] = path
        else:
            number += 1
            found[f"fire{number}"] = path
            for part, caffe in (
                ("squeeze", "squeeze1x1"),
                ("expand1x1", "expand1x1"),
                ("expand3x3", "expand3x3"),
            ):
                found[f"fire{number}/{caffe}"] = f"{path}.{part}"
    return found | {"conv10": "classifier.1", "relu10": "classifier.2", "pool10": "classifier.3"}


def googlenet(module: nn.Module) -> dict[str, str]:
    """GoogLeNet's aliases: Caffe's ``inception_3a`` and TensorFlow's ``mixed3a``.

    Szegedy et al., arXiv:1409.4842.
    """
    found: dict[str, str] = {}
    for name, _ in module.named_children():
        if name.startswith("inception"):
            block = name.removeprefix("inception")
            found |= {f"inception_{block}": name, f"inception_{block}/output": name, f"mixed{block}": name}
    pools = {f"pool{n}": f"maxpool{n}" for n in (1, 2, 3, 4)}
    return found | pools | {"conv2_reduce": "conv2", "pool5": "avgpool", "loss3/classifier": "fc"}


def resnet(module: nn.Module) -> dict[str, str]:
    """ResNet's aliases: ``conv2_x`` … ``conv5_x``, and Caffe's ``res4b`` for single blocks.

    He et al., arXiv:1512.03385.
    """
    found: dict[str, str] = {"relu1": "relu", "pool1": "maxpool", "pool5": "avgpool", "fc1000": "fc"}
    for stage in (2, 3, 4, 5):
        layer = f"layer{stage - 1}"
        found[f"conv{stage}_x"] = layer
        blocks = [path for path, _ in _children(getattr(module, layer), layer)]
        found |= {f"conv{stage}_{n}": path for n, path in enumerate(blocks, start=1)}
        found |= {f"res{stage}{letter}": path for letter, path in zip(string.ascii_lowercase, blocks, strict=False)}
    return found
