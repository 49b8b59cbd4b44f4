"""The input that a module's own configuration tells of: timm's ``pretrained_cfg``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from cnnviz.network.spec import InputSpec


def input_of_config(module: nn.Module) -> dict[str, Any]:
    """The input in a timm network's ``pretrained_cfg``, as arguments of ``Network``; empty for modules without one."""
    config = getattr(module, "pretrained_cfg", None)
    if not isinstance(config, Mapping) or not {"input_size", "mean", "std"} <= config.keys():
        return {}
    return {"spec": spec_of_config(config)}


def spec_of_config(config: Mapping[str, Any]) -> InputSpec:
    """The input size, crop and normalization of a ``pretrained_cfg``."""
    channels, height, width = config["input_size"]
    size = min(height, width)
    smallest = config.get("min_input_size") or (channels, 1, 1)
    interpolation = config.get("interpolation")
    return InputSpec(
        size,
        math.floor(size / (config.get("crop_pct") or 0.875)),
        min(smallest[1:]),
        fixed=bool(config.get("fixed_input_size")),
        channels=channels,
        mean=_per_channel(config["mean"], channels),
        std=_per_channel(config["std"], channels),
        interpolation=interpolation if interpolation in ("bilinear", "bicubic") else "bicubic",
    )


def _per_channel(values: Any, channels: int) -> tuple[float, ...]:
    """One number for each channel, where a configuration has one for all, or kept those of RGB."""
    values = tuple(values)
    return values if len(values) == channels else (sum(values) / len(values),) * channels
