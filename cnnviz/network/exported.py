"""Modules made by torch.export: what they take, and how images are given to one that takes a fixed number of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import torch
from torch import Tensor, fx, nn

from cnnviz.errors import ModelError, UsageError
from cnnviz.network.aten import function_name, is_aten
from cnnviz.network.spec import InputSpec
from cnnviz.runtime.private_torch import bounds

_OPEN = 2
_LARGEST_BATCH = 64
"""Images that are given at once at most; a program for fewer gets the least that it takes."""

_MODES = {"dropout": 2, "batch_norm": 5, "feature_dropout": 2}
"""Operations that differ in training, and the place of the argument that says so."""


def program_module(module: Any) -> Any:
    """The module of a ``torch.export.ExportedProgram``; anything else as it is."""
    return module.module() if type(module).__name__ == "ExportedProgram" else module


def is_exported(module: object) -> TypeGuard[fx.GraphModule]:
    """Whether a module is one that ``ExportedProgram.module()`` returned, or a copy of it."""
    return isinstance(module, fx.GraphModule) and any(is_aten(node.target) for node in module.graph.nodes)


@dataclass(frozen=True)
class ExportedInput:
    """The input that a module was exported for; None where it takes any.

    Args:
        count: of images at a time.
        channels: of an image.
        size: of its sides, in pixels.
    """

    count: int | None
    channels: int | None
    size: int | None

    def fitted(self, spec: InputSpec) -> InputSpec:
        """``spec``, for images of the only size that the module takes; UsageError where it says otherwise."""
        if self.channels not in (None, spec.channels):
            raise UsageError(f"The program was exported for {self.channels} channels, not {spec.channels}.")
        if self.size is None:
            return spec
        if spec.size != self.size:
            only, wanted = f"{self.size}×{self.size}", f"{spec.size}×{spec.size}"
            raise UsageError(
                f"The program was exported for images of {only} pixels, and takes none of {wanted}.",
                remedy="exported_size",
                size=self.size,
            )
        return replace(spec, fixed=True)


def exported_input(module: fx.GraphModule) -> ExportedInput:
    """The input that an exported module takes.

    Raises:
        ModelError: several inputs, one that is no image tensor, images that are not square, or a module in training
            mode.
    """
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    if len(placeholders) != 1:
        raise ModelError(f"The exported program takes {len(placeholders)} inputs, where a network takes one: images.")
    shape = getattr(placeholders[0].meta.get("val"), "shape", (None,) * 4)
    if len(shape) != 4:
        raise ModelError(f"The exported program takes a tensor of {len(shape)} axes, where images have (N, C, H, W).")
    for node in module.graph.nodes:
        place = _MODES.get(function_name(node.target)) if is_aten(node.target) else None
        if place is not None and len(node.args) > place and node.args[place] is True:
            raise ModelError("The program was exported in training mode: export it after module.eval().")
    channels, height, width = (length if isinstance(length, int) else None for length in shape[1:])
    if height != width:
        raise ModelError(
            f"The program was exported for images of {width or 'any'}×{height or 'any'} pixels, where a network takes "
            "square ones: export it with a dynamic height and width, or for a square."
        )
    return ExportedInput(_count(shape[0]), channels, height)


def _count(length: int | torch.SymInt | None) -> int | None:
    """The number of images to give at a time, by the first axis of the input; None for any.

    torch.export says 2 of a number that is left open, and takes 1.
    """
    if length is None:
        return None
    least, most = bounds(length)
    return least if least > _OPEN or (most is not None and most < _LARGEST_BATCH) else None


class FixedBatch(nn.Module):
    """Gives images to a module that takes a fixed number of them, that many at a time."""

    def __init__(self, module: nn.Module, count: int) -> None:
        super().__init__()
        self.module, self.count = module, count

    def forward(self, x: Tensor) -> Any:
        return in_parts(self.module, x, self.count)


def in_parts(run: Callable[[Tensor], Any], x: Tensor, count: int) -> Any:
    """What ``run`` returns for each ``count`` images of ``x``, together; the last image fills up the last part."""
    missing = -len(x) % count
    filled = torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]) if missing else x
    found = [run(part) for part in filled.split(count)]
    return _joined(found, len(x))


def _joined(found: list[Any], count: int) -> Any:
    """The tensors of several outputs of one structure, one after another along the first axis."""
    first = found[0]
    if isinstance(first, Tensor):
        if first.ndim == 0 and len(found) == count:  # a number for each image
            return torch.stack(found)
        return torch.cat(found)[:count] if first.ndim else first
    if isinstance(first, dict):
        return {key: _joined([each[key] for each in found], count) for key in first}
    if isinstance(first, tuple | list):
        return type(first)(_joined(list(each), count) for each in zip(*found, strict=True))
    return first
